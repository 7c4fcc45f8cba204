package segment_test

import (
	"bytes"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
	"github.com/coffer-storage/coffer/internal/secret"
)

// addChunks adds the small vectors as seeds.
func addChunks(f *testing.F) {
	f.Helper()
	for _, c := range vectortest.Load(f, "segment") {
		if b := c.Bytes(f, "chunk"); len(b) < 10000 {
			f.Add(b)
		}
	}
}

// FuzzParseHeader: what parses has one spelling.
func FuzzParseHeader(f *testing.F) {
	addChunks(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := segment.ParseHeader(b)
		if err != nil {
			if h != (segment.Header{}) {
				t.Fatalf("failure with a header: %+v", h)
			}
			return
		}
		if again := h.Append(nil); !bytes.Equal(again, b[:segment.HeaderSize]) {
			t.Fatalf("header %x is written %x", b[:segment.HeaderSize], again)
		}
		if n, err := segment.PlainSize(int64(len(b)), h.Lg); err == nil && segment.SealedSize(n, h.Lg) != int64(len(b)) {
			t.Fatalf("PlainSize(%d) = %d", len(b), n)
		}
	})
}

// FuzzReader reads whatever comes as one chunk of one vector: only that chunk's bytes
// ever come out.
func FuzzReader(f *testing.F) {
	addChunks(f)
	var own vectortest.Case
	for _, c := range vectortest.Load(f, "segment") {
		if c.Name == "ok-1024-bytes-at-lg-9" {
			own = c
		}
	}
	plain, n := own.Bytes(f, "plaintext"), int64(own.Int(f, "n"))
	chunk := own.Bytes(f, "chunk")
	p := segment.Params{
		DEK: secret.New(own.Bytes(f, "dek")), DEKID: own.ID(f, "dek-id"), Owner: own.ID(f, "owner"),
		Chunk: own.ID(f, "chunk-id"), Lg: uint8(own.Int(f, "lg")),
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := segment.OpenBytes(p, b); err == nil && !bytes.Equal(b, chunk) || err != nil && got != nil {
			t.Fatalf("OpenBytes(%x) = %x, %v", b, got, err)
		}
		r, err := segment.NewReader(p, n, bytes.NewReader(b))
		if err != nil {
			return
		}
		var out bytes.Buffer
		err = r.WriteRange(&out, 0, n)
		if !bytes.HasPrefix(plain, out.Bytes()) || err == nil && !bytes.HasPrefix(b, chunk) {
			t.Fatalf("Reader of %x gives %x, %v", b, out.Bytes(), err)
		}
	})
}
