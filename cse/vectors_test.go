package cse_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

const vectorDir = "../spec/testkit/cse"

// fast are client options for a service that fails on purpose.
func fast() *blockblob.ClientOptions {
	var o blockblob.ClientOptions
	o.Retry = policy.RetryOptions{MaxRetries: 2, RetryDelay: 1, MaxRetryDelay: 1}
	return &o
}

func blobClient(t testing.TB, s *csetest.Server, path string, opt cse.Options) *cse.BlobClient {
	t.Helper()
	b, err := blockblob.NewClientWithNoCredential(s.URL+"/"+path, fast())
	if err != nil {
		t.Fatal(err)
	}
	c, err := cse.NewBlobClient(b, &opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// vectorKey is the key that a vector was wrapped by.
func vectorKey(t testing.TB, f *csetest.File, v *csetest.Vector) cse.Key {
	t.Helper()
	if strings.HasPrefix(v.Name, "v2-kek-") {
		key, err := cse.NewRSAKey("rsakey1", f.RSAKey(t), &cse.RSAKeyOptions{UnsafeAllowRSA15: true})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key, err := cse.NewAESKey(v.KEKID, v.KEK)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// stored is the body of a vector: large ones are given by their hash, and made again by
// the client's own sealing in the writer's style of nonces.
func stored(t testing.TB, v *csetest.Vector) []byte {
	t.Helper()
	if v.Pattern == "" {
		return v.Ciphertext
	}
	body := csetest.SealRegions(v.CEK, v.Plaintext, 4<<20, csetest.PythonNonce)
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != v.CiphertextSHA {
		t.Fatalf("%s: sealed again, it has another hash", v.Name)
	}
	return body
}

// codes gives the kind that each negative vector states.
var codes = map[string]cse.Code{
	"neg-regions-swapped":         cse.AuthenticationFailed,
	"neg-first-region-dropped":    cse.AuthenticationFailed,
	"neg-last-region-dropped":     "", // the format alone cannot tell
	"neg-cut-inside-region":       cse.AuthenticationFailed,
	"neg-flipped-ciphertext-bit":  cse.AuthenticationFailed,
	"neg-protocol-changed-to-2.1": cse.AuthenticationFailed,
	"neg-unknown-protocol-3.0":    cse.UnknownProtocol,
	"neg-region-length-changed":   cse.AuthenticationFailed,
	"neg-algorithm-mismatch":      cse.BadMetadata,
	"neg-missing-region-info":     cse.BadMetadata,
	"neg-downgraded-to-1.0":       cse.AuthenticationFailed,
	"neg-wrapped-key-corrupt":     cse.AuthenticationFailed,
}

func TestBlobVectors(t *testing.T) {
	s := csetest.NewServer(t)
	blobs, ranges, negatives := 0, 0, 0
	for _, f := range csetest.Vectors(t, vectorDir) {
		for i := range f.Vectors {
			v := &f.Vectors[i]
			if v.EncryptionData == "" {
				continue
			}
			t.Run(f.Name+"/"+v.Name, func(t *testing.T) {
				path := "c/" + v.Name
				s.Put(path, csetest.Blob{Body: stored(t, v), Type: v.BlobType, Metadata: map[string]string{"EncryptionData": v.EncryptionData}})
				c := blobClient(t, s, path, cse.Options{Key: vectorKey(t, &f, v), AllowV1Read: true})
				blobs++
				if v.Expect != "" {
					negatives++
					want, known := codes[v.Name]
					if !known {
						t.Fatalf("no code is stated for %q", v.Expect)
					}
					readFails(t, c, v, want)
					return
				}
				readEqual(t, c, v.Plaintext)
				for _, r := range v.Ranges {
					ranges++
					readRange(t, c, v, r)
				}
			})
		}
	}
	t.Logf("%d blobs, of which %d negative, and %d ranges", blobs, negatives, ranges)
	if blobs != 54 || negatives != 12 || ranges != 34 {
		t.Errorf("%d blobs, %d negatives, %d ranges; want 54, 12, 34: a vector is missing", blobs, negatives, ranges)
	}
}

// readEqual reads the blob in every way there is.
func readEqual(t *testing.T, c *cse.BlobClient, want []byte) {
	t.Helper()
	ctx := t.Context()
	buf := make([]byte, len(want)+1)
	n, err := c.DownloadBuffer(ctx, buf, nil)
	if err != nil || n != int64(len(want)) || !bytes.Equal(buf[:n], want) {
		t.Fatalf("DownloadBuffer = %d, %v; want %d bytes", n, err, len(want))
	}
	got, err := readStream(t, c, nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("DownloadStream: %d bytes, %v; want %d", len(got), err, len(want))
	}
	r, err := c.OpenReader(ctx, nil)
	if err != nil || r.Size() != int64(len(want)) {
		t.Fatalf("OpenReader: size %d, %v; want %d", r.Size(), err, len(want))
	}
}

func readRange(t *testing.T, c *cse.BlobClient, v *csetest.Vector, r csetest.Range) {
	t.Helper()
	rng := cse.Range{Offset: r.Offset}
	want := v.Plaintext[r.Offset:]
	if r.Length != nil {
		rng.Count = *r.Length
		want = want[:min(*r.Length, int64(len(want)))]
	}
	if r.Expected != nil && !bytes.Equal(r.Expected, want) {
		t.Fatalf("the vector's range %v is not its plaintext", rng)
	}
	buf := make([]byte, len(want))
	if n, err := c.DownloadBuffer(t.Context(), buf, &cse.DownloadOptions{Range: rng}); err != nil || n != int64(len(want)) || !bytes.Equal(buf, want) {
		t.Errorf("DownloadBuffer(%v) = %d, %v; want %d bytes", rng, n, err, len(want))
	}
	if got, err := readStream(t, c, &cse.DownloadStreamOptions{Range: rng}); err != nil || !bytes.Equal(got, want) {
		t.Errorf("DownloadStream(%v): %d bytes, %v; want %d", rng, len(got), err, len(want))
	}
}

func readFails(t *testing.T, c *cse.BlobClient, v *csetest.Vector, want cse.Code) {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := c.DownloadBuffer(t.Context(), buf, nil)
	if want == "" {
		if err != nil || !bytes.Equal(buf[:n], v.Plaintext) {
			t.Errorf("DownloadBuffer: %v; the format alone cannot tell", err)
		}
		return
	}
	if !cse.HasCode(err, want) {
		t.Errorf("DownloadBuffer: %v; want code %s (%s)", err, want, v.Expect)
	}
	if want == cse.AuthenticationFailed && err.Error() != "cse: authentication failed" {
		t.Errorf("the error says more: %q", err)
	}
	if n != 0 || !bytes.Equal(buf, make([]byte, len(buf))) {
		t.Errorf("DownloadBuffer left plaintext of a blob that does not open")
	}
	if _, err := readStream(t, c, nil); !cse.HasCode(err, want) {
		t.Errorf("DownloadStream: %v; want code %s", err, want)
	}
}

func TestQueueVectors(t *testing.T) {
	n := 0
	for _, f := range csetest.Vectors(t, vectorDir) {
		for i := range f.Vectors {
			v := &f.Vectors[i]
			if v.MessageText == "" {
				continue
			}
			n++
			key := vectorKey(t, &f, v)
			got, err := cse.DecryptMessage(t.Context(), v.MessageText, &cse.Options{Key: key, AllowV1Read: true})
			if err != nil || got != *v.DecryptedUTF8 {
				t.Errorf("%s: DecryptMessage = %q, %v; want %q", v.Name, got, err, *v.DecryptedUTF8)
			}
		}
	}
	if n != 22 {
		t.Errorf("%d messages, want 22: a vector is missing", n)
	}
}

func TestTableVectors(t *testing.T) {
	n := 0
	for _, f := range csetest.Vectors(t, vectorDir) {
		for i := range f.Vectors {
			v := &f.Vectors[i]
			if v.EntityJSON == "" {
				continue
			}
			n++
			key := vectorKey(t, &f, v)
			got, err := cse.DecryptEntity(t.Context(), []byte(v.EntityJSON), &cse.Options{Key: key, AllowV1Read: true})
			if err != nil {
				t.Errorf("%s: %v", v.Name, err)
				continue
			}
			for name, want := range v.EntityPlaintext {
				if got := stringProperty(t, got, name); got != want {
					t.Errorf("%s: %s = %q, want %q", v.Name, name, got, want)
				}
			}
			if diff := cmp.Diff(names(t, []byte(v.EntityJSON), v.EntityPlaintext), names(t, got, nil)); diff != "" {
				t.Errorf("%s: properties (-want +got):\n%s", v.Name, diff)
			}
		}
	}
	if n != 4 {
		t.Errorf("%d entities, want 4: a vector is missing", n)
	}
}
