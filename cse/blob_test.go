package cse_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

func aesKey(t testing.TB, id string) *cse.AESKey {
	t.Helper()
	k, err := cse.NewAESKey(id, bytes.Repeat([]byte(id + "..")[:2], 16))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// contentKey unwraps the content key of a stored blob, apart from the code under test.
func contentKey(t testing.TB, key cse.Key, b csetest.Blob) []byte {
	t.Helper()
	var d struct {
		WrappedContentKey struct {
			EncryptedKey []byte
			Algorithm    string
		}
	}
	if err := json.Unmarshal([]byte(b.Metadata["encryptiondata"]), &d); err != nil {
		t.Fatal(err)
	}
	bound, err := key.UnwrapKey(t.Context(), d.WrappedContentKey.Algorithm, d.WrappedContentKey.EncryptedKey)
	if err != nil {
		t.Fatal(err)
	}
	return bound[8:]
}

func TestRoundTrip(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	for _, region := range []int64{16, 1000, 4 << 20} {
		opt := cse.Options{Key: key, Version: cse.V21, RegionLength: region, RequireLength: true}
		if region == 4<<20 {
			opt.Version = cse.V2
		}
		for _, size := range []int64{0, 1, region - 1, region, region + 1, 2 * region, 2*region + 7, 3*region + 7} {
			text := csetest.Pattern(size)
			for how, upload := range uploads {
				t.Run(fmt.Sprintf("%d/%d/%s", region, size, how), func(t *testing.T) {
					path := fmt.Sprintf("c/%d-%d-%s", region, size, how)
					c := blobClient(t, s, path, opt)
					r, err := upload(t, c, text, &cse.UploadOptions{BlockSize: region})
					if err != nil {
						t.Fatal(err)
					}
					b, _ := s.Get(path)
					if r.Length != size || r.StoredLength != int64(len(b.Body)) {
						t.Errorf("upload says %d bytes, %d stored; want %d, %d", r.Length, r.StoredLength, size, len(b.Body))
					}
					want := csetest.SealRegions(contentKey(t, key, b), text, int(region), csetest.DotnetNonce)
					if !bytes.Equal(b.Body, want) {
						t.Error("the stored body is not that of the format")
					}
					readEqual(t, c, text)
				})
			}
		}
	}
}

var uploads = map[string]func(t *testing.T, c *cse.BlobClient, text []byte, o *cse.UploadOptions) (cse.UploadResponse, error){
	"buffer": func(t *testing.T, c *cse.BlobClient, text []byte, o *cse.UploadOptions) (cse.UploadResponse, error) {
		return c.UploadBuffer(t.Context(), text, o)
	},
	"stream": func(t *testing.T, c *cse.BlobClient, text []byte, o *cse.UploadOptions) (cse.UploadResponse, error) {
		return c.UploadStream(t.Context(), io.MultiReader(bytes.NewReader(text)), o)
	},
	"file": func(t *testing.T, c *cse.BlobClient, text []byte, o *cse.UploadOptions) (cse.UploadResponse, error) {
		name := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return c.UploadFile(t.Context(), f, o)
	},
}

// Every range of a blob of five regions, and of one of version 1.0.
func TestEveryRange(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	five := csetest.Pattern(80)
	c := blobClient(t, s, "c/five", cse.Options{Key: key, Version: cse.V21, RegionLength: 16})
	if _, err := c.UploadBuffer(t.Context(), five, nil); err != nil {
		t.Fatal(err)
	}
	everyRange(t, c, five)

	hundred := csetest.Pattern(100)
	v1 := v1Blob(t, key, hundred)
	s.Put("c/hundred", v1)
	everyRange(t, blobClient(t, s, "c/hundred", cse.Options{Key: key, AllowV1Read: true}), hundred)
}

func everyRange(t *testing.T, c *cse.BlobClient, text []byte) {
	t.Helper()
	r, err := c.OpenReader(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(text))
	for off := int64(0); off <= size+1; off++ {
		for n := int64(1); n <= size-off+2; n++ {
			got := make([]byte, n)
			read, err := r.ReadAt(got, off)
			want := text[min(off, size):min(off+n, size)]
			if !bytes.Equal(got[:read], want) || (err == io.EOF) != (int64(len(want)) < n) || err != nil && err != io.EOF {
				t.Fatalf("ReadAt(%d bytes, %d) = %d, %v; want %d", n, off, read, err, len(want))
			}
			if n%9 != 0 && off%7 != 0 { // through HTTP alone, a part of them
				continue
			}
			if off >= size {
				_, err := c.DownloadBuffer(t.Context(), got, &cse.DownloadOptions{Range: cse.Range{Offset: off, Count: n}})
				if !cse.HasCode(err, cse.InvalidRange) {
					t.Fatalf("DownloadBuffer(%d, %d): %v; want InvalidRange", off, n, err)
				}
				continue
			}
			clear(got)
			m, err := c.DownloadBuffer(t.Context(), got, &cse.DownloadOptions{Range: cse.Range{Offset: off, Count: n}})
			if err != nil || !bytes.Equal(got[:m], want) {
				t.Fatalf("DownloadBuffer(%d, %d) = %d, %v; want %d", off, n, m, err, len(want))
			}
		}
	}
}

// v1Blob is a blob as old writers made it.
func v1Blob(t testing.TB, key cse.Key, text []byte) csetest.Blob {
	t.Helper()
	cek := bytes.Repeat([]byte{7}, 32)
	iv := csetest.Pattern(16)
	wrapped, err := key.WrapKey(context.Background(), cse.A256KW, cek)
	if err != nil {
		t.Fatal(err)
	}
	return csetest.Blob{
		Body:     csetest.SealV1(cek, iv, text, true),
		Metadata: map[string]string{"encryptiondata": csetest.DataV1(key.KeyID(), cse.A256KW, wrapped, iv)},
	}
}

func TestLargeBlobInParallel(t *testing.T) {
	s := csetest.NewServer(t)
	c := blobClient(t, s, "c/large", cse.Options{Key: aesKey(t, "key1"), Version: cse.V21, RegionLength: 64 << 10})
	text := csetest.Pattern(9<<20 + 5)
	var calls []int64
	up := &cse.UploadOptions{
		BlockSize: 1 << 20, Concurrency: 4, Progress: func(n int64) { calls = append(calls, n) },
		Metadata: map[string]*string{"Mine": to.Ptr("kept"), "EncryptionData": to.Ptr("old")},
	}
	if _, err := c.UploadStream(t.Context(), bytes.NewReader(text), up); err != nil {
		t.Fatal(err)
	}
	if len(calls) < 9 || calls[len(calls)-1] != int64(len(text)) {
		t.Errorf("progress ended with %v of %d", calls, len(text))
	}
	if up.Metadata["EncryptionData"] == nil || *up.Metadata["EncryptionData"] != "old" {
		t.Error("the caller's map of metadata was changed")
	}
	readEqual(t, c, text)
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("longer before")
	last := int64(0)
	n, err := c.DownloadFile(t.Context(), f, &cse.DownloadOptions{BlockSize: 128 << 10, Concurrency: 8, Progress: func(n int64) { last = n }})
	if err != nil || n != int64(len(text)) || last != n {
		t.Fatalf("DownloadFile = %d, %v; progress %d; want %d", n, err, last, len(text))
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	p, err := c.GetProperties(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := cse.Properties{
		Encrypted: true, Version: cse.V21, KeyID: "key1", Algorithm: cse.A256KW, RegionLength: 64 << 10,
		Library: "Coffer 0.1", Length: int64(len(text)), LengthAuthenticated: true, StoredLength: p.StoredLength,
		Metadata: map[string]*string{"Mine": to.Ptr("kept")}, Response: p.Response,
	}
	if diff := cmp.Diff(want, p, cmp.Comparer(func(a, b blob.GetPropertiesResponse) bool { return true })); diff != "" {
		t.Errorf("GetProperties (-want +got):\n%s", diff)
	}
}

// A retry sends the bytes of the first try: never two texts under one key and nonce.
func TestRetriesSendTheSame(t *testing.T) {
	for _, size := range []int64{100, 3000} { // one request; blocks
		s := csetest.NewServer(t)
		var mu sync.Mutex
		seen := map[string][][]byte{}
		s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			mu.Lock()
			defer mu.Unlock()
			id := r.URL.RawQuery
			seen[id] = append(seen[id], body)
			if len(seen[id]) > 1 {
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		c := blobClient(t, s, "c/b", cse.Options{Key: aesKey(t, "key1"), Version: cse.V21, RegionLength: 100})
		text := csetest.Pattern(size)
		if _, err := c.UploadBuffer(t.Context(), text, &cse.UploadOptions{BlockSize: 1000}); err != nil {
			t.Fatal(err)
		}
		for id, bodies := range seen {
			if len(bodies) != 2 || !bytes.Equal(bodies[0], bodies[1]) {
				t.Errorf("%q: %d tries, or with other bytes", id, len(bodies))
			}
		}
		readEqual(t, c, text)
	}
}

func TestClient(t *testing.T) {
	s := csetest.NewServer(t)
	plain, err := azblob.NewClientWithNoCredential(s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := cse.NewClient(plain, &cse.Options{Key: aesKey(t, "key1")})
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewBlobClient("c", "dir/b")
	if _, err := c.UploadBuffer(t.Context(), []byte("text"), nil); err != nil {
		t.Fatal(err)
	}
	snap, err := c.Client().CreateSnapshot(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UploadBuffer(t.Context(), []byte("newer"), nil); err != nil {
		t.Fatal(err)
	}
	old, err := c.WithSnapshot(*snap.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	readEqual(t, old, []byte("text"))
	readEqual(t, c, []byte("newer"))
	if _, err := c.WithVersionID("v"); err != nil {
		t.Error(err)
	}
}
