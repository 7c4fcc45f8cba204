package cse

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// AESKey is a local key that wraps by RFC 3394: A128KW, A192KW or A256KW, by its size.
type AESKey struct {
	id        string
	algorithm string
	block     cipher.Block
}

// NewAESKey takes 16, 24 or 32 bytes. The key is copied.
func NewAESKey(id string, key []byte) (*AESKey, error) {
	if id == "" {
		return nil, &Error{Code: InvalidOption, Detail: "a key needs an id"}
	}
	algorithm, ok := map[int]string{16: A128KW, 24: A192KW, 32: A256KW}[len(key)]
	if !ok {
		return nil, &Error{Code: InvalidOption, Detail: "an AES key has 16, 24 or 32 bytes"}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, &Error{Code: InvalidOption, Err: err}
	}
	return &AESKey{id: id, algorithm: algorithm, block: block}, nil
}

// KeyID returns the id given to NewAESKey.
func (k *AESKey) KeyID() string { return k.id }

// DefaultAlgorithm follows from the size of the key.
func (k *AESKey) DefaultAlgorithm() string { return k.algorithm }

// String and GoString keep the key out of logs.
func (k *AESKey) String() string { return "cse.AESKey(" + k.id + ")" }

// GoString is String.
func (k *AESKey) GoString() string { return k.String() }

// WrapKey wraps a key whose length is a multiple of 8.
func (k *AESKey) WrapKey(_ context.Context, algorithm string, key []byte) ([]byte, error) {
	if err := k.check(algorithm); err != nil {
		return nil, err
	}
	if len(key) < 16 || len(key)%8 != 0 {
		return nil, &Error{Code: InvalidOption, Detail: "a key to wrap has a multiple of 8 bytes"}
	}
	return wrapRFC3394(k.block, key), nil
}

// UnwrapKey is the reverse of WrapKey.
func (k *AESKey) UnwrapKey(_ context.Context, algorithm string, wrapped []byte) ([]byte, error) {
	if err := k.check(algorithm); err != nil {
		return nil, err
	}
	return unwrapRFC3394(k.block, wrapped)
}

// check refuses the names of other algorithms. The oldest writers gave no name.
func (k *AESKey) check(algorithm string) error {
	if algorithm != "" && algorithm != k.algorithm {
		return &Error{Code: InvalidOption, Detail: "this key wraps by " + k.algorithm}
	}
	return nil
}

var (
	rfc3394IV = [8]byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}
	errUnwrap = errors.New("cse: key unwrap: integrity check")
)

// wrapRFC3394 is section 2.2.1 of the RFC: A is out[:8], R[i] is out[8i:8i+8].
func wrapRFC3394(block cipher.Block, key []byte) []byte {
	n := len(key) / 8
	out := make([]byte, 8+len(key))
	copy(out, rfc3394IV[:])
	copy(out[8:], key)
	var b [16]byte
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(b[:8], out[:8])
			copy(b[8:], out[8*i:8*i+8])
			block.Encrypt(b[:], b[:])
			t := uint64(n*j + i)
			binary.BigEndian.PutUint64(out[:8], binary.BigEndian.Uint64(b[:8])^t)
			copy(out[8*i:], b[8:])
		}
	}
	return out
}

// unwrapRFC3394 is section 2.2.2.
func unwrapRFC3394(block cipher.Block, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 24 || len(wrapped)%8 != 0 {
		return nil, errUnwrap
	}
	n := len(wrapped)/8 - 1
	r := append([]byte(nil), wrapped...)
	var b [16]byte
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			t := uint64(n*j + i)
			binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(r[:8])^t)
			copy(b[8:], r[8*i:8*i+8])
			block.Decrypt(b[:], b[:])
			copy(r[:8], b[:8])
			copy(r[8*i:], b[8:])
		}
	}
	if subtle.ConstantTimeCompare(r[:8], rfc3394IV[:]) != 1 {
		clear(r)
		return nil, errUnwrap
	}
	return r[8:], nil
}
