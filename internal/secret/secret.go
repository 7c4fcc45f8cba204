// Package secret keeps key bytes off the heap and out of logs, errors and dumps.
package secret

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
)

// ErrDestroyed is returned by Use after Destroy.
var ErrDestroyed = errors.New("secret: key was destroyed")

// Key is a symmetric key. Copies share the same bytes; the zero Key holds none.
type Key struct{ h *handle }

type handle struct {
	mu   sync.RWMutex
	b    []byte // nil after Destroy
	free func([]byte)
}

// New moves b into protected memory and wipes b.
func New(b []byte) Key {
	m, free := alloc(len(b))
	copy(m, b)
	clear(b)
	return Key{&handle{b: m, free: free}}
}

// Random makes a key of n random bytes.
func Random(n int) Key {
	b := make([]byte, n)
	rand.Read(b)
	return New(b)
}

// Fill makes a key of n bytes that f writes into protected memory directly. An error of
// f is returned as it is, without a key.
func Fill(n int, f func([]byte) error) (Key, error) {
	m, free := alloc(n)
	if err := f(m); err != nil {
		clear(m)
		free(m)
		return Key{}, err
	}
	return Key{&handle{b: m, free: free}}, nil
}

// Use lends the bytes to f under a read lock; f must not keep them and does no I/O.
// After Destroy it returns ErrDestroyed, never zeros.
func (k Key) Use(f func([]byte) error) error {
	if k.h == nil {
		return ErrDestroyed
	}
	k.h.mu.RLock()
	defer k.h.mu.RUnlock()
	if k.h.b == nil {
		return ErrDestroyed
	}
	return f(k.h.b)
}

// IsZero reports whether k never held a key.
func (k Key) IsZero() bool { return k.h == nil }

// Destroy wipes the bytes. It waits for running Use calls.
func (k Key) Destroy() {
	if k.h == nil {
		return
	}
	k.h.mu.Lock()
	defer k.h.mu.Unlock()
	if k.h.b != nil {
		clear(k.h.b)
		k.h.free(k.h.b)
		k.h.b = nil
	}
}

func (Key) String() string       { return "secret.Key(hidden)" }
func (Key) GoString() string     { return "secret.Key(hidden)" }
func (Key) LogValue() slog.Value { return slog.StringValue("hidden") }
