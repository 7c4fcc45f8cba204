// Package objecttest makes object stores in memory for tests: a real key store, a meta
// engine in memory, and extents on a file system in memory.
package objecttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/extent/fileextent"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/memkv"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Env is a store and what is below it. Change the exported fields before Reopen only.
type Env struct {
	*object.Store
	Meta    meta.Store
	FS      *vfs.MemFS
	Extents *fileextent.Store
	Ring    *keys.Ring
	Clock   *Clock
	Account keys.ID // one owner, made already
	Options object.Options

	t testing.TB
}

// Clock is a clock that stands until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Option changes the options of the store that New opens.
type Option func(*object.Options)

// New makes an empty store with one account. All of it is closed at the end of the test.
func New(t testing.TB, opts ...Option) *Env { return open(t, false, opts) }

// NewDouble is New with infrastructure encryption for the account.
func NewDouble(t testing.TB, opts ...Option) *Env { return open(t, true, opts) }

func open(t testing.TB, double bool, opts []Option) *Env {
	t.Helper()
	e := &Env{
		t:     t,
		Meta:  memkv.New(),
		FS:    vfs.NewMem(),
		Clock: &Clock{now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)},
	}
	e.Ring = NewRing(t, e.Clock.Now)
	e.Account = keys.NewID()
	add := e.Ring.AddOwner
	if double {
		add = e.Ring.AddDoubleOwner
	}
	if err := add(context.Background(), e.Account); err != nil {
		t.Fatal(err)
	}
	for _, o := range opts {
		o(&e.Options)
	}
	e.Reopen()
	t.Cleanup(func() {
		e.Store.Close()
		e.Extents.Close()
		e.Meta.Close()
	})
	return e
}

// Reopen opens the store anew over Meta, FS and Ring, as after a restart.
func (e *Env) Reopen() {
	e.t.Helper()
	if e.Store != nil {
		e.Store.Close()
		e.Extents.Close()
	}
	var err error
	e.Extents, err = fileextent.Open(fileextent.Options{FS: e.FS, Dir: "data/extents", Infra: e.Ring.Infra()})
	if err != nil {
		e.t.Fatal(err)
	}
	o := e.Options
	o.Meta, o.Ring, o.Now = e.Meta, e.Ring, e.Clock.Now
	if o.Extents == nil {
		o.Extents = e.Extents
	}
	if e.Store, err = object.New(context.Background(), o); err != nil {
		e.t.Fatal(err)
	}
}

// Protector is the account's.
func (e *Env) Protector() keys.Protector { return keys.AccountProtector(e.Account) }

// NewRing makes a key store in memory that ends with the test.
func NewRing(t testing.TB, now func() time.Time) *keys.Ring {
	t.Helper()
	ctx := context.Background()
	r, err := keys.Create(ctx, keys.Options{
		Store:   keys.NewMemory(nil),
		Service: NewProvider(),
		Infra:   NewProvider(),
		Now:     now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if err := r.Initialize(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

// Provider keeps slot secrets in memory.
type Provider struct {
	mu sync.Mutex
	m  map[[16]byte]kept
}

type kept struct {
	u   [32]byte
	pin [32]byte
}

// NewProvider returns an empty Provider.
func NewProvider() *Provider { return &Provider{m: make(map[[16]byte]kept)} }

// Kind implements keyprovider.Provider.
func (p *Provider) Kind() keyprovider.Kind { return keyprovider.SecretBytes }

// Make implements keyprovider.Provider.
func (p *Provider) Make(_ context.Context, s keyprovider.Slot, pin [32]byte) (secret.Key, []byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := kept{pin: pin}
	rand.Read(k.u[:])
	p.m[s.ID] = k
	return secret.New(bytes.Clone(k.u[:])), nil, nil
}

// Open implements keyprovider.Provider.
func (p *Provider) Open(_ context.Context, s keyprovider.Slot) (secret.Key, [32]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.m[s.ID]
	if !ok {
		return secret.Key{}, [32]byte{}, keyprovider.ErrNoSecret
	}
	return secret.New(bytes.Clone(k.u[:])), k.pin, nil
}

// Prune implements keyprovider.Provider.
func (p *Provider) Prune(_ context.Context, s keyprovider.Slot, keep [][16]byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	keepSet := make(map[[16]byte]bool)
	for _, id := range keep {
		keepSet[id] = true
	}
	maps.DeleteFunc(p.m, func(id [16]byte, _ kept) bool { return !keepSet[id] })
	return nil
}
