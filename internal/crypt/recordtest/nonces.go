package recordtest

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"sync"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
)

// NonceAudit keeps every pair of key and nonce that a run of sealing functions used, as
// 16 bytes of a hash: two of 10^7 different pairs are alike with a chance of 2^-82.
type NonceAudit struct {
	mu    sync.Mutex // guards pairs
	pairs [][16]byte
}

// AuditNonces listens until the test ends. Ciphers made before are not heard, so it
// comes before a store is opened. There is one listener at a time.
func AuditNonces(t testing.TB) *NonceAudit {
	t.Helper()
	if !testing.Testing() {
		panic("recordtest: not a test binary")
	}
	a := new(NonceAudit)
	record.SetNonces(a.hear)
	t.Cleanup(func() { record.SetNonces(nil) })
	return a
}

func (a *NonceAudit) hear(key [32]byte, nonce []byte) {
	sum := sha256.Sum256(append(key[:], nonce...))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pairs = append(a.pairs, [16]byte(sum[:]))
}

// Count returns how many seals were heard, and how many of them used a nonce that was
// used under the same key before.
func (a *NonceAudit) Count() (seals, repeats int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.SortFunc(a.pairs, func(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) })
	for i := 1; i < len(a.pairs); i++ {
		if a.pairs[i] == a.pairs[i-1] {
			repeats++
		}
	}
	return len(a.pairs), repeats
}
