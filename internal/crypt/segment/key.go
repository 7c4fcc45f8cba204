package segment

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/internal/aead"
)

// sealer holds the key of one chunk and the AAD, of which only the numbers change.
type sealer struct {
	aead  cipher.AEAD
	aad   [aadSize]byte
	lg    uint8
	n     int64 // plaintext length
	count int64 // segments
	check checker
}

// aadLabel begins the AAD of a segment; its fields are index and final.
const aadLabel = "coffer/segment/v1"

const (
	indexAt = 2 + len(aadLabel) + 4
	finalAt = indexAt + 8 + 4
	aadSize = finalAt + 8
)

// newSealer derives the key of the chunk. header is the first half at least. The
// commitment that belongs to it is returned.
func newSealer(p Params, n int64, header []byte) (*sealer, [32]byte, error) {
	if n < 0 || n > MaxPlain || p.Lg < MinLg || p.Lg > MaxLg {
		return nil, [32]byte{}, ErrParams
	}
	info := enc.Encode("coffer/chunk/v1", header[:commitmentAt], p.Owner[:], p.DEKID[:])
	s := &sealer{
		aad:   [aadSize]byte(enc.Encode(aadLabel, enc.Uint(0), enc.Uint(0))),
		lg:    p.Lg,
		n:     n,
		count: segments(n, p.Lg),
	}
	var commitment [32]byte
	err := p.DEK.Use(func(dek []byte) error {
		k := enc.Derive(dek, p.Chunk[:], info, 2*aead.KeySize)
		defer clear(k)
		s.aead = aead.New(k[:aead.KeySize])
		commitment = [32]byte(k[aead.KeySize:])
		return nil
	})
	s.check = newChecker(p.Check, commitment)
	return s, commitment, err
}

// openSealer is newSealer for a chunk that exists: it checks the header against p.
func openSealer(p Params, n int64, header []byte) (*sealer, error) {
	h, err := ParseHeader(header)
	if err != nil {
		return nil, err
	}
	if h.Chunk != p.Chunk || h.Lg != p.Lg {
		return nil, ErrOpen
	}
	s, want, err := newSealer(p, n, header)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(h.Commitment[:], want[:]) != 1 {
		return nil, ErrOpen
	}
	return s, nil
}

// plainLen is the number of plaintext bytes in segment i.
func (s *sealer) plainLen(i int64) int {
	return int(min(s.n-i<<s.lg, 1<<s.lg))
}

// bind sets the AAD to segment i.
func (s *sealer) bind(i int64) {
	binary.BigEndian.PutUint64(s.aad[indexAt:], uint64(i))
	s.aad[finalAt+7] = 0
	if i == s.count-1 {
		s.aad[finalAt+7] = 1
	}
}

// seal appends segment i, and opens it again when its turn has come.
func (s *sealer) seal(dst []byte, i int64, plaintext []byte) ([]byte, error) {
	s.bind(i)
	out := s.aead.Seal(dst, nil, plaintext, s.aad[:])
	if !s.check.due(i) {
		return out, nil
	}
	return out, s.verify(i, plaintext, out[len(dst):])
}

// open appends the plaintext of segment i.
func (s *sealer) open(dst []byte, i int64, segment []byte) ([]byte, error) {
	s.bind(i)
	out, err := s.aead.Open(dst, nil, segment, s.aad[:])
	if err != nil {
		return nil, ErrOpen
	}
	return out, nil
}
