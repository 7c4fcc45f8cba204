// Package pebblekv is the embedded engine of port meta: Pebble over sealedfs, with
// the transactions of package occ.
//
// A commit is acknowledged when its log record is synced. Pebble reports a lost log by
// Logger.Fatalf and would go on, and acknowledge, if that returned; here it never
// does. The store is latched: nothing is acknowledged any more, and Options.OnFatal
// ends the process. The same goes for a failed sync of a directory and a lost HEAD.
//
// When the disk is nearly full, writes are refused before the engine can see it;
// transactions that give space back go on, out of a reserve if need be.
package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/occ"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
)

// Options configure Open.
type Options struct {
	FS   vfs.FS // base file system, real or crashable; nil: vfs.Default
	Dir  string // data directory; the LSM lies in Dir/lsm, audit files in Dir/audit
	Keys sealedfs.Keys

	MemTable   int64 // bytes of one of two memtables; 0: 4 MiB
	BlockCache int64 // bytes; 0: 8 MiB

	Logger *slog.Logger
	// OnFatal ends the process after the engine lost its log; it must not return.
	// Default: a message on stderr and exit code 3. Should it return, the store stays
	// latched: every call returns meta.ErrFailed and nothing is acknowledged.
	OnFatal func(error)

	// FreeSpace is asked regularly; below MinFree writes are refused with
	// meta.ErrFull. nil: the file system is asked.
	FreeSpace func() (uint64, error)
	MinFree   uint64 // bytes; 0: 64 MiB
	Reserve   int64  // bytes of the reserve file; 0: 16 MiB, negative: none

	Create         bool // the key store is not initialized: begin, or finish, a new store
	ReadOnly       bool // nothing is written; Sequence is 0
	AcceptRollback bool // go on where HEAD and logs do not agree; the caller audits it

	Hooks Hooks
}

// Hooks are told what happens, for metrics. Any may be nil.
type Hooks struct {
	Commit   func(d time.Duration, bytes int)
	Conflict func()
	TornTail func(name string, lost int64)
}

// Store implements meta.Store.
type Store struct {
	opts   Options
	log    *slog.Logger
	fs     *sealedfs.FS
	db     *pebble.DB
	engine *occ.Engine
	space  *space
	seq    uint64 // last commit; Apply is called once at a time

	commits, conflicts, torn atomic.Uint64
	batches                  batches
	latched                  atomic.Pointer[error]
	failing                  chan struct{} // closed by latch
	stuck                    chan error    // background work that failed, which the engine tries again and again
	opening                  atomic.Bool
	engineUp                 atomic.Pointer[occ.Engine] // for latch, which may come before Open ends
}

var _ meta.Store = (*Store)(nil)

// Open opens the store, or creates it with Options.Create. A refusal is a
// *fault.Error (Rollback, Corrupt, NewerFormat) that says what to do next.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := newStore(o)
	s.opening.Store(true)
	err := s.prepare()
	if err == nil {
		err = s.openDB()
	}
	if err != nil {
		s.fs.Abandon()
		return nil, err
	}
	s.engine = occ.New(s, s.seq, s.onConflict)
	s.engineUp.Store(s.engine)
	if err := s.Latched(); err != nil { // it came while we opened
		s.engine.Fail(err)
		return nil, meta.ErrFailed
	}
	if !o.ReadOnly {
		s.space.start()
	}
	return s, nil
}

func newStore(o Options) *Store {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnFatal == nil {
		o.OnFatal = exit
	}
	s := &Store{opts: o, log: o.Logger, failing: make(chan struct{}), stuck: make(chan error, 1)}
	s.fs = sealedfs.New(o.FS, o.Dir, o.Keys, sealedfs.Options{
		Logger:   o.Logger,
		Fatal:    s.latch,
		Opening:  func() bool { return s.opening.Load() && underGuard() },
		TornTail: s.onTornTail,
	})
	s.space = newSpace(s.fs, &s.opts)
	return s
}

func (s *Store) onTornTail(name string, lost int64) {
	s.torn.Add(1)
	if s.opts.Hooks.TornTail != nil {
		s.opts.Hooks.TornTail(name, lost)
	}
}

func (s *Store) onConflict() {
	s.conflicts.Add(1)
	if s.opts.Hooks.Conflict != nil {
		s.opts.Hooks.Conflict()
	}
}

// prepare does everything before the engine: HEAD and logs are checked, or the ground
// for a new store is laid.
func (s *Store) prepare() error {
	head, err := s.fs.Check(sealedfs.Expect{Uninitialized: s.opts.Create, AcceptRollback: s.opts.AcceptRollback})
	switch {
	case errors.Is(err, sealedfs.ErrNoHead) && s.opts.Create && !s.opts.ReadOnly:
		return s.fs.BeginStore()
	case errors.Is(err, sealedfs.ErrNoHead):
		return fault.New("pebblekv.Open", "HEAD", fault.Rollback, errors.New(
			"both HEAD files are missing; put them back, restore a backup, or, if you know that the store was set back on purpose, start once with --accept-rollback"))
	case err != nil:
		return err
	}
	if s.opts.Create || s.opts.AcceptRollback {
		return nil
	}
	return s.checkEngineFormat(head.Format)
}

// openDB opens Pebble and finds out the number of the last commit.
func (s *Store) openDB() error {
	if err := s.startEngine(); err != nil {
		return openError(err)
	}
	if s.opts.ReadOnly {
		err := s.guard(s.checkBlobFiles)
		if err != nil {
			_ = s.db.Close()
		}
		s.opening.Store(false)
		return err
	}
	err := s.unlessFailing(func() error {
		if err := s.checkBlobFiles(); err != nil {
			return err
		}
		// A record for the log alone takes no number, but is told the next one.
		b := s.db.NewBatch()
		defer b.Close()
		if err := b.LogData([]byte("opened"), nil); err != nil {
			return err
		}
		if err := s.db.Apply(b, pebble.Sync); err != nil {
			return err
		}
		s.seq = uint64(b.SeqNum()) - 1
		return s.fs.Started()
	})
	if err != nil && s.Latched() == nil {
		_ = s.unlessFailing(s.db.Close)
	}
	s.opening.Store(false)
	return err
}

// startEngine waits for Pebble to open, unless a flush of the old log fails: that is
// tried for ever.
func (s *Store) startEngine() error {
	type result struct {
		db  *pebble.DB
		err error
	}
	done := make(chan result, 1)
	go func() {
		var db *pebble.DB
		err := s.guard(func() (err error) {
			db, err = pebble.Open(s.fs.LSM(), s.pebbleOptions())
			return err
		})
		done <- result{db, err}
	}()
	select {
	case r := <-done:
		s.db = r.db
		return r.err
	case err := <-s.stuck:
		return err
	case <-s.failing:
		return fmt.Errorf("%w: %w", meta.ErrFailed, s.Latched())
	}
}

// openError says what a refusal of the engine means: what is not an error of the disk
// is damage, for everything about the format was checked before.
func openError(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok || errors.Is(err, meta.ErrFailed) {
		return err
	}
	var errno syscall.Errno
	switch {
	case errors.Is(err, pebble.ErrDBDoesNotExist):
		return fault.New("pebblekv.Open", "lsm", fault.Rollback,
			fmt.Errorf("the marker that names the MANIFEST is missing; put the files back or restore a backup: %w", err))
	case errors.As(err, &errno) && errno != syscall.ENOENT, errors.Is(err, os.ErrPermission):
		return err
	}
	return fault.New("pebblekv.Open", "lsm", fault.Corrupt,
		fmt.Errorf("the engine does not open; put the files back or restore a backup: %w", err))
}

// View implements meta.Store. It may show commits whose log record is about to be
// synced.
func (s *Store) View(ctx context.Context, f func(meta.Reader) error) error {
	return s.engine.View(ctx, f)
}

// Update implements meta.Store.
func (s *Store) Update(ctx context.Context, f func(meta.Tx) error) error {
	if s.opts.ReadOnly {
		return fault.New("pebblekv.Update", "", fault.NotAllowed, errors.New("the store is open for reading only"))
	}
	return s.engine.Update(ctx, f)
}

// Sequence implements meta.Store.
func (s *Store) Sequence() uint64 { return s.engine.Sequence() }

// FS returns the sealed file system, for audit files.
func (s *Store) FS() *sealedfs.FS { return s.fs }

// AfterSwap makes HEAD name the new key-store generation; keys.Ring.OnSwap takes it.
func (s *Store) AfterSwap() error { return s.fs.AfterSwap() }

// Close implements meta.Store: HEAD says clean afterwards. Audit files that are still
// open are closed with it. After a failure it closes nothing, for the process must end.
func (s *Store) Close() error {
	if !s.engine.Close() {
		return nil
	}
	s.space.stop()
	if s.Latched() != nil {
		return meta.ErrFailed
	}
	if err := s.unlessFailing(s.db.Close); err != nil || s.opts.ReadOnly {
		return err
	}
	return s.fs.Stopped()
}
