package cse

import (
	"context"
	"fmt"
)

// Names of the wrap algorithms that Azure Key Vault and the SDKs know.
const (
	A128KW     = "A128KW"
	A192KW     = "A192KW"
	A256KW     = "A256KW"
	RSAOAEP    = "RSA-OAEP"     // SHA-1
	RSAOAEP256 = "RSA-OAEP-256" // SHA-256
	RSA15      = "RSA1_5"       // PKCS #1 v1.5, read only, see RSAKeyOptions
)

// Key is a key-encryption key: it wraps the content keys of objects. It may be local or
// far away, and must be safe for concurrent use. It does not keep the slices it is
// given, and those it returns are the caller's.
type Key interface {
	// KeyID names the key; objects carry the name. It never changes.
	KeyID() string
	// WrapKey wraps a content key by the algorithm of that name.
	WrapKey(ctx context.Context, algorithm string, key []byte) ([]byte, error)
	// UnwrapKey is the reverse. algorithm and wrapped come from an object's metadata:
	// whoever can write that chose them. An error of code KeyUnavailable says that the
	// key could not be asked; every other one counts as a failed authentication.
	UnwrapKey(ctx context.Context, algorithm string, wrapped []byte) ([]byte, error)
}

// DefaultAlgorithmer is a Key that knows the algorithm it wraps by. For others it is
// Options.WrapAlgorithm.
type DefaultAlgorithmer interface {
	DefaultAlgorithm() string
}

// ImplicitRejecter is a Key that needs to know the size of what was wrapped, to return
// as many random bytes where the padding is bad: RSA1_5 is an oracle without.
type ImplicitRejecter interface {
	UnwrapKeySize(ctx context.Context, algorithm string, wrapped []byte, size int) ([]byte, error)
}

// KeyResolver finds the key of an id. The id comes from an object's metadata and is not
// authenticated: do not build a URL or a path of it unchecked. The key returned must
// state the same id.
type KeyResolver interface {
	ResolveKey(ctx context.Context, keyID string) (Key, error)
}

// KeyResolverFunc is a function as a KeyResolver.
type KeyResolverFunc func(ctx context.Context, keyID string) (Key, error)

// ResolveKey calls f.
func (f KeyResolverFunc) ResolveKey(ctx context.Context, keyID string) (Key, error) {
	return f(ctx, keyID)
}

// KeyRing resolves over a fixed set of keys.
type KeyRing struct{ keys map[string]Key }

// NewKeyRing takes keys of distinct ids.
func NewKeyRing(keys ...Key) (*KeyRing, error) {
	r := &KeyRing{keys: make(map[string]Key, len(keys))}
	for _, k := range keys {
		if _, twice := r.keys[k.KeyID()]; twice {
			return nil, &Error{Code: InvalidOption, Detail: fmt.Sprintf("two keys are called %q", k.KeyID())}
		}
		r.keys[k.KeyID()] = k
	}
	return r, nil
}

// ResolveKey returns the key of that id, compared byte for byte.
func (r *KeyRing) ResolveKey(_ context.Context, keyID string) (Key, error) {
	if k, ok := r.keys[keyID]; ok {
		return k, nil
	}
	return nil, &Error{Code: KeyNotFound, Detail: fmt.Sprintf("%q", keyID)}
}

// Chain asks one resolver after the other until one knows the key.
func Chain(resolvers ...KeyResolver) KeyResolver {
	return KeyResolverFunc(func(ctx context.Context, keyID string) (Key, error) {
		for _, r := range resolvers {
			k, err := r.ResolveKey(ctx, keyID)
			if err == nil && k != nil {
				return k, nil
			}
			if err != nil && !HasCode(err, KeyNotFound) {
				return nil, err
			}
		}
		return nil, &Error{Code: KeyNotFound, Detail: fmt.Sprintf("%q", keyID)}
	})
}
