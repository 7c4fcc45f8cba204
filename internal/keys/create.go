package keys

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Periods are the cryptoperiods that Create and AddOwner write; zero fields take the
// defaults.
type Periods struct{ KEK, SYSK, VFSK, IDK, Audit time.Duration }

// DefaultPeriods is the schedule that new chains get. Data keys have none of their own,
// and the identity key is replaced only when it leaked.
var DefaultPeriods = Periods{
	KEK: 365 * day, SYSK: 365 * day, VFSK: 7 * day, IDK: 365 * day, Audit: 365 * day,
}

const day = 24 * time.Hour

// DefaultRetention is how long backups are taken to live unless Create is told.
const DefaultRetention = 90 * day

// seconds is the period of a new chain of a kind.
func (p Periods) seconds(k cfks.Kind) uint64 {
	pick := func(own, standard time.Duration) uint64 {
		if own > 0 {
			standard = own
		}
		return uint64(standard / time.Second)
	}
	switch k {
	case cfks.KEK:
		return pick(p.KEK, DefaultPeriods.KEK)
	case cfks.SYSK:
		return pick(p.SYSK, DefaultPeriods.SYSK)
	case cfks.VFSK:
		return pick(p.VFSK, DefaultPeriods.VFSK)
	case cfks.IDK:
		return pick(p.IDK, DefaultPeriods.IDK)
	case cfks.Audit:
		return pick(p.Audit, DefaultPeriods.Audit)
	}
	return 0
}

// Create makes a new key store: both roots, their slots with secrets that the providers
// keep, and the store's own chains. The secrets are durable before the store is. What
// is written is generation 1, not initialized; Initialize finishes it.
func Create(ctx context.Context, o Options) (*Ring, error) {
	const op = "keys.Create"
	copies, err := o.Store.Load(ctx)
	if err != nil {
		return nil, fault.New(op, "", fault.KeyStore, err)
	}
	if len(copies) > 0 {
		return nil, fault.New(op, copies[0].Place, fault.Exists, errors.New("there is a key store already"))
	}
	if o.Service == nil || o.Infra == nil {
		return nil, fault.New(op, "", fault.InvalidInput, errors.New("both roots need a provider"))
	}
	r := newRing(o, o.Dev)
	d, err := r.firstDraft(ctx)
	if err != nil {
		d.drop()
		return nil, fault.New(op, "", fault.KeyStore, err)
	}
	out, err := r.swap(ctx, d)
	if err != nil {
		d.drop()
		return nil, err
	}
	r.durable.Store(&durable{d.file.Generation, sha256.Sum256(out), out})
	r.publish(d)
	r.note(ctx, "keys.create", cfks.ID(d.file.Store).String(), ID{}, "ok")
	_ = r.settle(ctx)
	return r, nil
}

// firstDraft is generation 1 before it is sealed. The draft is returned with an error
// too, so that its keys are wiped.
func (r *Ring) firstDraft(ctx context.Context) (*draft, error) {
	d := &draft{now: r.now(), fresh: map[ID]secret.Key{}, state: &state{
		file: &cfks.File{Dev: r.dev, Store: cfks.NewID()},
		body: &cfks.Body{Retention: uint64(DefaultRetention / time.Second)},
	}}
	if r.o.Retention > 0 {
		d.body.Retention = uint64(r.o.Retention / time.Second)
	}
	for _, root := range []Root{SRK, IRK} {
		if err := d.newRoot(root); err != nil {
			return d, err
		}
	}
	d.index()
	if err := r.firstChains(d); err != nil {
		return d, err
	}
	copy(d.file.Identity[:], active(d.identity).Public)
	for root, p := range map[Root]keyprovider.Provider{SRK: r.o.Service, IRK: r.o.Infra} {
		if _, err := d.addOnline(ctx, root, p, "unseal key"); err != nil {
			return d, err
		}
	}
	return d, nil
}

// firstChains are the store's own keys. The infrastructure key is made now, so that the
// first double account asks no provider.
func (r *Ring) firstChains(d *draft) error {
	for _, kind := range []cfks.Kind{cfks.Identity, cfks.Audit, cfks.VFSK, cfks.SYSK, cfks.IDK} {
		_, err := d.addChain(cfks.Chain{Kind: kind, Owner: d.file.Store, Period: r.o.Periods.seconds(kind)})
		if err != nil {
			return err
		}
	}
	return r.addProtector(d, d.file.Store, Protector{Kind: ProtectStore, ID: d.file.Store}, false)
}

// newRoot draws a root and its seal key, and gives it a new name. Slots and secrets
// under the old one are the caller's to redo.
func (d *draft) newRoot(root Root) error {
	ref := cfks.NewID()
	key := secret.Random(slot.KeySize)
	d.roots = append(d.roots, key)
	seal, err := slot.SealKey(key, d.file.Store, uint8(root), ref)
	if err != nil {
		return err
	}
	d.roots = append(d.roots, seal)
	if root == SRK {
		d.srk, d.sk, d.file.SRKRef = key, seal, ref
	} else {
		d.irk, d.ik, d.file.IRKRef = key, seal, ref
	}
	return nil
}

func (d *draft) root(r Root) secret.Key {
	if r == IRK {
		return d.irk
	}
	return d.srk
}

// addOnline makes a slot whose secret a provider draws and keeps.
func (d *draft) addOnline(ctx context.Context, root Root, p keyprovider.Provider, name string) (ID, error) {
	s := cfks.Slot{ID: cfks.NewID(), Root: root, Provider: uint8(p.Kind())}
	u, params, err := p.Make(ctx, providerSlot(d.file, s), pinOf(d.file))
	if err != nil {
		return ID{}, err
	}
	defer u.Destroy()
	s.Params = params
	if s.Blob, err = slot.Wrap(u, placeOf(d.file, s), d.root(root)); err != nil {
		return ID{}, err
	}
	d.file.Slots = append(d.file.Slots, s)
	d.body.Facts = append(d.body.Facts, cfks.Fact{Slot: s.ID, Name: name})
	return s.ID, nil
}

// Initialize finishes creation: generation 2, after which the data directory must have
// its HEAD.
func (r *Ring) Initialize(ctx context.Context) error {
	if r.Initialized() {
		return nil
	}
	return r.update(ctx, func(d *draft) error {
		d.body.Initialized = true
		return nil
	})
}
