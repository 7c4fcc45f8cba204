package cse

import (
	"sync"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// buffers are those of blocks, kept between operations: a fresh 4 MiB costs as much as
// decrypting it. They hold what was read or sent until they are written over.
var buffers sync.Pool

// maxKept is the largest buffer that is kept.
const maxKept = 16 << 20

// inFront is what a buffer leaves free in front of it, so that the plaintext of its first
// region, behind the nonce, begins where a page does. The kernel copies files to and from
// unaligned memory at a third of the speed.
const inFront = 4096 - format.NonceSize

// getBuffer returns n bytes of any content.
func getBuffer(n int64) []byte {
	if b, ok := buffers.Get().(*[]byte); ok && int64(cap(*b)) >= n {
		return (*b)[:n]
	}
	return make([]byte, inFront+n)[inFront:]
}

// putBuffer takes a buffer back, from its beginning. The caller has no part of it left.
func putBuffer(b []byte) {
	if cap(b) >= defaultBlock && cap(b) <= maxKept {
		b = b[:cap(b)]
		buffers.Put(&b)
	}
}
