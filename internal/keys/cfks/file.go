package cfks

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
)

// Limits of a file. A store of 10,000 customer-managed scopes is 10 MiB.
const (
	MaxFile  = 64 << 20
	MaxSlots = 64
	maxSlot  = 16 << 10 // params, blob

	magic         = "CFKS"
	version       = 1
	signature     = 1  // Ed25519
	headSize      = 98 // up to and with the slot count
	signatureSize = 64
	minBody       = 94 // SEAL-1 of nothing

	lastProvider = 6
)

// File is the clear form of a key-store file.
type File struct {
	Dev            bool
	Store          ID
	Generation     uint64
	SRKRef, IRKRef ID
	Identity       [32]byte // public key that signs
	Slots          []Slot   // in ascending order of their ids
	Body           []byte   // SEAL-1
	Signature      [64]byte
}

// Slot is one wrapped root.
type Slot struct {
	ID           ID
	Root         Root
	Provider     uint8
	Params, Blob []byte
}

// RootRef is the name of the root that f holds.
func (f *File) RootRef(r Root) ID {
	if r == IRK {
		return f.IRKRef
	}
	return f.SRKRef
}

// Head is everything before the length of the body: what the body is bound to.
func (f *File) Head() []byte {
	b := make([]byte, 0, headSize+len(f.Slots)*256)
	b = append(b, magic...)
	b = append(b, version, signature)
	b = appendFlag(b, f.Dev)
	b = append(b, 0)
	b = append(b, f.Store[:]...)
	b = binary.BigEndian.AppendUint64(b, f.Generation)
	b = append(b, f.SRKRef[:]...)
	b = append(b, f.IRKRef[:]...)
	b = append(b, f.Identity[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.Slots)))
	for _, s := range f.Slots {
		b = append(b, s.ID[:]...)
		b = append(b, byte(s.Root), s.Provider)
		b = appendBytes(b, s.Params)
		b = appendBytes(b, s.Blob)
	}
	return b
}

// BodyAAD is what the seal of the body binds.
func (f *File) BodyAAD() []byte { return enc.Encode("coffer/keystore/v1", f.Head()) }

// Signed is the text of the signature.
func (f *File) Signed() []byte {
	return enc.Encode("coffer/keystore/sig/v1", appendBytes(f.Head(), f.Body))
}

// Encode returns the stored form.
func (f *File) Encode() []byte { return append(appendBytes(f.Head(), f.Body), f.Signature[:]...) }

// Generation reads the generation that the head of a file claims, for drivers that
// choose which copy to write over. It proves nothing.
func Generation(b []byte) (uint64, bool) {
	if len(b) < headSize || string(b[:4]) != magic || b[4] != version {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[24:]), true
}

// Parse reads a file. It checks form only: not the signature, and nothing is opened.
func Parse(b []byte) (*File, error) {
	if len(b) > MaxFile {
		return nil, formf("file of %d bytes", len(b))
	}
	c := &cursor{b: b}
	f := &File{}
	if err := f.parseHead(c); err != nil {
		return nil, err
	}
	f.parseSlots(c)
	f.Body = c.bytes(MaxFile, "body")
	if c.err == nil && len(f.Body) < minBody {
		c.fail("body of %d bytes", len(f.Body))
	}
	copy(f.Signature[:], c.take(signatureSize, "signature"))
	if len(c.b) != 0 {
		c.fail("%d bytes after the signature", len(c.b))
	}
	if c.err != nil {
		return nil, c.err
	}
	return f, nil
}

func (f *File) parseHead(c *cursor) error {
	if string(c.take(4, "magic")) != magic {
		c.fail("not a key store")
	}
	if v := c.u8("version"); c.err == nil && v != version {
		if v > version {
			return fmt.Errorf("%w: version %d", ErrNewer, v)
		}
		c.fail("version %d", v)
	}
	if v := c.u8("signature kind"); v != signature {
		c.fail("signature kind %d", v)
	}
	f.Dev = c.flag("flags")
	if v := c.u8("zero"); v != 0 {
		c.fail("byte 7 is %d", v)
	}
	f.Store = c.id("store id")
	f.Generation = c.u64("generation")
	f.SRKRef = c.id("SRK ref")
	f.IRKRef = c.id("IRK ref")
	copy(f.Identity[:], c.take(len(f.Identity), "identity"))
	if c.err == nil && (f.Store.IsZero() || f.Generation == 0 || f.SRKRef.IsZero() || f.IRKRef.IsZero() || f.SRKRef == f.IRKRef) {
		c.fail("head names nothing")
	}
	return c.err
}

func (f *File) parseSlots(c *cursor) {
	n := int(c.u16("slot count"))
	if n > MaxSlots {
		c.fail("%d slots, limit %d", n, MaxSlots)
	}
	for i := 0; i < n && c.err == nil; i++ {
		s := Slot{
			ID:       c.id("slot id"),
			Root:     Root(c.enum(uint8(IRK), "root of a slot")),
			Provider: c.enum(lastProvider, "provider of a slot"),
			Params:   c.bytes(maxSlot, "slot params"),
			Blob:     c.bytes(maxSlot, "slot blob"),
		}
		if i > 0 && bytes.Compare(f.Slots[i-1].ID[:], s.ID[:]) >= 0 {
			c.fail("slots are not in order")
		}
		f.Slots = append(f.Slots, s)
	}
}
