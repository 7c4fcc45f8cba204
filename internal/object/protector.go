package object

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

// Fields of a protector row: the mirror, in meta, of what the key store says. Every
// transaction that makes a wrap reads it, so that a change conflicts with them.
const (
	protectorAdmin  = FirstField     // admin state, 1
	protectorEpoch  = FirstField + 1 // u64
	protectorActive = FirstField + 2 // kref of the Active version, 16
)

type protectorRow struct {
	admin  keys.AdminState
	epoch  uint64
	active keys.ID
}

func (p protectorRow) row(store keys.ID) *Row {
	r := &Row{Owner: store}
	r.Set(protectorAdmin, []byte{byte(p.admin)})
	r.Set(protectorEpoch, binary.BigEndian.AppendUint64(nil, p.epoch))
	r.Set(protectorActive, p.active[:])
	return r
}

func parseProtectorRow(r *Row) (protectorRow, error) {
	admin, epoch, active := r.Get(protectorAdmin), r.Get(protectorEpoch), r.Get(protectorActive)
	if len(admin) != 1 || len(epoch) != 8 || len(active) != 16 {
		return protectorRow{}, errSYS
	}
	return protectorRow{keys.AdminState(admin[0]), binary.BigEndian.Uint64(epoch), keys.ID(active)}, nil
}

// decodeProtectorRow is parseProtectorRow for wraps.
func decodeProtectorRow(r *Row) (protectorRow, error) {
	pr, err := parseProtectorRow(r)
	if err != nil {
		return protectorRow{}, fault.New("object.Wrap", Protectors.Name, fault.Corrupt, err)
	}
	return pr, nil
}

// protector reads the row of p, once in a transaction.
func (tx *Tx) protector(p keys.Protector) (protectorRow, error) {
	if pr, ok := tx.active[p]; ok {
		return pr, nil
	}
	key := p.Bytes()
	pr, err := Recall(tx, Protectors, tx.s.id, key[:], decodeProtectorRow)
	if errors.Is(err, meta.ErrNotFound) {
		return protectorRow{}, fault.New("object.Wrap", "", fault.KeyGone, errors.New("no such protector"))
	}
	if err != nil {
		return protectorRow{}, err
	}
	if tx.active == nil {
		tx.active = make(map[keys.Protector]protectorRow)
	}
	tx.active[p] = pr
	return pr, nil
}

// refusal says why the keys of a protector that is not enabled may not be used.
func (p protectorRow) refusal() error {
	if p.admin == keys.Disabled {
		return keys.ErrDisabled
	}
	return errors.New("its keys are destroyed")
}

// Permit fails with a fault of kind KeyGone unless an administrator lets the keys of p be
// used. In Update the transaction does not commit if that changes before it does. It does
// not ask after a customer's key: Need does.
func (tx *Tx) Permit(p keys.Protector) error {
	if p == keys.CPK {
		return nil
	}
	pr, err := tx.protector(p)
	if err != nil {
		return err
	}
	if pr.admin != keys.Enabled {
		return fault.New("object.Permit", "", fault.KeyGone, pr.refusal())
	}
	return nil
}

// Usable is Permit outside of transactions: it asks the key store itself, and where a
// customer's key has to be validated it waits for the vault.
func (s *Store) Usable(ctx context.Context, p keys.Protector) error {
	if p == keys.CPK {
		return nil
	}
	return s.ring.Usable(ctx, p)
}

// Shredded reports whether all keys of p were destroyed.
func (s *Store) Shredded(p keys.Protector) bool {
	info, ok := s.ring.Protector(p)
	return ok && info.Admin == keys.Shredded
}

// MirrorProtector is Mirror for one protector.
func (s *Store) MirrorProtector(ctx context.Context, p keys.Protector) error {
	info, ok := s.ring.Protector(p)
	if !ok {
		return fault.New("object.Mirror", p.String(), fault.ResourceNotFound, nil)
	}
	return s.mirror(ctx, []keys.ProtectorInfo{info})
}

// mirrorBatch is how many protectors one transaction looks at.
const mirrorBatch = 256

// Mirror sets the protector rows from the key store: at start, and after every change
// of a protector or rotation of a KEK, before the change is answered.
func (s *Store) Mirror(ctx context.Context) error {
	all := s.ring.Protectors()
	for len(all) > 0 {
		n := min(len(all), mirrorBatch)
		if err := s.mirror(ctx, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func (s *Store) mirror(ctx context.Context, ps []keys.ProtectorInfo) error {
	stale, err := s.staleProtectors(ctx, ps)
	if err != nil || len(stale) == 0 {
		return err
	}
	return s.Update(meta.WithReclaim(ctx), func(tx *Tx) error {
		for _, p := range stale {
			key := p.Protector.Bytes()
			want := protectorRow{p.Admin, p.Epoch, p.Active.Kref}
			if err := tx.Put(Protectors, key[:], want.row(s.id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// staleProtectors are those whose rows say something else than the key store.
func (s *Store) staleProtectors(ctx context.Context, ps []keys.ProtectorInfo) (stale []keys.ProtectorInfo, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		stale = stale[:0]
		for _, p := range ps {
			key := p.Protector.Bytes()
			r, err := tx.Get(Protectors, s.id, key[:])
			if err == nil {
				have, err := parseProtectorRow(r)
				if err == nil && have == (protectorRow{p.Admin, p.Epoch, p.Active.Kref}) {
					continue
				}
			} else if !errors.Is(err, meta.ErrNotFound) {
				return err
			}
			stale = append(stale, p)
		}
		return nil
	})
	return stale, err
}

// placesCount is the field of a places row: how often wraps under that version came
// into rows that did not hold them.
const placesCount = FirstField

func placesKey(p keys.Protector, kref keys.ID) []byte {
	b := p.Bytes()
	return append(b[:], kref[:]...)
}

// raisePlaces notes wraps under other than the Active version that r did not hold when
// it was read from this very key. A sweep that is past that key would miss them.
func (tx *Tx) raisePlaces(t Table, key []byte, r *Row) error {
	same := r.origin != "" && r.origin == string(t.Prefix)+string(key)
	for _, e := range r.DEKs {
		if e.Form != FormWrap || same && r.wraps[wrapID{e.ID, e.Kref()}] {
			continue
		}
		pr, err := tx.protector(e.Protector)
		if err != nil {
			return err
		}
		if e.Kref() == pr.active {
			continue
		}
		n, err := tx.places(e.Protector, e.Kref())
		if err != nil {
			return err
		}
		row := &Row{Owner: tx.s.id}
		row.Set(placesCount, binary.BigEndian.AppendUint64(nil, n+1))
		if err := tx.put(Places, placesKey(e.Protector, e.Kref()), row, nil); err != nil {
			return err
		}
	}
	return nil
}

// places reads the count of a version.
func (tx *Tx) places(p keys.Protector, kref keys.ID) (uint64, error) {
	r, err := tx.Get(Places, tx.s.id, placesKey(p, kref))
	if err != nil {
		return 0, notFoundIsNil(err)
	}
	n := r.Get(placesCount)
	if len(n) != 8 {
		return 0, fault.New("object.places", Places.Name, fault.Corrupt, errSYS)
	}
	return binary.BigEndian.Uint64(n), nil
}
