package keys

import (
	"context"
	"errors"
	"slices"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// keepPrevious is how long the wrapping before the one in force stays.
const keepPrevious = day

// switchKey moves the KEKs of a protector under another key; a nil target is the
// service's. Every step is one Swap after which the protector is usable as before, or as
// after; what a crash leaves is taken away by FinishSwitches.
func (r *Ring) switchKey(ctx context.Context, p Protector, target *VaultRef, follow bool) error {
	const op = "keys.SetVaultKey"
	g := r.customer(p)
	if !g.changing.TryLock() {
		return fault.New(op, p.String(), fault.Busy, errors.New("its key is being changed"))
	}
	defer g.changing.Unlock()
	// 1. The key in force opens, asked of its vault now; the new one fits.
	from, err := r.unlockNow(ctx, op, p)
	if err != nil {
		return err
	}
	if target == nil {
		if from.cur == nil {
			return nil
		}
		return r.toService(ctx, op, from)
	}
	n, err := r.customers.wrapNew(ctx, p, from.rec.Owner, *target, follow)
	if err != nil {
		return err
	}
	defer n.drop()
	if same := from.cur; same != nil && same.KeyURI == n.ref.String() && same.Identity == n.ref.Identity &&
		same.FederatedClient == n.ref.FederatedClientID {
		return r.setFollow(ctx, op, p, same.W, follow)
	}
	return r.toVault(ctx, op, from, n)
}

// unlocked is a protector whose KEKs can be opened.
type unlocked struct {
	p   Protector
	rec *cfks.ProtectorRecord
	cur *cfks.Wrapping // nil: service-managed
	l   *lease         // with cur
}

// unlockNow opens a protector for a change of its key. A customer's key is asked for
// whatever is cached: who cannot use the old one cannot change it.
func (r *Ring) unlockNow(ctx context.Context, op string, p Protector) (unlocked, error) {
	if err := r.rollBack(ctx, p); err != nil { // what a change before left
		return unlocked{}, err
	}
	rec := r.cur.Load().protectors[p]
	if err := usableRecord(op, p, rec); err != nil {
		return unlocked{}, err
	}
	u := unlocked{p: p, rec: rec, cur: rec.Current()}
	if u.cur == nil {
		return u, nil
	}
	g := r.customer(p)
	l, err := r.customers.unwrap(ctx, p, rec.Owner, u.cur, g.leases.Load().of(u.cur.W))
	if err != nil {
		if ve, ok := errors.AsType[*VaultError](err); ok {
			err = fault.New(op, p.String(), fault.KeyGone, &Suspended{Reason: ve.Reason, Err: ve.Err})
		} else {
			err = fault.New(op, p.String(), fault.Busy, err)
		}
		return unlocked{}, err
	}
	u.l = l
	return u, nil
}

// again repeats the first step if it was long ago.
func (r *Ring) again(ctx context.Context, op string, u unlocked) error {
	if u.cur == nil || r.customers.clock().since(u.l.sent) < r.customers.vault.Load().Cache {
		return nil
	}
	if _, err := r.customers.unwrap(ctx, u.p, u.rec.Owner, u.cur, u.l); err != nil {
		return fault.New(op, u.p.String(), fault.KeyGone, err)
	}
	return nil
}

// toVault is steps 2 to 4 with a customer's key as the target.
func (r *Ring) toVault(ctx context.Context, op string, u unlocked, n *wrapped) error {
	// 2. The new wrapping is pending; every version has a secret under it beside the old.
	var l *lease
	err := r.update(ctx, func(d *draft) error {
		rec, err := d.unchanged(op, u)
		if err != nil {
			return err
		}
		var w cfks.Wrapping
		if w, l, err = n.seal(d.state, cfks.Pending, d.now); err != nil {
			return fault.New(op, u.p.String(), fault.KeyStore, err)
		}
		rec.Wrappings = append(rec.Wrappings, w)
		d.lend(u.l, l)
		if err := d.sealBeside(rec, cfks.UnderCMK, w.W); err != nil {
			return fault.New(op, u.p.String(), fault.KeyStore, err)
		}
		d.sort()
		return nil
	})
	if err == nil {
		err = r.probeAndFlip(ctx, op, u, n, l)
	}
	if err == nil {
		return nil
	}
	if rec := r.cur.Load().protectors[u.p]; rec.Current() != nil && rec.Current().W == n.w {
		return err // the flip is done, what follows it is not
	}
	return errors.Join(err, r.rollBack(context.WithoutCancel(ctx), u.p))
}

// probeAndFlip is steps 3 and 4 towards a vault.
func (r *Ring) probeAndFlip(ctx context.Context, op string, u unlocked, n *wrapped, l *lease) error {
	// 3. The vault unwraps what is stored, and every new secret opens with it.
	v := r.customers.vault.Load()
	if err := n.probe(ctx, v); err != nil {
		return refused(op, u.p, err)
	}
	l.sent = n.sent
	if err := r.cur.Load().checkUnder(u.p, n.w, l.k); err != nil {
		return fault.New(op, u.p.String(), fault.KeyStore, err)
	}
	if err := r.again(ctx, op, u); err != nil {
		return err
	}
	// 4. The flip. A secret that the service alone could open goes with a purge write.
	g := r.customer(u.p)
	flip := func(d *draft) error {
		rec, err := d.unchanged(op, u)
		if err != nil {
			return err
		}
		if err := d.flip(rec, n.w); err != nil {
			return fault.New(op, u.p.String(), fault.Busy, err)
		}
		if u.cur == nil {
			if err := r.purgeRoots(ctx, d, false); err != nil {
				return err
			}
		}
		n.kept = true
		d.before = append(d.before, func() { g.install(l, n.facts) })
		d.after = append(d.after, g.settle)
		return nil
	}
	if u.cur == nil {
		return r.purge(ctx, flip)
	}
	return r.update(ctx, flip)
}

// toService is steps 2 to 4 with the service's key as the target.
func (r *Ring) toService(ctx context.Context, op string, u unlocked) error {
	err := r.update(ctx, func(d *draft) error {
		rec, err := d.unchanged(op, u)
		if err != nil {
			return err
		}
		d.lend(u.l)
		if err := d.sealBeside(rec, cfks.UnderSK, ID{}); err != nil {
			return fault.New(op, u.p.String(), fault.KeyStore, err)
		}
		return nil
	})
	if err == nil {
		err = r.cur.Load().checkService(u.p)
	}
	if err == nil {
		err = r.again(ctx, op, u)
	}
	if err == nil {
		err = r.update(ctx, func(d *draft) error {
			rec, err := d.unchanged(op, u)
			if err == nil {
				err = d.flip(rec, ID{})
			}
			return err
		})
	}
	if err == nil {
		r.dropCustomer(u.p)
		return nil
	}
	return errors.Join(err, r.rollBack(context.WithoutCancel(ctx), u.p))
}

// setFollow changes only whether new versions are taken.
func (r *Ring) setFollow(ctx context.Context, op string, p Protector, w ID, follow bool) error {
	return r.update(ctx, func(d *draft) error {
		rec := d.protectors[p]
		if rec == nil || rec.Current() == nil || rec.Current().W != w {
			return fault.New(op, p.String(), fault.Busy, errChanged)
		}
		rec.Current().FollowLatest = follow
		return nil
	})
}

var errChanged = errors.New("the protector was changed meanwhile")

// unchanged is the record of a protector that is as it was when the change began.
func (d *draft) unchanged(op string, u unlocked) (*cfks.ProtectorRecord, error) {
	rec := d.protectors[u.p]
	if err := usableRecord(op, u.p, rec); err != nil {
		return nil, err
	}
	cur := rec.Current()
	if (cur == nil) != (u.cur == nil) || cur != nil && cur.W != u.cur.W {
		return nil, fault.New(op, u.p.String(), fault.Busy, errChanged)
	}
	return rec, nil
}

// lend gives a change the keys of leases.
func (d *draft) lend(ls ...*lease) {
	d.unlocked = map[ID]secret.Key{}
	for _, l := range ls {
		if l != nil {
			d.unlocked[l.w] = l.k
		}
	}
}

// sealBeside adds to every version of a protector's KEK a secret in another form. What
// was sealed was opened again before it is stored.
func (d *draft) sealBeside(rec *cfks.ProtectorRecord, form cfks.Form, w ID) error {
	c := d.byID[rec.Chain]
	for i := range c.Keys {
		k := &c.Keys[i]
		if k.State == cfks.Destroyed {
			continue
		}
		key, err := d.open(c, k)
		if err != nil {
			return err
		}
		sec, err := d.seal(c, k, key, form, w)
		key.Destroy()
		if err != nil {
			return err
		}
		k.SetSecret(sec)
	}
	return nil
}

// flip puts a wrapping, or with the zero id the service's form, into force.
func (d *draft) flip(rec *cfks.ProtectorRecord, w ID) error {
	form := cfks.UnderSK
	if !w.IsZero() {
		form = cfks.UnderCMK
	}
	for _, k := range d.byID[rec.Chain].Keys {
		if k.State != cfks.Destroyed && !k.Has(form, w) {
			return errChanged // a version that was made meanwhile
		}
	}
	if w.IsZero() || rec.Current() != nil {
		d.removeWrapping(rec, cfks.Previous)
	}
	for i := range rec.Wrappings {
		switch x := &rec.Wrappings[i]; {
		case x.W == w:
			x.Role = cfks.Current
		case x.Role == cfks.Current:
			x.Role, x.Demoted = cfks.Previous, d.now
		}
	}
	if !w.IsZero() {
		d.removeSecrets(rec, func(s cfks.Secret) bool { return s.Form == cfks.UnderSK })
	}
	return nil
}

// removeWrapping takes the wrapping in a role away, with its secrets.
func (d *draft) removeWrapping(rec *cfks.ProtectorRecord, role cfks.Role) {
	for _, x := range slices.Clone(rec.Wrappings) {
		if x.Role == role {
			rec.Wrappings = slices.DeleteFunc(rec.Wrappings, func(y cfks.Wrapping) bool { return y.W == x.W })
			d.removeSecrets(rec, func(s cfks.Secret) bool { return s.Form == cfks.UnderCMK && s.W == x.W })
		}
	}
}

// removeSecrets takes secrets of a protector's KEK away.
func (d *draft) removeSecrets(rec *cfks.ProtectorRecord, gone func(cfks.Secret) bool) {
	c := d.byID[rec.Chain]
	for i := range c.Keys {
		c.Keys[i].Secrets = slices.DeleteFunc(slices.Clone(c.Keys[i].Secrets), gone)
	}
}

// checkService opens every KEK version of p in the service's form.
func (s *state) checkService(p Protector) error {
	c := s.byID[s.protectors[p].Chain]
	for i := range c.Keys {
		for j := range c.Keys[i].Secrets {
			sec := &c.Keys[i].Secrets[j]
			if sec.Form != cfks.UnderSK {
				continue
			}
			key, err := s.openSecret(c, &c.Keys[i], sec)
			if err != nil {
				return fault.New("keys.SetServiceKey", p.String(), fault.KeyStore, err)
			}
			key.Destroy()
		}
	}
	return nil
}
