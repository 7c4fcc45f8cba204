package keys

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// flight is one validation: everybody who needs it waits for the same.
type flight struct {
	done  chan struct{}
	epoch uint64
	lease *lease // nil with err
	err   error
	void  bool // what it found does not count: keys were dropped, or switched, meanwhile
}

var errWrongP = errors.New("the vault unwraps another value than the one that was wrapped")

// begin starts a validation of the wrapping in force. g.mu is held, and none is running.
// It ends with the ring and not with ctx, since others may wait for it too; in the trail
// it is the act of whom ctx names.
func (g *guard) begin(ctx context.Context, rec *cfks.ProtectorRecord, cur *cfks.Wrapping) {
	now := g.c.clock()
	g.tried = &now
	f := &flight{done: make(chan struct{}), epoch: g.epoch.Load()}
	g.flight = f
	owner, w := rec.Owner, *cur
	ctx = audit.WithBy(g.c.ctx, audit.By(ctx))
	g.c.wait.Go(func() {
		l, err := g.c.unwrap(ctx, g.p, owner, &w, g.leases.Load().of(w.W))
		if err == nil {
			g.c.readDates(ctx, g, owner, &w, l)
		}
		g.land(ctx, f, &w, l, err)
		close(f.done)
	})
}

// land puts the outcome of a validation into force.
func (g *guard) land(ctx context.Context, f *flight, w *cfks.Wrapping, l *lease, err error) {
	g.mu.Lock()
	g.flight = nil
	_, cur, gone := g.c.r.current(g.p)
	if gone != nil || cur.W != w.W || g.epoch.Load() != f.epoch {
		f.void = true
		g.mu.Unlock()
		return
	}
	old := g.leases.Load()
	have := old.of(w.W)
	var wipe *leases
	switch ve, isVault := errors.AsType[*VaultError](err); {
	case err == nil && !l.inDates(g.c.clock().wall):
		wipe = g.refuse(ctx, f, ReasonKey, errDates, old)
		if wipe == nil {
			wipe = &leases{now: l}
		}
	case err == nil:
		g.put(l)
		f.lease = l
	case isVault && ve.Definitive:
		wipe = g.refuse(ctx, f, ve.Reason, ve.Err, old)
	case isVault:
		wipe = g.unreachable(ctx, f, have, ve, old)
	default: // no turn, or the ring closes: it says nothing of the key
		f.err = fault.New("keys.Use", g.p.String(), fault.Busy, err)
		if have.live(g.c.clock()) {
			f.lease, f.err = have, nil
		}
	}
	g.mu.Unlock()
	if wipe != nil {
		g.wipe(wipe)
	}
}

// put makes l the lease in force. g.mu is held.
func (g *guard) put(l *lease) {
	g.leases.Store(&leases{now: l})
	g.state, g.reason, g.cause = CustomerActive, 0, nil
	g.last = l.sent.wall
}

// refuse suspends. g.mu is held.
func (g *guard) refuse(ctx context.Context, f *flight, reason Reason, cause error, old *leases) *leases {
	was := g.state
	g.cut(CustomerSuspended, reason, cause)
	f.err = g.suspended()
	if was != CustomerSuspended {
		g.c.r.note(ctx, "keys.customer.suspend", g.p.String(), ID{}, reason.String())
	}
	return old
}

// unreachable goes on for a time with what was unwrapped before, if that is allowed.
// g.mu is held.
func (g *guard) unreachable(ctx context.Context, f *flight, have *lease, ve *VaultError, old *leases) *leases {
	now := g.c.clock()
	v := g.c.vault.Load()
	if v != nil && have != nil && have.inDates(now.wall) && now.since(have.sent) < v.Stale {
		l := *have
		l.soft, l.life, l.degraded = 0, v.Stale, true
		g.leases.Store(&leases{now: &l})
		if g.state != CustomerDegraded {
			g.c.r.note(ctx, "keys.customer.degraded", g.p.String(), ID{}, ve.Reason.String())
		}
		g.state, g.reason, g.cause = CustomerDegraded, ve.Reason, ve.Err
		f.lease = &l
		return nil
	}
	if have.live(now) { // fail closed, but not before the time
		g.cause = ve.Err
		f.lease = have
		return nil
	}
	return g.refuse(ctx, f, ve.Reason, ve.Err, old)
}

// vaultRef is the key of a wrapping, as drivers take it.
func vaultRef(owner ID, w *cfks.Wrapping) (VaultRef, error) {
	ref, err := ParseVaultKey(w.KeyURI)
	ref.Identity, ref.FederatedClientID, ref.Owner = w.Identity, w.FederatedClient, owner
	return ref, err
}

var errNoDriver = errors.New("no vaults are configured")

// unwrap asks the vault for the value of a wrapping and makes a lease of it. have, which
// may be nil, is what was unwrapped before: then the two are compared, else the KEKs
// show whether it is the right one.
func (c *customers) unwrap(ctx context.Context, p Protector, owner ID, w *cfks.Wrapping, have *lease) (*lease, error) {
	v := c.vault.Load()
	if v == nil {
		return nil, &VaultError{Reason: ReasonVault, Err: errNoDriver}
	}
	ref, err := vaultRef(owner, w)
	if err != nil {
		return nil, &VaultError{Definitive: true, Reason: ReasonKey, Err: err}
	}
	l := &lease{w: w.W, soft: jitter(v.Cache), life: v.Cache}
	var plain []byte
	err = c.call(ctx, ref.URI, func() { l.sent = c.clock() }, func(ctx context.Context) (err error) {
		plain, err = v.Unwrap(ctx, ref, w.Blob)
		return err
	})
	c.r.note(ctx, "keys.customer.unwrap", p.String()+" "+w.KeyURI, w.W, vaultOutcome(err))
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if len(plain) != keywrap.KeySize {
		return nil, &VaultError{Definitive: true, Reason: ReasonKey, Err: errWrongP}
	}
	l.p = secret.New(bytes.Clone(plain))
	if have != nil {
		same, err := keywrap.Same(have.p, l.p)
		l.p.Destroy()
		if errors.Is(err, secret.ErrDestroyed) {
			return nil, errDropped
		}
		if err != nil || !same {
			return nil, &VaultError{Definitive: true, Reason: ReasonKey, Err: errWrongP}
		}
		l.p, l.k = have.p, have.k
		return l, nil
	}
	if l.k, err = c.r.tryP(p, w, l.p); err != nil {
		l.p.Destroy()
		return nil, &VaultError{Definitive: true, Reason: ReasonKey, Err: errWrongP}
	}
	return l, nil
}

// errDropped says that keys were dropped during a call: another one follows.
var errDropped = errors.New("the keys were dropped meanwhile")

func vaultOutcome(err error) string {
	ve, ok := errors.AsType[*VaultError](err)
	switch {
	case err == nil:
		return "ok"
	case !ok:
		return "busy"
	case ve.Definitive:
		return "refused: " + ve.Reason.String()
	}
	return "unreachable: " + ve.Reason.String()
}

// tryP derives the key of a wrapping and opens with it what the record holds.
func (r *Ring) tryP(p Protector, w *cfks.Wrapping, value secret.Key) (secret.Key, error) {
	for {
		s := r.cur.Load()
		k, err := s.deriveCustomer(p, w, value)
		if errors.Is(err, secret.ErrDestroyed) && r.cur.Load() != s {
			continue // the root was replaced under our hands
		}
		if err == nil {
			err = s.checkUnder(p, w.W, k)
			if err != nil {
				k.Destroy()
			}
		}
		return k, err
	}
}

// rAAD binds the R of a wrapping to its place.
func (s *state) rAAD(p Protector, w ID) []byte {
	b := p.Bytes()
	return enc.Encode("coffer/cmk/r/v1", s.file.Store[:], b[:], w[:])
}

// deriveCustomer is the key that a wrapping gives with its P.
func (s *state) deriveCustomer(p Protector, w *cfks.Wrapping, value secret.Key) (secret.Key, error) {
	rec := s.protectors[p]
	if rec == nil {
		return secret.Key{}, errors.New("no such protector")
	}
	// The R of this generation: a change of the root seals it anew.
	sealed := w.R
	for i := range rec.Wrappings {
		if rec.Wrappings[i].W == w.W {
			sealed = rec.Wrappings[i].R
		}
	}
	r, err := keywrap.Unwrap(s.sk, s.file.SRKRef, s.rAAD(p, w.W), sealed[:])
	if err != nil {
		return secret.Key{}, err
	}
	defer r.Destroy()
	return keywrap.DeriveVault(r, value, keywrap.VaultPlace{
		Wrapping: w.W, Owner: rec.Owner, Protector: p.Bytes(), KeyURI: w.KeyURI,
	})
}

// checkUnder opens every KEK version of p that has a secret under w, and checks that
// there is one.
func (s *state) checkUnder(p Protector, w ID, k secret.Key) error {
	c := s.byID[s.protectors[p].Chain]
	opened := 0
	for i := range c.Keys {
		for j := range c.Keys[i].Secrets {
			sec := &c.Keys[i].Secrets[j]
			if sec.Form != cfks.UnderCMK || sec.W != w {
				continue
			}
			key, err := s.openUnder(c, &c.Keys[i], sec, k, w)
			if err != nil {
				return err
			}
			key.Destroy()
			opened++
		}
	}
	if opened == 0 {
		return errors.New("the key has no secret in force")
	}
	return nil
}

// readDates asks for the dates of the key where they are not known, or not any more: a
// vault unwraps outside of them too. Without an answer what was known stays.
func (c *customers) readDates(ctx context.Context, g *guard, owner ID, w *cfks.Wrapping, l *lease) {
	v := c.vault.Load() // set: it has just unwrapped
	g.mu.Lock()
	old := g.facts
	g.mu.Unlock()
	if old != nil && old.uri != w.KeyURI {
		old = nil
	}
	now := c.clock()
	if old == nil || now.since(old.at) >= v.VersionCheck || !old.allows(now.wall) {
		ref, err := vaultRef(owner, w)
		var key VaultKey
		if err == nil {
			err = c.call(ctx, ref.URI, nil, func(ctx context.Context) (err error) {
				key, err = v.Inspect(ctx, ref)
				return err
			})
		}
		if err == nil {
			old = g.learn(w.KeyURI, key)
			l.soft = l.life // one early call less: two a period is the bound
		}
	}
	if old != nil {
		l.from, l.to = unixNano(old.key.NotBefore), unixNano(old.key.Expires)
	}
}

// learn remembers what a vault said of the key at uri.
func (g *guard) learn(uri string, key VaultKey) *facts {
	f := &facts{uri: uri, key: key, at: g.c.clock()}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.facts = f
	return f
}

func (f *facts) allows(wall int64) bool {
	from, to := unixNano(f.key.NotBefore), unixNano(f.key.Expires)
	return (from == 0 || wall >= from) && (to == 0 || wall < to)
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
