package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// ErrDisabled is in the chain of the error of kind KeyGone that a protector answers
// which an administrator has disabled.
var ErrDisabled = errors.New("disabled by an administrator")

// ScopeProtector is the protector of an encryption scope.
func ScopeProtector(scope ID) Protector { return Protector{Kind: ProtectScope, ID: scope} }

// AddScopes gives encryption scopes of an account their KEKs, in one Swap.
func (r *Ring) AddScopes(ctx context.Context, owner ID, double bool, scopes ...ID) error {
	what := owner.String()
	if len(scopes) == 1 {
		what = ScopeProtector(scopes[0]).String()
	}
	return r.granted(ctx, "keys.scope.add", what, ID{}, func() error {
		return r.update(ctx, func(d *draft) error { return r.insertScopes(d, owner, double, scopes...) })
	})
}

// insertScopes makes the chains of scopes.
func (r *Ring) insertScopes(d *draft, owner ID, double bool, scopes ...ID) error {
	const op = "keys.AddScopes"
	if d.system[owner] == nil {
		return fault.New(op, owner.String(), fault.ResourceNotFound, nil)
	}
	if p := d.protectors[AccountProtector(owner)]; p == nil || p.Admin == cfks.Shredded {
		return fault.New(op, owner.String(), fault.KeyGone, errors.New("the account's keys are destroyed"))
	}
	for _, id := range scopes {
		if err := r.insertProtector(d, owner, ScopeProtector(id), double); err != nil {
			return err
		}
	}
	d.sort()
	return nil
}

// SetAdmin enables or disables a protector. A disabled one opens and seals nothing from
// the moment of return; everything that is under it stays, and comes back when it is
// enabled.
func (r *Ring) SetAdmin(ctx context.Context, p Protector, to AdminState) error {
	const op = "keys.SetAdmin"
	if to != cfks.Enabled && to != cfks.Disabled {
		return fault.New(op, p.String(), fault.InvalidInput, fmt.Errorf("not a state to choose: %v", to))
	}
	change := func() error {
		return r.update(ctx, func(d *draft) error {
			rec := d.protectors[p]
			if rec == nil {
				return fault.New(op, p.String(), fault.ResourceNotFound, errors.New("no such protector"))
			}
			if rec.Admin == cfks.Shredded {
				return fault.New(op, p.String(), fault.KeyGone, errors.New("its keys are destroyed"))
			}
			if rec.Admin != to {
				rec.Admin, rec.Epoch = to, rec.Epoch+1
			}
			return nil
		})
	}
	if to == cfks.Enabled {
		return r.granted(ctx, "keys.enable", p.String(), ID{}, change)
	}
	err := r.changed(ctx, "keys.disable", p.String(), change)
	if err == nil {
		r.dropCustomer(p)
	}
	return err
}

// Usable says why the keys of a protector may not be used, or nil. It opens nothing and
// is quick enough to ask for every segment of a stream. Of a customer's key that was not
// validated for a while it asks the vault, and waits.
func (r *Ring) Usable(ctx context.Context, p Protector) error {
	for {
		rec := r.cur.Load().protectors[p]
		if err := usableRecord("keys.Usable", p, rec); err != nil {
			return err
		}
		cur := rec.Current()
		if cur == nil {
			return nil
		}
		if _, err := r.lease(ctx, rec, cur); !errors.Is(err, errSwitched) {
			return err
		}
	}
}

// usableRecord says why an administrator's decision stands against a protector.
func usableRecord(op string, p Protector, rec *cfks.ProtectorRecord) error {
	switch {
	case rec == nil:
		return fault.New(op, p.String(), fault.KeyGone, errors.New("no such protector"))
	case rec.Admin == cfks.Disabled:
		return fault.New(op, p.String(), fault.KeyGone, ErrDisabled)
	case rec.Admin == cfks.Shredded:
		return fault.New(op, p.String(), fault.KeyGone, errors.New("its keys are destroyed"))
	}
	return nil
}

// ShredProtector destroys every KEK version of a protector at once: all content under it
// is lost for ever. by says who confirmed it.
func (r *Ring) ShredProtector(ctx context.Context, p Protector, by string) error {
	const op = "keys.ShredProtector"
	if p.Kind == ProtectStore {
		return fault.New(op, p.String(), fault.NotAllowed, errors.New("the store's own keys cannot be shredded"))
	}
	return r.granted(ctx, "keys.shred", p.String(), ID{}, func() error {
		return r.purge(ctx, func(d *draft) error {
			rec := d.protectors[p]
			if rec == nil {
				return fault.New(op, p.String(), fault.ResourceNotFound, nil)
			}
			c := d.byID[rec.Chain]
			for i := range c.Keys {
				if c.Keys[i].State != cfks.Destroyed {
					d.destroy(&c.Keys[i], by)
				}
			}
			rec.Admin, rec.Epoch = cfks.Shredded, rec.Epoch+1
			return r.purgeRoots(ctx, d, false)
		})
	})
}
