// Package record lets a test see the plaintext that enters the sealing functions.
//
// A scan of a data directory that finds no canary proves nothing unless the same
// scan finds every canary in what went into the seals. This is that control. Only a
// test binary can listen: the one setter lies in package recordtest, which panics
// elsewhere. With nobody listening a call costs one atomic load.
//
// In the same way it lets a test see which nonces are used under which key.
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

// NonceFunc receives a hash of a key and a nonce that was drawn for a seal under it. It
// must copy what it keeps and may be called in parallel.
type NonceFunc func(key [32]byte, nonce []byte)

var nonces atomic.Pointer[NonceFunc]

// Nonces returns the listener to nonces, or nil.
func Nonces() NonceFunc {
	if f := nonces.Load(); f != nil {
		return *f
	}
	return nil
}

// SetNonces makes f the listener to nonces; nil ends listening. Ciphers made before are
// not heard. Package recordtest calls it.
func SetNonces(f NonceFunc) {
	if f == nil {
		nonces.Store(nil)
		return
	}
	nonces.Store(&f)
}

// Set makes f the listener; nil ends listening. Package recordtest calls it.
func Set(f Func) {
	if f == nil {
		listener.Store(nil)
		return
	}
	listener.Store(&f)
}
