// Package vfsframe is the framing of the encrypting file system below the LSM and
// the audit log: format CFV1, without any I/O of its own.
//
// A file is a header and frames under a key of its own, derived from a VFSK:
//
//	header:   "CFV1" ver suite class area  VFSK kref (16)  file id (16)  salt (32)  commitment C (32)
//	class 1:  frames nonce (12) || ct (4,096; the last may be shorter) || tag (16)
//	class 2:  frames M (8) || len u32 || seq u64 || syncedSeq u64 || nonce (12) || ct (len) || tag (16)
//
// Class 1 is written once and read anywhere; its frames are bound to their index,
// and the last one says that it is the last. Class 2 is appended to and read from the
// start; a frame says how much of the file was known to be durable when it was
// written, so that a reader can tell a tail that was never synced, which is the
// normal end after a power cut, from damage to something that was.
//
// The header, class, file number and store id are inputs of the derivation: a file of
// another store or number, or with another header, does not open. The extension of a
// name is not bound. The layout is fixed by spec/sealedfs.md; vectors are in
// spec/testkit/vfs.
package vfsframe

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/internal/aead"
	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	// HeaderSize is the number of bytes before the first frame of every file.
	HeaderSize = 104
	// boundSize is the part of the header that enters the derivation.
	boundSize = 72
	// gcmOverhead is nonce and tag.
	gcmOverhead = aead.Overhead
)

var (
	// ErrFormat says that bytes do not have the form of the format.
	ErrFormat = errors.New("vfsframe: wrong form")
	// ErrOpen says that bytes do not authenticate.
	ErrOpen = errors.New("vfsframe: does not open")
	// ErrTail says that a frame is damaged that was known to be durable.
	ErrTail = errors.New("vfsframe: a synced frame is missing or damaged")
	// ErrLimit refuses a file of 2^32 frames.
	ErrLimit = errors.New("vfsframe: too many frames under one key")
)

// Class is how a file is written. It is bound.
type Class uint8

const (
	WriteOnce Class = 1
	Append    Class = 2
)

// Area is the part of the data directory that a file belongs to. It is bound.
type Area uint8

const (
	LSM   Area = 1
	Audit Area = 2
)

// Kind is what a file is for. Only its Class is bound.
type Kind uint8

const (
	Table Kind = 1 // .sst, .blob
	Log   Kind = 2 // .log
	Other Kind = 3 // MANIFEST, OPTIONS, audit
)

// Class returns how files of the kind are written.
func (k Kind) Class() Class {
	if k == Table {
		return WriteOnce
	}
	return Append
}

// record names the kind in a recording of plaintext.
func (k Kind) record() string {
	switch k {
	case Table:
		return record.SST
	case Log:
		return record.WAL
	default:
		return record.VFS
	}
}

// ID says which file it is.
type ID struct {
	Kind   Kind
	Area   Area
	Number uint64
	Store  [16]byte
}

// Header is the clear part of a file.
type Header struct {
	Class  Class
	Area   Area
	Kref   [16]byte // of the VFSK
	FileID [16]byte
	Salt   [32]byte
	C      [32]byte
}

// ParseHeader reads a header. Whether it is genuine is found out by Open.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) != HeaderSize || string(b[:4]) != "CFV1" || b[4] != 1 || b[5] != 1 {
		return Header{}, ErrFormat
	}
	h.Class, h.Area = Class(b[6]), Area(b[7])
	if h.Class != WriteOnce && h.Class != Append || h.Area != LSM && h.Area != Audit {
		return Header{}, ErrFormat
	}
	copy(h.Kref[:], b[8:])
	copy(h.FileID[:], b[24:])
	copy(h.Salt[:], b[40:])
	copy(h.C[:], b[72:])
	return h, nil
}

// Bytes returns the header as it is stored.
func (h *Header) Bytes() []byte {
	b := make([]byte, 0, HeaderSize)
	b = append(b, "CFV1\x01\x01"...)
	b = append(b, byte(h.Class), byte(h.Area))
	b = append(b, h.Kref[:]...)
	b = append(b, h.FileID[:]...)
	b = append(b, h.Salt[:]...)
	return append(b, h.C[:]...)
}

// Codec seals and opens the frames of one file. It is safe in parallel.
type Codec struct {
	aead   cipher.AEAD
	marker [8]byte
	kind   Kind
}

// Create begins a file under the VFSK that kref names: it draws file id and salt and
// returns the header, which must be stored first.
func Create(k secret.Key, kref [16]byte, id ID) (*Codec, []byte, error) {
	h := Header{Class: id.Kind.Class(), Area: id.Area, Kref: kref}
	rand.Read(h.FileID[:])
	rand.Read(h.Salt[:])
	c, commitment, err := derive(k, &h, id)
	if err != nil {
		return nil, nil, err
	}
	h.C = commitment
	return c, h.Bytes(), nil
}

// Open reads the header of a file. It asks key for the VFSK that the header names;
// no other key is ever tried.
func Open(header []byte, id ID, key func(kref [16]byte) (secret.Key, error)) (*Codec, error) {
	h, err := ParseHeader(header)
	if err != nil {
		return nil, err
	}
	if h.Class != id.Kind.Class() || h.Area != id.Area {
		return nil, ErrFormat
	}
	k, err := key(h.Kref)
	if err != nil {
		return nil, err
	}
	c, commitment, err := derive(k, &h, id)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(commitment[:], h.C[:]) != 1 {
		return nil, ErrOpen
	}
	return c, nil
}

// derive is coffer/vfs/v1: 32 bytes of key, 32 of commitment, 8 of marker.
func derive(k secret.Key, h *Header, id ID) (*Codec, [32]byte, error) {
	info := enc.Encode("coffer/vfs/v1", h.Bytes()[:boundSize],
		enc.Uint(uint64(h.Class)), enc.Uint(id.Number), id.Store[:])
	c := &Codec{kind: id.Kind}
	var commitment [32]byte
	err := k.Use(func(ikm []byte) error {
		out := enc.Derive(ikm, h.Salt[:], info, 72)
		defer clear(out)
		c.aead = aead.New(out[:32])
		copy(commitment[:], out[32:64])
		copy(c.marker[:], out[64:])
		return nil
	})
	return c, commitment, err
}
