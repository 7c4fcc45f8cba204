package slot

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Providers of recovery slots, as in the file.
const (
	Passphrase = 5
	Kit        = 6
)

const (
	rsaBits = 3072
	pinSize = 32
)

// NewRecipient makes the key pair of a recovery slot and returns the slot's params:
//
//	u32 len || first || SEAL-1 under u, keyref = slot id, of pin(32) || PKCS#8
//
// first is head followed by the public key; head comes from PassphraseHead or KitHead.
func NewRecipient(u secret.Key, p Place, head []byte, pin [32]byte) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	inner := append(pin[:], private...)
	defer clear(inner)
	first := append(bytes.Clone(head), spki...)
	sealed, err := keywrap.Seal(u, p.Slot, p.privateAAD(first), inner)
	if err != nil {
		return nil, err
	}
	params := binary.BigEndian.AppendUint32(nil, uint32(len(first)))
	return append(append(params, first...), sealed...), nil
}

func (p Place) privateAAD(first []byte) []byte {
	return enc.Encode("coffer/slot/private/v1", p.Store[:], p.Slot[:], enc.Uint(uint64(p.Root)),
		enc.Uint(uint64(p.Provider)), first)
}

// Params is the parsed params of a recovery slot.
type Params struct {
	Salt       [16]byte // passphrase
	Iterations uint32
	K, N       uint8 // kit

	first, sealed []byte
	public        *rsa.PublicKey
}

// ParseParams reads the params of a recovery slot and checks its public key.
func ParseParams(provider uint8, params []byte) (Params, error) {
	if len(params) < 4 {
		return Params{}, ErrFormat
	}
	n := binary.BigEndian.Uint32(params)
	if uint64(n) > uint64(len(params)-4) {
		return Params{}, ErrFormat
	}
	q := Params{first: params[4 : 4+n], sealed: params[4+n:]}
	spki, err := q.parseHead(provider)
	if err != nil {
		return Params{}, err
	}
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return Params{}, ErrFormat
	}
	key, ok := pub.(*rsa.PublicKey)
	if !ok || key.N.BitLen() != rsaBits || key.E != 65537 {
		return Params{}, ErrFormat
	}
	if again, err := x509.MarshalPKIXPublicKey(key); err != nil || !bytes.Equal(again, spki) {
		return Params{}, ErrFormat
	}
	q.public = key
	return q, nil
}

// parseHead reads what stands before the public key, and returns the public key.
func (q *Params) parseHead(provider uint8) ([]byte, error) {
	b := q.first
	switch {
	case provider == Passphrase && len(b) >= 20:
		copy(q.Salt[:], b)
		q.Iterations = binary.BigEndian.Uint32(b[16:])
		if q.Iterations < MinIterations || q.Iterations > maxIterations {
			return nil, ErrFormat
		}
		return b[20:], nil
	case provider == Kit && len(b) >= 2:
		q.K, q.N = b[0], b[1]
		if q.K == 0 || q.K > q.N {
			return nil, ErrFormat
		}
		return b[2:], nil
	}
	return nil, ErrFormat
}

// SealRoot encrypts a root to the recipient in p.Params.
func SealRoot(p Place, root secret.Key) ([]byte, error) {
	q, err := ParseParams(p.Provider, p.Params)
	if err != nil {
		return nil, err
	}
	var blob []byte
	err = root.Use(func(b []byte) error {
		if len(b) != KeySize {
			return ErrFormat
		}
		blob, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, q.public, b, p.aad())
		return err
	})
	return blob, err
}

// OpenRoot opens a recovery slot with its secret. It returns the root and the pin that
// was sealed beside the private key.
func OpenRoot(u secret.Key, p Place, blob []byte) (root secret.Key, pin [32]byte, err error) {
	q, err := ParseParams(p.Provider, p.Params)
	if err != nil {
		return secret.Key{}, pin, err
	}
	inner, err := keywrap.Open(u, p.Slot, p.privateAAD(q.first), q.sealed)
	if err != nil || len(inner) < pinSize {
		return secret.Key{}, pin, ErrOpen
	}
	defer clear(inner)
	parsed, err := x509.ParsePKCS8PrivateKey(inner[pinSize:])
	if err != nil {
		return secret.Key{}, pin, ErrFormat
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(q.public) {
		return secret.Key{}, pin, ErrFormat
	}
	b, err := rsa.DecryptOAEP(sha256.New(), nil, key, blob, p.aad())
	if err != nil {
		return secret.Key{}, pin, ErrOpen
	}
	if len(b) != KeySize {
		clear(b)
		return secret.Key{}, pin, ErrFormat
	}
	return secret.New(b), [32]byte(inner[:pinSize]), nil
}
