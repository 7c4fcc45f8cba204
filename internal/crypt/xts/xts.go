// Package xts is AES-256-XTS (IEEE 1619, SP 800-38E) over whole sectors of 4,096 bytes
// with consecutive numbers. Sector n has the tweak n as a 16-byte little-endian integer.
//
// XTS hides what a sector holds and nothing more: it has no integrity, and equal
// plaintexts in the same sector under the same key are equal ciphertexts. Package
// infraext uses it around sealed chunks, under keys that live for one extent, so that no
// sector is ever written twice.
//
// On amd64 a kernel in assembly keeps 8 blocks in flight with AES-NI, or 32 with VAES
// and AVX-512; elsewhere it is one block at a time over crypto/aes. The standard library
// has no XTS; golang.org/x/crypto/xts is the oracle of the tests.
package xts

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

const (
	SectorSize = 4096
	KeySize    = 64 // K1 (data) || K2 (tweaks)

	blockSize = aes.BlockSize
)

// ErrKey refuses a key whose halves are equal (SP 800-38E, FIPS 140 IG C.I).
var ErrKey = errors.New("xts: the two halves of the key are equal")

// Cipher is safe for use in parallel.
type Cipher struct {
	tweak  cipher.Block
	blocks engine
}

// engine runs the blocks of one data unit through AES and their masks. dst and src have
// the same length, a multiple of 16, and are the same memory or apart. It leaves in
// tweak what the block behind them would have.
type engine interface {
	encrypt(tweak *[blockSize]byte, dst, src []byte)
	decrypt(tweak *[blockSize]byte, dst, src []byte)
}

// New returns the cipher for a key.
func New(key *[KeySize]byte) (*Cipher, error) {
	if subtle.ConstantTimeCompare(key[:32], key[32:]) == 1 {
		return nil, ErrKey
	}
	tweak, err := aes.NewCipher(key[32:])
	if err != nil {
		return nil, err
	}
	blocks, err := newEngine((*[32]byte)(key[:32]))
	if err != nil {
		return nil, err
	}
	return &Cipher{tweak: tweak, blocks: blocks}, nil
}

// Encrypt encrypts whole sectors, the first of which has number n, from src to dst. They
// may be the same memory, and must not overlap in another way.
func (c *Cipher) Encrypt(dst, src []byte, n uint64) { c.sectors(dst, src, n, c.blocks.encrypt) }

// Decrypt is the inverse of Encrypt.
func (c *Cipher) Decrypt(dst, src []byte, n uint64) { c.sectors(dst, src, n, c.blocks.decrypt) }

func (c *Cipher) sectors(dst, src []byte, n uint64, do func(*[blockSize]byte, []byte, []byte)) {
	if len(src)%SectorSize != 0 || len(dst) < len(src) {
		panic("xts: not whole sectors")
	}
	var t [blockSize]byte
	for ; len(src) > 0; n++ {
		t = [blockSize]byte{}
		binary.LittleEndian.PutUint64(t[:], n)
		c.tweak.Encrypt(t[:], t[:])
		do(&t, dst[:SectorSize], src[:SectorSize])
		dst, src = dst[SectorSize:], src[SectorSize:]
	}
}
