// Package keywrap seals small things under a key: files and records (SEAL-1) and other
// keys (WRAP-1).
//
// A SEAL-1 is
//
//	 0  1 version 1     1 1 suite 1     2 16 keyref     18 16 salt
//	34 32 commitment   66 12 nonce     78  n ciphertext        16 tag
//
// and 94 bytes longer than its plaintext. A WRAP-1 is a SEAL-1 of 32 bytes: 126.
// Every seal has a key of its own, derived from the wrapping key, the salt, the header
// and the AAD; the commitment makes it open under that one key only.
// The layout is fixed by spec/keywrap.md; vectors are in spec/testkit/keywrap.
//
// The package knows no hierarchy. Who may open what is up to package keys.
package keywrap

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/internal/aead"
	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	// Overhead is what Seal adds to the plaintext.
	Overhead = headerSize + aead.Overhead
	// WrapSize is the size of a WRAP-1.
	WrapSize = Overhead + KeySize
	// KeySize is the size of every key that is wrapped.
	KeySize = 32

	version = 1
	suite   = 1

	keyrefAt     = 2
	saltAt       = 18
	commitmentAt = 34
	headerSize   = 66
)

var (
	// ErrOpen says that the seal does not open under this key and AAD: it was
	// damaged, moved, or made with other ones.
	ErrOpen = errors.New("keywrap: does not open")
	// ErrFormat says that the bytes do not have the form of a seal.
	ErrFormat = errors.New("keywrap: wrong form")
	// ErrKeyref says that the seal names another key than the one expected.
	ErrKeyref = errors.New("keywrap: sealed under another key")
	// ErrCheck says that a wrap just made did not open to the same key.
	ErrCheck = errors.New("keywrap: wrap did not survive its check")
)

// Seal seals plaintext under key, which keyref names. aad is an enc.Encode of what the
// seal is for; it is not stored.
func Seal(key secret.Key, keyref [16]byte, aad, plaintext []byte) ([]byte, error) {
	b := make([]byte, headerSize, Overhead+len(plaintext))
	b[0], b[1] = version, suite
	copy(b[keyrefAt:], keyref[:])
	rand.Read(b[saltAt:commitmentAt])
	k, err := derive(key, b, aad)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	copy(b[commitmentAt:], k[aead.KeySize:])
	return aead.New(k[:aead.KeySize]).Seal(b, nil, plaintext, nil), nil
}

// Open opens a seal made under key, keyref and aad. The keyref inside must be keyref.
func Open(key secret.Key, keyref [16]byte, aad, sealed []byte) ([]byte, error) {
	return open(nil, key, keyref, aad, sealed)
}

// open appends the plaintext to dst.
func open(dst []byte, key secret.Key, keyref [16]byte, aad, sealed []byte) ([]byte, error) {
	got, err := Keyref(sealed)
	if err != nil {
		return nil, err
	}
	if got != keyref {
		return nil, ErrKeyref
	}
	k, err := derive(key, sealed[:headerSize], aad)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	if subtle.ConstantTimeCompare(k[aead.KeySize:], sealed[commitmentAt:headerSize]) != 1 {
		return nil, ErrOpen
	}
	out, err := aead.New(k[:aead.KeySize]).Open(dst, nil, sealed[headerSize:], nil)
	if err != nil {
		return nil, ErrOpen
	}
	return out, nil
}

// Keyref returns the name of the key that a seal was made under. It checks the form
// only: the name is not to be trusted before the seal opens.
func Keyref(sealed []byte) ([16]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version || sealed[1] != suite {
		return [16]byte{}, ErrFormat
	}
	return [16]byte(sealed[keyrefAt:saltAt]), nil
}

// derive returns the key (32) and the commitment (32) of the seal with that header.
func derive(key secret.Key, header, aad []byte) ([]byte, error) {
	sum := sha256.Sum256(aad)
	info := enc.Encode("coffer/seal/v1",
		enc.Uint(uint64(header[0])), enc.Uint(uint64(header[1])), header[keyrefAt:saltAt], sum[:])
	var k []byte
	err := key.Use(func(ikm []byte) error {
		k = enc.Derive(ikm, header[saltAt:commitmentAt], info, 2*aead.KeySize)
		return nil
	})
	return k, err
}
