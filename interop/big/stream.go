package main

import (
	"io"
	"math/rand/v2"
)

// newStream gives size bytes that no two places share and no compressor shortens.
func newStream(size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{'b', 'i', 'g'}), size)
}
