// Package jwk holds the keys of a vault and what they do: RSA, elliptic curve and AES
// keys, with the algorithms that the vault's interface names (RFC 7518 and a few more).
//
//	RSA   encrypt, wrap   RSA1_5  RSA-OAEP  RSA-OAEP-256
//	      sign            RS256 RS384 RS512 PS256 PS384 PS512
//	EC    sign            ES256 ES384 ES512
//	oct   encrypt         A128GCM .. A256GCM  A128CBC .. A256CBC  A128CBCPAD .. A256CBCPAD
//	      wrap            A128KW .. A256KW
//
// The work is the standard library's; only RFC 3394, which it lacks, is written here.
// Nonces of GCM are drawn inside, so that no caller can repeat one. What fails to open
// says no more than ErrOpen.
//
// RSA1_5 and CBC are here because clients exist that need them. Both let who may call
// decrypt, and sees how it fails, ask more than he should: whoever may call it has the key
// in effect anyway.
package jwk

import (
	"crypto/fips140"
	"errors"
	"slices"

	"github.com/coffer-storage/coffer/internal/secret"
)

// Refusals.
var (
	ErrOpen      = errors.New("jwk: the value does not open")
	ErrAlgorithm = errors.New("jwk: the algorithm is not one of the key's")
	ErrStrict    = errors.New("jwk: strict FIPS mode has no RSA1_5 and no RSA-OAEP with SHA-1: use RSA-OAEP-256")
	ErrInput     = errors.New("jwk: a value has a wrong length")
	ErrKey       = errors.New("jwk: the key has a wrong form")
	ErrCurve     = errors.New("jwk: the curve is not served")
	ErrSize      = errors.New("jwk: keys have other sizes")
)

// Type is the family of a key. The values are stored.
type Type uint8

// Types of keys.
const (
	RSA Type = 1
	EC  Type = 2
	Oct Type = 3
)

// Sizes that keys are made with, in bits.
var (
	RSASizes = []int{2048, 3072, 4096}
	OctSizes = []int{128, 192, 256}
	Curves   = []string{"P-256", "P-384", "P-521"}
)

// Public is what everybody may know of a key.
type Public struct {
	Type  Type
	Bits  int
	Curve string
	N, E  []byte // RSA, big-endian without leading zeros
	X, Y  []byte // EC, of the length of the curve's field
}

// Private is a key that can do everything that its algorithms have.
type Private struct {
	Public
	rsa *rsaKey
	ec  *ecKey
	oct secret.Key
}

// Destroy wipes what can be wiped. The key is not used after it.
func (p *Private) Destroy() { p.oct.Destroy() }

// Input is what an algorithm works on.
type Input struct {
	Value []byte
	IV    []byte
	AAD   []byte
	Tag   []byte
}

// Generate makes a key: of bits for RSA and AES, on a curve for EC.
func Generate(t Type, bits int, curve string) (*Private, error) {
	switch t {
	case RSA:
		if !slices.Contains(RSASizes, bits) {
			return nil, ErrSize
		}
		return generateRSA(bits)
	case EC:
		return generateEC(curve)
	case Oct:
		if !slices.Contains(OctSizes, bits) {
			return nil, ErrSize
		}
		return octKey(secret.Random(bits/8), bits), nil
	}
	return nil, ErrKey
}

// Encode returns the stored form of a key: PKCS#8, or the bytes of an AES key. The caller
// seals it at once and wipes it.
func (p *Private) Encode() ([]byte, error) {
	switch p.Type {
	case RSA:
		return p.rsa.encode()
	case EC:
		return p.ec.encode()
	case Oct:
		var b []byte
		err := p.oct.Use(func(k []byte) error {
			b = append(b, k...)
			return nil
		})
		return b, err
	}
	return nil, ErrKey
}

// Decode reads what Encode wrote. It does not wipe b.
func Decode(t Type, b []byte) (*Private, error) {
	switch t {
	case RSA:
		return decodeRSA(b)
	case EC:
		return decodeEC(b)
	case Oct:
		if !slices.Contains(OctSizes, 8*len(b)) {
			return nil, ErrKey
		}
		return octKey(secret.New(slices.Clone(b)), 8*len(b)), nil
	}
	return nil, ErrKey
}

// Algorithm is one name of the interface.
type Algorithm struct {
	Name string
	Type Type
	Use  Purpose
	Bits int // of the AES key, or of the digest to sign
}

// Purpose says what an algorithm is for.
type Purpose uint8

// Purposes.
const (
	Encrypts Purpose = 1 << iota
	Wraps
	Signs
)

// algorithms is every algorithm there is.
var algorithms = []Algorithm{
	{"RSA1_5", RSA, Encrypts | Wraps, 0},
	{"RSA-OAEP", RSA, Encrypts | Wraps, 0},
	{"RSA-OAEP-256", RSA, Encrypts | Wraps, 0},
	{"RS256", RSA, Signs, 256}, {"RS384", RSA, Signs, 384}, {"RS512", RSA, Signs, 512},
	{"PS256", RSA, Signs, 256}, {"PS384", RSA, Signs, 384}, {"PS512", RSA, Signs, 512},
	{"ES256", EC, Signs, 256}, {"ES384", EC, Signs, 384}, {"ES512", EC, Signs, 512},
	{"A128GCM", Oct, Encrypts, 128}, {"A192GCM", Oct, Encrypts, 192}, {"A256GCM", Oct, Encrypts, 256},
	{"A128CBC", Oct, Encrypts, 128}, {"A192CBC", Oct, Encrypts, 192}, {"A256CBC", Oct, Encrypts, 256},
	{"A128CBCPAD", Oct, Encrypts, 128}, {"A192CBCPAD", Oct, Encrypts, 192}, {"A256CBCPAD", Oct, Encrypts, 256},
	{"A128KW", Oct, Wraps, 128}, {"A192KW", Oct, Wraps, 192}, {"A256KW", Oct, Wraps, 256},
}

// Find returns the algorithm of that name if a key of that type and size has it for the
// purpose, and strict FIPS mode does not refuse it.
func (p *Public) Find(name string, use Purpose) (Algorithm, error) {
	for _, a := range algorithms {
		if a.Name != name {
			continue
		}
		fits := a.Type == p.Type && a.Use&use != 0
		if p.Type == Oct && a.Bits != p.Bits || p.Type == EC && curveOf(a.Name) != p.Curve {
			fits = false
		}
		if fits && fips140.Enforced() && (name == "RSA1_5" || name == "RSA-OAEP") {
			return Algorithm{}, ErrStrict
		}
		if fits {
			return a, nil
		}
	}
	return Algorithm{}, ErrAlgorithm
}

// MaxValue bounds what is encrypted with an AES key in one call.
const MaxValue = 48 << 10
