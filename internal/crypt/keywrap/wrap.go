package keywrap

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Wrap seals the 32-byte key k under kek and opens the result again before it returns:
// a processor that computed wrongly must not cost the data under k.
func Wrap(kek secret.Key, keyref [16]byte, aad []byte, k secret.Key) ([WrapSize]byte, error) {
	var w [WrapSize]byte
	err := k.Use(func(b []byte) error {
		if len(b) != KeySize {
			return ErrFormat
		}
		sealed, err := Seal(kek, keyref, aad, b)
		if err != nil {
			return err
		}
		if err := check(kek, keyref, aad, sealed, b); err != nil {
			return err
		}
		w = [WrapSize]byte(sealed)
		return nil
	})
	return w, err
}

// check opens a wrap and compares what is inside with want.
func check(kek secret.Key, keyref [16]byte, aad, wrap, want []byte) error {
	got, err := Unwrap(kek, keyref, aad, wrap)
	if err != nil {
		return ErrCheck
	}
	defer got.Destroy()
	return got.Use(func(b []byte) error {
		if !hmac.Equal(b, want) {
			return ErrCheck
		}
		return nil
	})
}

// Unwrap opens a WRAP-1. The key goes from the cipher straight into protected memory.
func Unwrap(kek secret.Key, keyref [16]byte, aad []byte, wrap []byte) (secret.Key, error) {
	if len(wrap) != WrapSize {
		return secret.Key{}, ErrFormat
	}
	return secret.Fill(KeySize, func(b []byte) error {
		_, err := open(b[:0], kek, keyref, aad, wrap)
		return err
	})
}

// KCV returns the check value that goes with version number of the key k of a chain:
// it tells a key from another without a seal at hand.
func KCV(k secret.Key, chain [16]byte, version uint64) ([16]byte, error) {
	var kcv [16]byte
	err := k.Use(func(b []byte) error {
		m := hmac.New(sha256.New, b)
		m.Write(enc.Encode("coffer/kcv/v1", chain[:], enc.Uint(version)))
		copy(kcv[:], m.Sum(nil))
		return nil
	})
	return kcv, err
}
