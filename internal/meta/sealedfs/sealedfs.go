// Package sealedfs is a vfs.FS that encrypts and authenticates every file below the
// LSM and the audit log, names of rows and indexes included.
package sealedfs

import (
	"io"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/secret"
)

// Keys is what the file system needs of the key hierarchy; keys.Ring implements it.
// All methods are safe in parallel.
type Keys interface {
	// SealVFS returns the Active VFSK.
	SealVFS() (kref [16]byte, k secret.Key, err error)
	// OpenVFS returns the VFSK version that kref names.
	OpenVFS(kref [16]byte) (secret.Key, error)
	// SealStore returns the Active SYSK of the store, for HEAD and other SEAL-1 files.
	SealStore() (kref [16]byte, k secret.Key, err error)
	// OpenStore returns the SYSK version of the store that kref names.
	OpenStore(kref [16]byte) (secret.Key, error)
	// Generation returns number and SHA-256 of the key-store file as last made durable.
	Generation() (gen uint64, sum [32]byte)
	// StoreID returns the id of the store.
	StoreID() [16]byte
}

// Options configure New. The zero value works.
type Options struct {
	Logger *slog.Logger
	// Fatal is called, with the cause, when a directory sync or a HEAD write failed.
	// It must not return. Default: panic.
	Fatal func(error)
	// TornTail is told of every append file that ended in an unsynced, broken tail.
	TornTail func(name string, lost int64)
	// AcceptRollback lets Open go on where HEAD and logs do not agree.
	AcceptRollback bool
}

// FS implements vfs.FS over a lower file system.
type FS struct {
	vfs.FS // replaced
}

// New returns the sealed file system of the data directory dir. It touches nothing.
func New(lower vfs.FS, dir string, k Keys, opts Options) *FS { panic("soon") }

// AfterSwap makes HEAD name the key-store generation that was just made durable.
func (f *FS) AfterSwap() error { panic("soon") }

// AppendFile is an audit file that is being written: one authenticated frame per Append.
type AppendFile struct{}

// CreateAudit creates audit/N.aud and makes it durable; HEAD lists it before the
// call returns.
func (f *FS) CreateAudit(n uint64) (*AppendFile, error) { panic("soon") }

// Append writes one frame (p at most 1 MiB). It is durable after Sync.
func (a *AppendFile) Append(p []byte) error { panic("soon") }

// Sync makes all frames durable. An error is final.
func (a *AppendFile) Sync() error { panic("soon") }

// Size is the number of bytes on disk so far.
func (a *AppendFile) Size() int64 { panic("soon") }

// Close syncs and writes the end frame.
func (a *AppendFile) Close() error { panic("soon") }

// Audits returns the numbers of the audit files there are, ascending.
func (f *FS) Audits() ([]uint64, error) { panic("soon") }

// ReadAudit calls visit for every frame of audit/N.aud in order; p is valid only
// during the call. The tail rule applies.
func (f *FS) ReadAudit(n uint64, visit func(p []byte) error) error { panic("soon") }

// Lock takes the store's lock (LOCK in the data directory) and removes what an
// interrupted write left (*.tmp-*). Step 1 of opening, before the key store is read.
func Lock(lower vfs.FS, dir string) (io.Closer, error) { panic("soon") }

// SealFile seals a small file of the data directory (SEAL-1 under the store's SYSK;
// path is relative to the data directory, with slashes).
func SealFile(k Keys, path string, plaintext []byte) ([]byte, error) { panic("soon") }

// OpenFile opens what SealFile made for the same path.
func OpenFile(k Keys, path string, sealed []byte) ([]byte, error) { panic("soon") }

// WriteAtomic writes a small file: private temporary name, fsync, rename, fsync of
// the directory.
func WriteAtomic(lower vfs.FS, path string, b []byte) error { panic("soon") }
