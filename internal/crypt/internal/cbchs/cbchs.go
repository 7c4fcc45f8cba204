// Package cbchs is A256CBC-HS512 (RFC 7518, 5.2.5): AES-256 in CBC mode with PKCS #7
// padding, and HMAC-SHA-512 cut to 32 bytes over AAD, IV, ciphertext and the AAD's
// length in bits. What Seal appends is
//
//	iv (16) || ciphertext (a multiple of 16, at least 16) || tag (32)
//
// Unlike GCM its cost in time is that of the hash. It is the second layer of values.
package cbchs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"

	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
)

const (
	KeySize   = 64 // MAC key (32) || encryption key (32)
	BlockSize = aes.BlockSize
	TagSize   = 32
	Overhead  = BlockSize + TagSize // without the padding
)

// Size is what Seal appends for n bytes.
func Size(n int) int { return Overhead + n/BlockSize*BlockSize + BlockSize }

// Cipher is safe for use in parallel.
type Cipher struct {
	mac   [32]byte
	block cipher.Block
}

// New returns the cipher for a key.
func New(key [KeySize]byte) *Cipher {
	block, err := aes.NewCipher(key[32:])
	if err != nil {
		panic("cbchs: " + err.Error()) // the length is right
	}
	return &Cipher{mac: [32]byte(key[:32]), block: block}
}

// Seal appends the sealed plaintext to dst. iv must be random and new.
func (c *Cipher) Seal(dst []byte, iv [BlockSize]byte, aad, plaintext []byte) []byte {
	if f := record.Nonces(); f != nil {
		f(sha256.Sum256(c.mac[:]), iv[:])
	}
	start := len(dst)
	dst = append(dst, iv[:]...)
	dst = append(dst, plaintext...)
	pad := BlockSize - len(plaintext)%BlockSize
	for range pad {
		dst = append(dst, byte(pad))
	}
	body := dst[start+BlockSize:]
	cipher.NewCBCEncrypter(c.block, iv[:]).CryptBlocks(body, body)
	tag := c.tag(aad, dst[start:])
	return append(dst, tag[:]...)
}

// Open returns the plaintext in new memory. The tag is checked before anything is
// decrypted, so padding tells an attacker nothing.
func (c *Cipher) Open(aad, sealed []byte) ([]byte, bool) {
	if len(sealed) < Overhead+BlockSize || len(sealed)%BlockSize != 0 {
		return nil, false
	}
	body, tag := sealed[:len(sealed)-TagSize], sealed[len(sealed)-TagSize:]
	want := c.tag(aad, body)
	if !hmac.Equal(tag, want[:]) {
		return nil, false
	}
	out := make([]byte, len(body)-BlockSize)
	cipher.NewCBCDecrypter(c.block, body[:BlockSize]).CryptBlocks(out, body[BlockSize:])
	return unpad(out)
}

// unpad takes PKCS #7 padding off. b is authentic, so what fails here was made by a
// faulty writer; there is still one spelling only.
func unpad(b []byte) ([]byte, bool) {
	n := int(b[len(b)-1])
	if n < 1 || n > BlockSize {
		return nil, false
	}
	for _, x := range b[len(b)-n:] {
		if int(x) != n {
			return nil, false
		}
	}
	return b[:len(b)-n], true
}

// tag is the MAC over aad, iv and ciphertext.
func (c *Cipher) tag(aad, body []byte) [TagSize]byte {
	m := hmac.New(sha512.New, c.mac[:])
	m.Write(aad)
	m.Write(body)
	var bits [8]byte
	binary.BigEndian.PutUint64(bits[:], uint64(len(aad))*8)
	m.Write(bits[:])
	return [TagSize]byte(m.Sum(nil))
}
