// Package memkv is an engine of port meta in memory, for tests and models. It has
// the semantics of the durable engine, conflicts included, and forgets everything
// on Close.
package memkv

import (
	"bytes"
	"context"
	"sync/atomic"

	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/occ"
)

// Store implements meta.Store.
type Store struct{ engine *occ.Engine }

var _ meta.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store { return &Store{occ.New(&memory{}, 0, nil)} }

// View implements meta.Store.
func (s *Store) View(ctx context.Context, f func(meta.Reader) error) error {
	return s.engine.View(ctx, f)
}

// Update implements meta.Store.
func (s *Store) Update(ctx context.Context, f func(meta.Tx) error) error {
	return s.engine.Update(ctx, f)
}

// Sequence implements meta.Store.
func (s *Store) Sequence() uint64 { return s.engine.Sequence() }

// Close implements meta.Store.
func (s *Store) Close() error {
	s.engine.Close()
	return nil
}

// memory is the state: one persistent tree, replaced by each commit.
type memory struct {
	now atomic.Pointer[snapshot]
	seq uint64 // the engine calls Apply once at a time
}

type snapshot struct{ rows occ.Tree[[]byte] }

func (m *memory) Snapshot() (occ.Snapshot, error) {
	if s := m.now.Load(); s != nil {
		return s, nil
	}
	return &snapshot{}, nil
}

func (m *memory) Prepare(_ context.Context, w *occ.Writes) (any, error) { return w, nil }

func (m *memory) Discard(any) {}

func (m *memory) Apply(prepared any) (uint64, error) {
	w := prepared.(*occ.Writes)
	var rows occ.Tree[[]byte]
	if s := m.now.Load(); s != nil {
		rows = s.rows
	}
	for _, s := range w.Spans {
		rows = rows.DeleteSpan(s)
	}
	w.Keys.Scan(occ.Span{}, false, func(k []byte, v occ.Value) bool {
		if v.Deleted {
			rows = rows.Delete(k)
		} else {
			rows = rows.Set(k, v.Bytes)
		}
		return true
	})
	m.now.Store(&snapshot{rows})
	m.seq++
	return m.seq, nil
}

func (m *memory) Durable(any) error { return nil }

func (s *snapshot) Get(key []byte) ([]byte, error) {
	v, ok := s.rows.Get(key)
	if !ok {
		return nil, meta.ErrNotFound
	}
	return bytes.Clone(v), nil
}

func (s *snapshot) Scan(span occ.Span, reverse bool, f func(k, v []byte) (bool, error)) error {
	var err error
	s.rows.Scan(span, reverse, func(k, v []byte) bool {
		var more bool
		more, err = f(k, v)
		return more && err == nil
	})
	return err
}

func (s *snapshot) Close() {}
