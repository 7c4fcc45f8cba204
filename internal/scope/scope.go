// Package scope keeps encryption scopes: named keys inside one storage account.
//
//	table scope    account id || name    SYS: id of the scope, times, flags
//
// What the row does not have is the state: the key store alone is the authority for
// whether the keys of a scope may be used. Creating a scope therefore begins there and
// ends with the row; a crash between leaves a key that nobody uses, and nothing else.
//
// A scope is never deleted and never renamed, and its id and flags never change: what
// was looked up once stays right, so Find caches it for ever. What may change, the
// state, is asked of the key store each time.
package scope

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keylock"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// MaxScopes is how many scopes one account may have.
const MaxScopes = 10_000

// Scope is one encryption scope.
type Scope struct {
	ID       keys.ID
	Owner    keys.ID // the account
	Name     name.Scope
	Created  time.Time
	Modified time.Time
	Double   bool // infrastructure encryption, chosen when it was created
}

// Protector is whose KEK wraps the data keys of content under s.
func (s Scope) Protector() keys.Protector { return keys.ScopeProtector(s.ID) }

// Info is a scope and its state.
type Info struct {
	Scope
	State keys.AdminState
}

// Options are what a scope is created with.
type Options struct {
	Double        bool
	CustomerKey   *keys.VaultRef // nil: the service's key
	FollowVersion bool           // of the customer's key
}

// Service keeps the scopes. All methods are safe in parallel.
type Service struct {
	store *object.Store
	ring  *keys.Ring
	now   func() time.Time

	// One change at a time in an account, so that no name gets two keys. A vault that
	// hangs holds up its own account.
	changing keylock.Locks[keys.ID]

	mu    sync.RWMutex
	known map[at]Scope // see Find
}

type at struct {
	owner keys.ID
	name  string
}

// New makes a Service over an open store. A nil now is time.Now.
func New(store *object.Store, ring *keys.Ring, now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	return &Service{store: store, ring: ring, now: now, known: make(map[at]Scope)}
}

// Find returns the scope of that name, or ScopeNotFound. It does not tell the state.
func (s *Service) Find(ctx context.Context, owner keys.ID, n string) (Scope, error) {
	s.mu.RLock()
	found, ok := s.known[at{owner, n}]
	s.mu.RUnlock()
	if ok {
		return found, nil
	}
	found, err := s.read(ctx, "scope.Find", owner, n)
	if err != nil {
		return Scope{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[at{owner, n}] = found
	return found, nil
}

// read reads the row of a scope.
func (s *Service) read(ctx context.Context, op string, owner keys.ID, n string) (found Scope, err error) {
	if _, err := name.ParseScope(n); err != nil {
		return Scope{}, fault.New(op, "", fault.ScopeNotFound, err)
	}
	err = s.store.View(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Scope, owner, key(owner, n))
		if err != nil {
			return err
		}
		found, err = decode(owner, n, r)
		return err
	})
	return found, edge(op, n, err)
}

// Get returns a scope and its state.
func (s *Service) Get(ctx context.Context, owner keys.ID, n string) (Info, error) {
	found, err := s.read(ctx, "scope.Get", owner, n)
	if err != nil {
		return Info{}, err
	}
	return s.info(found), nil
}

func (s *Service) info(found Scope) Info {
	p, ok := s.ring.Protector(found.Protector())
	if !ok { // cannot be: the key is made before the row
		return Info{found, keys.Shredded}
	}
	return Info{found, p.Admin}
}

// Create makes a scope, enabled. It answers Exists, with the scope, if there is one of
// that name.
func (s *Service) Create(ctx context.Context, owner keys.ID, n name.Scope, o Options) (Info, error) {
	const op = "scope.Create"
	if _, err := name.ParseScope(string(n)); err != nil {
		return Info{}, err
	}
	defer s.changing.Lock(owner)()
	if old, err := s.Get(ctx, owner, string(n)); err == nil {
		return old, fault.New(op, string(n), fault.Exists, nil)
	} else if !fault.Is(err, fault.ScopeNotFound) {
		return Info{}, err
	}
	if err := s.room(ctx, op, owner); err != nil {
		return Info{}, err
	}
	now := s.now().UTC()
	// With the account's flag every scope has it.
	double := o.Double || s.store.ClassOf(owner, keys.AccountProtector(owner)) == extent.Double
	made := Scope{ID: keys.NewID(), Owner: owner, Name: n, Created: now, Modified: now, Double: double}
	add := func() error { return s.ring.AddScopes(ctx, owner, double, made.ID) }
	if o.CustomerKey != nil {
		add = func() error {
			return s.ring.AddScopeUnder(ctx, owner, made.ID, double, *o.CustomerKey, o.FollowVersion)
		}
	}
	if err := add(); err != nil {
		return Info{}, edge(op, string(n), err)
	}
	if err := s.store.MirrorProtector(ctx, made.Protector()); err != nil {
		return Info{}, edge(op, string(n), err)
	}
	if err := s.store.Update(ctx, func(tx *object.Tx) error { return put(tx, made) }); err != nil {
		return Info{}, edge(op, string(n), err)
	}
	return Info{made, keys.Enabled}, nil
}

// room checks that the account may have one more.
func (s *Service) room(ctx context.Context, op string, owner keys.ID) error {
	n := 0
	for _, p := range s.ring.Protectors() {
		if p.Owner == owner && p.Protector.Kind == keys.ProtectScope {
			n++
		}
	}
	if n >= MaxScopes {
		return fault.New(op, "", fault.NotAllowed, errors.New("the account has 10,000 encryption scopes"))
	}
	return nil
}

// SetState enables or disables a scope. When it returns every request sees it, and
// running downloads of a disabled scope are being cut off.
func (s *Service) SetState(ctx context.Context, owner keys.ID, n string, to keys.AdminState) (Info, error) {
	const op = "scope.SetState"
	defer s.changing.Lock(owner)()
	found, err := s.read(ctx, op, owner, n)
	if err != nil {
		return Info{}, err
	}
	p := found.Protector()
	if err := s.ring.SetAdmin(ctx, p, to); err != nil {
		return Info{}, edge(op, n, err)
	}
	if to != keys.Enabled {
		s.store.DropKeys(p)
	}
	if err := s.store.MirrorProtector(ctx, p); err != nil {
		return Info{}, edge(op, n, err)
	}
	return s.touch(ctx, op, found)
}

// SetKey puts a scope under a customer's key, or back under the service's when ref is
// nil. No content is written anew.
func (s *Service) SetKey(ctx context.Context, owner keys.ID, n string, ref *keys.VaultRef, follow bool) (Info, error) {
	const op = "scope.SetKey"
	defer s.changing.Lock(owner)()
	found, err := s.read(ctx, op, owner, n)
	if err != nil {
		return Info{}, err
	}
	p := found.Protector()
	if ref == nil {
		err = s.ring.SetServiceKey(ctx, p)
	} else {
		err = s.ring.SetVaultKey(ctx, p, *ref, follow)
	}
	if err != nil {
		return Info{}, edge(op, n, err)
	}
	if err := s.store.MirrorProtector(ctx, p); err != nil {
		return Info{}, edge(op, n, err)
	}
	return s.touch(ctx, op, found)
}

// touch notes when a scope was changed.
func (s *Service) touch(ctx context.Context, op string, found Scope) (Info, error) {
	found.Modified = s.now().UTC()
	err := s.store.Update(meta.WithReclaim(ctx), func(tx *object.Tx) error { return put(tx, found) })
	return s.info(found), edge(op, string(found.Name), err)
}

// ListOptions choose a page of a list.
type ListOptions struct {
	Prefix string
	From   string          // the first name that may come
	Most   int             // 0: all
	State  keys.AdminState // 0: any
}

// List returns scopes in the order of their names, and the name at which the next page
// begins; "" at the end.
func (s *Service) List(ctx context.Context, owner keys.ID, o ListOptions) (list []Info, next string, err error) {
	lo := key(owner, max(o.Prefix, o.From))
	err = s.store.View(ctx, func(tx *object.Tx) error {
		list, next = nil, ""
		return tx.Scan(object.Scope, owner, lo, after(key(owner, o.Prefix)), false, func(k []byte, r *object.Row) (bool, error) {
			n := string(k[16:])
			if !strings.HasPrefix(n, o.Prefix) {
				return false, nil
			}
			found, err := decode(owner, n, r)
			if err != nil {
				return false, err
			}
			i := s.info(found)
			if o.State != 0 && i.State != o.State {
				return true, nil
			}
			if o.Most > 0 && len(list) == o.Most {
				next = n
				return false, nil
			}
			list = append(list, i)
			return true, nil
		})
	})
	return list, next, edge("scope.List", "", err)
}

func edge(op, n string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	kind := fault.Internal
	switch {
	case errors.Is(err, meta.ErrNotFound):
		kind = fault.ScopeNotFound
	case errors.Is(err, errRow):
		kind = fault.Corrupt
	}
	return fault.New(op, n, kind, err)
}
