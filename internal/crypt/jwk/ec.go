package jwk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
)

type ecKey struct{ k *ecdsa.PrivateKey }

// curves are those of the standard library. P-256K (secp256k1) it does not have.
var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

// curveOf is the curve of a signature algorithm.
func curveOf(alg string) string {
	return map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg]
}

func fieldSize(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }

func generateEC(curve string) (*Private, error) {
	c, ok := curves[curve]
	if !ok {
		return nil, ErrCurve
	}
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		return nil, err
	}
	return ofEC(k)
}

func ofEC(k *ecdsa.PrivateKey) (*Private, error) {
	name := k.Curve.Params().Name
	if curves[name] != k.Curve {
		return nil, ErrCurve
	}
	point, err := k.PublicKey.Bytes() // 4 || X || Y
	if err != nil {
		return nil, ErrKey
	}
	n := fieldSize(k.Curve)
	return &Private{
		Public: Public{Type: EC, Bits: k.Curve.Params().BitSize, Curve: name, X: point[1 : 1+n], Y: point[1+n:]},
		ec:     &ecKey{k},
	}, nil
}

func (k *ecKey) encode() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.k) }

func decodeEC(b []byte) (*Private, error) {
	any, err := x509.ParsePKCS8PrivateKey(b)
	if err != nil {
		return nil, ErrKey
	}
	k, ok := any.(*ecdsa.PrivateKey)
	if !ok {
		return nil, ErrKey
	}
	return ofEC(k)
}

// ImportEC makes a key of its number, which must fit the public point.
func ImportEC(curve string, d, x, y []byte) (*Private, error) {
	c, ok := curves[curve]
	if !ok {
		return nil, ErrCurve
	}
	n := fieldSize(c)
	if len(d) == 0 || len(d) > n || len(x) > n || len(y) > n {
		return nil, ErrKey
	}
	padded := make([]byte, n)
	defer clear(padded)
	copy(padded[n-len(d):], d)
	k, err := ecdsa.ParseRawPrivateKey(c, padded)
	if err != nil {
		return nil, ErrKey
	}
	p, err := ofEC(k)
	if err != nil {
		return nil, err
	}
	same := func(a, b []byte) bool { return new(big.Int).SetBytes(a).Cmp(new(big.Int).SetBytes(b)) == 0 }
	if !same(p.X, x) || !same(p.Y, y) {
		return nil, ErrKey
	}
	return p, nil
}

// sign returns r || s, each of the curve's length.
func (k *ecKey) sign(digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, k.k, digest)
	if err != nil {
		return nil, err
	}
	n := fieldSize(k.k.Curve)
	out := make([]byte, 2*n)
	r.FillBytes(out[:n])
	s.FillBytes(out[n:])
	return out, nil
}

func (p *Public) verifyEC(digest, signature []byte) (bool, error) {
	c := curves[p.Curve]
	if c == nil {
		return false, ErrCurve
	}
	n := fieldSize(c)
	if len(signature) != 2*n {
		return false, nil
	}
	point := append(append([]byte{4}, p.X...), p.Y...)
	k, err := ecdsa.ParseUncompressedPublicKey(c, point)
	if err != nil {
		return false, ErrKey
	}
	r, s := new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])
	return ecdsa.Verify(k, digest, r, s), nil
}
