// Package envelope seals the values of rows.
package envelope

import (
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/secret"
)

var (
	ErrOpen   = errors.New("envelope: does not open")
	ErrFormat = errors.New("envelope: wrong form")
)

// Salter reuses salts. The zero value works; one serves many keys, in parallel.
type Salter struct{}

// Cache keeps derived keys for opening. The zero value works.
type Cache struct{}

func SealValue(k secret.Key, keyref [16]byte, salter *Salter, aad, plaintext []byte) ([]byte, error) {
	panic("soon")
}
func OpenValue(k secret.Key, keyref [16]byte, cache *Cache, aad, sealed []byte) ([]byte, error) {
	panic("soon")
}
func ValueKeyref(b []byte) ([16]byte, error) { panic("soon") }
func SealInfra(idk secret.Key, kref [16]byte, salter *Salter, aad, inner []byte) ([]byte, error) {
	panic("soon")
}
func OpenInfra(idk secret.Key, kref [16]byte, cache *Cache, aad, sealed []byte) ([]byte, error) {
	panic("soon")
}
func InfraKeyref(b []byte) ([16]byte, error) { panic("soon") }

type Row struct {
	SYS   []byte
	Parts [][]byte
}

func EncodeRow(r Row) crypt.Sealed                           { panic("soon") }
func SplitRow(b []byte) (sys []byte, rest []byte, err error) { panic("soon") }

type Field struct {
	Tag   byte
	Value []byte
}

func EncodeFields(fs []Field) []byte         { panic("soon") }
func DecodeFields(b []byte) ([]Field, error) { panic("soon") }
