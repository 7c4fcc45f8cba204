// Command cse is our side of the interoperability runs: it writes and reads with package
// cse what the SDKs of other languages read and wrote.
//
//	cse write PREFIX VERSION REGION    blobs PREFIX/REGION-VERSION/KEY/SIZE
//	cse read PREFIX                    checks every blob below PREFIX, whole and in ranges
//	cse swap FROM TO                   copies a blob with its first two regions swapped
//	cse member FROM TO PATH            copies a blob with an unknown member in its metadata
//	cse queue-write FILE               envelopes, one JSON list
//	cse bench FILE BLOB ROUNDS         times azblob and package cse with a file
//	cse rss BLOB BYTES                 streams a blob of that size up and down
//	cse queue-read FILE                opens the envelopes of such a list
//	cse refused BLOB                   ok if the vault's refusal is why it cannot be read
//
// Keys and the connection string come by environment; CSE_VAULT_KEY is the URL of a key
// that replaces the local ones. It prints one line a check: ok or fail, a tab, its name.
package main

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/coffer-storage/coffer/cse"
)

var failed = false

func report(ok bool, name, detail string) {
	word := "ok"
	if !ok {
		word, failed = "fail", true
		if detail != "" {
			name += ": " + strings.ReplaceAll(detail, "\n", " ")
		}
	}
	fmt.Printf("%s\t%s\n", word, name)
}

func main() {
	ctx := context.Background()
	args := os.Args[1:]
	var err error
	switch args[0] {
	case "write":
		err = write(ctx, args[1], args[2], args[3])
	case "read":
		err = read(ctx, args[1])
	case "swap":
		err = swap(ctx, args[1], args[2])
	case "member":
		err = member(ctx, args[1], args[2], args[3])
	case "queue-write":
		err = queueWrite(ctx, args[1])
	case "queue-read":
		err = queueRead(ctx, args[1])
	case "refused":
		err = refused(ctx, args[1])
	case "bench":
		var rounds int
		if rounds, err = strconv.Atoi(args[3]); err == nil {
			err = bench(ctx, args[1], args[2], rounds)
		}
	case "rss":
		var size int64
		if size, err = strconv.ParseInt(args[2], 10, 64); err == nil {
			err = rss(ctx, args[1], size)
		}
	default:
		err = fmt.Errorf("no such command")
	}
	if err != nil {
		report(false, strings.Join(args, " "), err.Error())
	}
	if failed {
		os.Exit(1)
	}
}

func box() (*container.Client, error) {
	c, err := container.NewClientFromConnectionString(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), "cse", nil)
	if err == nil {
		c.Create(context.Background(), nil) // it may be there
	}
	return c, err
}

func keys() (map[string]cse.Key, cse.KeyResolver, error) {
	if u := os.Getenv("CSE_VAULT_KEY"); u != "" {
		return vaultKeys(u)
	}
	text, err := os.ReadFile(os.Getenv("CSE_AES_KEY"))
	if err != nil {
		return nil, nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, nil, err
	}
	aes, err := cse.NewAESKey("aes1", raw)
	if err != nil {
		return nil, nil, err
	}
	if text, err = os.ReadFile(os.Getenv("CSE_RSA_KEY")); err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(text)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	rsa, err := cse.NewRSAKey("rsa1", private.(*rsa.PrivateKey), nil)
	if err != nil {
		return nil, nil, err
	}
	ring, err := cse.NewKeyRing(aes, rsa)
	return map[string]cse.Key{"aes1": aes, "rsa1": rsa}, ring, err
}

func pattern(n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func write(ctx context.Context, prefix, version, region string) error {
	c, err := box()
	if err != nil {
		return err
	}
	d, err := strconv.ParseInt(region, 10, 64)
	if err != nil {
		return err
	}
	all, _, err := keys()
	if err != nil {
		return err
	}
	for id, key := range all {
		for _, size := range []int64{0, 1, d - 1, d, d + 1, 3*d + 7} {
			name := fmt.Sprintf("%s/%d-%s/%s/%d", prefix, d, version, id, size)
			b, err := cse.NewBlobClient(c.NewBlockBlobClient(name), &cse.Options{Key: key, Version: cse.Version(version), RegionLength: d})
			if err != nil {
				return err
			}
			if _, err := b.UploadBuffer(ctx, pattern(size), nil); err != nil {
				report(false, "write "+name, err.Error())
				continue
			}
			report(true, "write "+name, "")
		}
	}
	return nil
}

func read(ctx context.Context, prefix string) error {
	c, err := box()
	if err != nil {
		return err
	}
	_, ring, err := keys()
	if err != nil {
		return err
	}
	n := 0
	pages := c.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: to.Ptr(prefix + "/")})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, item := range page.Segment.BlobItems {
			n++
			b, err := cse.NewBlobClient(c.NewBlockBlobClient(*item.Name), &cse.Options{Resolver: ring, AllowV1Read: true})
			if err != nil {
				return err
			}
			check(ctx, b, *item.Name)
		}
	}
	if n == 0 {
		report(false, "read "+prefix, "there are no blobs")
	}
	return nil
}

// check reads a blob whole, as a stream, and in ranges that touch borders.
func check(ctx context.Context, b *cse.BlobClient, name string) {
	words := strings.Split(name, "/")
	size, _ := strconv.ParseInt(words[len(words)-1], 10, 64)
	region, _, _ := strings.Cut(words[len(words)-3], "-")
	d, _ := strconv.ParseInt(region, 10, 64)
	want := pattern(size)
	buf := make([]byte, size)
	_, err := b.DownloadBuffer(ctx, buf, nil)
	report(err == nil && bytes.Equal(buf, want), "read "+name, text(err))
	r, err := b.DownloadStream(ctx, nil)
	if err == nil {
		var got []byte
		got, err = io.ReadAll(r.Body)
		r.Body.Close()
		report(err == nil && bytes.Equal(got, want), "stream "+name, text(err))
	} else {
		report(false, "stream "+name, text(err))
	}
	at, err := b.OpenReader(ctx, nil)
	if err != nil || at.Size() != size {
		report(false, "ranges "+name, text(err))
		return
	}
	for _, r := range [][2]int64{{0, 1}, {0, size}, {d - 1, 2}, {d, 1}, {5, d}, {size - 1, 1}, {size - 17, 17}, {2*d + 3, d}} {
		off, n := r[0], min(r[1], size-r[0])
		if off < 0 || n <= 0 {
			continue
		}
		got := make([]byte, n)
		if _, err := at.ReadAt(got, off); err != nil || !bytes.Equal(got, want[off:off+n]) {
			report(false, fmt.Sprintf("range %d %d %s", off, n, name), text(err))
			return
		}
	}
	report(true, "ranges "+name, "")
}

func text(err error) string {
	if err == nil {
		return "other content"
	}
	return err.Error()
}

// raw copies a blob as it is stored, changed.
func raw(ctx context.Context, from, to string, change func(body []byte, metadata map[string]*string) []byte) error {
	c, err := box()
	if err != nil {
		return err
	}
	r, err := c.NewBlockBlobClient(from).DownloadStream(ctx, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	body = change(body, r.Metadata)
	_, err = c.NewBlockBlobClient(to).Upload(ctx, streaming.NopCloser(bytes.NewReader(body)), &blockblob.UploadOptions{Metadata: r.Metadata})
	return err
}

func swap(ctx context.Context, from, to string) error {
	const sealed = 4<<20 + 28
	return raw(ctx, from, to, func(body []byte, _ map[string]*string) []byte {
		out := append([]byte(nil), body[sealed:2*sealed]...)
		return append(append(out, body[:sealed]...), body[2*sealed:]...)
	})
}

// member puts "Unknown":"x" in front of the members of the object of that name, or of the
// whole text.
func member(ctx context.Context, from, to, path string) error {
	return raw(ctx, from, to, func(body []byte, metadata map[string]*string) []byte {
		for k, v := range metadata {
			if !strings.EqualFold(k, cse.MetadataName) {
				continue
			}
			old := "{"
			if path != "top" {
				old = `"` + path + `":{`
			}
			changed := strings.Replace(*v, old, old+`"Unknown":"x",`, 1)
			metadata[k] = &changed
		}
		return body
	})
}

type message struct {
	Text    string `json:"text"`
	Message string `json:"message"`
}

func queueWrite(ctx context.Context, path string) error {
	all, _, err := keys()
	if err != nil {
		return err
	}
	var list []message
	for _, s := range []string{"hello", "", "Grüße, 世界 & <xml>", strings.Repeat("x", 40000)} {
		m, err := cse.EncryptMessage(ctx, s, &cse.Options{Key: mainKey(all)})
		if err != nil {
			return err
		}
		list = append(list, message{s, m})
	}
	out, err := json.Marshal(list)
	if err != nil {
		return err
	}
	report(true, fmt.Sprintf("queue-write %d", len(list)), "")
	return os.WriteFile(path, out, 0o600)
}

func queueRead(ctx context.Context, path string) error {
	_, ring, err := keys()
	if err != nil {
		return err
	}
	in, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var list []message
	if err := json.Unmarshal(in, &list); err != nil {
		return err
	}
	for i, m := range list {
		got, err := cse.DecryptMessage(ctx, m.Message, &cse.Options{Resolver: ring, AllowV1Read: true})
		report(err == nil && got == m.Text, fmt.Sprintf("queue-read %d", i), text(err))
	}
	return nil
}
