// Package extent is the port of bulk storage: sealed chunks, written once, found
// again by a place. Every driver passes package extenttest.
package extent

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt"
)

var (
	// ErrNotFound is returned for a place that does not exist (any more).
	ErrNotFound = errors.New("extent: no such place")
	// ErrFull refuses a write because the disk is nearly full.
	ErrFull = errors.New("extent: no space left")
	// ErrDamaged is returned when the second layer of an extent does not open.
	ErrDamaged = errors.New("extent: stored bytes are damaged")
)

// OwnSize is the sealed size from which a chunk gets an extent of its own.
const OwnSize = 1 << 20

// SharedSize is the most that a shared extent grows to.
const SharedSize = 64 << 20

// Class says whether an extent carries the second (infrastructure) layer.
type Class uint8

const (
	Single Class = 1 // chunks as they come: CFC1
	Double Class = 2 // CFX1 around them
)

// Place says where a chunk lies. It is the driver's and goes into the chunk row:
// extent id (16), offset (u64), length (u64), in bytes of chunks whatever the second
// layer makes of them. The class is not stored: it is that of the row.
type Place struct {
	Extent [16]byte
	Offset uint64
	Length uint64
	Double bool
}

// Info describes one extent.
type Info struct {
	ID     [16]byte
	Class  Class
	Size   int64 // bytes that it takes
	Shared bool  // holds many chunks
	Open   bool  // still taking chunks, or being written

	// The second layer, class Double only: the version of the infrastructure key that it
	// is under, and how it seals. Zero when its header cannot be read.
	Infra     [16]byte
	Algorithm string
}

// Store holds extents. All methods are safe in parallel.
type Store interface {
	// Create begins one chunk of exactly size sealed bytes. Large chunks get an
	// extent of their own, small ones a range of a shared extent.
	Create(ctx context.Context, class Class, size int64) (Writer, error)
	// ReadAt fills p from the chunk at place, at off. Short reads are errors.
	ReadAt(place Place, p []byte, off int64) error
	// Stat describes one extent, or returns ErrNotFound.
	Stat(id [16]byte) (Info, error)
	// Seal closes a shared extent for further chunks; those on their way may finish. It
	// does nothing to other extents.
	Seal(id [16]byte)
	// Remove unlinks a whole extent. Places in it fail from then on.
	Remove(id [16]byte) error
	// List calls f for every extent there is.
	List(f func(Info) error) error
	Close() error
}

// Writer takes the bytes of one chunk in order. Commit or Abort is required.
type Writer interface {
	// Extent is the extent that the chunk goes to. It counts as Open until Commit or
	// Abort returns, so that its id can be noted before.
	Extent() [16]byte
	// Write takes the next bytes. Their memory may be used again when it returns.
	Write(crypt.Sealed) error
	// Commit makes the chunk durable (file and directory) and returns its place.
	Commit() (Place, error)
	Abort()
}
