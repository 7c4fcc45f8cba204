package keywrap

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/secret"
)

// CustomerWrapSize is the size of a data key wrapped under a customer-provided key:
// salt (32), verifier (32), WRAP-1.
const CustomerWrapSize = customerHead + WrapSize

const (
	customerSalt = 32
	customerHead = customerSalt + sha256.Size
)

// ErrVerifier says that a customer wrap was made with another key than the one given,
// or was damaged. The wrap itself was not tried.
var ErrVerifier = errors.New("keywrap: the verifier is not this key's")

// Digest returns SHA-256 of a key's bytes. Protocols name customer-provided keys by it.
func Digest(k secret.Key) (sum [sha256.Size]byte, err error) {
	err = k.Use(func(b []byte) error {
		sum = sha256.Sum256(b)
		return nil
	})
	return sum, err
}

// SameDigest compares two digests in constant time.
func SameDigest(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// WrapCustomer wraps the data key k under a key that a customer provides with his
// request. Both the wrapping key and the verifier are derived from it, a fresh salt, the
// owner and the data key's id.
func WrapCustomer(customer secret.Key, owner, dek [16]byte, aad []byte, k secret.Key) ([CustomerWrapSize]byte, error) {
	var w [CustomerWrapSize]byte
	rand.Read(w[:customerSalt])
	ckek, verifier, err := deriveCustomer(customer, w[:customerSalt], owner, dek)
	if err != nil {
		return [CustomerWrapSize]byte{}, err
	}
	defer ckek.Destroy()
	inner, err := Wrap(ckek, [16]byte{}, aad, k)
	if err != nil {
		return [CustomerWrapSize]byte{}, err
	}
	copy(w[customerSalt:], verifier)
	copy(w[customerHead:], inner[:])
	return w, nil
}

// UnwrapCustomer opens what WrapCustomer made. A key that is not the one of the wrap
// answers ErrVerifier before anything is decrypted with it.
func UnwrapCustomer(customer secret.Key, owner, dek [16]byte, aad, wrap []byte) (secret.Key, error) {
	if len(wrap) != CustomerWrapSize {
		return secret.Key{}, ErrFormat
	}
	ckek, verifier, err := deriveCustomer(customer, wrap[:customerSalt], owner, dek)
	if err != nil {
		return secret.Key{}, err
	}
	defer ckek.Destroy()
	if subtle.ConstantTimeCompare(verifier, wrap[customerSalt:customerHead]) != 1 {
		return secret.Key{}, ErrVerifier
	}
	return Unwrap(ckek, [16]byte{}, aad, wrap[customerHead:])
}

// deriveCustomer returns the wrapping key and the verifier of one wrap.
func deriveCustomer(customer secret.Key, salt []byte, owner, dek [16]byte) (ckek secret.Key, verifier []byte, err error) {
	err = customer.Use(func(b []byte) error {
		if len(b) != KeySize {
			return ErrFormat
		}
		keys := enc.DeriveEach(b, salt, KeySize, // KeySize is that of the verifier too
			enc.Encode("coffer/cpk/kek/v1", owner[:], dek[:]), enc.Encode("coffer/cpk/verify/v1", owner[:], dek[:]))
		ckek, verifier = secret.New(keys[0]), keys[1]
		return nil
	})
	return ckek, verifier, err
}
