// Package pebblekv is the embedded engine of port meta: Pebble over sealedfs.
package pebblekv

import (
	"context"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
)

// Options configure Open.
type Options struct {
	FS   vfs.FS // base file system, real or crashable; nil: vfs.Default
	Dir  string // data directory; the LSM lies in Dir/lsm, audit files in Dir/audit
	Keys sealedfs.Keys

	MemTable   int64 // bytes; 0: 4 MiB
	BlockCache int64 // bytes; 0: 8 MiB

	Logger *slog.Logger
	// OnFatal ends the process after the engine lost its log; it must not return.
	// Default: a message on stderr and exit code 3.
	OnFatal func(error)

	// FreeSpace is asked regularly; below MinFree writes are refused with
	// meta.ErrFull. nil: the file system is asked.
	FreeSpace func() (uint64, error)
	MinFree   uint64 // 0: 64 MiB
	Reserve   int64  // bytes of the reserve file; 0: 16 MiB, negative: none

	Create         bool // the key store is not initialized: begin, or finish, a new store
	ReadOnly       bool
	AcceptRollback bool // go on where HEAD and logs do not agree
	NoCompression  bool // for canary tests only: ciphertext stays ciphertext

	Hooks Hooks
}

// Hooks are told what happens, for metrics. Any may be nil.
type Hooks struct {
	Commit   func(d time.Duration, bytes int)
	Conflict func()
	TornTail func(name string, lost int64)
}

// Stats are numbers for metrics.
type Stats struct {
	Commits, Conflicts, Syncs uint64
	BatchMean                 float64 // commits per log sync
	DiskBytes                 uint64
	MemTableBytes             uint64
	BlockCacheBytes           int64
	WALFiles, Tables          int64
	Compactions, Flushes      int64
	TornTails                 uint64
	Full                      bool
}

// Store implements meta.Store.
type Store struct{}

var _ meta.Store = (*Store)(nil)

// Open opens the store, or creates it with Options.Create.
func Open(ctx context.Context, o Options) (*Store, error) { panic("soon") }

// View implements meta.Store.
func (s *Store) View(ctx context.Context, f func(meta.Reader) error) error { panic("soon") }

// Update implements meta.Store.
func (s *Store) Update(ctx context.Context, f func(meta.Tx) error) error { panic("soon") }

// Sequence implements meta.Store.
func (s *Store) Sequence() uint64 { panic("soon") }

// Close implements meta.Store: HEAD says clean afterwards.
func (s *Store) Close() error { panic("soon") }

// Checkpoint makes a consistent copy of the LSM in dir (outside lsm/, on the same base
// file system), in sealed form, for backup.
func (s *Store) Checkpoint(dir string) error { panic("soon") }

// AfterSwap makes HEAD name the new key-store generation; keys.Ring.OnSwap takes it.
func (s *Store) AfterSwap() error { panic("soon") }

// FS returns the sealed file system, for audit files.
func (s *Store) FS() *sealedfs.FS { panic("soon") }

// Latched returns the cause after the engine lost its log, else nil.
func (s *Store) Latched() error { panic("soon") }

// Stats returns numbers for metrics.
func (s *Store) Stats() Stats { panic("soon") }

// CompactAll rewrites every table: after shredding, and after a VFSK rotation.
func (s *Store) CompactAll(ctx context.Context) error { panic("soon") }
