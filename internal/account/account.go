// Package account keeps the storage accounts: who they are and their two shared keys.
//
//	table account    key = name   SYS: id, created, protector, flags, ids of the keys
//	                              META part: the two keys, under a data key of the store
//
// An account is the owner of everything in it: its id is in every row key and its
// system key seals every row. Creating one therefore begins in the key store (system
// key and account KEK) and ends with the row. A crash between leaves keys that nobody
// uses, and nothing else.
//
// Look-ups are cached for a minute at most; a change made here is seen at once.
package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keylock"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// The account of emulator connection strings. Its key is published and protects
// nothing; the server offers it where only the own machine can reach it.
const (
	DefaultName name.Account = "devstoreaccount1"
	DefaultKey  string       = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

const (
	keySize    = 64  // bytes of a key that we make
	maxKeySize = 256 // bytes of a key that is given
)

// Info describes an account.
type Info struct {
	ID          keys.ID
	Name        name.Account
	Created     time.Time
	Protector   keys.Protector
	Double      bool // second encryption layer
	AllowPublic bool // containers may be made public
	Default     bool // the well-known account of the emulators
	// ForbidCustomerKeys refuses writes under customer-provided keys.
	ForbidCustomerKeys bool

	Resource Resource // what the management plane knows
}

// Class is the extent class of the account's content.
func (i Info) Class() extent.Class {
	if i.Double {
		return extent.Double
	}
	return extent.Single
}

// Options are the settings of a Service. The zero value is ready to use.
type Options struct {
	Now func() time.Time // nil is time.Now
}

// Ring is what accounts need of the key store; *keys.Ring has it.
type Ring interface {
	AddOwner(ctx context.Context, owner keys.ID) error
	AddDoubleOwner(ctx context.Context, owner keys.ID) error
	AddOwnerUnder(ctx context.Context, owner keys.ID, double bool, ref keys.VaultRef, follow bool) error
}

// Service keeps the accounts. All methods are safe in parallel.
type Service struct {
	store *object.Store
	ring  Ring
	now   func() time.Time
	cache cache

	// One Create of a name at a time, so that none gets two sets of keys. A vault that
	// hangs holds up that name only.
	creating keylock.Locks[name.Account]
}

// New makes a Service over an open store.
func New(store *object.Store, ring Ring, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{store: store, ring: ring, now: o.Now}
}

// Create makes an account with the given keys; a nil key is drawn at random. It
// answers Exists if the name is taken.
func (s *Service) Create(ctx context.Context, n name.Account, given [2][]byte) (Info, error) {
	return s.CreateAs(ctx, Spec{Name: n, Keys: given})
}

// Spec is what an account is made with.
type Spec struct {
	Name          name.Account
	Keys          [2][]byte // nil: random
	Double        bool      // infrastructure encryption, for its life
	ForbidPublic  bool      // containers may not be made public
	Resource      Resource
	ForbidCPK     bool
	CustomerKey   *keys.VaultRef // nil: the service's key
	FollowVersion bool           // of the customer's key
}

// CreateAs makes an account. With a customer's key its key is under that from the start:
// it never lies in the store under the service's key alone.
func (s *Service) CreateAs(ctx context.Context, p Spec) (Info, error) {
	info := Info{Name: p.Name, Double: p.Double, Resource: p.Resource, AllowPublic: !p.ForbidPublic, ForbidCustomerKeys: p.ForbidCPK}
	return s.create(ctx, info, p)
}

// CreateDouble is Create for an account with infrastructure encryption: everything in it
// gets a second layer, under a key from the other root. That is fixed for its life.
func (s *Service) CreateDouble(ctx context.Context, n name.Account, given [2][]byte) (Info, error) {
	return s.CreateAs(ctx, Spec{Name: n, Keys: given, Double: true})
}

// EnsureDefault returns the default account and makes it when it is not there. Its
// second key is random.
func (s *Service) EnsureDefault(ctx context.Context) (Info, error) {
	info, err := s.Get(ctx, DefaultName)
	if !fault.Is(err, fault.AccountNotFound) {
		return info, err
	}
	first, err := base64.StdEncoding.DecodeString(DefaultKey)
	if err != nil {
		return Info{}, fault.New("account.EnsureDefault", "", fault.Internal, err)
	}
	return s.create(ctx, Info{Name: DefaultName, Default: true, AllowPublic: true}, Spec{Keys: [2][]byte{first, nil}})
}

// create makes the account that info begins to describe.
func (s *Service) create(ctx context.Context, info Info, p Spec) (Info, error) {
	const op = "account.Create"
	n := info.Name
	if _, err := name.ParseAccount(string(n)); err != nil {
		return Info{}, err
	}
	if err := info.Resource.check(); err != nil {
		return Info{}, fault.New(op, string(n), fault.InvalidInput, err)
	}
	pair, err := newPair(p.Keys)
	if err != nil {
		return Info{}, fault.New(op, string(n), fault.InvalidInput, err)
	}
	defer pair.clear()
	defer s.creating.Lock(n)()
	switch _, err := s.read(ctx, n); {
	case err == nil:
		return Info{}, fault.New(op, string(n), fault.Exists, nil)
	case !errors.Is(err, meta.ErrNotFound):
		return Info{}, edge(op, n, err)
	}

	info.ID, info.Created = keys.NewID(), s.now().UTC()
	info.Protector = keys.AccountProtector(info.ID)
	if err := s.addOwner(ctx, info, p); err != nil {
		return Info{}, edge(op, n, err)
	}
	if err := s.store.Mirror(ctx); err != nil {
		return Info{}, edge(op, n, err)
	}
	if err := s.insert(ctx, info, pair); err != nil {
		return Info{}, edge(op, n, err)
	}
	s.cache.forget(n)
	return info, nil
}

// addOwner makes the account's keys.
func (s *Service) addOwner(ctx context.Context, info Info, p Spec) error {
	switch {
	case p.CustomerKey != nil:
		return s.ring.AddOwnerUnder(ctx, info.ID, info.Double, *p.CustomerKey, p.FollowVersion)
	case info.Double:
		return s.ring.AddDoubleOwner(ctx, info.ID)
	}
	return s.ring.AddOwner(ctx, info.ID)
}

// insert writes the row of a new account.
func (s *Service) insert(ctx context.Context, info Info, pair *pair) error {
	sealed, err := s.seal(pair)
	if err != nil {
		return err
	}
	defer sealed.dek.Close()
	return s.store.Update(ctx, func(tx *object.Tx) error {
		_, err := tx.Get(object.Account, s.store.StoreID(), []byte(info.Name))
		if err == nil {
			return fault.New("account.Create", string(info.Name), fault.Exists, nil)
		}
		if !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		r := &object.Row{Owner: s.store.StoreID(), Class: extent.Single}
		info.encode(r)
		return s.putKeys(tx, info.Name, r, sealed)
	})
}

// Get returns the account of that name, or AccountNotFound.
func (s *Service) Get(ctx context.Context, n name.Account) (Info, error) {
	e, err := s.lookup(ctx, n)
	if err != nil {
		return Info{}, err
	}
	return e.info, nil
}

// List returns all accounts in the order of their names.
func (s *Service) List(ctx context.Context) ([]Info, error) {
	var list []Info
	err := s.store.View(ctx, func(tx *object.Tx) error {
		list = nil
		return tx.Scan(object.Account, s.store.StoreID(), nil, nil, false, func(k []byte, r *object.Row) (bool, error) {
			info, err := decodeInfo(name.Account(k), r)
			list = append(list, info)
			return true, err
		})
	})
	if err != nil {
		return nil, edge("account.List", "", err)
	}
	return list, nil
}

// Delete removes an account. Unless forced it must have no containers (NotAllowed).
// What it holds is released by blob.Collect, which needs its keys; they stay in the key
// store until they are destroyed by command, by the account's id.
func (s *Service) Delete(ctx context.Context, n name.Account, force bool) error {
	const op = "account.Delete"
	err := s.store.Update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
		r, err := tx.Get(object.Account, s.store.StoreID(), []byte(n))
		if err != nil {
			return err
		}
		info, err := decodeInfo(n, r)
		if err != nil {
			return err
		}
		if !force {
			if err := empty(tx, info); err != nil {
				return err
			}
		}
		if err := Drop(tx, s.store.StoreID(), DroppedAccount, info.ID, info.ID); err != nil {
			return err
		}
		tx.Delete(object.Account, []byte(n))
		return nil
	})
	s.cache.forget(n)
	return edge(op, n, err)
}

// Remove takes the account's row away, in a transaction that deals with what it holds.
// Forget follows when it is committed.
func (s *Service) Remove(tx *object.Tx, n name.Account) { tx.Delete(object.Account, []byte(n)) }

// Forget drops what the cache knows of n.
func (s *Service) Forget(n name.Account) { s.cache.forget(n) }

func empty(tx *object.Tx, info Info) error {
	lo := info.ID[:]
	return tx.Scan(object.Container, info.ID, lo, After(lo), false, func([]byte, *object.Row) (bool, error) {
		return false, fault.New("account.Delete", string(info.Name), fault.NotAllowed, errors.New("the account has containers"))
	})
}

// Check makes the transaction depend on the account's being there: it fails with
// AccountNotFound when the account was deleted, whatever a cache says.
func (s *Service) Check(tx *object.Tx, info Info) error {
	r, err := tx.Get(object.Account, s.store.StoreID(), []byte(info.Name))
	if err != nil {
		return edge("account.Check", info.Name, err)
	}
	now, err := decodeInfo(info.Name, r)
	if err != nil {
		return edge("account.Check", info.Name, err)
	}
	if now.ID != info.ID {
		return fault.New("account.Check", string(info.Name), fault.AccountNotFound, nil)
	}
	return nil
}

// edge turns what the store answers into the fault of this package's callers.
func edge(op string, n name.Account, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	kind := meta.FaultKind(err)
	if errors.Is(err, meta.ErrNotFound) {
		kind = fault.AccountNotFound
	}
	return fault.New(op, string(n), kind, err)
}

func random() []byte {
	b := make([]byte, keySize)
	rand.Read(b)
	return b
}
