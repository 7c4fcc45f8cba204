package cse

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"hash"
	"maps"
)

// RSAKey is a local RSA key. Anyone who has its public half can write objects that it
// opens: only an AES key says who wrote one.
type RSAKey struct {
	id      string
	public  *rsa.PublicKey
	private *rsa.PrivateKey // nil: wraps only
	opt     RSAKeyOptions
}

// RSAKeyOptions are the choices of NewRSAKey.
type RSAKeyOptions struct {
	// Algorithm is what the key wraps by: RSAOAEP256 (default) or RSAOAEP.
	Algorithm string
	// Names maps names of other writers to ours, as "RSA" to RSAOAEP: the samples of
	// the Python SDK call it so.
	Names map[string]string
	// UnsafeAllowRSA15 lets the key unwrap RSA1_5. Bad padding then gives a random key
	// instead of an error, so that the error is that of any other changed object.
	UnsafeAllowRSA15 bool
}

// NewRSAKey takes a private key of 2048 bits or more.
func NewRSAKey(id string, key *rsa.PrivateKey, opt *RSAKeyOptions) (*RSAKey, error) {
	if key == nil {
		return nil, &Error{Code: InvalidOption, Detail: "no private key"}
	}
	k, err := NewRSAPublicKey(id, &key.PublicKey, opt)
	if err != nil {
		return nil, err
	}
	k.private = key
	return k, nil
}

// NewRSAPublicKey makes a key that can only encrypt.
func NewRSAPublicKey(id string, key *rsa.PublicKey, opt *RSAKeyOptions) (*RSAKey, error) {
	k := &RSAKey{id: id, public: key}
	if opt != nil {
		k.opt = *opt
		k.opt.Names = maps.Clone(opt.Names)
	}
	if k.opt.Algorithm == "" {
		k.opt.Algorithm = RSAOAEP256
	}
	switch {
	case id == "":
		return nil, &Error{Code: InvalidOption, Detail: "a key needs an id"}
	case key == nil || key.N == nil || key.N.BitLen() < 2048 || key.N.BitLen() > 16384:
		return nil, &Error{Code: InvalidOption, Detail: "an RSA key has 2048 to 16384 bits"}
	case oaepHash(k.name(k.opt.Algorithm)) == nil:
		return nil, &Error{Code: InvalidOption, Detail: "an RSA key wraps by RSA-OAEP-256 or RSA-OAEP"}
	}
	return k, nil
}

// KeyID returns the id given to NewRSAKey.
func (k *RSAKey) KeyID() string { return k.id }

// DefaultAlgorithm returns RSAKeyOptions.Algorithm.
func (k *RSAKey) DefaultAlgorithm() string { return k.opt.Algorithm }

// String and GoString keep the key out of logs.
func (k *RSAKey) String() string { return "cse.RSAKey(" + k.id + ")" }

// GoString is String.
func (k *RSAKey) GoString() string { return k.String() }

func (k *RSAKey) name(algorithm string) string {
	if own, ok := k.opt.Names[algorithm]; ok {
		return own
	}
	return algorithm
}

func oaepHash(name string) hash.Hash {
	switch name {
	case RSAOAEP:
		return sha1.New() // the name means SHA-1, and OAEP does not depend on collisions
	case RSAOAEP256:
		return sha256.New()
	}
	return nil
}

// WrapKey wraps by RSA-OAEP-256 or RSA-OAEP; it never wraps by RSA1_5.
func (k *RSAKey) WrapKey(_ context.Context, algorithm string, key []byte) ([]byte, error) {
	h := oaepHash(k.name(algorithm))
	if h == nil {
		return nil, &Error{Code: InvalidOption, Detail: "an RSA key wraps by RSA-OAEP-256 or RSA-OAEP"}
	}
	wrapped, err := rsa.EncryptOAEP(h, rand.Reader, k.public, key, nil)
	if err != nil {
		return nil, &Error{Code: InvalidOption, Err: err}
	}
	return wrapped, nil
}

// UnwrapKey unwraps by RSA-OAEP-256 or RSA-OAEP.
func (k *RSAKey) UnwrapKey(_ context.Context, algorithm string, wrapped []byte) ([]byte, error) {
	h := oaepHash(k.name(algorithm))
	if h == nil || k.private == nil {
		return nil, errUnwrap
	}
	key, err := rsa.DecryptOAEP(h, nil, k.private, wrapped, nil)
	if err != nil {
		return nil, errUnwrap
	}
	return key, nil
}

// UnwrapKeySize is UnwrapKey, and unwraps RSA1_5 if that was allowed: then there is
// always a key, random where the padding is bad.
func (k *RSAKey) UnwrapKeySize(ctx context.Context, algorithm string, wrapped []byte, size int) ([]byte, error) {
	if k.name(algorithm) != RSA15 {
		return k.UnwrapKey(ctx, algorithm, wrapped)
	}
	if !k.opt.UnsafeAllowRSA15 || k.private == nil {
		return nil, errUnwrap
	}
	key := make([]byte, size)
	rand.Read(key)
	//lint:ignore SA1019 objects of other writers; bad padding leaves the random key
	if err := rsa.DecryptPKCS1v15SessionKey(nil, k.private, wrapped, key); err != nil {
		return nil, errUnwrap // the length of the wrapped key, which anyone can see
	}
	return key, nil
}
