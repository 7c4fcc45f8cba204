package envelope

import (
	"crypto/cipher"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/internal/aead"
	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
	"github.com/coffer-storage/coffer/internal/secret"
)

// ValueOverhead is what VALUE-1 is longer than its plaintext.
const ValueOverhead = headerSize + aead.Overhead

// SealValue seals plaintext as VALUE-1 under k, which keyref names. A nil salter draws a
// new salt, as it must be for data keys.
func SealValue(k secret.Key, keyref [16]byte, salter *Salter, aad, plaintext []byte) ([]byte, error) {
	salt, d, err := salter.take(k, suiteValue, keyref, len(plaintext))
	if err != nil {
		return nil, err
	}
	record.Record(record.Value, plaintext)
	b := putHeader(make([]byte, 0, ValueOverhead+len(plaintext)), suiteValue, keyref, salt)
	return d.gcm.Seal(b, nil, plaintext, aad), nil
}

// OpenValue opens a VALUE-1 made under k, keyref and aad. A nil cache derives the key
// anew each time.
func OpenValue(k secret.Key, keyref [16]byte, cache *Cache, aad, sealed []byte) ([]byte, error) {
	got, err := ValueKeyref(sealed)
	if err != nil {
		return nil, err
	}
	if got != keyref {
		return nil, ErrKeyref
	}
	d, err := cache.get(k, suiteValue, keyref, saltOf(sealed))
	if err != nil {
		return nil, err
	}
	out, err := d.gcm.Open(nil, nil, sealed[headerSize:], aad)
	if err != nil {
		return nil, ErrOpen
	}
	return out, nil
}

// ValueKeyref returns the name of the key that a VALUE-1 was made under. It checks the
// form only.
func ValueKeyref(b []byte) ([16]byte, error) { return keyrefOf(b, suiteValue, ValueOverhead) }

// deriveValue returns the AEAD of one salt.
func deriveValue(key []byte, keyref, salt [16]byte) cipher.AEAD {
	info := enc.Encode("coffer/value/v1", enc.Uint(suiteValue), keyref[:])
	k := enc.Derive(key, salt[:], info, aead.KeySize)
	defer clear(k)
	return aead.New(k)
}
