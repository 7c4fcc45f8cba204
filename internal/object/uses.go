package object

import (
	"bytes"
	"context"
	"slices"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

// Holding is a content that a key protects: it has a data key wrapped under it.
type Holding struct {
	Table  Table
	Key    []byte // of the row
	Length int64
	Wraps  []DEKEntry // those that were asked for
}

// Uses calls f for every row of an owner that has a data key which match picks, in one
// snapshot. It fails when a row does not open: then the list is not complete.
func (s *Store) Uses(ctx context.Context, owner keys.ID, match func(DEKEntry) bool, f func(Holding) error) error {
	return classify("object.Uses", s.View(ctx, func(tx *Tx) error {
		for _, t := range Tables() {
			if !t.Wraps || t.Owned == (owner == s.id) {
				continue
			}
			var lo, hi []byte
			if t.Owned {
				lo, hi = owner[:], prefixEnd(owner[:])
			}
			err := tx.Scan(t, owner, lo, hi, false, func(key []byte, r *Row) (bool, error) {
				u := Holding{Table: t, Key: key, Length: r.Length()}
				for _, e := range r.DEKs {
					if match(e) {
						u.Wraps = append(u.Wraps, e)
					}
				}
				if len(u.Wraps) == 0 {
					return true, ctx.Err()
				}
				return true, f(u)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// ForgetOwner removes every row of an owner whose keys are destroyed, unread: they do
// not open any more. What lies in extents goes with ForgetPlaces, afterwards. also runs
// in the same transaction.
func (s *Store) ForgetOwner(ctx context.Context, owner keys.ID, also func(*Tx) error) error {
	return s.Update(meta.WithReclaim(ctx), func(tx *Tx) error {
		for _, t := range Tables() {
			if t.Owned {
				tx.DeleteRange(t, owner[:], prefixEnd(owner[:]))
			}
		}
		return also(tx)
	})
}

// ForgetPlaces takes up to n chunks of an owner whose rows are gone out of their extents,
// which the collector then frees. It reports whether these were all.
func (s *Store) ForgetPlaces(ctx context.Context, owner keys.ID, n int) (rows int, done bool, err error) {
	var found [][]byte
	err = s.View(ctx, func(tx *Tx) error {
		found = found[:0]
		return tx.r.Scan(Place.key(nil), Place.end(nil), false, func(k, _ []byte) (bool, error) {
			if len(k) == 1+56 && bytes.Equal(k[1+24:1+40], owner[:]) {
				found = append(found, slices.Clone(k[1:]))
			}
			return len(found) < n, ctx.Err()
		})
	})
	if err != nil {
		return 0, false, classify("object.ForgetPlaces", err)
	}
	err = s.Update(meta.WithReclaim(ctx), func(tx *Tx) error {
		for _, key := range found {
			tx.Delete(Place, key)
			if err := tx.markDead([16]byte(key[:16])); err != nil {
				return err
			}
		}
		return nil
	})
	return len(found), len(found) < n, err
}
