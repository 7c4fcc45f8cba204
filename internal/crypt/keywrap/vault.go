package keywrap

import (
	"crypto/subtle"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/secret"
)

// VaultPlace is what the key of a wrapping by a customer's vault is bound to.
type VaultPlace struct {
	Wrapping, Owner [16]byte
	Protector       [17]byte
	KeyURI          string // with the version
}

// DeriveVault joins the random value that a customer's vault wraps, p, with the one that
// never leaves the key store, r: neither alone opens anything.
func DeriveVault(r, p secret.Key, at VaultPlace) (k secret.Key, err error) {
	err = r.Use(func(rb []byte) error {
		return p.Use(func(pb []byte) error {
			if len(rb) != KeySize || len(pb) != KeySize {
				return ErrFormat
			}
			ikm := make([]byte, 0, 2*KeySize)
			ikm = append(append(ikm, rb...), pb...)
			defer clear(ikm)
			info := enc.Encode("coffer/cmk/v1", at.Owner[:], at.Protector[:], []byte(at.KeyURI))
			k = secret.New(enc.Derive(ikm, at.Wrapping[:], info, KeySize))
			return nil
		})
	})
	return k, err
}

// Same compares two keys in constant time.
func Same(a, b secret.Key) (same bool, err error) {
	err = a.Use(func(x []byte) error {
		return b.Use(func(y []byte) error {
			same = subtle.ConstantTimeCompare(x, y) == 1
			return nil
		})
	})
	return same, err
}
