package cse_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0 takes one and prints it")

func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	return rand.New(rand.NewPCG(s, 1))
}

func long() bool { return os.Getenv("COFFER_LONG") != "" }

func containerClient(t testing.TB, url string) *container.Client {
	t.Helper()
	o := &container.ClientOptions{}
	o.Retry = fast().Retry
	c, err := container.NewClientWithNoCredential(url, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mixed fills container c with blobs of all forms, and returns their contents.
func mixed(t testing.TB, s *csetest.Server, n int) map[string][]byte {
	t.Helper()
	key := aesKey(t, "key1")
	texts := make(map[string][]byte, n)
	for i := range n {
		name := fmt.Sprintf("dir%d/b%05d", i%3, i)
		text := csetest.Pattern(int64(i % 97 * 11))
		if i%211 == 5 {
			text = csetest.Pattern(9<<20 + int64(i))
		}
		texts[name] = text
		b := csetest.Blob{Body: text, Metadata: map[string]string{}}
		switch i % 5 {
		case 0, 1, 2:
			b = v1Blob(t, key, text)
		case 3:
			b = v2Blob(t, key, text)
		}
		b.Metadata["mine"] = name
		b.Headers = http.Header{"Content-Type": {"text/x-" + fmt.Sprint(i)}}
		if i%10 == 1 {
			b.Tags = "a=1&b=2"
		}
		s.Put("c/"+name, b)
	}
	return texts
}

// v2Blob is a blob as Python writes it.
func v2Blob(t testing.TB, key cse.Key, text []byte) csetest.Blob {
	t.Helper()
	cek := bytes.Repeat([]byte{9}, 32)
	wrapped, err := key.WrapKey(context.Background(), cse.A256KW, append([]byte("2.0\x00\x00\x00\x00\x00"), cek...))
	if err != nil {
		t.Fatal(err)
	}
	return csetest.Blob{
		Body:     csetest.SealRegions(cek, text, 4<<20, csetest.PythonNonce),
		Metadata: map[string]string{"encryptiondata": csetest.DataV2("2.0", 4<<20, key.KeyID(), cse.A256KW, wrapped)},
	}
}

// readable reads blobs in whatever form they are.
func readable(t testing.TB, s *csetest.Server, name string, want []byte) {
	t.Helper()
	c := blobClient(t, s, "c/"+name, cse.Options{Key: aesKey(t, "key1"), AllowV1Read: true, AllowPlaintextRead: true})
	buf := make([]byte, len(want)+1)
	n, err := c.DownloadBuffer(t.Context(), buf, nil)
	if err != nil || !bytes.Equal(buf[:n], want) {
		t.Fatalf("%s: %d bytes, %v; want %d", name, n, err, len(want))
	}
}

func TestMigrate(t *testing.T) {
	s := csetest.NewServer(t)
	texts := mixed(t, s, 220)
	c := containerClient(t, s.URL+"/c")
	opt := &cse.Options{Key: aesKey(t, "key1")}
	snap, err := c.NewBlockBlobClient("dir0/b00000").CreateSnapshot(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}

	dry, err := cse.Migrate(t.Context(), c, opt, &cse.MigrateOptions{Target: cse.ToV2, Plaintext: true, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	for name := range texts {
		if b, _ := s.Get("c/" + name); b.Writes != 1 {
			t.Fatalf("a dry run wrote %s", name)
		}
	}
	var last cse.MigrateProgress
	got, err := cse.Migrate(t.Context(), c, opt, &cse.MigrateOptions{
		Target: cse.ToV2, Plaintext: true,
		Progress: func(p cse.MigrateProgress) { last = p },
		Each:     func(r cse.MigrateResult) error { return r.Err },
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dry, got); diff != "" {
		t.Errorf("the dry run said something else (-dry +got):\n%s", diff)
	}
	want := cse.MigrateReport{
		Migrated: 176, Bytes: got.Bytes, Done: 44, Held: map[string]int{"1.0": 1},
		HeldNames: []cse.HeldBlob{{Name: "dir0/b00000", Snapshot: *snap.Snapshot, Form: "1.0"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if last.Blobs != 176 || last.TotalBlobs != 176 || last.Bytes != got.Bytes || last.TotalBytes != got.Bytes {
		t.Errorf("progress ended with %+v", last)
	}
	allMigrated(t, s, texts)

	// And on to the server.
	got, err = cse.Migrate(t.Context(), c, opt, &cse.MigrateOptions{Target: cse.ToServer})
	if err != nil || got.Migrated != 220 {
		t.Fatalf("to the server: %+v, %v", got, err)
	}
	for name, text := range texts {
		b, _ := s.Get("c/" + name)
		if !bytes.Equal(b.Body, text) || b.Metadata["encryptiondata"] != "" || b.Metadata["mine"] != name {
			t.Errorf("%s is not what it was", name)
		}
	}
}

// allMigrated checks that every blob is of 2.0, was written once, and kept all it had.
func allMigrated(t *testing.T, s *csetest.Server, texts map[string][]byte) {
	t.Helper()
	names := s.Names("c")
	if len(names) != len(texts) {
		t.Errorf("%d blobs, want %d: something was left behind", len(names), len(texts))
	}
	for name, text := range texts {
		var i int
		fmt.Sscanf(name[strings.Index(name, "/b")+2:], "%d", &i)
		b, _ := s.Get("c/" + name)
		writes := 2
		if i%5 == 3 {
			writes = 1
		}
		if b.Writes != writes {
			t.Errorf("%s was written %d times, want %d", name, b.Writes, writes)
		}
		if b.Metadata["mine"] != name || b.Headers.Get("Content-Type") != "text/x-"+fmt.Sprint(i) {
			t.Errorf("%s lost metadata or headers", name)
		}
		if i%10 == 1 && b.Tags != "a=1&b=2" && b.Tags != "b=2&a=1" {
			t.Errorf("%s lost its tags: %q", name, b.Tags)
		}
		c := blobClient(t, s, "c/"+name, cse.Options{Key: aesKey(t, "key1")})
		buf := make([]byte, len(text)+1)
		n, err := c.DownloadBuffer(t.Context(), buf, nil)
		if err != nil || !bytes.Equal(buf[:n], text) {
			t.Fatalf("%s: %d bytes, %v; want %d", name, n, err, len(text))
		}
	}
}

// A migration is killed at random points, again and again. Every blob is readable after
// each, and in the end each was written once.
func TestMigrateKilled(t *testing.T) {
	blobs, kills := 300, 8
	if long() {
		blobs, kills = 10000, 50
	}
	if testing.Short() {
		blobs, kills = 100, 3
	}
	rng := newRand(t)
	s := csetest.NewServer(t)
	texts := mixed(t, s, blobs)
	requests := blobs * 4 / 5 * 6
	written := map[string]int{}
	for kill := range kills {
		after := int64(requests/(kills+1)/2 + rng.IntN(requests/(kills+1)))
		child(t, s, after)
		checked := 0
		for name, text := range texts {
			if b, _ := s.Get("c/" + name); b.Writes != written[name] {
				readable(t, s, name, text)
				written[name] = b.Writes
				checked++
			}
		}
		t.Logf("kill %d after %d requests: %d blobs changed since, all readable", kill+1, after, checked)
	}
	child(t, s, 0)
	allMigrated(t, s, texts)
}

// child runs a migration in a process of its own, and kills it after so many requests; 0
// lets it end.
func child(t *testing.T, s *csetest.Server, after int64) {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context()) // SIGKILL
	defer kill()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestMigrateChild$", "-test.v")
	cmd.Env = append(os.Environ(), "COFFER_CSE_CHILD="+s.URL)
	var seen atomic.Int64
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if n := seen.Add(1); after > 0 && n >= after {
			kill()
		}
		return false
	})
	out, err := cmd.CombinedOutput()
	s.SetHook(nil)
	if after == 0 && err != nil || after > 0 && !killed(err) {
		t.Fatalf("the migration ended with %v after %d requests:\n%s", err, seen.Load(), out)
	}
}

func killed(err error) bool {
	e, ok := errors.AsType[*exec.ExitError](err)
	return ok && !e.Exited()
}

// TestMigrateChild is no test: it is the process that TestMigrateKilled kills.
func TestMigrateChild(t *testing.T) {
	url := os.Getenv("COFFER_CSE_CHILD")
	if url == "" {
		return
	}
	_, err := cse.Migrate(t.Context(), containerClient(t, url+"/c"), &cse.Options{Key: aesKey(t, "key1")}, &cse.MigrateOptions{
		Target: cse.ToV2, Plaintext: true, Each: func(r cse.MigrateResult) error { return r.Err },
	})
	if err != nil {
		t.Fatal(err)
	}
}
