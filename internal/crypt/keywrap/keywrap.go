// Package keywrap seals small secrets (SEAL-1) and keys (WRAP-1).
package keywrap

import (
	"errors"

	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	Overhead = 94
	WrapSize = 126
)

var (
	ErrOpen   = errors.New("keywrap: does not open")
	ErrFormat = errors.New("keywrap: wrong form")
	ErrKeyref = errors.New("keywrap: sealed under another key")
)

func Seal(key secret.Key, keyref [16]byte, aad, plaintext []byte) ([]byte, error) { panic("soon") }
func Open(key secret.Key, keyref [16]byte, aad, sealed []byte) ([]byte, error)    { panic("soon") }
func Keyref(sealed []byte) ([16]byte, error)                                      { panic("soon") }
func Wrap(kek secret.Key, keyref [16]byte, aad []byte, k secret.Key) ([WrapSize]byte, error) {
	panic("soon")
}
func Unwrap(kek secret.Key, keyref [16]byte, aad []byte, wrap []byte) (secret.Key, error) {
	panic("soon")
}
func KCV(k secret.Key, chain [16]byte, version uint64) ([16]byte, error) { panic("soon") }
