// Package recordtest listens, in tests, to the plaintext that enters the sealing
// functions: the control of the scan for canaries. It panics in any other binary.
package recordtest

import (
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
)

// The kinds that a listener hears.
const (
	Chunk = record.Chunk
	Value = record.Value
	WAL   = record.WAL
	SST   = record.SST
	VFS   = record.VFS
)

// Listen sends all plaintext that is sealed to f until the test ends. f must copy what
// it keeps and is called in parallel. There is one listener at a time.
func Listen(t testing.TB, f func(kind string, plaintext []byte)) {
	t.Helper()
	if !testing.Testing() {
		panic("recordtest: not a test binary")
	}
	record.Set(f)
	t.Cleanup(func() { record.Set(nil) })
}
