package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

// Tx is a transaction, or in View a snapshot. It is used by one goroutine, in f only.
type Tx struct {
	s   *Store
	r   meta.Reader
	w   meta.Tx         // nil in View
	ctx context.Context // of View or Update: names who asks

	active     map[keys.Protector]protectorRow // read in this transaction
	attached   []*Content
	holds      []held // protectors whose keys this transaction uses
	inlineRows int64
}

var errReadOnly = errors.New("object: write in a View")

// Get reads a row and opens its SYS under the owner's SYSK. It returns meta.ErrNotFound,
// or a fault of kind Corrupt when the row does not open.
func (tx *Tx) Get(t Table, owner keys.ID, key []byte) (*Row, error) {
	v, err := tx.r.Get(t.key(key))
	if err != nil {
		return nil, err
	}
	return tx.s.openRow(t, owner, key, v, nil)
}

// Put seals r under its owner's SYSK and writes it. Parts are written as they are.
func (tx *Tx) Put(t Table, key []byte, r *Row) error {
	if err := tx.raisePlaces(t, key, r); err != nil {
		return err
	}
	return tx.put(t, key, r, nil)
}

// put is Put for rows whose references count in deks.
func (tx *Tx) put(t Table, key []byte, r *Row, deks []keys.ID) error {
	if tx.w == nil {
		return errReadOnly
	}
	if t.Owned && !bytes.HasPrefix(key, r.Owner[:]) || !t.Owned && r.Owner != tx.s.id {
		return fmt.Errorf("object: row of table %s with another owner", t.Name)
	}
	r.Class = max(tx.s.classOf(r), tx.attachedClass(r))
	plain, err := encodeSYS(r, deks)
	if err != nil {
		return err
	}
	sys, err := tx.s.sealSYS(r.Owner, r.Class, tx.s.rowAAD(t, key), plain)
	if err != nil {
		return err
	}
	row := envelope.Row{SYS: sys}
	for _, p := range r.Parts {
		if err := p.check(r.Class); err != nil {
			return err
		}
		row.Parts = append(row.Parts, p.Sealed)
		if p.Kind == PartInline {
			tx.inlineRows++
		}
	}
	tx.w.Put(t.key(key), envelope.EncodeRow(row))
	return nil
}

// attachedClass is the class of the contents of this transaction that r names: a staged
// block names data keys without their protector.
func (tx *Tx) attachedClass(r *Row) extent.Class {
	class := extent.Single
	for _, c := range tx.attached {
		for _, p := range r.pieces {
			if slices.ContainsFunc(p.Refs, func(ref Ref) bool { return ref.DEKID == c.DEK.id }) {
				class = max(class, c.class)
			}
		}
	}
	return class
}

// Delete removes a row, and nothing that it names.
func (tx *Tx) Delete(t Table, key []byte) { tx.w.Delete(t.key(key)) }

// DeleteRange removes the rows with keys in [lo, hi); a nil hi is the end of the table.
func (tx *Tx) DeleteRange(t Table, lo, hi []byte) { tx.w.DeleteRange(t.key(lo), t.end(hi)) }

// Scan calls f for the rows with keys in [lo, hi) of one owner, in ascending order
// (descending with reverse), until f returns false. A nil hi is the end of the table.
// Key and row may be kept.
func (tx *Tx) Scan(t Table, owner keys.ID, lo, hi []byte, reverse bool, f func(key []byte, r *Row) (bool, error)) error {
	return tx.r.Scan(t.key(lo), t.end(hi), reverse, func(k, v []byte) (bool, error) {
		key := slices.Clone(k[1:])
		r, err := tx.s.openRow(t, owner, key, slices.Clone(v), nil)
		if err != nil {
			return false, err
		}
		return f(key, r)
	})
}

// openRow opens a value that the caller owns.
func (s *Store) openRow(t Table, owner keys.ID, key, value []byte, deks []keys.ID) (*Row, error) {
	r, err := s.parseRow(t, owner, key, value, deks)
	if fault.Is(err, fault.KeyGone) {
		return nil, err // not damage: it opens when its key is there again
	}
	if err != nil {
		s.onCorrupt(Damage{Table: t, Key: key, Err: err})
		return nil, fault.New("object.Get", t.Name, fault.Corrupt, err)
	}
	r.origin = string(t.Prefix) + string(key)
	for _, e := range r.DEKs {
		if r.wraps == nil {
			r.wraps = make(map[wrapID]bool, len(r.DEKs))
		}
		r.wraps[wrapID{e.ID, e.Kref()}] = true
	}
	return r, nil
}

func (s *Store) parseRow(t Table, owner keys.ID, key, value []byte, deks []keys.ID) (*Row, error) {
	sys, rest, err := envelope.SplitRow(value)
	if err != nil {
		return nil, err
	}
	kref, infra, plain, err := s.openSYS(owner, s.rowAAD(t, key), sys)
	if err != nil {
		return nil, err
	}
	r, sizes, err := decodeSYS(plain, deks)
	if err != nil {
		return nil, err
	}
	r.Owner, r.system, r.infra = owner, kref, infra
	for i, n := range sizes {
		if uint64(n) > uint64(len(rest)) || n == 0 {
			return nil, errSYS
		}
		r.Parts[i].Sealed = rest[:n:n]
		rest = rest[n:]
		if err := r.Parts[i].check(r.Class); err != nil {
			return nil, err
		}
	}
	if len(rest) > 0 || (r.chunk != nil) != (t == Chunk) {
		return nil, errSYS
	}
	if (r.Class == extent.Double) != envelope.IsInfra(sys) || r.Class < s.least(r) {
		return nil, errClass
	}
	return r, nil
}

// check compares what a part says about itself with its entry in SYS. What passes can
// be written again. Of the second layer only its presence is seen here.
func (p Part) check(class extent.Class) error {
	if (class == extent.Double) != envelope.IsInfra(p.Sealed) {
		return errClass
	}
	if class == extent.Double {
		return nil
	}
	return p.checkInner(p.Sealed)
}

// checkInner is check without the second layer.
func (p Part) checkInner(b []byte) error {
	if p.Kind == PartInline {
		h, err := segment.ParseHeader(b)
		if err != nil {
			return err
		}
		if _, err := segment.PlainSize(int64(len(b)), h.Lg); err != nil {
			return err
		}
		if h.Chunk != p.VID {
			return errSYS
		}
		return nil
	}
	kref, err := envelope.ValueKeyref(b)
	if err == nil && kref != p.Keyref {
		err = errSYS
	}
	return err
}

// rowAAD binds a row to its place.
func (s *Store) rowAAD(t Table, key []byte) []byte {
	return enc.Encode("coffer/row/v1", s.id[:], []byte(t.Name), key)
}

// notFoundIsNil is for rows that may be gone already.
func notFoundIsNil(err error) error {
	if errors.Is(err, meta.ErrNotFound) {
		return nil
	}
	return err
}
