package csetest

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// The styles of nonces in circulation. They stand here a second time, apart from the
// code under test.

// PythonNonce is the index as 12 bytes, big-endian.
func PythonNonce(i uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4), i)
}

// JavaNonce is the index as 8 bytes, big-endian, and 4 zeros.
func JavaNonce(i uint64) []byte {
	return append(binary.BigEndian.AppendUint64(nil, i), 0, 0, 0, 0)
}

// OldJavaNonce cuts the index to a signed 32-bit number first.
func OldJavaNonce(i uint64) []byte { return JavaNonce(uint64(int64(int32(uint32(i))))) }

// DotnetNonce is 4 zeros and the index plus one, little-endian.
func DotnetNonce(i uint64) []byte {
	return binary.LittleEndian.AppendUint64(make([]byte, 4), i+1)
}

// SealRegions encrypts as version 2.x does, with the nonces of any writer.
func SealRegions(cek, text []byte, region int, nonce func(uint64) []byte) []byte {
	block, err := aes.NewCipher(cek)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	var out []byte
	for i := uint64(0); len(text) > 0; i++ {
		n := min(region, len(text))
		out = append(out, nonce(i)...)
		out = aead.Seal(out, nonce(i), text[:n], nil)
		text = text[n:]
	}
	return out
}
