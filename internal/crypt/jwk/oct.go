package jwk

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	nonceSize = 12
	tagSize   = 16
)

func octKey(k secret.Key, bits int) *Private {
	return &Private{Public: Public{Type: Oct, Bits: bits}, oct: k}
}

// ImportOct makes a key of its bytes, which it wipes.
func ImportOct(k []byte) (*Private, error) {
	if !slices.Contains(OctSizes, 8*len(k)) {
		return nil, ErrSize
	}
	return octKey(secret.New(k), 8*len(k)), nil
}

// block lends the cipher of an AES key to f.
func (p *Private) block(f func(cipher.Block) error) error {
	return p.oct.Use(func(k []byte) error {
		b, err := aes.NewCipher(k)
		if err != nil {
			return err
		}
		return f(b)
	})
}

func (p *Private) encryptOct(a Algorithm, in Input) (out Input, err error) {
	if len(in.Value) > MaxValue || len(in.AAD) > MaxValue {
		return Input{}, ErrInput
	}
	err = p.block(func(b cipher.Block) error {
		switch {
		case strings.HasSuffix(a.Name, "KW"):
			out.Value, err = wrapRFC3394(b, in.Value)
		case strings.HasSuffix(a.Name, "GCM"):
			out, err = sealGCM(b, in)
		default:
			out, err = sealCBC(b, strings.HasSuffix(a.Name, "PAD"), in)
		}
		return err
	})
	return out, err
}

func (p *Private) decryptOct(a Algorithm, in Input) (out []byte, err error) {
	if len(in.Value) > MaxValue+aes.BlockSize || len(in.AAD) > MaxValue {
		return nil, ErrInput
	}
	err = p.block(func(b cipher.Block) error {
		switch {
		case strings.HasSuffix(a.Name, "KW"):
			out, err = unwrapRFC3394(b, in.Value)
		case strings.HasSuffix(a.Name, "GCM"):
			out, err = openGCM(b, in)
		default:
			out, err = openCBC(b, strings.HasSuffix(a.Name, "PAD"), in)
		}
		return err
	})
	return out, err
}

func sealGCM(b cipher.Block, in Input) (Input, error) {
	if len(in.IV) > 0 {
		return Input{}, ErrInput // a nonce that a caller chooses can repeat
	}
	g, err := cipher.NewGCMWithRandomNonce(b)
	if err != nil {
		return Input{}, err
	}
	sealed := g.Seal(nil, nil, in.Value, in.AAD) // nonce || ciphertext || tag
	end := len(sealed) - tagSize
	return Input{IV: sealed[:nonceSize:nonceSize], Value: sealed[nonceSize:end:end], Tag: sealed[end:], AAD: in.AAD}, nil
}

func openGCM(b cipher.Block, in Input) ([]byte, error) {
	if len(in.IV) != nonceSize || len(in.Tag) != tagSize {
		return nil, ErrInput
	}
	g, err := cipher.NewGCMWithRandomNonce(b)
	if err != nil {
		return nil, err
	}
	out, err := g.Open(nil, nil, slices.Concat(in.IV, in.Value, in.Tag), in.AAD)
	if err != nil {
		return nil, ErrOpen
	}
	return out, nil
}

// sealCBC takes the IV of the caller, as the interface has it, or draws one.
func sealCBC(b cipher.Block, pad bool, in Input) (Input, error) {
	iv := slices.Clone(in.IV)
	if len(iv) == 0 {
		iv = make([]byte, aes.BlockSize)
		rand.Read(iv)
	}
	if len(iv) != aes.BlockSize || len(in.AAD) > 0 {
		return Input{}, ErrInput
	}
	out := slices.Clone(in.Value)
	if pad {
		n := aes.BlockSize - len(out)%aes.BlockSize
		for range n {
			out = append(out, byte(n))
		}
	}
	if len(out) == 0 || len(out)%aes.BlockSize != 0 {
		return Input{}, ErrInput
	}
	cipher.NewCBCEncrypter(b, iv).CryptBlocks(out, out)
	return Input{IV: iv, Value: out}, nil
}

func openCBC(b cipher.Block, pad bool, in Input) ([]byte, error) {
	if len(in.IV) != aes.BlockSize || len(in.Value) == 0 || len(in.Value)%aes.BlockSize != 0 || len(in.AAD) > 0 {
		return nil, ErrInput
	}
	out := slices.Clone(in.Value)
	cipher.NewCBCDecrypter(b, in.IV).CryptBlocks(out, out)
	if !pad {
		return out, nil
	}
	n := out[len(out)-1]
	good := subtle.ConstantTimeLessOrEq(1, int(n)) & subtle.ConstantTimeLessOrEq(int(n), aes.BlockSize)
	for i, c := range out[len(out)-aes.BlockSize:] {
		in := subtle.ConstantTimeLessOrEq(aes.BlockSize-int(n), i)
		good &= subtle.ConstantTimeSelect(in, subtle.ConstantTimeByteEq(c, n), 1)
	}
	if good != 1 {
		clear(out)
		return nil, ErrOpen
	}
	return out[:len(out)-int(n)], nil
}
