package pebblekv

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/occ"
)

// The methods of occ.Backend.

var _ occ.Backend = (*Store)(nil)

// pendingCommit is a batch on its way.
type pendingCommit struct {
	batch *pebble.Batch
	count uint64
	size  int
	start time.Time
}

// Snapshot implements occ.Backend.
func (s *Store) Snapshot() (occ.Snapshot, error) { return &snapshot{s.db.NewSnapshot()}, nil }

// Prepare implements occ.Backend.
func (s *Store) Prepare(ctx context.Context, w *occ.Writes) (any, error) {
	size := 64
	w.Keys.Scan(occ.Span{}, false, func(k []byte, v occ.Value) bool {
		size += len(k) + len(v.Bytes) + 16
		return true
	})
	if err := s.space.admit(ctx, size); err != nil {
		return nil, err
	}
	b := s.db.NewBatchWithSize(size)
	err := fill(b, w)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &pendingCommit{b, uint64(b.Count()), size, time.Now()}, nil
}

// fill writes the final form of a transaction: deleted spans first, they hide less.
func fill(b *pebble.Batch, w *occ.Writes) error {
	for _, sp := range w.Spans {
		lo, hi := sp.Lo, sp.Hi
		if len(lo) == 0 {
			lo = firstKey // compactions take an empty start of a span for none, and drop it
		}
		if hi == nil {
			hi = endOfKeys
		}
		if err := b.DeleteRange(lo, hi, nil); err != nil {
			return err
		}
	}
	var err error
	w.Keys.Scan(occ.Span{}, false, func(k []byte, v occ.Value) bool {
		if v.Deleted {
			err = b.Delete(k, nil)
		} else {
			err = b.Set(k, v.Bytes, nil)
		}
		return err == nil
	})
	return err
}

// Discard implements occ.Backend.
func (s *Store) Discard(prepared any) {
	if s.Latched() == nil {
		_ = prepared.(*pendingCommit).batch.Close()
	}
}

// Apply implements occ.Backend.
func (s *Store) Apply(prepared any) (uint64, error) {
	p := prepared.(*pendingCommit)
	err := s.guard(func() error { return s.db.ApplyNoSyncWait(p.batch, pebble.Sync) })
	if err != nil {
		if s.Latched() == nil {
			s.latch(err) // the batch may be in the log, or half of it
		}
		return 0, meta.ErrFailed
	}
	// Nothing else takes numbers, and a large batch does not tell its own.
	s.seq += p.count
	return s.seq, nil
}

// Durable implements occ.Backend: it waits for the sync of the log that many commits
// share.
func (s *Store) Durable(prepared any) error {
	p := prepared.(*pendingCommit)
	if err := p.batch.SyncWait(); err != nil {
		s.latch(err)
		return meta.ErrFailed
	}
	if s.Latched() != nil {
		return meta.ErrFailed
	}
	s.commits.Add(1)
	s.batches.add(s.fs.LogSyncs())
	if s.opts.Hooks.Commit != nil {
		s.opts.Hooks.Commit(time.Since(p.start), p.size)
	}
	return p.batch.Close()
}

// snapshot implements occ.Snapshot.
type snapshot struct{ s *pebble.Snapshot }

func (s *snapshot) Close() { _ = s.s.Close() }

func (s *snapshot) Get(key []byte) ([]byte, error) {
	v, closer, err := s.s.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, meta.ErrNotFound
	}
	if err != nil {
		return nil, readError("pebblekv.Get", err)
	}
	own := make([]byte, len(v))
	copy(own, v)
	// A value that could not be read out of a blob file looks like an empty one until now.
	if err := closer.Close(); err != nil {
		return nil, readError("pebblekv.Get", err)
	}
	return own, nil
}

func (s *snapshot) Scan(span occ.Span, reverse bool, f func(k, v []byte) (bool, error)) (err error) {
	it, err := s.s.NewIter(&pebble.IterOptions{LowerBound: span.Lo, UpperBound: span.Hi})
	if err != nil {
		return readError("pebblekv.Scan", err)
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = readError("pebblekv.Scan", cerr)
		}
	}()
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return readError("pebblekv.Scan", err)
		}
		if more, err := f(it.Key(), v); err != nil || !more {
			return err
		}
	}
	return nil
}

// readError marks damage to what is stored.
func readError(op string, err error) error {
	if pebble.IsCorruptionError(err) || fault.Is(err, fault.Corrupt) {
		return fault.New(op, "lsm", fault.Corrupt, err)
	}
	return err
}
