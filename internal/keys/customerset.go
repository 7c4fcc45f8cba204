package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// SetVault gives the ring the driver of vaults, which lies behind the store, and the
// timers of customers' keys.
func (r *Ring) SetVault(v Vault, o CustomerOptions) error {
	if err := o.Check(); err != nil {
		return fault.New("keys.SetVault", "", fault.InvalidInput, err)
	}
	r.customers.vault.Store(&vaultPort{v, o.orDefaults()})
	return nil
}

// Vault is the driver of vaults, or nil.
func (r *Ring) Vault() Vault {
	if v := r.customers.vault.Load(); v != nil {
		return v.Vault
	}
	return nil
}

// SetVaultKey puts a protector under a key of a customer's vault: from the service's key,
// from another key, or from an older version. follow takes new versions by itself; then
// the version of ref says nothing. No content is written anew. Without a doubt about the
// new key nothing changes: it has unwrapped what it wrapped, and every key version opens
// with it, before it is in force.
func (r *Ring) SetVaultKey(ctx context.Context, p Protector, ref VaultRef, follow bool) error {
	return r.granted(ctx, "keys.customer.set", p.String()+" "+ref.String(), ID{}, func() error {
		return r.switchKey(ctx, p, &ref, follow)
	})
}

// SetServiceKey puts a protector back under the service's key. The customer's key has to
// open it once more.
func (r *Ring) SetServiceKey(ctx context.Context, p Protector) error {
	return r.granted(ctx, "keys.customer.unset", p.String(), ID{}, func() error {
		return r.switchKey(ctx, p, nil, false)
	})
}

// AddOwnerUnder is AddOwner with the account's key under a customer's key from the start:
// no form of it that the service alone could open is ever stored.
func (r *Ring) AddOwnerUnder(ctx context.Context, owner ID, double bool, ref VaultRef, follow bool) error {
	return r.granted(ctx, "keys.owner.add", owner.String()+" "+ref.String(), ID{}, func() error {
		return r.addUnder(ctx, owner, AccountProtector(owner), ref, follow, func(d *draft) error {
			return r.insertOwner(d, owner, double)
		})
	})
}

// AddScopeUnder is AddScopes for one scope with a customer's key of its own.
func (r *Ring) AddScopeUnder(ctx context.Context, owner, scope ID, double bool, ref VaultRef, follow bool) error {
	p := ScopeProtector(scope)
	return r.granted(ctx, "keys.scope.add", p.String()+" "+ref.String(), ID{}, func() error {
		return r.addUnder(ctx, owner, p, ref, follow, func(d *draft) error {
			return r.insertScopes(d, owner, double, scope)
		})
	})
}

// addUnder makes a protector under a customer's key.
func (r *Ring) addUnder(ctx context.Context, owner ID, p Protector, ref VaultRef, follow bool, insert func(*draft) error) error {
	n, err := r.customers.wrapNew(ctx, p, owner, ref, follow)
	if err != nil {
		return err
	}
	defer n.drop()
	return r.update(ctx, func(d *draft) error {
		w, l, err := n.seal(d.state, cfks.Current, d.now)
		if err != nil {
			return err
		}
		d.unlock(l)
		d.born = map[Protector]ID{p: w.W}
		if err := insert(d); err != nil {
			return err
		}
		d.protectors[p].Wrappings = []cfks.Wrapping{w}
		if err := d.checkUnder(p, w.W, l.k); err != nil {
			return fault.New("keys.AddProtector", p.String(), fault.KeyStore, err)
		}
		n.kept = true
		g := r.customer(p)
		d.before = append(d.before, func() { g.install(l, n.facts) })
		return nil
	})
}

// wrapped is a random value that a vault has wrapped, and unwrapped again.
type wrapped struct {
	c     *customers
	p     Protector
	owner ID
	ref   VaultRef // with the version
	w     ID
	half  secret.Key // R
	value secret.Key // P
	blob  []byte
	sent  moment // when the unwrap was sent
	facts *facts
	fresh bool // follow
	kept  bool // a lease has value
}

func (n *wrapped) drop() {
	n.half.Destroy()
	if !n.kept {
		n.value.Destroy()
	}
}

// wrapNew checks a key of a customer and wraps a new random value with it.
func (c *customers) wrapNew(ctx context.Context, p Protector, owner ID, ref VaultRef, follow bool) (*wrapped, error) {
	const op = "keys.SetVaultKey"
	v := c.vault.Load()
	if v == nil {
		return nil, fault.New(op, p.String(), fault.NotAllowed, errNoDriver)
	}
	if p.Kind != ProtectAccount && p.Kind != ProtectScope && p.Kind != ProtectDES {
		return nil, fault.New(op, p.String(), fault.NotAllowed, errors.New("it is never under a customer's key"))
	}
	ref.URI, ref.Owner = strings.TrimRight(ref.URI, "/"), owner
	if follow {
		ref.Version = ""
	}
	if err := ref.check(); err != nil {
		return nil, fault.New(op, p.String(), fault.InvalidInput, err)
	}
	key, err := c.inspect(ctx, ref)
	if err != nil {
		return nil, refused(op, p, err)
	}
	if err := key.fits(c.clock().wall); err != nil {
		return nil, fault.New(op, p.String(), fault.NotAllowed, err)
	}
	ref.Version = key.Version
	if err := ref.check(); err != nil || ref.Version == "" {
		return nil, fault.New(op, p.String(), fault.NotAllowed, errors.Join(err, RefusedKey))
	}
	n := &wrapped{
		c: c, p: p, owner: owner, ref: ref, w: cfks.NewID(), half: secret.Random(keywrap.KeySize), fresh: follow,
		facts: &facts{uri: ref.String(), key: key, at: c.clock()},
	}
	if err := n.wrap(ctx, v); err != nil {
		n.drop()
		return nil, refused(op, p, err)
	}
	return n, nil
}

func (c *customers) inspect(ctx context.Context, ref VaultRef) (key VaultKey, err error) {
	v := c.vault.Load()
	err = c.call(ctx, ref.URI, nil, func(ctx context.Context) (err error) {
		key, err = v.Inspect(ctx, ref)
		return err
	})
	return key, err
}

// refused is the error of a configuration that a vault did not let through.
func refused(op string, p Protector, err error) error {
	ve, ok := errors.AsType[*VaultError](err)
	switch {
	case errors.Is(err, errVaultBusy):
		return fault.New(op, p.String(), fault.Busy, err)
	case errors.Is(err, ErrForeignHost):
		return fault.New(op, p.String(), fault.NotAllowed, errors.Join(RefusedHost, err))
	case !ok:
		return fault.New(op, p.String(), fault.NotAllowed, errors.Join(RefusedVault, err))
	case ve.Reason == ReasonToken:
		return fault.New(op, p.String(), fault.NotAllowed, errors.Join(RefusedIdentity, err))
	case !ve.Definitive || ve.Reason == ReasonVault:
		return fault.New(op, p.String(), fault.NotAllowed, errors.Join(RefusedVault, err))
	case errors.Is(err, ErrForbidden):
		return fault.New(op, p.String(), fault.NotAllowed, errors.Join(RefusedAccess, err))
	}
	return fault.New(op, p.String(), fault.NotAllowed, errors.Join(RefusedKey, err))
}

// fits says why a key cannot be a customer's key, or nil.
func (k VaultKey) fits(wall int64) error {
	f := facts{key: k}
	switch {
	case !strings.EqualFold(k.Type, "RSA") && !strings.EqualFold(k.Type, "RSA-HSM"):
		return RefusedType
	case k.Bits != 2048 && k.Bits != 3072 && k.Bits != 4096:
		return RefusedType
	case k.Ops != nil && (!slices.Contains(k.Ops, "wrapKey") || !slices.Contains(k.Ops, "unwrapKey")):
		return RefusedType
	case !k.SoftDelete || !k.PurgeProtection:
		return RefusedPolicy
	case !k.Enabled || !f.allows(wall):
		return RefusedKey
	}
	return nil
}

// wrap wraps the value and unwraps it again.
func (n *wrapped) wrap(ctx context.Context, v *vaultPort) error {
	var value [keywrap.KeySize]byte
	rand.Read(value[:])
	err := n.c.call(ctx, n.ref.URI, nil, func(ctx context.Context) (err error) {
		n.blob, err = v.Wrap(ctx, n.ref, value[:])
		return err
	})
	n.value = secret.New(value[:]) // and wiped here
	n.used(ctx, "keys.customer.wrap", err)
	if err != nil {
		return err
	}
	if len(n.blob) == 0 || len(n.blob) > cfks.MaxWrap {
		return &VaultError{Definitive: true, Reason: ReasonKey, Err: errors.New("the wrapped value has a wrong length")}
	}
	return n.probe(ctx, v)
}

// probe unwraps the value: what does not come back must not be relied on.
func (n *wrapped) probe(ctx context.Context, v *vaultPort) error {
	var plain []byte
	err := n.c.call(ctx, n.ref.URI, func() { n.sent = n.c.clock() }, func(ctx context.Context) (err error) {
		plain, err = v.Unwrap(ctx, n.ref, n.blob)
		return err
	})
	n.used(ctx, "keys.customer.unwrap", err)
	if err != nil {
		return err
	}
	got := secret.New(plain)
	defer got.Destroy()
	if same, err := keywrap.Same(n.value, got); err != nil || !same {
		return &VaultError{Definitive: true, Reason: ReasonKey, Err: errWrongP}
	}
	return nil
}

// used records a use of the customer's key.
func (n *wrapped) used(ctx context.Context, operation string, err error) {
	n.c.r.note(ctx, operation, n.p.String()+" "+n.ref.String(), n.w, vaultOutcome(err))
}

// seal makes the wrapping of n in a state, and the lease that it gives.
func (n *wrapped) seal(s *state, role cfks.Role, now uint64) (cfks.Wrapping, *lease, error) {
	w := cfks.Wrapping{
		W: n.w, Role: role, KeyURI: n.ref.String(), FollowLatest: n.fresh,
		Identity: n.ref.Identity, FederatedClient: n.ref.FederatedClientID, Blob: n.blob, Created: now,
	}
	r, err := keywrap.Wrap(s.sk, s.file.SRKRef, s.rAAD(n.p, n.w), n.half)
	if err != nil {
		return w, nil, err
	}
	w.R = r
	k, err := keywrap.DeriveVault(n.half, n.value, keywrap.VaultPlace{
		Wrapping: n.w, Owner: n.owner, Protector: n.p.Bytes(), KeyURI: w.KeyURI,
	})
	if err != nil {
		return w, nil, err
	}
	v := n.c.vault.Load()
	return w, &lease{
		w: n.w, p: n.value, k: k, sent: n.sent, soft: jitter(v.Cache), life: v.Cache,
		from: unixNano(n.facts.key.NotBefore), to: unixNano(n.facts.key.Expires),
	}, nil
}

// install makes a lease known before lookups see its wrapping.
func (g *guard) install(l *lease, f *facts) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := &leases{now: l}
	if old := g.leases.Load(); old != nil {
		next.before = old.now
	}
	g.leases.Store(next)
	g.state, g.reason, g.cause, g.last, g.facts = CustomerActive, 0, nil, l.sent.wall, f
}

// settle forgets the lease before the one in force, once lookups see that.
func (g *guard) settle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.leases.Load()
	if old == nil || old.before == nil {
		return
	}
	g.leases.Store(&leases{now: old.now})
	old.before.p.Destroy()
	old.before.k.Destroy()
}
