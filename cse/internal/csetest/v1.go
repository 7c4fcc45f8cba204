package csetest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"
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

// DataV1 is the metadata that goes with it.
func DataV1(keyID, algorithm string, wrapped, iv []byte) string {
	return fmt.Sprintf(`{"EncryptionMode":"FullBlob","WrappedContentKey":{"KeyId":%q,"EncryptedKey":%q,"Algorithm":%q},`+
		`"EncryptionAgent":{"Protocol":"1.0","EncryptionAlgorithm":"AES_CBC_256"},"ContentEncryptionIV":%q,`+
		`"KeyWrappingMetadata":{"EncryptionLibrary":"Old 1.0"}}`,
		keyID, base64.StdEncoding.EncodeToString(wrapped), algorithm, base64.StdEncoding.EncodeToString(iv))
}
