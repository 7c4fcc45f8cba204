package segment

import (
	"bytes"
	"encoding/binary"
)

// defaultCheck is the share of segments that are opened again after sealing.
const defaultCheck = 64

// checker says which segments of a chunk are opened again: one in every, from a first
// one that differs by chunk, so that chunks of one segment have their share.
type checker struct{ every, first int64 }

func newChecker(every int, commitment [32]byte) checker {
	if every <= 0 {
		every = defaultCheck
	}
	draw := binary.BigEndian.Uint64(commitment[:]) // as good as random
	return checker{int64(every), int64(draw % uint64(every))}
}

// due reports whether it is the turn of segment i.
func (c checker) due(i int64) bool { return i%c.every == c.first }

// verify opens segment i and compares.
func (s *sealer) verify(i int64, plaintext, segment []byte) error {
	buf := plainPool.get(len(plaintext))
	defer plainPool.put(buf)
	got, err := s.open(*buf, i, segment)
	if err != nil || !bytes.Equal(got, plaintext) {
		return ErrCheck
	}
	return nil
}
