// Package blobtest opens a whole store in memory for tests: key store, metadata,
// extents, accounts and the Blob service, with a clock that the test moves.
package blobtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/memkv"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Store is an open store.
type Store struct {
	Meta     meta.Store
	Extents  *Extents
	Ring     *keys.Ring
	Objects  *object.Store
	Accounts *account.Service
	Scopes   *scope.Service
	Blobs    *blob.Service
	Clock    *Clock
}

// Owner is a caller who holds the account key.
func Owner(a name.Account) *access.Caller {
	return &access.Caller{Kind: access.SharedKey, Account: a, Secure: true}
}

// New opens an empty store and closes it with the test.
func New(t testing.TB) *Store {
	t.Helper()
	return Over(t, memkv.New())
}

// Over is New over the given engine.
func Over(t testing.TB, m meta.Store) *Store {
	t.Helper()
	ctx := context.Background()
	clock := &Clock{now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	ring, err := keys.Create(ctx, keys.Options{
		Store: new(keys.Memory), Service: new(provider), Infra: new(provider), Now: clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Initialize(ctx); err != nil {
		t.Fatal(err)
	}
	s := &Store{Meta: m, Extents: new(Extents), Ring: ring, Clock: clock}
	s.Objects, err = object.New(ctx, object.Options{Meta: s.Meta, Extents: s.Extents, Ring: ring, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	s.Accounts = account.New(s.Objects, ring, account.Options{Now: clock.Now})
	s.Scopes = scope.New(s.Objects, ring, clock.Now)
	s.Blobs = blob.New(s.Objects, s.Accounts, s.Scopes, blob.Options{Now: clock.Now})
	t.Cleanup(func() {
		s.Accounts.Close()
		s.Objects.Close()
		s.Meta.Close()
		ring.Close()
	})
	return s
}

// Account makes an account.
func (s *Store) Account(t testing.TB, n name.Account) account.Info {
	t.Helper()
	info, err := s.Accounts.Create(context.Background(), n, [2][]byte{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// Clock is a clock that stands until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the present time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock, backwards too.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// provider keeps slot secrets in memory.
type provider struct {
	mu    sync.Mutex
	slots map[[16]byte]slot
}

type slot struct {
	secret [32]byte
	pin    [32]byte
}

func (p *provider) Kind() keyprovider.Kind { return keyprovider.SecretBytes }

func (p *provider) Make(_ context.Context, s keyprovider.Slot, pin [32]byte) (secret.Key, []byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := slot{pin: pin}
	id := keys.NewID()
	copy(kept.secret[:], id[:])
	if p.slots == nil {
		p.slots = make(map[[16]byte]slot)
	}
	p.slots[s.ID] = kept
	return secret.New(append([]byte(nil), kept.secret[:]...)), nil, nil
}

func (p *provider) Open(_ context.Context, s keyprovider.Slot) (secret.Key, [32]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, ok := p.slots[s.ID]
	if !ok {
		return secret.Key{}, [32]byte{}, keyprovider.ErrNoSecret
	}
	return secret.New(append([]byte(nil), kept.secret[:]...)), kept.pin, nil
}

func (p *provider) Prune(context.Context, keyprovider.Slot, [][16]byte) error { return nil }
