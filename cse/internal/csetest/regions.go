package csetest

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"fmt"
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

// SealEmpty is a region without data.
func SealEmpty(cek, nonce []byte) []byte {
	block, err := aes.NewCipher(cek)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead.Seal(append([]byte(nil), nonce...), nonce, nil, nil)
}

// DataV2 is metadata of version 2.x, as Python writes it.
func DataV2(protocol string, region int64, keyID, algorithm string, wrapped []byte) string {
	return fmt.Sprintf(`{"WrappedContentKey": {"KeyId": %q, "EncryptedKey": %q, "Algorithm": %q}, `+
		`"EncryptionAgent": {"Protocol": %q, "EncryptionAlgorithm": "AES_GCM_256"}, `+
		`"EncryptedRegionInfo": {"DataLength": %d, "NonceLength": 12}, `+
		`"KeyWrappingMetadata": {"EncryptionLibrary": "Other 1.0"}, "EncryptionMode": "FullBlob"}`,
		keyID, base64.StdEncoding.EncodeToString(wrapped), algorithm, protocol, region)
}
