// Package aead makes the one AEAD of the design: AES-256-GCM whose 96-bit nonce is
// drawn inside, so that no caller can choose or repeat one. What Seal appends is
//
//	nonce (12) || ciphertext || tag (16)
package aead

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"

	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
)

const (
	KeySize   = 32
	NonceSize = 12
	TagSize   = 16
	Overhead  = NonceSize + TagSize
)

// New returns the AEAD for a key of 32 bytes. It panics for another length, which
// only a bug can bring.
func New(key []byte) cipher.AEAD {
	if len(key) != KeySize {
		panic("aead: key is not 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("aead: " + err.Error())
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("aead: " + err.Error())
	}
	if f := record.Nonces(); f != nil {
		return audited{gcm, sha256.Sum256(key), f}
	}
	return gcm
}

// audited reports every nonce, in tests that listen.
type audited struct {
	cipher.AEAD
	key    [32]byte
	report record.NonceFunc
}

func (a audited) Seal(dst, nonce, plaintext, aad []byte) []byte {
	out := a.AEAD.Seal(dst, nonce, plaintext, aad)
	a.report(a.key, out[len(dst):len(dst)+NonceSize])
	return out
}
