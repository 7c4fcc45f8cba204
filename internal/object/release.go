package object

import (
	"encoding/binary"
	"slices"

	"github.com/coffer-storage/coffer/internal/keys"
)

// Fields of a garbage row: content that no row names any more.
const (
	garbageOwner = FirstField     // owner of the chunks
	garbageDEK   = FirstField + 1 // data keys of the content, repeated, in its order
	garbageChunk = FirstField + 2 // chunk id, repeated
	garbageMap   = FirstField + 3 // map id, u8: 1 with its chunks, 2 map rows only
)

// How much of a map is garbage.
const (
	mapWithChunks = 1
	mapRowsOnly   = 2
)

// garbageRefs is how many chunks one garbage row names.
const garbageRefs = 1024

// garbagePrefix begins the keys of released contents in table garbage. Other kinds of
// garbage are their services'.
const garbagePrefix = 'R'

// garbageKey is 'R' || time || random: oldest first.
func (s *Store) garbageKey() []byte {
	b := binary.BigEndian.AppendUint64([]byte{garbagePrefix}, uint64(s.now().UnixNano()))
	id := keys.NewID()
	return append(b, id[:8]...)
}

// Release drops the content of r, and makes r empty, in one garbage row however long it
// is. With keep, chunks for which it returns true stay: they go on in another row of
// the same transaction. Then the cost is one call for each reference.
func (tx *Tx) Release(r *Row, keep func(chunk keys.ID) bool) error {
	defer func() { r.pieces, r.mapped = nil, mapping{} }()
	deks := dekIDs(r.DEKs)
	if keep == nil && r.mapped.count > 0 {
		return tx.putGarbage(r.Owner, deks, nil, r.mapped.id, mapWithChunks)
	}
	var drop []keys.ID
	seen := make(map[keys.ID]bool)
	err := tx.Pieces(r, func(p Piece) (bool, error) {
		for _, ref := range p.Refs {
			if !seen[ref.Chunk] && (keep == nil || !keep(ref.Chunk)) {
				drop = append(drop, ref.Chunk)
			}
			seen[ref.Chunk] = true
			if len(deks) == 0 {
				deks = append(deks, ref.DEKID) // a staged block
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if r.mapped.count > 0 {
		if err := tx.putGarbage(r.Owner, deks, nil, r.mapped.id, mapRowsOnly); err != nil {
			return err
		}
	}
	return tx.dropChunks(r.Owner, deks, drop)
}

// ReleaseRefs drops chunks that no row names after this transaction.
func (tx *Tx) ReleaseRefs(owner keys.ID, refs []Ref) error {
	var deks, chunks []keys.ID
	seen := make(map[keys.ID]bool)
	for _, ref := range refs {
		if !slices.Contains(deks, ref.DEKID) {
			deks = append(deks, ref.DEKID)
		}
		if !seen[ref.Chunk] {
			chunks = append(chunks, ref.Chunk)
		}
		seen[ref.Chunk] = true
	}
	return tx.dropChunks(owner, deks, chunks)
}

func (tx *Tx) dropChunks(owner keys.ID, deks, chunks []keys.ID) error {
	for batch := range slices.Chunk(chunks, garbageRefs) {
		if err := tx.putGarbage(owner, deks, batch, keys.ID{}, 0); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) putGarbage(owner keys.ID, deks, chunks []keys.ID, mapID keys.ID, how byte) error {
	r := &Row{Owner: tx.s.id}
	r.Set(garbageOwner, owner[:])
	r.Set(garbageDEK, idBytes(deks)...)
	r.Set(garbageChunk, idBytes(chunks)...)
	if how != 0 {
		r.Set(garbageMap, append(mapID[:], how))
	}
	return tx.Put(Garbage, tx.s.garbageKey(), r)
}

func idBytes(ids []keys.ID) [][]byte {
	bs := make([][]byte, len(ids))
	for i := range ids {
		bs[i] = ids[i][:]
	}
	return bs
}

// garbage is a garbage row.
type garbage struct {
	key    []byte
	owner  keys.ID
	deks   []keys.ID // its Readers hold them; its map rows count in them
	chunks []keys.ID
	mapID  keys.ID
	how    byte
}

func parseGarbage(key []byte, r *Row) (garbage, error) {
	g := garbage{key: key}
	owner := r.Get(garbageOwner)
	if len(owner) != 16 {
		return g, errSYS
	}
	g.owner = keys.ID(owner)
	var err error
	if g.deks, err = parseIDs(r.All(garbageDEK)); err != nil {
		return g, err
	}
	if g.chunks, err = parseIDs(r.All(garbageChunk)); err != nil {
		return g, err
	}
	if m := r.Get(garbageMap); m != nil {
		if len(m) != 17 || m[16] != mapWithChunks && m[16] != mapRowsOnly {
			return g, errSYS
		}
		g.mapID, g.how = keys.ID(m[:16]), m[16]
	}
	return g, nil
}

func parseIDs(vs [][]byte) ([]keys.ID, error) {
	ids := make([]keys.ID, len(vs))
	for i, v := range vs {
		if len(v) != 16 {
			return nil, errSYS
		}
		ids[i] = keys.ID(v)
	}
	return ids, nil
}
