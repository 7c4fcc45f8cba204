// Package slot holds the cryptography around the two root keys of a store: what is
// derived from a root, and the ways in which slots of the key store wrap one.
//
//	root -- HKDF --> seal key SK or IK          the only use of a root
//	online slot:    WRAP-1(root) under U        U comes from a key file or a device
//	recovery slot:  RSA-3072-OAEP(root)         private key sealed under U, kept offline:
//	                                            U from a passphrase, or k of n shares
//
// A recovery slot is a public-key recipient, so a new root reaches it without its secret.
// Layouts are fixed by spec/keystore.md; vectors are in spec/testkit/slot.
package slot

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/secret"
)

var (
	// ErrOpen says that a slot does not open under this secret.
	ErrOpen = errors.New("slot: does not open")
	// ErrFormat says that bytes do not have the form of a slot, a key or a share.
	ErrFormat = errors.New("slot: wrong form")
)

// KeySize is the size of roots, seal keys and slot secrets.
const KeySize = 32

// Place is everything that a wrapped root is bound to.
type Place struct {
	Store    [16]byte
	Slot     [16]byte
	Root     uint8 // 1 service, 2 infrastructure
	Ref      [16]byte
	Provider uint8
	Params   []byte
}

func (p Place) aad() []byte {
	return enc.Encode("coffer/slot/v1", p.Store[:], p.Slot[:], enc.Uint(uint64(p.Root)),
		p.Ref[:], enc.Uint(uint64(p.Provider)), p.Params)
}

// SealKey derives the seal key of a root: SK from the service root, IK from the other.
func SealKey(root secret.Key, store [16]byte, which uint8, ref [16]byte) (secret.Key, error) {
	info := enc.Encode("coffer/root/v1", enc.Uint(uint64(which)), ref[:])
	return secret.Fill(KeySize, func(out []byte) error {
		return root.Use(func(ikm []byte) error {
			k := enc.Derive(ikm, store[:], info, KeySize)
			copy(out, k)
			clear(k)
			return nil
		})
	})
}

// Wrap wraps a root for an online slot.
func Wrap(u secret.Key, p Place, root secret.Key) ([]byte, error) {
	w, err := keywrap.Wrap(u, p.Slot, p.aad(), root)
	if err != nil {
		return nil, err
	}
	return w[:], nil
}

// Unwrap opens the root of an online slot.
func Unwrap(u secret.Key, p Place, blob []byte) (secret.Key, error) {
	root, err := keywrap.Unwrap(u, p.Slot, p.aad(), blob)
	if errors.Is(err, keywrap.ErrFormat) {
		return secret.Key{}, ErrFormat
	} else if err != nil {
		return secret.Key{}, ErrOpen
	}
	return root, nil
}

// Same reports whether two keys are equal, in constant time.
func Same(a, b secret.Key) (same bool, err error) {
	err = a.Use(func(x []byte) error {
		return b.Use(func(y []byte) error {
			same = subtle.ConstantTimeCompare(x, y) == 1
			return nil
		})
	})
	return same, err
}

// Pin is what a slot secret carries to recognise the key store: a hash of the public
// key that signs it.
func Pin(identity []byte) [32]byte {
	return sha256.Sum256(enc.Encode("coffer/identity/v1", identity))
}

// NewSigner makes an Ed25519 key: its seed, and its public key.
func NewSigner() (secret.Key, []byte, error) {
	seed := secret.Random(ed25519.SeedSize)
	var pub []byte
	err := seed.Use(func(b []byte) error {
		k := ed25519.NewKeyFromSeed(b)
		defer clear(k)
		pub = append(pub, k[ed25519.SeedSize:]...)
		return nil
	})
	return seed, pub, err
}

// Sign signs text with the key of seed.
func Sign(seed secret.Key, text []byte) (sig [64]byte, err error) {
	err = seed.Use(func(b []byte) error {
		if len(b) != ed25519.SeedSize {
			return ErrFormat
		}
		k := ed25519.NewKeyFromSeed(b)
		defer clear(k)
		copy(sig[:], ed25519.Sign(k, text))
		return nil
	})
	return sig, err
}

// Verify reports whether sig is the signature of text by the holder of pub.
func Verify(pub, text, sig []byte) bool {
	return len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, text, sig)
}
