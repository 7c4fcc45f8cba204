// Package keys is the key hierarchy: which key protects what, its versions and their
// life, and the file that keeps it all.
//
//	slot secret U: key file | passphrase | recovery kit
//	  | opens                                   | opens (slots of its own)
//	service root -> SK                          infrastructure root -> IK
//	  |- identity key, audit key                '- IDK
//	  |- VFSK  one chain
//	  |- SYSK  one chain per owner
//	  '- KEK   one chain per protector
//
// Everything down to the KEKs is in the key store; data keys are wrapped by package
// object under a KEK that it gets here. A chain has versions 1, 2, ..; data name one of
// them by its kref and open with it or not at all.
//
// A change is one Swap of the whole store. Its new versions are handed out only after
// the Swap and what OnSwap adds (the HEAD of the data directory) are durable. When the
// outcome of a Swap is unknown, changes are refused until the next start.
// The format is fixed by spec/keystore.md.
package keys

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Options opens or makes a Ring.
type Options struct {
	Store   Port
	Service keyprovider.Provider // opens the service root
	Infra   keyprovider.Provider // opens the infrastructure root; nil: double objects do not open
	Now     func() time.Time     // nil: time.Now
	Dev     bool                 // development store; must match what the store says
	Audit   audit.Recorder       // may be nil, and set later with SetAudit
	// Usage reports the bytes sealed under a key version, for keys that are due by
	// volume. May be nil, and set later with SetUsage.
	Usage func(kref ID) uint64
	// Retention is the declared life of backups; Create writes it.
	Retention time.Duration
	Periods   Periods
	Vault     Vault // of customers' keys; may be nil, and set later with SetVault
	Customer  CustomerOptions
}

// Ring is the opened key store. All methods are safe in parallel. Keys that it hands
// out are shared: callers never destroy them. A version is opened on first use and then
// kept, 32 bytes for each, until it is destroyed or the ring is closed.
type Ring struct {
	o   Options
	dev bool

	cur     atomic.Pointer[state]   // what lookups see
	durable atomic.Pointer[durable] // what the port holds; ahead of cur inside a change

	customers *customers

	change sync.Mutex // held through a change: one Swap at a time

	waitMu  sync.Mutex
	waiting []*waiter // changes that the next Swap takes along

	mu        sync.Mutex
	opened    map[ID]secret.Key // by kref
	closed    bool
	onSwap    func() error
	stopped   error // why key changes are refused until a restart
	unsettled error // why a copy is not up to date
	recorder  audit.Recorder
	usage     func(kref ID) uint64
	early     []audit.Record // before there was a recorder
}

// durable is what the port holds.
type durable struct {
	gen   uint64
	sum   [32]byte
	bytes []byte
}

// state is one generation of the key store. It does not change.
type state struct {
	file *cfks.File
	body *cfks.Body

	srk, sk secret.Key
	irk, ik secret.Key // zero without a provider of the infrastructure root

	byID       map[ID]*cfks.Chain
	byKref     map[ID]keyAt
	system     map[ID]*cfks.Chain // SYSK by owner
	protectors map[Protector]*cfks.ProtectorRecord
	vfs, idk   *cfks.Chain
	identity   *cfks.Chain
	audit      *cfks.Chain

	// Of a change, while it runs: keys of wrappings by their w, and the wrapping of a
	// protector that is being made.
	unlocked map[ID]secret.Key
	born     map[Protector]ID
}

// keyAt is a version and the chain that it is in.
type keyAt struct {
	chain *cfks.Chain
	key   *cfks.Key
}

// index fills the maps of s.
func (s *state) index() {
	s.byID, s.byKref = map[ID]*cfks.Chain{}, map[ID]keyAt{}
	s.system, s.protectors = map[ID]*cfks.Chain{}, map[Protector]*cfks.ProtectorRecord{}
	for i := range s.body.Chains {
		c := &s.body.Chains[i]
		s.byID[c.ID] = c
		for j := range c.Keys {
			s.byKref[c.Keys[j].Kref] = keyAt{c, &c.Keys[j]}
		}
		switch c.Kind {
		case cfks.SYSK:
			s.system[c.Owner] = c
		case cfks.VFSK:
			s.vfs = c
		case cfks.IDK:
			s.idk = c
		case cfks.Identity:
			s.identity = c
		case cfks.Audit:
			s.audit = c
		}
	}
	for i := range s.body.Protectors {
		p := &s.body.Protectors[i]
		s.protectors[p.Protector] = p
	}
}

// active is the version of c that seals, or nil.
func active(c *cfks.Chain) *cfks.Key {
	for i := range c.Keys {
		if c.Keys[i].State == cfks.Active {
			return &c.Keys[i]
		}
	}
	return nil
}

func newRing(o Options, dev bool) *Ring {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Ring{o: o, dev: dev, opened: map[ID]secret.Key{}, recorder: o.Audit, usage: o.Usage}
	r.customers = newCustomers(r)
	if o.Vault != nil {
		r.customers.vault.Store(&vaultPort{o.Vault, o.Customer.orDefaults()})
	}
	return r
}

func (r *Ring) now() uint64 { return uint64(r.o.Now().UnixNano()) }

// OnSwap sets what runs after each Swap is durable and before new versions are handed
// out. Its failure stops key changes.
func (r *Ring) OnSwap(f func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onSwap = f
}

// SetUsage sets who knows the bytes sealed under a version, which lies behind the keys.
func (r *Ring) SetUsage(f func(kref ID) uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usage = f
}

// StoreID names the store.
func (r *Ring) StoreID() [16]byte { return r.cur.Load().file.Store }

// Dev reports whether this is a development store.
func (r *Ring) Dev() bool { return r.dev }

// Generation is the key store as last made durable: its number and SHA-256.
func (r *Ring) Generation() (gen uint64, sum [32]byte) {
	d := r.durable.Load()
	return d.gen, d.sum
}

// Snapshot returns the bytes of the key store as last made durable, for backup and
// drill. The caller must not change them.
func (r *Ring) Snapshot() []byte { return r.durable.Load().bytes }

// Identity is the pin: a hash of the key that signs this store.
func (r *Ring) Identity() (pin [32]byte) { return pinOf(r.cur.Load().file) }

// Initialized reports whether creation was finished.
func (r *Ring) Initialized() bool { return r.cur.Load().body.Initialized }

// PurgePending reports whether a purge write waits for FinishPurge.
func (r *Ring) PurgePending() bool { return r.cur.Load().body.PurgePending }

// Unsettled says why a copy of the key store is not up to date, or nil.
func (r *Ring) Unsettled() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unsettled
}

// Stopped says why key changes are refused until a restart, or nil.
func (r *Ring) Stopped() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

// Repair makes every copy of the key store equal to the one that was opened. Start-up
// calls it once the generation was found to be the right one.
func (r *Ring) Repair(ctx context.Context) error {
	r.change.Lock()
	defer r.change.Unlock()
	return r.settle(ctx)
}

func (r *Ring) settle(ctx context.Context) error {
	err := r.o.Store.Settle(ctx, r.durable.Load().bytes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsettled = err
	return err
}

// Close wipes every key. Lookups fail afterwards.
func (r *Ring) Close() {
	r.customers.close()
	r.change.Lock()
	defer r.change.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, k := range r.opened {
		k.Destroy()
	}
	clear(r.opened)
	if s := r.cur.Load(); s != nil {
		s.destroyRoots()
	}
}

func (s *state) destroyRoots() {
	for _, k := range []secret.Key{s.srk, s.sk, s.irk, s.ik} {
		k.Destroy()
	}
}

var errClosed = errors.New("the key ring is closed")
