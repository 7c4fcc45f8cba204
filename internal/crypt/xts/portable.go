package xts

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// portable is the engine over crypto/aes.
type portable struct{ cipher.Block }

func newPortable(key *[32]byte) (engine, error) {
	b, err := aes.NewCipher(key[:])
	return portable{b}, err
}

func (p portable) encrypt(t *[blockSize]byte, dst, src []byte) { p.run(t, dst, src, p.Encrypt) }
func (p portable) decrypt(t *[blockSize]byte, dst, src []byte) { p.run(t, dst, src, p.Decrypt) }

func (p portable) run(t *[blockSize]byte, dst, src []byte, block func(dst, src []byte)) {
	for ; len(src) > 0; dst, src = dst[blockSize:], src[blockSize:] {
		d := dst[:blockSize]
		subtle.XORBytes(d, src[:blockSize], t[:])
		block(d, d)
		subtle.XORBytes(d, d, t[:])
		double(t)
	}
}

// double multiplies by x in GF(2^128) with the polynomial x^128 + x^7 + x^2 + x + 1. It
// has no branch on the tweak.
func double(t *[blockSize]byte) {
	lo, hi := binary.LittleEndian.Uint64(t[:8]), binary.LittleEndian.Uint64(t[8:])
	carry := uint64(int64(hi)>>63) & 0x87
	binary.LittleEndian.PutUint64(t[:8], lo<<1^carry)
	binary.LittleEndian.PutUint64(t[8:], hi<<1|lo>>63)
}
