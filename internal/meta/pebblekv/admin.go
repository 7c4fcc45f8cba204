package pebblekv

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/occ"
)

// firstKey is not above any key: none is empty.
var firstKey = []byte{0}

// endOfKeys is above every key: no table has a prefix of 0xff bytes.
var endOfKeys = bytes.Repeat([]byte{0xff}, 64)

// Stats are numbers for metrics.
type Stats struct {
	Commits, Conflicts, Syncs uint64
	BatchMean                 float64 // commits per log sync
	Batches                   Batches
	DiskBytes                 uint64
	MemTableBytes             uint64
	BlockCacheBytes           int64
	WALFiles, Tables          int64
	Compactions, Flushes      int64
	TornTails                 uint64
	Full                      bool
	FreeBytes                 uint64
}

// Stats returns numbers for metrics. It takes some microseconds.
func (s *Store) Stats() Stats {
	st := Stats{
		Commits:   s.commits.Load(),
		Conflicts: s.conflicts.Load(),
		Syncs:     s.fs.LogSyncs(),
		Batches:   s.batches.snapshot(),
		TornTails: s.torn.Load(),
		Full:      s.space.full.Load(),
		FreeBytes: s.space.free.Load(),
	}
	if st.Syncs > 0 {
		st.BatchMean = float64(st.Commits) / float64(st.Syncs)
	}
	if s.Latched() != nil {
		return st // the engine may hang
	}
	m := s.db.Metrics()
	st.DiskBytes = m.DiskSpaceUsage()
	st.MemTableBytes = m.MemTable.Size
	st.BlockCacheBytes = m.BlockCache.Size
	st.WALFiles = m.WAL.Files
	for _, l := range m.Levels {
		st.Tables += l.TablesCount
	}
	st.Compactions, st.Flushes = m.Compact.Count, m.Flush.Count
	return st
}

// Checkpoint makes a consistent copy of the LSM in dir (which does not exist yet, on
// the same base file system and outside of the live directories), in sealed form, for
// backup. Tables are linked where the file system can.
func (s *Store) Checkpoint(dir string) error {
	if s.Latched() != nil {
		return meta.ErrFailed
	}
	// The marker of the copy panics when its directory does not sync. No lock is held
	// then, and what failed is the copy, not the store: the backup fails alone.
	var broken error
	err := s.guardWith(func(cause error) { broken = cause }, func() error {
		return s.db.Checkpoint(dir, pebble.WithFlushedWAL())
	})
	if broken != nil {
		return fmt.Errorf("pebblekv: the copy in %s did not reach the disk: %w", dir, broken)
	}
	return errors.Join(err, s.fs.TakeCloseErrors(dir))
}

// CompactAll rewrites every table, under the Active VFSK: after shredding, so that
// deleted rows are gone from disk, and after a rotation of that key. The MANIFEST is
// written anew at the next start only.
func (s *Store) CompactAll(ctx context.Context) error {
	if s.Latched() != nil {
		return meta.ErrFailed
	}
	if err := s.touchTables(ctx); err != nil {
		return err
	}
	// Both wait for work that the engine tries for ever on a full or broken disk.
	return s.unlessStuck(ctx, func(ctx context.Context) error {
		flushed, err := s.db.AsyncFlush()
		if err != nil {
			return err
		}
		select {
		case <-flushed:
		case <-ctx.Done():
			return ctx.Err()
		}
		return s.db.Compact(ctx, []byte{}, endOfKeys, false)
	})
}

// unlessStuck is unlessFailing that also ends when background work fails, twice: the
// first failure may be that of an attempt from before.
func (s *Store) unlessStuck(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	select {
	case <-s.stuck: // an older failure
	default:
	}
	go func() {
		for range 2 {
			select {
			case err := <-s.stuck:
				defer cancel(fmt.Errorf("pebblekv: tables cannot be written: %w", err))
			case <-ctx.Done():
				return
			}
		}
	}()
	err := s.unlessFailing(func() error { return f(ctx) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// touchTables writes a tombstone into the range of every table, for a compaction leaves
// a table alone that nothing above overlaps.
func (s *Store) touchTables(ctx context.Context) error {
	levels, err := s.db.SSTables()
	if err != nil {
		return err
	}
	for _, tables := range levels {
		for _, t := range tables {
			err := s.Update(meta.WithReclaim(ctx), func(tx meta.Tx) error {
				return touch(tx, t.Smallest.UserKey, t.Largest.UserKey)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// touch deletes a key between lo and hi that does not exist, or, where there is none,
// writes lo anew as it is.
func touch(tx meta.Tx, lo, hi []byte) error {
	key := append(bytes.Clone(lo), 0)
	if bytes.Compare(key, hi) < 0 {
		_, err := tx.Get(key)
		if errors.Is(err, meta.ErrNotFound) {
			tx.Delete(key)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return occ.Rewrite(tx, lo)
}
