package keys

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// ErrValidate says that a customer's key has to be validated first, which must not be
// done while a commit is under way: call Validate without a Hold, and begin again.
var ErrValidate = errors.New("the customer's key has to be validated first")

// Hold lets a commit use the keys of a protector until Release: keys are not wiped
// before. It never waits for a vault.
type Hold struct {
	r     *Ring
	p     Protector
	g     *guard // nil: no customer's key
	epoch uint64
}

// Hold begins a use of the keys of p by a commit.
func (r *Ring) Hold(p Protector) (*Hold, error) {
	rec := r.cur.Load().protectors[p]
	if err := usableRecord("keys.Hold", p, rec); err != nil {
		return nil, err
	}
	h := &Hold{r: r, p: p}
	if rec.Current() == nil {
		return h, nil
	}
	g := r.customer(p)
	if !g.commits.TryRLock() { // being suspended
		return nil, ErrValidate
	}
	h.g, h.epoch = g, g.epoch.Load()
	if err := h.Check(); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

// Validate is Usable for a commit that was told ErrValidate, and has released its Holds: it
// also waits until what is being dropped is gone, which commits hold up.
func (r *Ring) Validate(ctx context.Context, p Protector) error {
	if g, ok := r.customers.guards.Load(p); ok {
		pass(g.(*guard).commits.RLocker())
	}
	return r.Usable(ctx, p)
}

// Check says whether the commit may still go on: ErrValidate if keys were dropped or
// their time is over.
func (h *Hold) Check() error {
	rec := h.r.cur.Load().protectors[h.p]
	if err := usableRecord("keys.Hold", h.p, rec); err != nil {
		return err
	}
	cur := rec.Current()
	if cur == nil {
		return nil
	}
	if h.g == nil || h.g.epoch.Load() != h.epoch {
		return ErrValidate
	}
	if !h.g.leases.Load().of(cur.W).live(h.r.customers.clock()) {
		return ErrValidate
	}
	return nil
}

// KEKByRef is Ring.KEKByRef without waiting. The trail names whom ctx names.
func (h *Hold) KEKByRef(ctx context.Context, kref ID) (Version, secret.Key, error) {
	s := h.r.cur.Load()
	rec := s.protectors[h.p]
	if err := usableRecord("keys.Hold", h.p, rec); err != nil {
		return Version{}, secret.Key{}, err
	}
	cur := rec.Current()
	if cur == nil {
		return h.r.KEKByRef(ctx, h.p, kref)
	}
	if err := h.Check(); err != nil {
		return Version{}, secret.Key{}, err
	}
	c := s.byID[rec.Chain]
	k, err := byKref(h.p, kref)(c)
	if err != nil {
		return Version{}, secret.Key{}, err
	}
	if k.State == cfks.Destroyed {
		return Version{}, secret.Key{}, destroyedFault(keyAt{c, k})
	}
	l := h.g.leases.Load().of(cur.W)
	if l == nil {
		return Version{}, secret.Key{}, ErrValidate
	}
	key, err := h.r.kekUnder(ctx, s, keyAt{c, k}, l)
	if errors.Is(err, secret.ErrDestroyed) {
		err = ErrValidate
	}
	return versionOf(c, k), key, err
}

// Release ends the use. Releasing again does nothing.
func (h *Hold) Release() {
	if h.g != nil {
		h.g.commits.RUnlock()
		h.g = nil
	}
}

// dropCustomer forgets what was unwrapped for p, if it is under a customer's key.
func (r *Ring) dropCustomer(p Protector) {
	if g, ok := r.customers.guards.Load(p); ok {
		g.(*guard).drop()
	}
}

// customerSuspended reports whether a protector is under a customer's key that is known
// not to be usable. It asks nobody.
func (r *Ring) customerSuspended(rec *cfks.ProtectorRecord) bool {
	if rec.Current() == nil {
		return false
	}
	g := r.customer(rec.Protector)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == CustomerSuspended || g.state == CustomerDegraded
}

// RevokeNow forgets what was unwrapped for a protector: the next use has to ask the
// vault. What is forgotten is forgotten whether or not the epoch can be stored.
func (r *Ring) RevokeNow(ctx context.Context, p Protector) error {
	const op = "keys.RevokeNow"
	if rec := r.cur.Load().protectors[p]; rec == nil || rec.Current() == nil {
		return fault.New(op, p.String(), fault.NotAllowed, errors.New("there is no customer's key"))
	}
	r.dropCustomer(p)
	return r.changed(ctx, "keys.customer.revoke", p.String(), func() error {
		return r.update(ctx, func(d *draft) error {
			rec := d.protectors[p]
			if rec == nil {
				return fault.New(op, p.String(), fault.ResourceNotFound, nil)
			}
			rec.Epoch++
			return nil
		})
	})
}
