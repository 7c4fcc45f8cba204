package blob_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/meta"
)

// countingStore counts the rows that scans of a View pass.
type countingStore struct {
	meta.Store
	rows atomic.Int64
}

func (s *countingStore) View(ctx context.Context, f func(meta.Reader) error) error {
	return s.Store.View(ctx, func(r meta.Reader) error { return f(countingReader{r, s}) })
}

type countingReader struct {
	meta.Reader
	s *countingStore
}

func (r countingReader) Scan(lo, hi []byte, reverse bool, f func(k, v []byte) (bool, error)) error {
	return r.Reader.Scan(lo, hi, reverse, func(k, v []byte) (bool, error) {
		r.s.rows.Add(1)
		return f(k, v)
	})
}

func newWorldOver(t testing.TB, m meta.Store) *world {
	t.Helper()
	w := &world{TB: t, Store: blobtest.Over(t, m), ctx: context.Background(), who: blobtest.Owner(acct)}
	w.Account(t, acct)
	w.box("box", "")
	return w
}
