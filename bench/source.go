package main

import (
	"io"
	"math/rand/v2"
)

// newBody is 4 MiB that no compressor shortens, the same in every run.
func newBody() []byte {
	b := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// source yields n bytes without generating them anew: the body over and over,
// each round shifted by one so that no two 4 MiB stretches are alike.
type source struct {
	body   []byte
	off, n int64
}

func newSource(body []byte, n int64) *source { return &source{body: body, n: n} }

func (s *source) Read(p []byte) (int, error) {
	if s.off >= s.n {
		return 0, io.EOF
	}
	l := int64(len(s.body))
	at := (s.off + s.off/l) % l
	room := min(int64(len(p)), s.n-s.off, l-at, l-s.off%l)
	copy(p[:room], s.body[at:at+room])
	s.off += room
	return int(room), nil
}
