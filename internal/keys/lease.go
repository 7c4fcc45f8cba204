package keys

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// customers is what this process knows of the keys of customers. Nothing of it is
// stored: after a restart every key has to be unwrapped by its vault again.
type customers struct {
	r      *Ring
	vault  atomic.Pointer[vaultPort]
	guards sync.Map // of Protector to *guard
	limits limits
	calls  atomic.Int64 // to vaults

	ctx   context.Context // of calls in the background; ends with the ring
	stop  context.CancelFunc
	wait  sync.WaitGroup
	clock func() moment

	mu     sync.Mutex
	onDrop []func(Protector)
}

// vaultPort is the driver with its timers.
type vaultPort struct {
	Vault
	CustomerOptions
}

func newCustomers(r *Ring) *customers {
	c := &customers{r: r}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.clock = func() moment {
		now := r.o.Now()
		return moment{mono: now, wall: now.UnixNano()}
	}
	return c
}

// moment is a time on both clocks: wall clocks jump, and monotonic ones stand still
// while a machine sleeps.
type moment struct {
	mono time.Time
	wall int64
}

// since is the time from a to m, on the clock that went further.
func (m moment) since(a moment) time.Duration {
	return max(m.mono.Sub(a.mono), time.Duration(m.wall-a.wall))
}

// lease lets keys of a protector be used for a time. It does not change.
type lease struct {
	w        ID
	p        secret.Key // what the vault wraps
	k        secret.Key // what the KEKs are wrapped under
	sent     moment     // when the call was sent that succeeded last
	soft     time.Duration
	life     time.Duration
	from, to int64 // the dates of the key, wall clock; 0: none
	degraded bool
}

// leases are the one in force and, for the moment of a switch, the one before.
type leases struct{ now, before *lease }

func (l *leases) of(w ID) *lease {
	switch {
	case l == nil:
	case l.now != nil && l.now.w == w:
		return l.now
	case l.before != nil && l.before.w == w:
		return l.before
	}
	return nil
}

// guard is the customer's key of one protector.
type guard struct {
	c       *customers
	p       Protector
	leases  atomic.Pointer[leases]
	epoch   atomic.Uint64 // raised whenever what was unwrapped is dropped
	commits sync.RWMutex  // held for reading by commits that use keys

	changing sync.Mutex // one switch at a time

	mu     sync.Mutex
	state  CustomerState
	reason Reason
	cause  error
	last   int64   // wall clock: sent time of the last success
	tried  *moment // begin of the last validation
	flight *flight // that runs
	facts  *facts  // what the vault said of the key in force
}

// facts is what a vault said of a key version.
type facts struct {
	uri string
	key VaultKey
	at  moment
}

// customer returns the guard of a protector.
func (r *Ring) customer(p Protector) *guard {
	if g, ok := r.customers.guards.Load(p); ok {
		return g.(*guard)
	}
	g, _ := r.customers.guards.LoadOrStore(p, &guard{c: r.customers, p: p})
	return g.(*guard)
}

// lease returns the right to use the keys of a protector under a customer's key. It asks
// the vault when it has to, and waits for it only then.
func (r *Ring) lease(ctx context.Context, rec *cfks.ProtectorRecord, cur *cfks.Wrapping) (*lease, error) {
	g := r.customer(rec.Protector)
	if l := g.leases.Load().of(cur.W); l != nil {
		now := r.customers.clock()
		switch age := now.since(l.sent); {
		case !l.inDates(now.wall):
			g.suspend(ctx, cur.W, ReasonKey, errDates)
		case age < l.soft:
			return l, nil
		case age < l.life:
			g.refresh(ctx, rec, cur)
			return l, nil
		}
	}
	return g.await(ctx, rec.Protector)
}

var errDates = errors.New("the key is outside of its dates")

func (l *lease) inDates(wall int64) bool {
	return (l.from == 0 || wall >= l.from) && (l.to == 0 || wall < l.to)
}

// live reports whether l may be used without asking.
func (l *lease) live(now moment) bool {
	return l != nil && now.since(l.sent) < l.life && l.inDates(now.wall)
}

// Intervals between validations that are asked for by use.
const (
	retrySuspended = 10 * time.Second
	retryDegraded  = 10 * time.Second
	retryActive    = time.Second // after a call that did not get its turn
)

// refresh begins a validation in the background, unless one was begun a moment ago.
func (g *guard) refresh(ctx context.Context, rec *cfks.ProtectorRecord, cur *cfks.Wrapping) {
	g.mu.Lock()
	defer g.mu.Unlock()
	wait := retryActive
	if g.state == CustomerDegraded {
		wait = retryDegraded
	}
	if g.flight == nil && !g.triedWithin(wait) {
		g.begin(ctx, rec, cur)
	}
}

// triedWithin runs with g.mu held.
func (g *guard) triedWithin(d time.Duration) bool {
	return g.tried != nil && g.c.clock().since(*g.tried) < d
}

// await waits for a validation of the wrapping in force and returns its lease.
func (g *guard) await(ctx context.Context, p Protector) (*lease, error) {
	for range 10 {
		rec, cur, err := g.c.r.current(p)
		if err != nil {
			return nil, err
		}
		f, l, err := g.join(ctx, rec, cur)
		if l != nil || err != nil {
			return l, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctxFault("keys.Use", p.String(), ctx.Err())
		}
		if !f.void {
			return f.lease, f.err
		}
	}
	return nil, fault.New("keys.Use", p.String(), fault.Busy, errors.New("the customer's key changes all the time"))
}

func ctxFault(op, what string, err error) error {
	kind := fault.Canceled
	if errors.Is(err, context.DeadlineExceeded) {
		kind = fault.Timeout
	}
	return fault.New(op, what, kind, err)
}

// errSwitched says that a protector went back to the service's key this moment: whoever
// meets it looks at the record again.
var errSwitched = errors.New("the protector is under the service's key by now")

// current returns the record of a protector and its wrapping in force.
func (r *Ring) current(p Protector) (*cfks.ProtectorRecord, *cfks.Wrapping, error) {
	rec := r.cur.Load().protectors[p]
	if err := usableRecord("keys.Use", p, rec); err != nil {
		return nil, nil, err
	}
	cur := rec.Current()
	if cur == nil {
		return nil, nil, errSwitched
	}
	return rec, cur, nil
}

// join returns the validation to wait for, a lease that is there by now, or why there
// is nothing to wait for: a suspended key is asked for now and then only.
func (g *guard) join(ctx context.Context, rec *cfks.ProtectorRecord, cur *cfks.Wrapping) (*flight, *lease, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.leases.Load().of(cur.W); l.live(g.c.clock()) {
		return nil, l, nil
	}
	if g.state == CustomerSuspended && (g.flight != nil || g.triedWithin(retrySuspended)) {
		return nil, nil, g.suspended()
	}
	if g.flight == nil {
		g.begin(ctx, rec, cur)
	}
	return g.flight, nil, nil
}

// suspended is the answer of a suspended key. g.mu is held.
func (g *guard) suspended() error {
	return fault.New("keys.Use", g.p.String(), fault.KeyGone, &Suspended{Reason: g.reason, Err: g.cause})
}

// jitter is a random part of the cache time, after which a key is validated early.
func jitter(cache time.Duration) time.Duration {
	var b [2]byte
	rand.Read(b[:])
	const low, high = 0.6, 0.9
	f := low + (high-low)*float64(binary.BigEndian.Uint16(b[:]))/(1<<16)
	return time.Duration(f * float64(cache))
}

// drop forgets what was unwrapped: new uses fail or validate from here on, running
// commits end, and then the keys are wiped.
func (g *guard) drop() {
	g.mu.Lock()
	old := g.cut(CustomerUnused, 0, nil)
	g.mu.Unlock()
	g.wipe(old)
}

// cut takes the leases away. g.mu is held.
func (g *guard) cut(to CustomerState, reason Reason, cause error) *leases {
	old := g.leases.Swap(nil)
	g.epoch.Add(1)
	g.state, g.reason, g.cause = to, reason, cause
	return old
}

// wipe ends a cut: not under g.mu, since running commits may want it.
func (g *guard) wipe(old *leases) {
	if old == nil {
		return
	}
	g.c.wait.Go(func() {
		pass(&g.commits) // commits that began before have ended
		for _, l := range []*lease{old.now, old.before} {
			if l != nil {
				l.p.Destroy()
				l.k.Destroy()
			}
		}
		g.c.r.forget(g.p)
		g.c.dropped(g.p)
	})
}

// pass waits for whoever holds l, and lets it go at once.
func pass(l sync.Locker) {
	l.Lock()
	defer l.Unlock()
}

// suspend takes the leases of a wrapping away because it may not be used.
func (g *guard) suspend(ctx context.Context, w ID, reason Reason, cause error) {
	g.mu.Lock()
	if l := g.leases.Load(); l == nil || l.now == nil || l.now.w != w {
		g.mu.Unlock()
		return
	}
	old := g.cut(CustomerSuspended, reason, cause)
	g.mu.Unlock()
	g.c.r.note(ctx, "keys.customer.suspend", g.p.String(), ID{}, reason.String())
	g.wipe(old)
}

// forget wipes the opened KEKs of a protector that is not usable now.
func (r *Ring) forget(p Protector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.cur.Load()
	rec := s.protectors[p]
	if rec == nil || rec.Current() == nil {
		return
	}
	if r.customer(p).leases.Load().of(rec.Current().W) != nil {
		return // it is usable again
	}
	for i := range s.byID[rec.Chain].Keys {
		kref := s.byID[rec.Chain].Keys[i].Kref
		if k, ok := r.opened[kref]; ok {
			k.Destroy()
			delete(r.opened, kref)
		}
	}
}

// DropEpoch counts how often what was unwrapped for p was dropped; 0 without a customer's
// key.
func (r *Ring) DropEpoch(p Protector) uint64 {
	if g, ok := r.customers.guards.Load(p); ok {
		if rec := r.cur.Load().protectors[p]; rec != nil && rec.Current() != nil {
			return g.(*guard).epoch.Load()
		}
	}
	return 0
}

// OnDrop adds what is called with a protector whose keys were wiped: caches of what was
// opened with them end there.
func (r *Ring) OnDrop(f func(Protector)) {
	r.customers.mu.Lock()
	defer r.customers.mu.Unlock()
	r.customers.onDrop = append(r.customers.onDrop, f)
}

func (c *customers) dropped(p Protector) {
	c.mu.Lock()
	fs := c.onDrop
	c.mu.Unlock()
	for _, f := range fs {
		f(p)
	}
}

// close ends what runs in the background and wipes every lease.
func (c *customers) close() {
	c.stop()
	c.wait.Wait()
	c.guards.Range(func(_, g any) bool {
		if old := g.(*guard).leases.Swap(nil); old != nil {
			for _, l := range []*lease{old.now, old.before} {
				if l != nil {
					l.p.Destroy()
					l.k.Destroy()
				}
			}
		}
		return true
	})
}
