package occ

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coffer-storage/coffer/internal/meta"
)

// counted is a backend whose snapshots are counted and refuse use after Close.
type counted struct {
	stub
	now            atomic.Int64 // what the last commit wrote
	opened, closed atomic.Int64
	misused        atomic.Bool
}

type countedSnapshot struct {
	c    *counted
	now  int64
	shut atomic.Bool
}

func (c *counted) Snapshot() (Snapshot, error) {
	c.opened.Add(1)
	return &countedSnapshot{c: c, now: c.now.Load()}, nil
}

func (c *counted) Apply(p any) (uint64, error) {
	c.now.Add(1)
	return c.stub.Apply(p)
}

func (s *countedSnapshot) Get([]byte) ([]byte, error) {
	if s.shut.Load() {
		s.c.misused.Store(true)
	}
	return []byte{byte(s.now), byte(s.now >> 8)}, nil
}

func (s *countedSnapshot) Scan(Span, bool, func(k, v []byte) (bool, error)) error { return nil }

func (s *countedSnapshot) Close() {
	if s.shut.Swap(true) {
		s.c.misused.Store(true)
	}
	s.c.closed.Add(1)
}

func read(r meta.Reader) int {
	b, _ := r.Get([]byte("k"))
	return int(b[0]) | int(b[1])<<8
}

func commitOne(t testing.TB, e *Engine) {
	t.Helper()
	if err := e.Update(context.Background(), func(tx meta.Tx) error { tx.Delete([]byte("k")); return nil }); err != nil {
		t.Error(err)
	}
}

// TestSharedSnapshots: transactions between two commits share a snapshot, a commit lets
// go of it, and each is closed once, after its last user.
func TestSharedSnapshots(t *testing.T) {
	c := &counted{}
	e := New(c, 0, nil)
	view := func(f func(r meta.Reader)) {
		if err := e.View(t.Context(), func(r meta.Reader) error { f(r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		view(func(meta.Reader) {})
	}
	if o := c.opened.Load(); o != 1 {
		t.Errorf("5 Views opened %d snapshots", o)
	}
	view(func(r meta.Reader) {
		commitOne(t, e)
		if c.closed.Load() != 0 || read(r) != 0 {
			t.Error("a commit took the snapshot away under a View")
		}
		view(func(r meta.Reader) {
			if read(r) != 1 {
				t.Error("a View after a commit does not show it")
			}
		})
	})
	if o, n := c.opened.Load(), c.closed.Load(); o != 2 || n != 1 {
		t.Errorf("%d opened, %d closed; want 2 and 1", o, n)
	}
	commitOne(t, e)
	if n := c.closed.Load(); n != 2 {
		t.Errorf("an idle engine keeps a snapshot of before its last commit: %d closed, want 2", n)
	}
	view(func(meta.Reader) {})
	e.Close()
	if o, n := c.opened.Load(), c.closed.Load(); o != n || c.misused.Load() {
		t.Errorf("after Close %d opened, %d closed, misused %v", o, n, c.misused.Load())
	}
}

// TestSharedInParallel: no View misses a commit that ended before it began, or uses a
// snapshot that is closed.
func TestSharedInParallel(t *testing.T) {
	c := &counted{}
	e := New(c, 0, nil)
	var done atomic.Int64 // commits that are over
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 3000 {
			commitOne(t, e)
			done.Add(1)
		}
	})
	for range 3 {
		wg.Go(func() {
			for done.Load() < 3000 {
				before := int(done.Load())
				err := e.View(context.Background(), func(r meta.Reader) error {
					if n := read(r); n < before {
						return errors.New("an old snapshot")
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if o, n := c.opened.Load(), c.closed.Load(); o-n > 1 {
		t.Errorf("at rest %d snapshots are open", o-n)
	}
	e.Close()
	if o, n := c.opened.Load(), c.closed.Load(); o != n || c.misused.Load() {
		t.Errorf("after Close %d opened, %d closed, misused %v", o, n, c.misused.Load())
	}
}
