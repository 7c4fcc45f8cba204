// Package secret keeps key bytes off the heap and out of logs, errors and dumps.
//
// Keys live in an arena of pages of their own, between guard pages: on Linux memory that
// even the kernel does not map (memfd_secret), else locked pages that core dumps and
// children leave out; on other Unix systems locked pages; elsewhere the heap. What the
// system granted shows in Status. Many keys share a page, so ten thousand of them fit
// in the usual limit of locked memory.
//
// The limits are stated in spec/threat-model.md: ciphers keep key schedules on the heap, stacks
// move, and freed heap memory is not wiped.
package secret

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
)

// ErrDestroyed is returned by Use after Destroy.
var ErrDestroyed = errors.New("secret: key was destroyed")

// Key is a symmetric key. Copies share the same bytes; the zero Key holds none. A key
// that nothing refers to any more is wiped as by Destroy, some time later.
type Key struct{ h *handle }

type handle struct {
	mu      sync.RWMutex // held for reading while the bytes are used
	b       []byte       // nil after Destroy
	cell    cell
	cleanup runtime.Cleanup
}

// New moves b into protected memory and wipes b.
func New(b []byte) Key {
	k := newKey(len(b))
	copy(k.h.b, b)
	clear(b)
	return k
}

// Random makes a key of n random bytes.
func Random(n int) Key {
	k := newKey(n)
	rand.Read(k.h.b)
	return k
}

// Fill makes a key of n bytes that f writes into protected memory directly. An error of
// f is returned as it is, without a key.
func Fill(n int, f func([]byte) error) (Key, error) {
	k := newKey(n)
	if err := f(k.h.b); err != nil {
		k.Destroy()
		return Key{}, err
	}
	return k, nil
}

// newKey makes a key of n zero bytes.
func newKey(n int) Key {
	c := keys.alloc(n)
	h := &handle{b: c.bytes(n), cell: c}
	h.cleanup = runtime.AddCleanup(h, cell.release, c)
	return Key{h}
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
		k.h.b = nil
		k.h.cleanup.Stop()
		k.h.cell.release()
	}
}

func (Key) String() string               { return "secret.Key(hidden)" }
func (Key) GoString() string             { return "secret.Key(hidden)" }
func (Key) LogValue() slog.Value         { return slog.StringValue("hidden") }
func (Key) Format(s fmt.State, _ rune)   { io.WriteString(s, "secret.Key(hidden)") }
func (Key) MarshalText() ([]byte, error) { return []byte("hidden"), nil }
