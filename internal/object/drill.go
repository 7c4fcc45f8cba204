package object

import (
	"context"
	"slices"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/keys"
)

// DrillKey proves that ring, opened from a copy of the key store, can open the data of
// p: it opens the first wrap of p that any row holds. opened is false when there is none.
func (s *Store) DrillKey(ctx context.Context, ring *keys.Ring, p keys.Protector) (opened bool, err error) {
	info, ok := s.ring.Protector(p)
	if !ok {
		return false, nil
	}
	e, found, err := s.anyWrap(ctx, info.Owner, p)
	if err != nil || !found {
		return false, classify("object.DrillKey", err)
	}
	v, kek, err := ring.KEKByRef(ctx, p, e.Kref())
	if err != nil {
		return false, keyFault("object.DrillKey", err)
	}
	k, err := keywrap.Unwrap(kek, v.Kref, wrapAAD(info.Owner, v, p, e.ID), e.Wrap)
	if err != nil {
		return false, err
	}
	k.Destroy()
	return true, nil
}

// anyWrap finds a wrap of p.
func (s *Store) anyWrap(ctx context.Context, owner keys.ID, p keys.Protector) (e DEKEntry, found bool, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		for _, t := range Tables() {
			if !t.Wraps || !t.Owned && owner != s.id || found {
				continue
			}
			var lo, hi []byte
			if t.Owned {
				lo, hi = owner[:], prefixEnd(owner[:])
			}
			err := tx.Scan(t, owner, lo, hi, false, func(_ []byte, r *Row) (bool, error) {
				i := slices.IndexFunc(r.DEKs, func(e DEKEntry) bool { return e.Protector == p && e.Form == FormWrap })
				if i >= 0 {
					e, found = r.DEKs[i], true
				}
				return !found, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return e, found, err
}
