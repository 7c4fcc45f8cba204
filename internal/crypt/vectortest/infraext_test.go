package vectortest

import (
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/infraext"
	"github.com/coffer-storage/coffer/internal/secret"
)

// openExtent opens the one chunk of an extent, which begins in sector 0. The header's
// zeros up to 4,096 are not in the file.
func openExtent(t *testing.T, c Case) ([]byte, error) {
	header := c.Bytes(t, "header")
	if len(header) > 0 {
		header = append(header, make([]byte, infraext.HeaderSize-len(header))...)
	}
	x, err := infraext.Open(header, c.ID(t, "file-id"), true, func(kref [16]byte) (secret.Key, error) {
		if kref != c.ID(t, "kref") {
			return secret.Key{}, envelope.ErrKeyref
		}
		return secret.New(c.Bytes(t, "idk")), nil
	})
	if err != nil {
		return nil, err
	}
	b, err := x.Open(nil, 0, c.Bytes(t, "body"))
	if err != nil {
		return nil, err
	}
	n := len(c.Bytes(t, "chunk"))
	for _, pad := range b[n:] {
		if pad != 0 {
			t.Error("padding that is not zero")
		}
	}
	return b[:n], nil
}
