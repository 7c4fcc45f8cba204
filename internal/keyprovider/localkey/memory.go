package localkey

import (
	"context"
	"sync"

	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Memory is a provider that keeps its secrets in this process only: for tests and for
// stores that do not outlive it. The zero value is ready.
type Memory struct {
	mu sync.Mutex
	m  map[memoryKey]memoryEntry
}

type memoryKey struct {
	store, slot [16]byte
	root        uint8
}

type memoryEntry struct {
	u   secret.Key
	pin [32]byte
}

var _ keyprovider.Provider = (*Memory)(nil)

// NewMemory returns an empty Memory. One serves both roots.
func NewMemory() *Memory { return &Memory{} }

// Kind is SecretBytes.
func (m *Memory) Kind() keyprovider.Kind { return keyprovider.SecretBytes }

// Make draws a secret.
func (m *Memory) Make(_ context.Context, s keyprovider.Slot, pin [32]byte) (secret.Key, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil {
		m.m = map[memoryKey]memoryEntry{}
	}
	u := secret.Random(secretSize)
	m.m[memoryKey{s.Store, s.ID, s.Root}] = memoryEntry{u, pin}
	c, err := clone(u)
	return c, nil, err
}

// Open returns a secret.
func (m *Memory) Open(_ context.Context, s keyprovider.Slot) (secret.Key, [32]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.m[memoryKey{s.Store, s.ID, s.Root}]
	if !ok {
		return secret.Key{}, [32]byte{}, keyprovider.ErrNoSecret
	}
	u, err := clone(e.u)
	return u, e.pin, err
}

// Prune wipes the secrets of other slots.
func (m *Memory) Prune(_ context.Context, s keyprovider.Slot, keep [][16]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := map[[16]byte]bool{}
	for _, id := range keep {
		kept[id] = true
	}
	for k, e := range m.m {
		if k.store == s.Store && k.root == s.Root && !kept[k.slot] {
			e.u.Destroy()
			delete(m.m, k)
		}
	}
	return nil
}

// Clone returns a Memory with the secrets that there are now.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := &Memory{m: make(map[memoryKey]memoryEntry, len(m.m))}
	for k, e := range m.m {
		if u, err := clone(e.u); err == nil {
			out.m[k] = memoryEntry{u, e.pin}
		}
	}
	return out
}
