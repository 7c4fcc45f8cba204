package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// SetUnreferenced records that a sweep found no data under a version, at a time; the
// zero time takes the mark away.
func (r *Ring) SetUnreferenced(ctx context.Context, chain ID, number uint64, at time.Time) error {
	what := fmt.Sprintf("%v version %d", chain, number)
	return r.changed(ctx, "keys.unreferenced", what, func() error {
		return r.update(ctx, func(d *draft) error { return d.setUnreferenced(chain, number, at) })
	})
}

func (d *draft) setUnreferenced(chain ID, number uint64, at time.Time) error {
	const op = "keys.SetUnreferenced"
	_, k, err := d.version(op, chain, number)
	if err != nil {
		return err
	}
	if k.State != cfks.Deactivated && k.State != cfks.Compromised {
		return fault.New(op, chain.String(), fault.NotAllowed, fmt.Errorf("version %d is %v", number, k.State))
	}
	k.Unreferenced = 0
	if !at.IsZero() {
		k.Unreferenced = uint64(at.UnixNano())
	}
	return nil
}

// ClearUnreferenced takes every mark away, as a restore of data must.
func (r *Ring) ClearUnreferenced(ctx context.Context) error {
	return r.changed(ctx, "keys.unreferenced.clear", "", func() error {
		return r.update(ctx, func(d *draft) error {
			for i := range d.body.Chains {
				clearUnreferenced(&d.body.Chains[i])
			}
			return nil
		})
	})
}

func clearUnreferenced(c *cfks.Chain) {
	for i := range c.Keys {
		if c.Keys[i].State != cfks.Destroyed {
			c.Keys[i].Unreferenced = 0
		}
	}
}

func (d *draft) version(op string, chain ID, number uint64) (*cfks.Chain, *cfks.Key, error) {
	c := d.byID[chain]
	if c == nil || number == 0 || number > uint64(len(c.Keys)) {
		return nil, nil, fault.New(op, chain.String(), fault.ResourceNotFound, fmt.Errorf("no version %d", number))
	}
	return c, &c.Keys[number-1], nil
}

// Destroy destroys a version for ever: its secret leaves every copy of the key store,
// and a tombstone stays. It is refused unless nothing names the version any more and
// every backup that may is older than the declared retention.
func (r *Ring) Destroy(ctx context.Context, chain ID, number uint64, by string) error {
	what := fmt.Sprintf("%v version %d", chain, number)
	return r.granted(ctx, "keys.destroy", what, ID{}, func() error {
		return r.purge(ctx, func(d *draft) error {
			c, k, err := d.version("keys.Destroy", chain, number)
			if err != nil {
				return err
			}
			if err := d.mayDestroy(k); err != nil {
				return fault.New("keys.Destroy", what, fault.NotAllowed, err)
			}
			d.destroy(k, by)
			return r.purgeRoots(ctx, d, c.Kind == cfks.IDK)
		})
	})
}

func (d *draft) mayDestroy(k *cfks.Key) error {
	if k.State != cfks.Deactivated && k.State != cfks.Compromised {
		return fmt.Errorf("it is %v", k.State)
	}
	if k.Unreferenced == 0 {
		return errors.New("data may still name it: let the sweep finish")
	}
	keep := time.Duration(d.body.Retention) * time.Second
	if until := timeOf(k.Deactivated).Add(keep); timeOf(d.now).Before(until) {
		return fmt.Errorf("backups may need it until %s", until.Format(time.DateTime))
	}
	return nil
}

func (d *draft) destroy(k *cfks.Key, by string) {
	k.State, k.Destroyed, k.DestroyedBy, k.Secrets = cfks.Destroyed, d.now, by, nil
	d.gone = append(d.gone, k.Kref)
}

// purgeRoots gives d new roots, so that older copies of the key store do not open with
// what a thief may still find.
func (r *Ring) purgeRoots(ctx context.Context, d *draft, infra bool) error {
	if err := r.changeRoot(ctx, d, SRK, rootChange{}); err != nil {
		return err
	}
	if infra {
		return r.changeRoot(ctx, d, IRK, rootChange{})
	}
	return nil
}

// Shred destroys every KEK version of an account, and its system key, at once: all its
// content is lost for ever. by says who confirmed it.
func (r *Ring) Shred(ctx context.Context, owner ID, by string) error {
	if owner == ID(r.StoreID()) {
		return fault.New("keys.Shred", owner.String(), fault.NotAllowed, errors.New("the store's own keys cannot be shredded"))
	}
	return r.granted(ctx, "keys.shred", owner.String(), ID{}, func() error {
		return r.purge(ctx, func(d *draft) error {
			if d.system[owner] == nil {
				return fault.New("keys.Shred", owner.String(), fault.ResourceNotFound, nil)
			}
			d.shred(owner, by)
			return r.purgeRoots(ctx, d, false)
		})
	})
}

func (d *draft) shred(owner ID, by string) {
	for i := range d.body.Chains {
		c := &d.body.Chains[i]
		if c.Owner != owner || c.Kind != cfks.KEK && c.Kind != cfks.SYSK {
			continue
		}
		for j := range c.Keys {
			if c.Keys[j].State != cfks.Destroyed {
				d.destroy(&c.Keys[j], by)
			}
		}
	}
	for i := range d.body.Protectors {
		if p := &d.body.Protectors[i]; p.Owner == owner {
			p.Admin, p.Epoch = cfks.Shredded, p.Epoch+1
		}
	}
}
