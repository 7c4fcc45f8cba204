// Package segment encrypts a chunk in fixed segments that can be read from the middle.
//
// A chunk (CFC1) is
//
//	 0  4 "CFC1"   4 1 version 1   5 1 suite 1   6 1 lg   7 1 flags 0
//	 8  8 zero    16 16 chunk id  32 32 commitment
//	64  segment 0 || segment 1 || ... || segment m-1
//
// Every segment is nonce (12), ciphertext, tag (16). All but the last hold 2^lg bytes of
// plaintext; an empty chunk is one empty segment. The index and whether it is the last
// are in the AAD of each: moving, dropping, doubling or cutting segments fails to open.
//
// Every chunk has a key of its own, derived from the data key, the chunk id, the first
// half of the header, the owner and the data key's id; the commitment makes it open
// under that one key only. How long a chunk is must come from elsewhere, authenticated.
// The layout is fixed by spec/segment.md; vectors are in spec/testkit/segment.
//
// The caller sees to it that a chunk id is used once under a data key.
package segment

import (
	"encoding/binary"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt/internal/aead"
	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	// HeaderSize is where segment 0 begins.
	HeaderSize = 64
	// SegOverhead is what each segment is longer than its plaintext.
	SegOverhead = aead.Overhead
	// MaxPlain is the longest plaintext of a chunk.
	MaxPlain = 64 << 20
	// MinLg and MaxLg bound log2 of the segment size.
	MinLg, MaxLg = 9, 20

	version = 1
	suite   = 1

	chunkAt      = 16
	commitmentAt = 32
)

var (
	// ErrOpen says that bytes do not authenticate: damaged, moved, or another chunk's.
	ErrOpen = errors.New("segment: does not open")
	// ErrFormat says that the bytes do not have the form of a chunk of that length.
	ErrFormat = errors.New("segment: wrong form")
	// ErrParams refuses a length or segment size out of bounds, which only a bug brings.
	ErrParams = errors.New("segment: parameters out of bounds")
	// ErrCheck says that a segment just sealed did not open to what was sealed.
	ErrCheck = errors.New("segment: sealed bytes did not survive their check")
	// ErrLength says that a Writer got more or fewer bytes than announced.
	ErrLength = errors.New("segment: plaintext is not of the announced length")
)

// Params says which chunk it is and which key it is under.
type Params struct {
	DEK                 secret.Key
	DEKID, Owner, Chunk [16]byte
	Lg                  uint8 // log2 of the segment size; checked against the header when reading

	// Check is for sealing: one in so many segments is opened again and compared before
	// it is emitted, against processors that compute wrongly. 0 is 64, 1 every segment.
	Check int
}

// Header is the parsed first 64 bytes of a chunk. Nothing in it is authenticated
// before a segment opens.
type Header struct {
	Version, Suite, Lg uint8
	Chunk              [16]byte
	Commitment         [32]byte
}

// ParseHeader checks the form of the header that b begins with.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize || string(b[:4]) != "CFC1" || b[4] != version || b[5] != suite ||
		b[6] < MinLg || b[6] > MaxLg || b[7] != 0 || binary.BigEndian.Uint64(b[8:]) != 0 {
		return Header{}, ErrFormat
	}
	return Header{
		Version:    b[4],
		Suite:      b[5],
		Lg:         b[6],
		Chunk:      [16]byte(b[chunkAt:commitmentAt]),
		Commitment: [32]byte(b[commitmentAt:HeaderSize]),
	}, nil
}

// Append appends the 64 bytes of h to b.
func (h Header) Append(b []byte) []byte {
	b = append(b, 'C', 'F', 'C', '1', h.Version, h.Suite, h.Lg, 0)
	b = append(b, make([]byte, 8)...)
	b = append(b, h.Chunk[:]...)
	return append(b, h.Commitment[:]...)
}

// SealedSize is the size of a chunk of n bytes of plaintext.
func SealedSize(n int64, lg uint8) int64 {
	return HeaderSize + n + SegOverhead*segments(n, lg)
}

// PlainSize is the length of the plaintext in a chunk of sealed bytes, or ErrFormat when
// no chunk has that size.
func PlainSize(sealed int64, lg uint8) (int64, error) {
	if lg < MinLg || lg > MaxLg || sealed < HeaderSize+SegOverhead {
		return 0, ErrFormat
	}
	body, full := sealed-HeaderSize, int64(1)<<lg+SegOverhead
	n := body/full<<lg + max(0, body%full-SegOverhead)
	if n > MaxPlain || SealedSize(n, lg) != sealed {
		return 0, ErrFormat
	}
	return n, nil
}

// segments is the number of segments that hold n bytes.
func segments(n int64, lg uint8) int64 {
	return max(1, (n+1<<lg-1)>>lg)
}
