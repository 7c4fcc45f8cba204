// Package meta is the port of ordered, transactional key-value stores. Values are
// sealed, always; keys are plain here and are hidden by the engine's file system.
//
// An engine is small: the semantics of every service are written once above it.
// Every engine passes package metatest.
package meta

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt"
)

var (
	// ErrNotFound is returned by Get for a key that does not exist.
	ErrNotFound = errors.New("meta: no such key")
	// ErrConflict leaves Update only after it gave up retrying (or ctx ended).
	ErrConflict = errors.New("meta: transaction conflicts did not end")
	// ErrFull refuses a write because the disk is nearly full. Reads and
	// transactions marked by WithReclaim go on.
	ErrFull = errors.New("meta: no space left")
	// ErrFailed refuses everything after the engine lost its log. The process must end.
	ErrFailed = errors.New("meta: the store has failed and must be reopened")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("meta: store is closed")
)

// Store is one ordered key-value store. All methods are safe in parallel.
type Store interface {
	// View runs f over one consistent snapshot.
	View(ctx context.Context, f func(Reader) error) error
	// Update runs f in a serializable transaction and commits when f returns nil;
	// on return the commit is durable. f may run several times and must have no
	// other effects. An error of f is returned as it is, without a commit.
	Update(ctx context.Context, f func(Tx) error) error
	// Sequence is the number of the last commit. It only grows, over restarts too.
	Sequence() uint64
	// Close waits for running transactions.
	Close() error
}

// Reader reads a snapshot. It is used by one goroutine, inside f only.
type Reader interface {
	// Get returns the value, owned by the caller, or ErrNotFound.
	Get(key []byte) ([]byte, error)
	// Scan calls f for every key in [lo, hi) in ascending byte order (descending
	// with reverse) until f returns false or an error. A nil hi has no upper end. The slices
	// are valid only during the call of f. Writes of the own transaction are seen by
	// Get and by Scan.
	Scan(lo, hi []byte, reverse bool, f func(key, value []byte) (more bool, err error)) error
	// Version is for who keeps what Get gave. It names the state of all keys with the
	// first byte of key: snapshots with the same version show the same under them. To
	// a transaction it is a read of key. It is false when the state has no name, and
	// where the own transaction has written.
	Version(key []byte) (version uint64, ok bool)
}

// Tx adds writes, visible to others after the commit only.
type Tx interface {
	Reader
	Put(key []byte, value crypt.Sealed)
	Delete(key []byte)
	// DeleteRange deletes every key in [lo, hi).
	DeleteRange(lo, hi []byte)
}

type reclaimKey struct{}

// WithReclaim marks transactions that give space back (deletes, collection): they
// are let through when the disk is nearly full.
func WithReclaim(ctx context.Context) context.Context {
	return context.WithValue(ctx, reclaimKey{}, true)
}

// IsReclaim reports whether ctx was made by WithReclaim.
func IsReclaim(ctx context.Context) bool { return ctx.Value(reclaimKey{}) != nil }
