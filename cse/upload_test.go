package cse_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

// A stream ends where it ends, wherever that is.
func TestStreamLengths(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	c := blobClient(t, s, "c/b", cse.Options{Key: key, Version: cse.V21, RegionLength: 100})
	for _, size := range []int64{0, 1, 99, 100, 101, 250, 999, 1000, 1001, 2000, 2500} {
		text := csetest.Pattern(size)
		r, err := c.UploadStream(t.Context(), bytes.NewReader(text), &cse.UploadOptions{BlockSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := s.Get("c/b")
		if want := csetest.SealRegions(contentKey(t, key, b), text, 100, csetest.DotnetNonce); !bytes.Equal(b.Body, want) {
			t.Fatalf("%d bytes: %d stored, want %d", size, len(b.Body), len(want))
		}
		if r.Length != size || r.StoredLength != int64(len(b.Body)) {
			t.Errorf("%d bytes: the response says %d, %d", size, r.Length, r.StoredLength)
		}
	}
}

func TestBlocks(t *testing.T) {
	const mib = 1 << 20
	server, key := csetest.NewServer(t), aesKey(t, "key1")
	for _, tt := range []struct {
		size, region int64
		o            cse.UploadOptions
		part         int64
		workers      int
	}{
		{-1, 4 * mib, cse.UploadOptions{}, 4 * mib, 5},
		{0, 4 * mib, cse.UploadOptions{}, 4 * mib, 5},
		{256*mib - 1, 4 * mib, cse.UploadOptions{}, 4 * mib, 5},
		{256 * mib, 4 * mib, cse.UploadOptions{}, 8 * mib, 4},
		{256 * mib, 1000, cse.UploadOptions{}, 8 * mib / 1000 * 1000, 4},
		{256 * mib, 4 * mib, cse.UploadOptions{Concurrency: 9}, 8 * mib, 9},
		{256 * mib, 4 * mib, cse.UploadOptions{BlockSize: 5 * mib}, 4 * mib, 5},
		{1 << 20, 100, cse.UploadOptions{BlockSize: 1}, 100, 5},
		{50_000_00, 100, cse.UploadOptions{BlockSize: 1}, 100, 5},
		{50_000_01, 100, cse.UploadOptions{BlockSize: 1}, 200, 5},
		{-1, 128 * mib, cse.UploadOptions{}, 128 * mib, 2},
		{-1, 1 << 30, cse.UploadOptions{}, 1 << 30, 1},
		{4 << 40, 4 * mib, cse.UploadOptions{}, 84 * mib, 3},
	} {
		c := blobClient(t, server, "c/b", cse.Options{Key: key, Version: cse.V21, RegionLength: tt.region})
		part, workers, err := cse.Blocks(c, tt.size, &tt.o)
		if err != nil || part != tt.part || workers != tt.workers {
			t.Errorf("%d bytes, regions of %d: %d by %d, %v; want %d by %d", tt.size, tt.region, part, workers, err, tt.part, tt.workers)
		}
	}
}

func TestTooManyBlocks(t *testing.T) {
	c := blobClient(t, csetest.NewServer(t), "c/b", cse.Options{Key: aesKey(t, "key1")})
	for _, size := range []int64{200 << 40, 1 << 60} {
		if _, _, err := cse.Blocks(c, size, nil); !cse.HasCode(err, cse.TooLarge) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// A file is uploaded as long as it was at first; one that becomes shorter fails.
func TestFileThatChanges(t *testing.T) {
	s := csetest.NewServer(t)
	key := aesKey(t, "key1")
	for _, size := range []int64{250, 2500, 2 << 20} { // one request, blocks, and a region read by halves
		for _, became := range []int64{10, size - 1, size + 1, size * 2} {
			f, err := os.Create(filepath.Join(t.TempDir(), "f"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			f.Write(csetest.Pattern(size))
			change := func() {
				f.Truncate(0)
				f.WriteAt(csetest.Pattern(became), 0)
			}
			region := int64(100)
			if size > 1<<20 {
				region = 4 << 20
			}
			c := blobClient(t, s, "c/b", cse.Options{Key: hookedKey{key, change}, Version: cse.V21, RegionLength: region})
			_, err = c.UploadFile(t.Context(), f, &cse.UploadOptions{BlockSize: 1000})
			if became < size {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("a file of %d that became %d: %v", size, became, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := readStream(t, c, nil); err != nil || !bytes.Equal(got, csetest.Pattern(size)) {
				t.Errorf("a file of %d that became %d: %d bytes, %v", size, became, len(got), err)
			}
		}
	}
}

// hookedKey does something before it wraps.
type hookedKey struct {
	*cse.AESKey
	before func()
}

func (k hookedKey) WrapKey(ctx context.Context, algorithm string, key []byte) ([]byte, error) {
	k.before()
	return k.AESKey.WrapKey(ctx, algorithm, key)
}

// Files of the system that claim to be empty are read to their end.
func TestFileThatClaimsToBeEmpty(t *testing.T) {
	const name = "/proc/version"
	want, err := os.ReadFile(name)
	if err != nil {
		t.Log("there is none here")
		return
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := blobClient(t, csetest.NewServer(t), "c/b", cse.Options{Key: aesKey(t, "key1")})
	if _, err := c.UploadFile(t.Context(), f, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := readStream(t, c, nil); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// hasty answers before it has read a body, as a service may, and reads it only when all
// has been answered.
type hasty struct {
	bodies []io.ReadCloser
}

func (h *hasty) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		h.bodies = append(h.bodies, r.Body)
	}
	return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// The buffers of blocks are used again, for plaintext. Whoever still reads the body of an
// earlier request must not see that.
func TestLateReadersSeeNoPlaintext(t *testing.T) {
	late := &hasty{}
	o := fast()
	o.Transport = late
	b, err := blockblob.NewClientWithNoCredential("http://localhost/c/b", o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cse.NewBlobClient(b, &cse.Options{Key: aesKey(t, "key1")})
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("plaintext."), 2<<20)
	for range 3 {
		if _, err := c.UploadStream(t.Context(), io.MultiReader(bytes.NewReader(text)), &cse.UploadOptions{Concurrency: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if len(late.bodies) < 3*5 {
		t.Fatalf("%d requests with bodies", len(late.bodies))
	}
	for i, body := range late.bodies {
		got, err := io.ReadAll(body)
		if list := bytes.HasPrefix(got, []byte("<?xml")); !list && (err == nil || len(got) > 0) {
			t.Errorf("body %d still gave %d bytes", i, len(got))
		}
	}
}
