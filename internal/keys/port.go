package keys

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// Port keeps the bytes of the key store. Drivers: filestore, and Memory for tests.
// Calls come one at a time.
type Port interface {
	// Load returns every copy that exists; a copy that is there and cannot be read has Err.
	Load(ctx context.Context) ([]Copy, error)

	// Swap stores next, which must be the successor of oldGeneration; 0 says that
	// nothing is there yet. It is durable when Swap returns nil. An error that is
	// ErrUnchanged says that nothing happened; after any other the outcome is unknown.
	// The caller does not change next afterwards.
	Swap(ctx context.Context, oldGeneration uint64, next []byte) error

	// Settle makes every copy equal to current, which is the newest one.
	Settle(ctx context.Context, current []byte) error
}

// Copy is one stored copy of the key store.
type Copy struct {
	Place string // where it lies, for messages
	Bytes []byte
	Err   error
}

// ErrUnchanged is wrapped by errors of Swap after which the store is certainly as before.
var ErrUnchanged = errors.New("key store not changed")

// Memory is a Port without a disk. The zero value is empty.
type Memory struct {
	mu sync.Mutex
	b  []byte
}

// NewMemory returns a Memory that holds b, for drills and restores.
func NewMemory(b []byte) *Memory { return &Memory{b: bytes.Clone(b)} }

// Load returns the one copy.
func (m *Memory) Load(context.Context) ([]Copy, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.b == nil {
		return nil, nil
	}
	return []Copy{{Place: "memory", Bytes: bytes.Clone(m.b)}}, nil
}

// Swap replaces the copy.
func (m *Memory) Swap(_ context.Context, oldGeneration uint64, next []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g, _ := cfks.Generation(m.b); g != oldGeneration {
		return ErrUnchanged
	}
	m.b = bytes.Clone(next)
	return nil
}

// Settle has nothing to do: there is one copy.
func (m *Memory) Settle(context.Context, []byte) error { return nil }
