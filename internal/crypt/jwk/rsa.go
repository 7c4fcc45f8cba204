package jwk

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"hash"
	"math/big"
	"slices"
)

type rsaKey struct{ k *rsa.PrivateKey }

func generateRSA(bits int) (*Private, error) {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	return ofRSA(k), nil
}

func ofRSA(k *rsa.PrivateKey) *Private {
	return &Private{
		Public: Public{Type: RSA, Bits: k.N.BitLen(), N: k.N.Bytes(), E: big.NewInt(int64(k.E)).Bytes()},
		rsa:    &rsaKey{k},
	}
}

func (k *rsaKey) encode() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.k) }

func decodeRSA(b []byte) (*Private, error) {
	any, err := x509.ParsePKCS8PrivateKey(b)
	if err != nil {
		return nil, ErrKey
	}
	k, ok := any.(*rsa.PrivateKey)
	if !ok || !slices.Contains(RSASizes, k.N.BitLen()) {
		return nil, ErrKey
	}
	return ofRSA(k), nil
}

// ImportRSA makes a key of its numbers. Both primes are needed, and all of it must fit
// together.
func ImportRSA(n, e, d, p, q []byte) (*Private, error) {
	for _, b := range [][]byte{n, e, d, p, q} {
		if len(b) == 0 || len(b) > 1024 {
			return nil, ErrKey
		}
	}
	num := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	exp := num(e)
	if !exp.IsInt64() || exp.Int64() < 3 || exp.Int64() > 1<<31-1 {
		return nil, ErrKey
	}
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: num(n), E: int(exp.Int64())}, D: num(d), Primes: []*big.Int{num(p), num(q)}}
	if !slices.Contains(RSASizes, k.N.BitLen()) {
		return nil, ErrSize
	}
	k.Precompute()
	if err := k.Validate(); err != nil {
		return nil, ErrKey
	}
	return ofRSA(k), nil
}

// public is the form that the standard library works with.
func (p *Public) public() (*rsa.PublicKey, error) {
	e := new(big.Int).SetBytes(p.E)
	if p.Type != RSA || !e.IsInt64() || e.Int64() > 1<<31-1 {
		return nil, ErrKey
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(p.N), E: int(e.Int64())}, nil
}

// oaepHash is the hash of an OAEP algorithm, or nil for RSA1_5.
func oaepHash(name string) hash.Hash {
	switch name {
	case "RSA-OAEP":
		return sha1.New()
	case "RSA-OAEP-256":
		return sha256.New()
	}
	return nil
}

// encryptRSA needs the public key only.
func (p *Public) encryptRSA(a Algorithm, value []byte) ([]byte, error) {
	k, err := p.public()
	if err != nil {
		return nil, err
	}
	var out []byte
	if h := oaepHash(a.Name); h != nil {
		out, err = rsa.EncryptOAEP(h, rand.Reader, k, value, nil)
	} else {
		//lint:ignore SA1019 clients of the vault's interface use it
		out, err = rsa.EncryptPKCS1v15(rand.Reader, k, value)
	}
	if errors.Is(err, rsa.ErrMessageTooLong) {
		return nil, ErrInput
	}
	return out, err
}

func (k *rsaKey) decrypt(a Algorithm, value []byte) ([]byte, error) {
	if len(value) != k.k.Size() {
		return nil, ErrInput
	}
	var out []byte
	var err error
	if h := oaepHash(a.Name); h != nil {
		out, err = rsa.DecryptOAEP(h, nil, k.k, value, nil)
	} else {
		//lint:ignore SA1019 clients of the vault's interface use it
		out, err = rsa.DecryptPKCS1v15(nil, k.k, value)
	}
	if err != nil {
		return nil, ErrOpen
	}
	return out, nil
}

// hashes by the length of the digest in bits.
var hashes = map[int]crypto.Hash{256: crypto.SHA256, 384: crypto.SHA384, 512: crypto.SHA512}

var pss = rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

func (k *rsaKey) sign(a Algorithm, digest []byte) ([]byte, error) {
	if a.Name[0] == 'P' {
		return rsa.SignPSS(rand.Reader, k.k, hashes[a.Bits], digest, &pss)
	}
	return rsa.SignPKCS1v15(nil, k.k, hashes[a.Bits], digest)
}

func (p *Public) verifyRSA(a Algorithm, digest, signature []byte) (bool, error) {
	k, err := p.public()
	if err != nil {
		return false, err
	}
	if a.Name[0] == 'P' {
		return rsa.VerifyPSS(k, hashes[a.Bits], digest, signature, &pss) == nil, nil
	}
	return rsa.VerifyPKCS1v15(k, hashes[a.Bits], digest, signature) == nil, nil
}
