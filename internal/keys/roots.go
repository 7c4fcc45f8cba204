package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// RootOption changes what RotateRoot does.
type RootOption func(*rootChange)

type rootChange struct {
	drop      []ID
	newSecret bool
}

// DropSlot leaves out a slot whose provider does not answer. It stops opening the store.
func DropSlot(id ID) RootOption { return func(c *rootChange) { c.drop = append(c.drop, id) } }

// NewSecret makes new unseal secrets for the root too. Without it a thief of an older
// disk image who gets hold of the unseal key opens that image.
func NewSecret() RootOption { return func(c *rootChange) { c.newSecret = true } }

// RotateRoot replaces a root key: everything under it is wrapped anew, and the new root
// is wrapped for every slot in the same write. It is a purge write: two Swaps, so that
// no copy of the key store holds the old one. Content and data keys are not touched,
// and the unseal key stays unless NewSecret is given.
func (r *Ring) RotateRoot(ctx context.Context, root Root, opts ...RootOption) error {
	var c rootChange
	for _, o := range opts {
		o(&c)
	}
	if root != SRK && root != IRK {
		return fault.New("keys.RotateRoot", root.String(), fault.InvalidInput, errors.New("no such root"))
	}
	return r.granted(ctx, "keys.root.rotate", root.String(), ID{}, func() error {
		return r.purge(ctx, func(d *draft) error { return r.changeRoot(ctx, d, root, c) })
	})
}

// provider is the online provider of a root.
func (r *Ring) provider(root Root) keyprovider.Provider {
	if root == IRK {
		return r.o.Infra
	}
	return r.o.Service
}

// changeRoot gives d a new root, and wraps anew what hangs from it.
func (r *Ring) changeRoot(ctx context.Context, d *draft, root Root, c rootChange) error {
	if d.root(root).IsZero() {
		return errNoInfra
	}
	old := *d.state
	oldFile := *d.file
	old.file = &oldFile
	if err := d.newRoot(root); err != nil {
		return err
	}
	if err := d.rewrapAll(&old, root); err != nil {
		return err
	}
	for _, id := range c.drop {
		d.dropSlot(id)
	}
	if c.newSecret {
		if err := r.newSecret(ctx, d, root); err != nil {
			return err
		}
	}
	return r.sealSlots(ctx, d, root)
}

// rewrapAll moves every secret that lies under the old root to the new one. Secrets
// under customers' keys stay as they are, so no vault is needed.
func (d *draft) rewrapAll(old *state, root Root) error {
	form := formOf(cfks.KEK)
	if root == IRK {
		form = formOf(cfks.IDK)
	}
	for i := range d.body.Chains {
		c := &d.body.Chains[i]
		for j := range c.Keys {
			if err := d.rewrapKey(old, c, &c.Keys[j], form); err != nil {
				return fmt.Errorf("%v %v version %d: %w", c.Kind, c.ID, c.Keys[j].Number, err)
			}
		}
	}
	if root == SRK {
		return d.rewrapWrappings(old)
	}
	return nil
}

func (d *draft) rewrapKey(old *state, c *cfks.Chain, k *cfks.Key, form cfks.Form) error {
	k.Secrets = slices.Clone(k.Secrets)
	for i := range k.Secrets {
		if k.Secrets[i].Form != form {
			continue
		}
		key, err := old.openSecret(c, k, &k.Secrets[i])
		if err != nil {
			return err
		}
		k.Secrets[i], err = d.seal(c, k, key, form, ID{})
		key.Destroy()
		if err != nil {
			return err
		}
	}
	return nil
}

// rewrapWrappings moves the R of every customer's wrapping.
func (d *draft) rewrapWrappings(old *state) error {
	for i := range d.body.Protectors {
		p := &d.body.Protectors[i]
		for j := range p.Wrappings {
			w := &p.Wrappings[j]
			aad := d.rAAD(p.Protector, w.W)
			key, err := keywrap.Unwrap(old.sk, old.file.SRKRef, aad, w.R[:])
			if err != nil {
				return fmt.Errorf("%v: %w", p.Protector, err)
			}
			w.R, err = keywrap.Wrap(d.sk, d.file.SRKRef, aad, key)
			key.Destroy()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// dropSlot removes a slot and what is known of it.
func (d *draft) dropSlot(id ID) {
	d.file.Slots = slices.DeleteFunc(d.file.Slots, func(s cfks.Slot) bool { return s.ID == id })
	d.body.Facts = slices.DeleteFunc(d.body.Facts, func(f cfks.Fact) bool { return f.Slot == id })
}

// newSecret replaces the root's slots of its online provider by one with a new secret.
func (r *Ring) newSecret(ctx context.Context, d *draft, root Root) error {
	p := r.provider(root)
	if p == nil {
		return errNoSlot
	}
	for _, s := range slices.Clone(d.file.Slots) {
		if s.Root == root && s.Provider == uint8(p.Kind()) {
			d.dropSlot(s.ID)
		}
	}
	_, err := d.addOnline(ctx, root, p, "unseal key")
	return err
}

// sealSlots wraps a new root for every slot that it has. A slot that cannot be reached
// refuses the change, unless it was dropped by name.
func (r *Ring) sealSlots(ctx context.Context, d *draft, root Root) error {
	online := 0
	for i := range d.file.Slots {
		s := &d.file.Slots[i]
		if s.Root != root {
			continue
		}
		blob, err := r.sealSlot(ctx, d, *s)
		if err != nil {
			return fmt.Errorf("slot %v (%v): %w", s.ID, keyprovider.Kind(s.Provider), err)
		}
		s.Blob = blob
		if keyprovider.Kind(s.Provider).Online() {
			online++
		}
	}
	if online == 0 {
		return errors.New("no online slot would be left")
	}
	return nil
}

func (r *Ring) sealSlot(ctx context.Context, d *draft, s cfks.Slot) ([]byte, error) {
	if !keyprovider.Kind(s.Provider).Online() {
		return slot.SealRoot(placeOf(d.file, s), d.root(s.Root))
	}
	p := r.provider(s.Root)
	if p == nil || uint8(p.Kind()) != s.Provider {
		return nil, errors.New("its provider is not at hand")
	}
	u, pin, err := p.Open(ctx, providerSlot(d.file, s))
	if err != nil {
		return nil, err
	}
	defer u.Destroy()
	if pin != pinOf(d.file) {
		return nil, errPin
	}
	return slot.Wrap(u, placeOf(d.file, s), d.root(s.Root))
}

// purge runs a change as a purge write: the change with the pending mark, every copy
// rewritten, then the mark taken off. A start between the two takes up the second.
func (r *Ring) purge(ctx context.Context, apply func(*draft) error) error {
	const op = "keys.Purge"
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	r.change.Lock()
	defer r.change.Unlock()
	if err := r.changeable(); err != nil {
		return err
	}
	if r.PurgePending() {
		if err := r.finishPurge(ctx); err != nil {
			return err
		}
	}
	d := r.newDraft(r.cur.Load())
	if err := apply(d); err != nil {
		d.drop()
		if fault.KindOf(err) == fault.Internal {
			err = fault.New(op, "", fault.KeyStore, err)
		}
		return err
	}
	d.body.PurgePending = true
	if err := r.commit(ctx, d); err != nil {
		return err
	}
	return r.finishPurge(ctx)
}

// FinishPurge does the second half of a purge write that was begun, if there is one. It
// is complete when every place has both; until then PurgePending stays true.
func (r *Ring) FinishPurge(ctx context.Context) error {
	r.change.Lock()
	defer r.change.Unlock()
	if err := r.changeable(); err != nil || !r.PurgePending() {
		return err
	}
	return r.finishPurge(context.WithoutCancel(ctx))
}

// finishPurge runs with r.change held.
func (r *Ring) finishPurge(ctx context.Context) error {
	if err := r.settle(ctx); err != nil {
		return fault.New("keys.FinishPurge", "", fault.KeyStore,
			fmt.Errorf("a copy still holds the old keys; bring its place back and run it again: %w", err))
	}
	d := r.newDraft(r.cur.Load())
	d.body.PurgePending = false
	if err := r.commit(ctx, d); err != nil {
		return err
	}
	if err := r.Unsettled(); err != nil {
		return fault.New("keys.FinishPurge", "", fault.KeyStore, err)
	}
	return r.prune(ctx)
}

// prune lets the providers forget secrets that open no slot any more.
func (r *Ring) prune(ctx context.Context) error {
	s := r.cur.Load()
	for _, root := range []Root{SRK, IRK} {
		p := r.provider(root)
		if p == nil {
			continue
		}
		var keep [][16]byte
		for _, sl := range s.file.Slots {
			if sl.Root == root && sl.Provider == uint8(p.Kind()) {
				keep = append(keep, sl.ID)
			}
		}
		if len(keep) == 0 {
			continue
		}
		at := keyprovider.Slot{Store: s.file.Store, Root: uint8(root)}
		if err := p.Prune(ctx, at, keep); err != nil {
			return fault.New("keys.FinishPurge", root.String(), fault.KeyStore, fmt.Errorf("the old unseal key is still kept: %w", err))
		}
	}
	return nil
}
