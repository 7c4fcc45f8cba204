package segment

import (
	"crypto/cipher"
	"errors"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt"
)

// faulty is a processor that computes one in many segments wrongly.
type faulty struct {
	cipher.AEAD
	at    int // which Seal from now goes wrong
	count int
}

func (f *faulty) Seal(dst, nonce, plaintext, aad []byte) []byte {
	out := f.AEAD.Seal(dst, nonce, plaintext, aad)
	if f.count == f.at {
		out[len(out)-20] ^= 1
	}
	f.count++
	return out
}

// TestCheckFindsFaults: with every segment checked no wrong one is emitted; by default
// one in 64 is, and all chunks of one segment together have that share too.
func TestCheckFindsFaults(t *testing.T) {
	p := params(0, 9)
	p.Check = 1
	for at := range 5 {
		emitted := 0
		w, err := NewWriter(p, 5*512, func(s crypt.Sealed) error { emitted += s.Len(); return nil })
		if err != nil {
			t.Fatal(err)
		}
		w.s.aead = &faulty{AEAD: w.s.aead, at: at}
		_, err = w.Write(make([]byte, 5*512))
		if cerr := w.Close(); !errors.Is(err, ErrCheck) || !errors.Is(cerr, ErrCheck) || emitted != 0 {
			t.Errorf("fault in segment %d: Write %v, Close %v, %d bytes emitted", at, err, cerr, emitted)
		}
	}
	checked := 0
	const chunks = 6400
	for i := range chunks {
		p := Params{DEK: p.DEK, Chunk: [16]byte{byte(i), byte(i >> 8)}, Lg: 9}
		s, _, err := newSealer(p, 1, make([]byte, HeaderSize))
		if err != nil {
			t.Fatal(err)
		}
		if s.check.due(0) {
			checked++
		}
	}
	if checked < chunks/64/2 || checked > chunks/64*2 {
		t.Errorf("%d of %d chunks of one segment are checked, want about %d", checked, chunks, chunks/64)
	}
	c := newChecker(0, [32]byte{1, 2, 3, 4, 5, 6, 7, 8})
	checked = 0
	for i := range int64(640) {
		if c.due(i) {
			checked++
		}
	}
	if checked != 10 {
		t.Errorf("%d of 640 segments are checked, want 10", checked)
	}
}
