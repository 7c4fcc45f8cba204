// Package store opens one store: the key store, the sealed metadata engine, extents and
// the services over them, in the order in which they depend on each other, and closes
// them in the reverse order. It has no listeners; package server adds them, commands and
// whole-store tests use it as it is.
//
//	LOCK, leftovers removed
//	key store read, roots opened by the key providers, pin and signature checked
//	HEAD: store, format, generation; every live log reaches what HEAD promises
//	LSM; copies of the key store repaired; a purge write finished
//	protector rows mirrored; extents; services
//
// A failure on the way refuses the store and changes nothing that matters.
package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
	"github.com/coffer-storage/coffer/internal/object"
)

// Options say what to open. Dir, Service and Infra are required.
type Options struct {
	FS  vfs.FS // real or crashable; nil is the operating system's
	Dir string // the data directory

	Service keyprovider.Provider // opens the service root
	Infra   keyprovider.Provider // opens the infrastructure root

	Dev            bool // development store: must match what the store says
	NoCreate       bool // refuse an empty directory
	AcceptRollback bool // go on where HEAD and logs do not agree
	NoCompression  bool // for canary tests: what looks random is ciphertext

	MemTable   int64 // bytes; 0 is the engine's default
	BlockCache int64 // bytes; 0 is the engine's default

	FreeSpace func() (uint64, error) // nil asks the file system
	MinFree   uint64                 // 0 is the engine's default
	Reserve   int64                  // bytes of the reserve file; 0 the default, negative none

	Now    func() time.Time
	Logger *slog.Logger // nil discards
	// Fatal is told that the log was lost. It must not return. nil: exit code 3.
	Fatal     func(error)
	OnCorrupt func(object.Damage)
	Hooks     pebblekv.Hooks
}

// Store is an opened store. Its fields are set once and may be used in parallel.
type Store struct {
	Dir      string
	Ring     *keys.Ring
	Meta     *pebblekv.Store
	Extents  extent.Store
	Objects  *object.Store
	Accounts *account.Service
	Blobs    *blob.Service
	Created  bool // this Open made the store
}

// Open opens the store in o.Dir, or makes one there.
func Open(ctx context.Context, o Options) (*Store, error) { panic("soon") }

// Close ends background work and closes everything; HEAD then says that the store was
// stopped cleanly.
func (s *Store) Close() error { panic("soon") }
