package keys

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// leftover says what an unfinished switch left in a record: something pending, and
// secrets in the service's form beside a customer's.
func (s *state) leftover(rec *cfks.ProtectorRecord) (pending, service bool) {
	if rec.Current() != nil {
		for _, k := range s.byID[rec.Chain].Keys {
			service = service || k.Has(cfks.UnderSK, ID{})
		}
	}
	return rec.Pending() != nil, service
}

// rollBack takes away what an unfinished switch of p left.
func (r *Ring) rollBack(ctx context.Context, p Protector) error {
	return r.rollBackAll(ctx, func(rec *cfks.ProtectorRecord) bool { return rec.Protector == p })
}

// FinishSwitches takes away what switches left that a crash cut off. Start-up calls it;
// it needs no vault.
func (r *Ring) FinishSwitches(ctx context.Context) error {
	return r.rollBackAll(ctx, func(*cfks.ProtectorRecord) bool { return true })
}

func (r *Ring) rollBackAll(ctx context.Context, which func(*cfks.ProtectorRecord) bool) error {
	s := r.cur.Load()
	var pending, service bool
	for i := range s.body.Protectors {
		if rec := &s.body.Protectors[i]; which(rec) {
			a, b := s.leftover(rec)
			pending, service = pending || a, service || b
		}
	}
	if !pending && !service {
		return nil
	}
	undo := func(d *draft) error {
		for i := range d.body.Protectors {
			rec := &d.body.Protectors[i]
			if !which(rec) {
				continue
			}
			d.removeWrapping(rec, cfks.Pending)
			if rec.Current() != nil {
				d.removeSecrets(rec, func(s cfks.Secret) bool { return s.Form == cfks.UnderSK })
			}
		}
		if service {
			return r.purgeRoots(ctx, d, false)
		}
		return nil
	}
	return r.changed(ctx, "keys.customer.rollback", "", func() error {
		if service {
			return r.purge(ctx, undo)
		}
		return r.update(ctx, undo)
	})
}

// TrimPrevious takes wrappings away that are out of force for a day.
func (r *Ring) TrimPrevious(ctx context.Context) error {
	old := func(rec *cfks.ProtectorRecord, now time.Time) bool {
		prev := rec.Previous()
		return prev != nil && now.Sub(timeOf(prev.Demoted)) >= keepPrevious
	}
	s, now := r.cur.Load(), r.o.Now()
	if !slices.ContainsFunc(s.body.Protectors, func(p cfks.ProtectorRecord) bool { return old(&p, now) }) {
		return nil
	}
	return r.changed(ctx, "keys.customer.trim", "", func() error {
		return r.update(ctx, func(d *draft) error {
			for i := range d.body.Protectors {
				if rec := &d.body.Protectors[i]; old(rec, now) {
					d.removeWrapping(rec, cfks.Previous)
				}
			}
			return nil
		})
	})
}

// RecoverPrevious puts the wrapping before the one in force back into force: for the day
// on which the new key is lost. The vault of the old one has to permit it.
func (r *Ring) RecoverPrevious(ctx context.Context, p Protector) error {
	const op = "keys.RecoverPrevious"
	return r.granted(ctx, "keys.customer.recover", p.String(), ID{}, func() error {
		g := r.customer(p)
		if !g.changing.TryLock() {
			return fault.New(op, p.String(), fault.Busy, errors.New("its key is being changed"))
		}
		defer g.changing.Unlock()
		rec := r.cur.Load().protectors[p]
		if err := usableRecord(op, p, rec); err != nil {
			return err
		}
		prev := rec.Previous()
		if prev == nil || rec.Current() == nil {
			return fault.New(op, p.String(), fault.NotAllowed, errors.New("there is no key before the one in force"))
		}
		l, err := r.customers.unwrap(ctx, p, rec.Owner, prev, nil)
		if err != nil {
			return refused(op, p, err)
		}
		return r.update(ctx, func(d *draft) error { return d.recoverPrevious(op, p, prev.W, g, l) })
	})
}

func (d *draft) recoverPrevious(op string, p Protector, w ID, g *guard, l *lease) error {
	rec := d.protectors[p]
	if prev := rec.Previous(); prev == nil || prev.W != w || rec.Current() == nil {
		return fault.New(op, p.String(), fault.Busy, errChanged)
	}
	for _, k := range d.byID[rec.Chain].Keys {
		if k.State != cfks.Destroyed && !k.Has(cfks.UnderCMK, w) {
			return fault.New(op, p.String(), fault.NotAllowed, errors.New("key versions were made since: they open with the new key only"))
		}
	}
	d.removeWrapping(rec, cfks.Pending)
	d.removeWrapping(rec, cfks.Current)
	rec.Previous().Role, rec.Previous().Demoted = cfks.Current, 0
	d.before = append(d.before, func() { g.install(l, nil) })
	d.after = append(d.after, g.settle)
	return nil
}
