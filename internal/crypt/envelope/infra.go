package envelope

import (
	"crypto/rand"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/internal/cbchs"
	"github.com/coffer-storage/coffer/internal/secret"
)

// infraLeast is the size of the INFRA-1 of nothing: one block of padding.
const infraLeast = headerSize + cbchs.Overhead + cbchs.BlockSize

// InfraSize is the size of the INFRA-1 around n bytes.
func InfraSize(n int) int { return headerSize + cbchs.Size(n) }

// SealInfra puts inner, a whole VALUE-1 or chunk, into INFRA-1 under the infrastructure
// key idk. A nil salter draws a new salt.
func SealInfra(idk secret.Key, kref [16]byte, salter *Salter, aad, inner []byte) ([]byte, error) {
	salt, d, err := salter.take(idk, suiteInfra, kref, len(inner))
	if err != nil {
		return nil, err
	}
	var iv [cbchs.BlockSize]byte
	rand.Read(iv[:])
	b := putHeader(make([]byte, 0, InfraSize(len(inner))), suiteInfra, kref, salt)
	return d.cbc.Seal(b, iv, aad, inner), nil
}

// OpenInfra opens an INFRA-1 made under idk, kref and aad.
func OpenInfra(idk secret.Key, kref [16]byte, cache *Cache, aad, sealed []byte) ([]byte, error) {
	got, err := InfraKeyref(sealed)
	if err != nil {
		return nil, err
	}
	if got != kref {
		return nil, ErrKeyref
	}
	d, err := cache.get(idk, suiteInfra, kref, saltOf(sealed))
	if err != nil {
		return nil, err
	}
	inner, ok := d.cbc.Open(aad, sealed[headerSize:])
	if !ok {
		return nil, ErrOpen
	}
	return inner, nil
}

// InfraKeyref returns the name of the key that an INFRA-1 was made under. It checks the
// form only.
func InfraKeyref(b []byte) ([16]byte, error) {
	if len(b)%cbchs.BlockSize != infraLeast%cbchs.BlockSize {
		return [16]byte{}, ErrFormat
	}
	return keyrefOf(b, suiteInfra, infraLeast)
}

// deriveInfra returns the cipher of one salt.
func deriveInfra(key []byte, keyref, salt [16]byte) *cbchs.Cipher {
	info := enc.Encode("coffer/infra/cbc/v1", enc.Uint(suiteInfra), keyref[:])
	k := enc.Derive(key, salt[:], info, cbchs.KeySize)
	defer clear(k)
	return cbchs.New([cbchs.KeySize]byte(k))
}
