package csetest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
)

// SealV1 encrypts as version 1.0 does. Nothing but tests may write that version.
func SealV1(cek, iv, text []byte, pad bool) []byte {
	block, err := aes.NewCipher(cek)
	if err != nil {
		panic(err)
	}
	out := bytes.Clone(text)
	if pad {
		n := aes.BlockSize - len(text)%aes.BlockSize
		out = append(out, bytes.Repeat([]byte{byte(n)}, n)...)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, out)
	return out
}
