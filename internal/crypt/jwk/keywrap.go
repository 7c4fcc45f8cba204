package jwk

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// firstBlock is the initial value of RFC 3394, section 2.2.3.1.
var firstBlock = [8]byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}

const (
	rounds     = 6
	minWrapped = 16 // bytes of key data: two blocks of 64 bits
)

// wrapRFC3394 is section 2.2.1 of the RFC, with A and R(1)..R(n) side by side in out.
func wrapRFC3394(b cipher.Block, data []byte) ([]byte, error) {
	if len(data) < minWrapped || len(data)%8 != 0 {
		return nil, ErrInput
	}
	out := append(firstBlock[:len(firstBlock):len(firstBlock)], data...)
	n := len(data) / 8
	var x [16]byte
	defer clear(x[:])
	copy(x[:8], out)
	for t := range rounds * n {
		r := out[8+8*(t%n):][:8]
		copy(x[8:], r)
		b.Encrypt(x[:], x[:])
		copy(r, x[8:])
		xorCounter(&x, uint64(t)+1)
	}
	copy(out, x[:8])
	return out, nil
}

// unwrapRFC3394 is section 2.2.2.
func unwrapRFC3394(b cipher.Block, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 8+minWrapped || len(wrapped)%8 != 0 {
		return nil, ErrInput
	}
	out := append([]byte(nil), wrapped[8:]...)
	n := len(out) / 8
	var x [16]byte
	defer clear(x[:])
	copy(x[:8], wrapped)
	for t := rounds*n - 1; t >= 0; t-- {
		r := out[8*(t%n):][:8]
		copy(x[8:], r)
		xorCounter(&x, uint64(t)+1)
		b.Decrypt(x[:], x[:])
		copy(r, x[8:])
	}
	if subtle.ConstantTimeCompare(x[:8], firstBlock[:]) != 1 {
		clear(out)
		return nil, ErrOpen
	}
	return out, nil
}

// xorCounter puts the step into A.
func xorCounter(x *[16]byte, t uint64) {
	binary.BigEndian.PutUint64(x[:8], binary.BigEndian.Uint64(x[:8])^t)
}
