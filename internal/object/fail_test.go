package object_test

import (
	"context"
	"sync"

	"github.com/coffer-storage/coffer/internal/meta"
)

// failAfter refuses every commit after the first n.
type failAfter struct {
	meta.Store
	mu    sync.Mutex
	armed bool
	left  int
}

func (f *failAfter) arm(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.left = true, n
}

func (f *failAfter) disarm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
}

func (f *failAfter) Update(ctx context.Context, fn func(meta.Tx) error) error {
	f.mu.Lock()
	if f.armed {
		if f.left == 0 {
			f.mu.Unlock()
			return meta.ErrFull
		}
		f.left--
	}
	f.mu.Unlock()
	return f.Store.Update(ctx, fn)
}
