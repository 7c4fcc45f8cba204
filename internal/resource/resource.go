// Package resource is the management plane: storage accounts, their encryption, scopes,
// identities and resource groups as resources, and the rules that go across the
// services that keep them.
//
//	account + scope    what there is
//	keys               which key it is under
//	identity           who asks the vault for it
//
// The package knows no HTTP. What it refuses is an *Error with a Problem; the edge has
// the codes. Vaults are kept by package vault and role assignments by package identity:
// nothing has to be said about them here.
package resource

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/keylock"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
)

// Identities keeps managed identities; *identity.Service has it.
type Identities interface {
	CreateIdentity(ctx context.Context, kind identity.Kind, resourceID, name string) (identity.Principal, error)
	Identity(ctx context.Context, resourceID string) (identity.Principal, error)
	DeleteIdentity(ctx context.Context, resourceID string) error
	Forget(ctx context.Context, scope string) error
}

// Ring is what the management plane asks of the key store; *keys.Ring has it.
type Ring interface {
	SetVaultKey(ctx context.Context, p keys.Protector, ref keys.VaultRef, follow bool) error
	SetServiceKey(ctx context.Context, p keys.Protector) error
	RevokeNow(ctx context.Context, p keys.Protector) error
	CustomerKey(p keys.Protector) (keys.CustomerKeyInfo, bool)
}

// Options are the parts that a Service works with. Identities may be nil: then there are
// no managed identities.
type Options struct {
	Store      *object.Store
	Accounts   *account.Service
	Scopes     *scope.Service
	Ring       Ring
	Identities Identities
	Now        func() time.Time
}

// Service is the management plane. All methods are safe in parallel.
type Service struct {
	o        Options
	changing keylock.Locks[name.Account]
}

// New makes a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{o: o}
}

// Problem says why something is refused.
type Problem uint8

// Problems.
const (
	BadValue         Problem = 1 + iota // a value that is none of those there are
	NoGroup                             // the resource group does not exist
	NoAccount                           // no such account in the group
	NameTaken                           // by an account elsewhere
	ReadOnly                            // a property that is chosen at the creation
	NotForKind                          // the kind of account has no such feature
	NotServed                           // a promise that this server does not keep
	NoVaultFields                       // a customer-managed key without vault or name
	NoKeyIdentity                       // no identity that could ask the vault
	NoUserIdentity                      // UserAssigned, and none is listed
	IdentityGone                        // the identity does not exist
	CreateNeedsUser                     // a key at the creation needs a user-assigned identity
	NeedsCustomerKey                    // the account's policy requires a customer-managed key
	NeedsDouble                         // the account's policy requires infrastructure encryption
	GroupNotEmpty                       // a group with something in it
)

// Error is a refusal.
type Error struct {
	Problem Problem
	What    string // a name, a property
	Text    string // why, for people
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.What, e.Text) }

func refuse(p Problem, what, format string, args ...any) error {
	return &Error{p, what, fmt.Sprintf(format, args...)}
}

// Is reports whether err is a refusal for that reason.
func Is(err error, p Problem) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Problem == p
}

// Find returns an account that is in a group; "" is any.
func (s *Service) Find(ctx context.Context, subscription, group, n string) (account.Info, error) {
	parsed, err := name.ParseAccount(n)
	var info account.Info
	if err == nil {
		info, err = s.o.Accounts.Get(ctx, parsed)
	}
	gone := fault.Is(err, fault.AccountNotFound) || fault.Is(err, fault.InvalidResourceName)
	if gone || err == nil && !info.Resource.Free() && !info.Resource.Within(subscription, group) {
		return account.Info{}, refuse(NoAccount, n, "there is no such account in resource group %s", group)
	}
	return info, err
}

// List returns the accounts of a subscription and group; "" is any.
func (s *Service) List(ctx context.Context, subscription, group string) ([]account.Info, error) {
	all, err := s.o.Accounts.List(ctx)
	var out []account.Info
	for _, i := range all {
		if i.Resource.Within(subscription, group) {
			out = append(out, i)
		}
	}
	return out, err
}

// Key describes the customer-managed key of an account; false without one.
func (s *Service) Key(i account.Info) (keys.CustomerKeyInfo, bool) {
	return s.o.Ring.CustomerKey(i.Protector)
}

// ScopeKey describes the customer-managed key of a scope; false without one.
func (s *Service) ScopeKey(i scope.Info) (keys.CustomerKeyInfo, bool) {
	return s.o.Ring.CustomerKey(i.Protector())
}

// SystemIdentity is the account's own managed identity; false without one.
func (s *Service) SystemIdentity(ctx context.Context, i account.Info) (identity.Principal, bool) {
	if !i.Resource.SystemIdentity || s.o.Identities == nil {
		return identity.Principal{}, false
	}
	p, err := s.o.Identities.Identity(ctx, i.ResourceID())
	return p, err == nil
}

// UserIdentity is the account's user-assigned identity; false without one, or when it
// was deleted.
func (s *Service) UserIdentity(ctx context.Context, i account.Info) (identity.Principal, bool) {
	if i.Resource.Identity == "" || s.o.Identities == nil {
		return identity.Principal{}, false
	}
	p, err := s.o.Identities.Identity(ctx, i.Resource.Identity)
	return p, err == nil
}

// RevokeNow forgets what was unwrapped for an account and its scopes: the next use asks
// the vault.
func (s *Service) RevokeNow(ctx context.Context, i account.Info) error {
	var errs []error
	n := 0
	revoke := func(p keys.Protector) {
		if _, ok := s.o.Ring.CustomerKey(p); ok {
			n++
			errs = append(errs, s.o.Ring.RevokeNow(ctx, p))
		}
	}
	revoke(i.Protector)
	list, _, err := s.o.Scopes.List(ctx, i.ID, scope.ListOptions{})
	errs = append(errs, err)
	for _, sc := range list {
		revoke(sc.Protector())
	}
	if n == 0 && err == nil {
		return refuse(NeedsCustomerKey, string(i.Name), "neither the account nor a scope of it is under a customer-managed key")
	}
	return errors.Join(errs...)
}
