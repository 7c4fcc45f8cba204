package format

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
)

// CBC decrypts bodies of version 1.0. They carry no authentication: whoever can write
// an object and see whether its decryption fails learns its text. All that can be done
// here is to give one answer, after the same steps.
type CBC struct {
	block cipher.Block
	iv    []byte
}

// NewCBC takes the content key and the IV of one object.
func NewCBC(cek, iv []byte) (*CBC, error) {
	if len(cek) != KeySize || len(iv) != BlockSize {
		return nil, ErrAuth
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, ErrAuth
	}
	return &CBC{block: block, iv: iv}, nil
}

// Decrypt decrypts in place and returns the plaintext of the whole blocks of stored,
// padding included; a part of a block at the end is left out. ivFirst says that the
// first block is the IV of the rest, as Plan.IV has it.
func (c *CBC) Decrypt(stored []byte, ivFirst bool) []byte {
	iv := c.iv
	if ivFirst {
		if len(stored) < BlockSize {
			return nil
		}
		iv, stored = append([]byte(nil), stored[:BlockSize]...), stored[BlockSize:]
	}
	stored = stored[:len(stored)-len(stored)%BlockSize]
	if len(stored) > 0 {
		cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(stored, stored)
	}
	return stored
}

// Padding returns the number of padding bytes at the end of the last block, 1 to 16,
// and whether it is well formed. The time does not depend on the bytes.
func Padding(block []byte) (n int, ok bool) {
	if len(block) != BlockSize {
		return 0, false
	}
	last := int(block[BlockSize-1])
	good := subtle.ConstantTimeLessOrEq(1, last) & subtle.ConstantTimeLessOrEq(last, BlockSize)
	for i := range BlockSize {
		inside := subtle.ConstantTimeLessOrEq(BlockSize-i, last)
		same := subtle.ConstantTimeByteEq(block[i], byte(last))
		good &= same | (1 - inside)
	}
	return subtle.ConstantTimeSelect(good, last, 0), good == 1
}

// ColumnIV is the IV of one column of a table entity: text is the writer's join of
// keys and column name.
func ColumnIV(entityIV []byte, text string) []byte {
	h := sha256.New()
	h.Write(entityIV)
	h.Write([]byte(text))
	return h.Sum(nil)[:BlockSize]
}
