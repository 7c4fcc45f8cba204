package keys

import (
	"context"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// probeEvery is how often a suspended key is asked for although nobody uses it.
const probeEvery = time.Minute

// Tend does what customers' keys need in the background until ctx ends: it looks for new
// versions, asks for suspended keys, wipes what was not used for longer than it may be,
// and takes old wrappings away. report, which may be nil, is told what failed.
func (r *Ring) Tend(ctx context.Context, report func(error)) {
	if report == nil {
		report = func(error) {}
	}
	v := r.customers.vault.Load()
	if v == nil {
		return
	}
	tick := time.NewTicker(min(max(v.Cache/2, time.Second), probeEvery/2))
	defer tick.Stop()
	versions, probed, trimmed := r.o.Now(), r.o.Now(), r.o.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := r.o.Now()
		r.wipeIdle()
		if now.Sub(probed) >= probeEvery {
			probed = now
			r.probeSuspended(ctx)
		}
		if now.Sub(versions) >= v.VersionCheck {
			versions = now
			if err := r.CheckVersions(ctx); err != nil && ctx.Err() == nil {
				report(err)
			}
		}
		if now.Sub(trimmed) >= probeEvery {
			trimmed = now
			if err := r.TrimPrevious(ctx); err != nil && ctx.Err() == nil {
				report(err)
			}
		}
	}
}

// wipeIdle wipes what was unwrapped and may not be used any more: nobody asked, so
// nobody validated.
func (r *Ring) wipeIdle() {
	now := r.customers.clock()
	r.customers.guards.Range(func(_, v any) bool {
		g := v.(*guard)
		if l := g.leases.Load(); l == nil || l.now.live(now) {
			return true
		}
		g.mu.Lock()
		if l := g.leases.Load(); g.flight != nil || l == nil || l.now.live(now) {
			g.mu.Unlock()
			return true
		}
		old := g.cut(CustomerUnused, 0, g.cause)
		g.mu.Unlock()
		g.wipe(old)
		return true
	})
}

// probeSuspended begins a validation of every suspended key.
func (r *Ring) probeSuspended(ctx context.Context) {
	s := r.cur.Load()
	r.customers.guards.Range(func(_, v any) bool {
		g := v.(*guard)
		rec := s.protectors[g.p]
		if rec == nil || rec.Admin != cfks.Enabled || rec.Current() == nil {
			return true
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.state == CustomerSuspended && g.flight == nil && !g.triedWithin(retrySuspended) {
			g.begin(ctx, rec, rec.Current())
		}
		return true
	})
}

// CheckVersions asks the vaults once for every key in use: its dates, and where new
// versions are to be taken, its newest one.
func (r *Ring) CheckVersions(ctx context.Context) error {
	if r.customers.vault.Load() == nil {
		return nil
	}
	users := map[VaultRef][]Protector{}
	s := r.cur.Load()
	for i := range s.body.Protectors {
		rec := &s.body.Protectors[i]
		cur := rec.Current()
		if cur == nil || rec.Admin != cfks.Enabled {
			continue
		}
		ref, err := vaultRef(rec.Owner, cur)
		if err != nil {
			continue
		}
		if cur.FollowLatest {
			ref.Version = ""
		}
		users[ref] = append(users[ref], rec.Protector)
	}
	var errs []error
	for ref, ps := range users {
		if err := ctx.Err(); err != nil {
			return err
		}
		key, err := r.customers.inspect(ctx, ref)
		if err != nil {
			continue // validation says what that means
		}
		for _, p := range ps {
			errs = append(errs, r.applyVersion(ctx, p, ref, key))
		}
	}
	return errors.Join(errs...)
}

// applyVersion takes what a vault said of the key of p.
func (r *Ring) applyVersion(ctx context.Context, p Protector, ref VaultRef, key VaultKey) error {
	rec := r.cur.Load().protectors[p]
	if rec == nil || rec.Current() == nil {
		return nil
	}
	cur := rec.Current()
	g := r.customer(p)
	have, err := vaultRef(rec.Owner, cur)
	if err != nil {
		return nil
	}
	if key.Version == have.Version {
		r.redate(ctx, g, cur, g.learn(cur.KeyURI, key))
		return nil
	}
	if ref.Version != "" || r.customerSuspended(rec) || key.fits(r.customers.clock().wall) != nil {
		return nil // pinned, or not to be switched now
	}
	ref.Identity, ref.FederatedClientID = cur.Identity, cur.FederatedClient
	err = r.SetVaultKey(ctx, p, ref, true)
	if fault.Is(err, fault.KeyGone) || fault.Is(err, fault.Busy) {
		return nil // the next look
	}
	return err
}

// redate gives the lease in force the dates that were read.
func (r *Ring) redate(ctx context.Context, g *guard, cur *cfks.Wrapping, f *facts) {
	g.mu.Lock()
	old := g.leases.Load()
	l := old.of(cur.W)
	if l == nil || l != old.now {
		g.mu.Unlock()
		return
	}
	next := *l
	next.from, next.to = unixNano(f.key.NotBefore), unixNano(f.key.Expires)
	g.leases.Store(&leases{now: &next, before: old.before})
	g.mu.Unlock()
	if !next.inDates(r.customers.clock().wall) {
		g.suspend(ctx, cur.W, ReasonKey, errDates)
	}
}

// CustomerKey describes the customer's key of a protector; false without one.
func (r *Ring) CustomerKey(p Protector) (CustomerKeyInfo, bool) {
	rec := r.cur.Load().protectors[p]
	if rec == nil || rec.Current() == nil {
		return CustomerKeyInfo{}, false
	}
	cur := rec.Current()
	info := CustomerKeyInfo{Follow: cur.FollowLatest, LastRotation: timeOf(cur.Created)}
	info.Ref, _ = vaultRef(rec.Owner, cur)
	if v := r.customers.vault.Load(); v != nil {
		info.Cache, info.VersionCheck, info.Stale = v.Cache, v.VersionCheck, v.Stale
	}
	if prev := rec.Previous(); prev != nil {
		info.Previous = prev.KeyURI
	}
	r.customer(p).describe(cur, &info)
	return info, true
}

// describe adds what this process knows.
func (g *guard) describe(cur *cfks.Wrapping, info *CustomerKeyInfo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	info.State, info.Reason = g.state, g.reason
	if g.cause != nil {
		info.Cause = g.cause.Error()
	}
	if g.last != 0 {
		info.LastSuccess = time.Unix(0, g.last).UTC()
	}
	if f := g.facts; f != nil && f.uri == cur.KeyURI {
		info.NotBefore, info.Expires = f.key.NotBefore, f.key.Expires
		info.Unprotected = !f.key.SoftDelete || !f.key.PurgeProtection
	}
	if l := g.leases.Load().of(cur.W); l != nil {
		info.Deadline = time.Unix(0, l.sent.wall).Add(l.life).UTC()
		if !l.live(g.c.clock()) {
			info.State = CustomerUnused
		}
	}
}
