// Package envelope seals the values of rows.
//
// A row value is
//
//	0x01 || u32 length of SYS || SYS || part || part ...
//
// SYS and most parts are VALUE-1:
//
//	suite 1 (1) || keyref (16) || salt (16) || nonce (12) || ciphertext || tag (16)
//
// and objects with infrastructure encryption have each of them, whole, inside INFRA-1:
//
//	suite 2 (1) || keyref (16) || salt (16) || iv (16) || CBC ciphertext || tag (32)
//
// which is A256CBC-HS512 under a key of another root. The AAD, the same for both layers,
// binds SYS to its row and a part to its owner and id. Keys are derived from a
// long-lived key and the salt; a Salter reuses salts within their bounds, so that a
// small value does not cost a derivation.
// The layout is fixed by spec/envelope.md; vectors are in spec/testkit/envelope.
package envelope

import (
	"encoding/binary"
	"errors"
)

var (
	// ErrOpen says that a value does not open under this key and AAD: it was damaged,
	// moved, or made with other ones.
	ErrOpen = errors.New("envelope: does not open")
	// ErrFormat says that the bytes do not have the form of what they should be.
	ErrFormat = errors.New("envelope: wrong form")
	// ErrKeyref says that a value names another key than the one expected.
	ErrKeyref = errors.New("envelope: sealed under another key")
)

const (
	suiteValue = 1
	suiteInfra = 2

	keyrefAt   = 1
	saltAt     = 17
	headerSize = 33 // suite, keyref, salt: the same in both suites
)

// putHeader appends the fields that both suites begin with.
func putHeader(b []byte, suite byte, keyref, salt [16]byte) []byte {
	b = append(b, suite)
	b = append(b, keyref[:]...)
	return append(b, salt[:]...)
}

// keyrefOf checks the suite and the least size and returns the keyref.
func keyrefOf(b []byte, suite byte, least int) ([16]byte, error) {
	if len(b) < least || b[0] != suite {
		return [16]byte{}, ErrFormat
	}
	return [16]byte(b[keyrefAt:saltAt]), nil
}

// saltOf returns the salt of a value whose form was checked.
func saltOf(b []byte) [16]byte { return [16]byte(b[saltAt:headerSize]) }

// u32 reads a length that b begins with and returns what follows it.
func u32(b []byte) (n uint32, rest []byte, err error) {
	if len(b) < 4 {
		return 0, nil, ErrFormat
	}
	return binary.BigEndian.Uint32(b), b[4:], nil
}
