// Package record lets a test see the plaintext that enters the sealing functions.
//
// A scan of a data directory that finds no canary proves nothing unless the same
// scan finds every canary in what went into the seals. This is that control. Only a
// test binary can listen: the one setter lies in package recordtest, which panics
// elsewhere. With nobody listening a call costs one atomic load.
package record

import "sync/atomic"

// What the bytes are on their way to.
const (
	Chunk = "chunk" // a segment of a CFC1 chunk
	Value = "value" // a VALUE-1: SYS or a part of a row
	WAL   = "wal"   // a frame of a log file of the LSM
	SST   = "sst"   // a frame of a table file of the LSM
	VFS   = "vfs"   // a frame of any other file below sealedfs
)

// Func receives plaintext. It must copy what it keeps and may be called in parallel.
type Func func(kind string, plaintext []byte)

var listener atomic.Pointer[Func]

// Record reports plaintext that is about to be sealed.
func Record(kind string, plaintext []byte) {
	if f := listener.Load(); f != nil {
		(*f)(kind, plaintext)
	}
}

// Set makes f the listener; nil ends listening. Package recordtest calls it.
func Set(f Func) {
	if f == nil {
		listener.Store(nil)
		return
	}
	listener.Store(&f)
}
