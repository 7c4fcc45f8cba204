package object

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
)

const (
	// inlinePieces bounds the pieces, and the references, that lie in a content row.
	// Longer contents have map rows, so that a listing does not carry them.
	inlinePieces = 64
	// mapPieces is how many pieces one map row holds: few, since a range read decodes a
	// whole row.
	mapPieces = 16
)

// SetPieces makes ps the content of r, in short rows inside SYS, else in new map rows.
// Of r.DEKs it keeps those that ps and the metadata part name, and at least one. The
// chunks that r named before are not freed: that is Release.
//
// A row without DEKs (a staged block) names the data keys only.
func (tx *Tx) SetPieces(r *Row, ps []Piece) error {
	refs := 0
	for i := range ps {
		n, err := pieceLength(ps[i])
		if err != nil {
			return err
		}
		ps[i].Length = n
		refs += len(ps[i].Refs)
	}
	if len(r.DEKs) > 0 {
		if err := keepDEKs(r, ps); err != nil {
			return err
		}
	}
	r.mapped = mapping{}
	r.pieces = nil
	if len(ps) <= inlinePieces && refs <= inlinePieces {
		r.pieces = ps
		return nil
	}
	if len(r.DEKs) == 0 {
		return fmt.Errorf("object: %d references in a row without data keys", refs)
	}
	return tx.putMap(r, ps)
}

func pieceLength(p Piece) (int64, error) {
	var n int64
	for _, ref := range p.Refs {
		if ref.Length == 0 {
			return 0, errors.New("object: empty reference")
		}
		n += int64(ref.Length)
	}
	if n == 0 || p.Length != 0 && p.Length != n {
		return 0, fmt.Errorf("object: piece of %d bytes has references of %d", p.Length, n)
	}
	return n, nil
}

// keepDEKs drops the data keys that nothing in r names any more. The one of the
// metadata comes first, because that is how its part is opened.
func keepDEKs(r *Row, ps []Piece) error {
	named := make(map[keys.ID]bool)
	for _, p := range ps {
		for _, ref := range p.Refs {
			named[ref.DEKID] = true
		}
	}
	var kept []DEKEntry
	if m, ok := r.Part(PartMeta); ok {
		e, ok := r.DEK(m.Keyref)
		if !ok {
			return errors.New("object: metadata under a data key that the row does not hold")
		}
		kept = append(kept, e)
		delete(named, e.ID)
	}
	for _, e := range r.DEKs {
		if named[e.ID] {
			kept = append(kept, e)
			delete(named, e.ID)
		}
	}
	if len(named) > 0 {
		return errors.New("object: reference under a data key that the row does not hold")
	}
	if len(kept) > maxDEKs {
		return fault.New("object.SetPieces", "", fault.NotAllowed, errors.New("a content cannot have more than 255 data keys"))
	}
	if len(kept) == 0 {
		kept = r.DEKs[:1]
	}
	r.DEKs = slices.Clone(kept)
	return nil
}

// mapKey is the key of the map row whose pieces end at end: seeking an offset finds the
// first row that ends behind it.
func mapKey(owner, id keys.ID, end int64) []byte {
	b := append(make([]byte, 0, 40), owner[:]...)
	b = append(b, id[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(end))
}

// mapEnd is the upper end of all rows of a map.
func mapEnd(owner, id keys.ID) []byte {
	return append(mapKey(owner, id, -1), 0) // -1 is the greatest as u64
}

// putMap writes map rows for ps and names them in r.
func (tx *Tx) putMap(r *Row, ps []Piece) error {
	m := mapping{id: keys.NewID(), count: len(ps)}
	table, class := dekIDs(r.DEKs), tx.s.classOf(r)
	for batch := range slices.Chunk(ps, mapPieces) {
		row := &Row{Owner: r.Owner, Class: class, pieces: batch, base: uint64(m.length)}
		for _, p := range batch {
			m.length += p.Length
		}
		if err := tx.put(Map, mapKey(r.Owner, m.id, m.length), row, table); err != nil {
			return err
		}
	}
	r.mapped = m
	return nil
}

// Pieces calls f for the pieces of r's content in order, until f returns false.
func (tx *Tx) Pieces(r *Row, f func(Piece) (bool, error)) error {
	return tx.piecesFrom(r, 0, func(_ int64, p Piece) (bool, error) { return f(p) })
}

// piecesFrom calls f for the pieces that end behind off, with the offset of each.
func (tx *Tx) piecesFrom(r *Row, off int64, f func(at int64, p Piece) (bool, error)) error {
	if r.mapped.count == 0 {
		_, err := eachPiece(r, off, f)
		return err
	}
	return tx.mapRows(r, mapKey(r.Owner, r.mapped.id, off+1), func(row *Row) (bool, error) {
		return eachPiece(row, off, f)
	})
}

// eachPiece calls f for the pieces in one row that end behind off.
func eachPiece(r *Row, off int64, f func(at int64, p Piece) (bool, error)) (more bool, err error) {
	at := int64(r.base)
	for _, p := range r.pieces {
		if at+p.Length > off {
			if more, err := f(at, p); err != nil || !more {
				return false, err
			}
		}
		at += p.Length
	}
	return true, nil
}

// mapRows calls f for the map rows of r from lo on.
func (tx *Tx) mapRows(r *Row, lo []byte, f func(*Row) (bool, error)) error {
	table := dekIDs(r.DEKs)
	return tx.r.Scan(Map.key(lo), Map.key(mapEnd(r.Owner, r.mapped.id)), false, func(k, v []byte) (bool, error) {
		key := slices.Clone(k[1:])
		row, err := tx.s.openRow(Map, r.Owner, key, slices.Clone(v), table)
		if err != nil {
			return false, err
		}
		if end := binary.BigEndian.Uint64(key[32:]); row.base+uint64(row.Length()) != end {
			return false, fault.New("object.Pieces", Map.Name, fault.Corrupt, errSYS)
		}
		return f(row)
	})
}
