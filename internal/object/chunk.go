package object

import (
	"encoding/binary"

	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
)

// chunkLg is log2 of the segment size of everything written here. Page blobs and files
// will use 12.
const chunkLg = 16

// ChunkState says whether a chunk is sound.
type ChunkState uint8

// States of a chunk.
const (
	ChunkLive        ChunkState = 1
	ChunkQuarantined ChunkState = 2 // some of it did not authenticate
	ChunkDead        ChunkState = 3 // not written by this version: dead chunks lose their row
)

// chunkInfo is tag 6 of a chunk row.
type chunkInfo struct {
	lg     uint8
	length uint32 // plaintext
	stored uint32 // CFC1
	crc    uint32 // CRC-32C of the CFC1
	state  ChunkState
	place  extent.Place // zero: INLINE part
}

const placeSize = 32

func (c *chunkInfo) inline() bool { return c.place == extent.Place{} }

func (c *chunkInfo) append(b []byte) []byte {
	b = append(b, c.lg)
	b = binary.BigEndian.AppendUint32(b, c.length)
	b = binary.BigEndian.AppendUint32(b, c.stored)
	b = binary.BigEndian.AppendUint32(b, c.crc)
	b = append(b, byte(c.state))
	if c.inline() {
		return b
	}
	return appendPlace(b, c.place)
}

func parseChunk(b []byte) (*chunkInfo, error) {
	if len(b) != 14 && len(b) != 14+placeSize {
		return nil, errSYS
	}
	c := &chunkInfo{
		lg:     b[0],
		length: binary.BigEndian.Uint32(b[1:]),
		stored: binary.BigEndian.Uint32(b[5:]),
		crc:    binary.BigEndian.Uint32(b[9:]),
		state:  ChunkState(b[13]),
	}
	if c.state < ChunkLive || c.state > ChunkDead || c.lg < segment.MinLg || c.lg > segment.MaxLg ||
		c.length == 0 || c.length > segment.MaxPlain || int64(c.stored) != segment.SealedSize(int64(c.length), c.lg) {
		return nil, errSYS
	}
	if len(b) > 14 {
		c.place = parsePlace(b[14:])
		if c.inline() || c.place.Length != uint64(c.stored) {
			return nil, errSYS
		}
	}
	return c, nil
}

func appendPlace(b []byte, p extent.Place) []byte {
	b = append(b, p.Extent[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Offset)
	return binary.BigEndian.AppendUint64(b, p.Length)
}

func parsePlace(b []byte) extent.Place {
	return extent.Place{
		Extent: [16]byte(b[:16]),
		Offset: binary.BigEndian.Uint64(b[16:]),
		Length: binary.BigEndian.Uint64(b[24:]),
	}
}

// chunkKey is the key of a chunk row.
func chunkKey(owner, chunk keys.ID) []byte {
	return append(append(make([]byte, 0, 32), owner[:]...), chunk[:]...)
}

// placeKey is the key of a place row: all chunks of an extent lie together, in order.
func placeKey(p extent.Place, owner, chunk keys.ID) []byte {
	b := append(make([]byte, 0, 56), p.Extent[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Offset)
	b = append(b, owner[:]...)
	return append(b, chunk[:]...)
}

// placeLength is the field of a place row that holds the length of the chunk there.
const placeLength = FirstField

// placeDouble is the field that a place of class double has beside it.
const placeDouble = FirstField + 1

// placed is a place row.
type placed struct {
	place extent.Place
	owner keys.ID
	chunk keys.ID
}

func parsePlaced(key []byte, r *Row) (placed, error) {
	n, double := r.Get(placeLength), r.All(placeDouble)
	if len(key) != 56 || len(n) != 8 || len(double) > 1 || len(double) == 1 && len(double[0]) != 0 {
		return placed{}, errSYS
	}
	return placed{
		place: extent.Place{
			Extent: [16]byte(key[:16]),
			Offset: binary.BigEndian.Uint64(key[16:]),
			Length: binary.BigEndian.Uint64(n),
			Double: len(double) == 1,
		},
		owner: keys.ID(key[24:40]),
		chunk: keys.ID(key[40:56]),
	}, nil
}

// putPlace writes the place row of a chunk.
func (tx *Tx) putPlace(p extent.Place, owner, chunk keys.ID) error {
	r := &Row{Owner: tx.s.id}
	r.Set(placeLength, binary.BigEndian.AppendUint64(nil, p.Length))
	if p.Double {
		r.Set(placeDouble, []byte{})
	}
	return tx.Put(Place, placeKey(p, owner, chunk), r)
}

// freeChunk removes the rows of a chunk and notes its extent for collection. A row that
// does not open says not where its chunk lies: it stays, and verify names it.
func (tx *Tx) freeChunk(owner, chunk keys.ID) (freed bool, err error) {
	key := chunkKey(owner, chunk)
	r, err := tx.Get(Chunk, owner, key)
	if fault.Is(err, fault.Corrupt) {
		return false, nil
	}
	if err != nil {
		return false, notFoundIsNil(err) // freed before, by a run that was cut off
	}
	tx.Delete(Chunk, key)
	if r.chunk.inline() {
		return true, nil
	}
	tx.Delete(Place, placeKey(r.chunk.place, owner, chunk))
	return true, tx.markDead(r.chunk.place.Extent)
}

// markDead notes an extent for collection.
func (tx *Tx) markDead(id [16]byte) error {
	return tx.Put(Dead, id[:], &Row{Owner: tx.s.id})
}
