// Package enc is the one injective encoding of the cryptographic design.
//
//	enc(label, f1..fn) = u16 len(label) || label || { u32 len(f) || f }...
//
// Every KDF info, AAD, KCV input, signed text and audit hash input is one Encode.
// Integers are big endian and always 8 bytes. The layout is fixed by spec/encoding.md.
package enc

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// Uint encodes n as the 8 big-endian bytes that every integer field has.
func Uint(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Encode returns enc(label, fields). It panics when a label is longer than 65,535
// bytes or a field longer than 4 GiB, which no input can reach.
func Encode(label string, fields ...[]byte) []byte {
	n := 2 + len(label)
	for _, f := range fields {
		n += 4 + len(f)
	}
	if len(label) > math.MaxUint16 {
		panic(fmt.Sprintf("enc: label of %d bytes", len(label)))
	}
	b := make([]byte, 0, n)
	b = binary.BigEndian.AppendUint16(b, uint16(len(label)))
	b = append(b, label...)
	for _, f := range fields {
		if uint64(len(f)) > math.MaxUint32 {
			panic(fmt.Sprintf("enc: field of %d bytes", len(f)))
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

// Derive is HKDF-SHA-256 (RFC 5869, extract and expand) over an info made by Encode.
// It panics only when n is out of HKDF's range.
func Derive(ikm, salt, info []byte, n int) []byte {
	return must(hkdf.Key(sha256.New, ikm, salt, string(info), n))
}

// DeriveEach is Derive with several infos, n bytes each; it extracts once.
func DeriveEach(ikm, salt []byte, n int, infos ...[]byte) [][]byte {
	prk := must(hkdf.Extract(sha256.New, ikm, salt))
	defer clear(prk)
	out := make([][]byte, len(infos))
	for i, info := range infos {
		out[i] = must(hkdf.Expand(sha256.New, prk, string(info), n))
	}
	return out
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic("enc: " + err.Error())
	}
	return b
}
