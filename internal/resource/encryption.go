package resource

import (
	"context"
	"errors"
	"strings"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/scope"
)

// setKeyIdentity chooses which identity of an account asks vaults.
func setKeyIdentity(res *account.Resource, e *EncryptionWish) error {
	if e.KeyIdentity != nil {
		id := strings.TrimRight(*e.KeyIdentity, "/")
		if id != "" && !strings.EqualFold(id, res.Identity) {
			return refuse(NoKeyIdentity, "encryption.identity", "the account does not have the identity %s", id)
		}
		res.KeyIdentity = ""
		if id != "" {
			res.KeyIdentity = res.Identity
		}
	}
	if e.FederatedClientID != nil {
		res.FederatedClientID = *e.FederatedClientID
	}
	if res.FederatedClientID != "" && res.KeyIdentity == "" {
		return refuse(NoKeyIdentity, "encryption.identity", "a federated application needs a user-assigned identity")
	}
	return nil
}

// keyOf reads which key an account is to be under; nil is the service's.
func keyOf(res account.Resource, now keys.CustomerKeyInfo, e *EncryptionWish) (ref *keys.VaultRef, follow bool, err error) {
	customer := now.Ref.Key != ""
	if e.Source != nil {
		customer = *e.Source == CustomerManaged
	} else if e.Vault != nil {
		customer = true
	}
	if !customer {
		return nil, false, nil
	}
	v := e.Vault
	if v == nil {
		v = &VaultWish{}
	}
	r := keys.VaultRef{
		URI: strings.TrimRight(or(v.URI, now.Ref.URI), "/"), Key: or(v.Key, now.Ref.Key),
		Identity: res.KeyIdentity, FederatedClientID: res.FederatedClientID,
	}
	switch sameKey := r.URI == now.Ref.URI && r.Key == now.Ref.Key; {
	case v.Version != nil:
		r.Version = *v.Version
	case sameKey && !now.Follow:
		r.Version = now.Ref.Version
	}
	if r.URI == "" || r.Key == "" {
		return nil, false, refuse(NoVaultFields, "keyvaultproperties", "The encryption keyvault properties are missing from the request.")
	}
	if err := hasKeyIdentity(res); err != nil {
		return nil, false, err
	}
	return &r, r.Version == "", nil
}

// hasKeyIdentity refuses a customer-managed key when nobody could ask for it.
func hasKeyIdentity(res account.Resource) error {
	if res.KeyIdentity == "" && !res.SystemIdentity {
		return refuse(NoKeyIdentity, "identity", "the account has no managed identity that could ask the vault")
	}
	return nil
}

// encrypt brings the account's key into line with a wish. No content is written anew.
func (s *Service) encrypt(ctx context.Context, i account.Info, res account.Resource, e *EncryptionWish) error {
	now, customer := s.Key(i)
	ref, follow, err := keyOf(res, now, e)
	if err != nil {
		return err
	}
	switch {
	case ref != nil:
		err = s.o.Ring.SetVaultKey(ctx, i.Protector, *ref, follow)
	case customer:
		err = s.o.Ring.SetServiceKey(ctx, i.Protector)
	}
	if err == nil {
		err = s.o.Store.MirrorProtector(ctx, i.Protector)
	}
	if err != nil {
		return err
	}
	if res.KeyIdentity == i.Resource.KeyIdentity && res.FederatedClientID == i.Resource.FederatedClientID {
		return nil
	}
	return s.moveScopes(ctx, i, res)
}

// moveScopes gives the scopes with keys of their own the account's new identity: they
// have none themselves.
func (s *Service) moveScopes(ctx context.Context, i account.Info, res account.Resource) error {
	list, _, err := s.o.Scopes.List(ctx, i.ID, scope.ListOptions{})
	if err != nil {
		return err
	}
	for _, sc := range list {
		k, customer := s.ScopeKey(sc)
		if !customer {
			continue
		}
		ref := k.Ref
		ref.Identity, ref.FederatedClientID = res.KeyIdentity, res.FederatedClientID
		if k.Follow {
			ref.Version = ""
		}
		if _, err := s.o.Scopes.SetKey(ctx, i.ID, string(sc.Name), &ref, k.Follow); err != nil {
			return err
		}
	}
	return nil
}

// policyFits refuses to require a customer-managed key while a scope is without one.
func (s *Service) policyFits(ctx context.Context, i account.Info, w Wish) error {
	if !isTrue(w.RequireCustomerKey) {
		return nil
	}
	list, _, err := s.o.Scopes.List(ctx, i.ID, scope.ListOptions{})
	if err != nil {
		return err
	}
	for _, sc := range list {
		if _, customer := s.ScopeKey(sc); !customer && sc.State == keys.Enabled {
			return refuse(NeedsCustomerKey, string(sc.Name), "the encryption scope %s is under the service's key: give it a key, or disable it", sc.Name)
		}
	}
	return nil
}

// ScopeWish is what a request says of an encryption scope; nil was not said.
type ScopeWish struct {
	Source *Source
	KeyURI *string // https://VAULT/keys/NAME, or with /VERSION
	State  *keys.AdminState
	Double *bool
}

// key reads which key a scope is to be under, and whether the wish says so.
func (w *ScopeWish) key(i account.Info, now keys.CustomerKeyInfo) (ref *keys.VaultRef, follow, said bool, err error) {
	if w.Source != nil && *w.Source == ServiceManaged {
		return nil, false, true, nil
	}
	if w.Source == nil && w.KeyURI == nil {
		return nil, false, false, nil
	}
	if w.KeyURI == nil || *w.KeyURI == "" {
		if now.Ref.Key != "" {
			return nil, false, false, nil // it is one already
		}
		return nil, false, true, refuse(NoVaultFields, "keyVaultProperties.keyUri", "The encryption keyvault properties are missing from the request.")
	}
	r, err := keys.ParseVaultKey(*w.KeyURI)
	if err != nil {
		return nil, false, true, refuse(BadValue, "keyVaultProperties.keyUri", "%v", err)
	}
	if err := hasKeyIdentity(i.Resource); err != nil {
		return nil, false, true, err
	}
	r.Identity, r.FederatedClientID = i.Resource.KeyIdentity, i.Resource.FederatedClientID
	return &r, r.Version == "", true, nil
}

// CreateScope makes an encryption scope, or changes the one that is there; it reports
// whether it is new.
func (s *Service) CreateScope(ctx context.Context, i account.Info, n string, w ScopeWish) (scope.Info, bool, error) {
	k, err := findKind(i.Stated().Kind)
	if err != nil {
		return scope.Info{}, false, err
	}
	if !k.scopes {
		return scope.Info{}, false, refuse(NotForKind, "encryptionScopes", "accounts of kind %s have no encryption scopes", k.name)
	}
	if _, err := s.o.Scopes.Get(ctx, i.ID, n); err == nil {
		got, err := s.ChangeScope(ctx, i, n, w)
		return got, false, err
	}
	ref, follow, _, err := w.key(i, keys.CustomerKeyInfo{})
	if err != nil {
		return scope.Info{}, false, err
	}
	if ref == nil && i.Resource.RequireCustomerKey {
		return scope.Info{}, false, refuse(NeedsCustomerKey, n, "the account requires customer-managed keys: name one")
	}
	made, err := s.o.Scopes.Create(ctx, i.ID, name.Scope(n), scope.Options{Double: isTrue(w.Double), CustomerKey: ref, FollowVersion: follow})
	if err == nil && w.State != nil && *w.State != made.State {
		made, err = s.o.Scopes.SetState(ctx, i.ID, n, *w.State)
	}
	return made, err == nil, err
}

// ChangeScope changes an encryption scope.
func (s *Service) ChangeScope(ctx context.Context, i account.Info, n string, w ScopeWish) (scope.Info, error) {
	got, err := s.o.Scopes.Get(ctx, i.ID, n)
	if err != nil {
		return got, err
	}
	if w.Double != nil && *w.Double != got.Double {
		return got, refuse(ReadOnly, "requireInfrastructureEncryption", "it is chosen when the encryption scope is created, and cannot change")
	}
	now, customer := s.ScopeKey(got)
	ref, follow, said, err := w.key(i, now)
	if err != nil {
		return got, err
	}
	if said && ref == nil && customer && i.Resource.RequireCustomerKey {
		return got, refuse(NeedsCustomerKey, n, "the account requires customer-managed keys")
	}
	if said && (ref != nil || customer) {
		if got, err = s.o.Scopes.SetKey(ctx, i.ID, n, ref, follow); err != nil {
			return got, err
		}
	}
	if w.State != nil && *w.State != got.State {
		if *w.State == keys.Enabled && i.Resource.RequireCustomerKey && !(said && ref != nil) && !customer {
			return got, refuse(NeedsCustomerKey, n, "the account requires customer-managed keys")
		}
		got, err = s.o.Scopes.SetState(ctx, i.ID, n, *w.State)
	}
	return got, err
}

// Refusal says why a customer's key was refused; false when err is about something else.
func Refusal(err error) (keys.Refusal, bool) { return errors.AsType[keys.Refusal](err) }
