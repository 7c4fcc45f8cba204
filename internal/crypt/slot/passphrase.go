package slot

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"

	"github.com/coffer-storage/coffer/internal/secret"
)

// MinIterations is the least PBKDF2 count that is written or read.
const MinIterations = 600_000

// maxIterations bounds the work that an unauthenticated file can ask for: seconds.
const maxIterations = 10_000_000

// PassphraseHead is what stands before the public key of a passphrase slot.
func PassphraseHead(salt [16]byte, iterations uint32) []byte {
	return binary.BigEndian.AppendUint32(salt[:], iterations)
}

// FromPassphrase derives the secret of a passphrase slot.
func FromPassphrase(passphrase string, salt [16]byte, iterations uint32) (secret.Key, error) {
	if iterations < MinIterations || iterations > maxIterations {
		return secret.Key{}, ErrFormat
	}
	u, err := pbkdf2.Key(sha256.New, passphrase, salt[:], int(iterations), KeySize)
	if err != nil {
		return secret.Key{}, err
	}
	return secret.New(u), nil
}
