package keys

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// AddOwner gives an account its system key and its KEK, in one Swap.
func (r *Ring) AddOwner(ctx context.Context, owner ID) error {
	return r.addOwner(ctx, owner, false)
}

// AddDoubleOwner is AddOwner for an account with infrastructure encryption.
func (r *Ring) AddDoubleOwner(ctx context.Context, owner ID) error {
	return r.addOwner(ctx, owner, true)
}

func (r *Ring) addOwner(ctx context.Context, owner ID, double bool) error {
	if owner.IsZero() {
		return fault.New("keys.AddOwner", "", fault.InvalidInput, errors.New("no owner"))
	}
	return r.granted(ctx, "keys.owner.add", owner.String(), ID{}, func() error {
		return r.update(ctx, func(d *draft) error { return r.insertOwner(d, owner, double) })
	})
}

// insertOwner makes the chains of an account.
func (r *Ring) insertOwner(d *draft, owner ID, double bool) error {
	if d.system[owner] != nil {
		return fault.New("keys.AddOwner", owner.String(), fault.Exists, nil)
	}
	sysk := cfks.Chain{Kind: cfks.SYSK, Owner: owner, Period: r.o.Periods.seconds(cfks.SYSK)}
	if _, err := d.addChain(sysk); err != nil {
		return err
	}
	return r.addProtector(d, owner, AccountProtector(owner), double)
}

// addProtector makes the record of a protector and its KEK chain.
func (r *Ring) addProtector(d *draft, owner ID, p Protector, double bool) error {
	if err := r.insertProtector(d, owner, p, double); err != nil {
		return err
	}
	d.sort()
	return nil
}

// insertProtector is addProtector without sorting: the caller does, once for many.
func (r *Ring) insertProtector(d *draft, owner ID, p Protector, double bool) error {
	if d.protectors[p] != nil {
		return fault.New("keys.AddProtector", p.String(), fault.Exists, nil)
	}
	chain, err := d.insertChain(cfks.Chain{Kind: cfks.KEK, Owner: owner, Protector: p, Period: r.o.Periods.seconds(cfks.KEK)})
	if err != nil {
		return err
	}
	d.body.Protectors = append(d.body.Protectors, cfks.ProtectorRecord{
		Protector: p, Owner: owner, Chain: chain, Admin: cfks.Enabled, Double: double, Epoch: 1,
	})
	return nil
}
