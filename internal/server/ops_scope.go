package server

import (
	"context"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/resource"
	"github.com/coffer-storage/coffer/internal/scope"
)

// accountOf looks an account up by the name that a person gave.
func (s *Server) accountOf(ctx context.Context, n string) (account.Info, error) {
	a, err := parseAccount(n)
	if err != nil {
		return account.Info{}, err
	}
	return s.store.Accounts.Get(ctx, a)
}

func (s *Server) opScopeCreate(ctx context.Context, a ScopeArgs, _ func(Progress)) (Scope, error) {
	info, err := s.accountOf(ctx, a.Account)
	if err != nil {
		return Scope{}, err
	}
	n, err := name.ParseScope(a.Name)
	if err != nil {
		return Scope{}, withHint(err, "a scope's name has 3 to 63 lower case letters, digits and dashes, each dash between two of the others")
	}
	if _, err := s.store.Scopes.Get(ctx, info.ID, string(n)); err == nil {
		return Scope{}, fault.New("server.scopeCreate", a.Name, fault.Exists, nil)
	}
	w, err := s.scopeWish(ctx, info, a)
	if err != nil {
		return Scope{}, err
	}
	w.Double = &a.Double
	i, _, err := s.store.Resources.CreateScope(ctx, info, string(n), w)
	return s.scope(info, i), scopeHint(customerHint(err), a.Account)
}

// scopeWish turns arguments into a wish, and grants what they say.
func (s *Server) scopeWish(ctx context.Context, info account.Info, a ScopeArgs) (resource.ScopeWish, error) {
	var w resource.ScopeWish
	if a.ServiceKey {
		src := resource.ServiceManaged
		w.Source = &src
	}
	if a.VaultKey == "" {
		return w, nil
	}
	ref, err := s.vaultKeyRef(a.VaultKey)
	if err == nil && a.Grant {
		err = s.grant(ctx, info, a.VaultKey)
	}
	uri := ref.String()
	w.KeyURI = &uri
	return w, err
}

// opScopeUpdate puts a scope under another key.
func (s *Server) opScopeUpdate(ctx context.Context, a ScopeArgs, _ func(Progress)) (Scope, error) {
	info, err := s.accountOf(ctx, a.Account)
	if err != nil {
		return Scope{}, err
	}
	w, err := s.scopeWish(ctx, info, a)
	if err != nil {
		return Scope{}, err
	}
	i, err := s.store.Resources.ChangeScope(ctx, info, a.Name, w)
	return s.scope(info, i), scopeHint(customerHint(err), a.Account)
}

func scopeHint(err error, account string) error {
	if fault.Is(err, fault.ScopeNotFound) {
		return withHint(err, "coffer scope list "+account+" shows the scopes there are")
	}
	return err
}

func (s *Server) opScopeList(ctx context.Context, a ScopeArgs, _ func(Progress)) ([]Scope, error) {
	info, err := s.accountOf(ctx, a.Account)
	if err != nil {
		return nil, err
	}
	list, _, err := s.store.Scopes.List(ctx, info.ID, scope.ListOptions{})
	out := []Scope{}
	for _, i := range list {
		out = append(out, s.scope(info, i))
	}
	return out, err
}

func (s *Server) opScopeShow(ctx context.Context, a ScopeArgs, _ func(Progress)) (Scope, error) {
	info, err := s.accountOf(ctx, a.Account)
	if err != nil {
		return Scope{}, err
	}
	i, err := s.store.Scopes.Get(ctx, info.ID, a.Name)
	return s.scope(info, i), scopeHint(err, a.Account)
}

func (s *Server) opScopeEnable(ctx context.Context, a ScopeArgs, _ func(Progress)) (Scope, error) {
	return s.setScope(ctx, a, keys.Enabled)
}

func (s *Server) opScopeDisable(ctx context.Context, a ScopeArgs, _ func(Progress)) (Scope, error) {
	return s.setScope(ctx, a, keys.Disabled)
}

func (s *Server) setScope(ctx context.Context, a ScopeArgs, to keys.AdminState) (Scope, error) {
	info, err := s.accountOf(ctx, a.Account)
	if err != nil {
		return Scope{}, err
	}
	i, err := s.store.Resources.ChangeScope(ctx, info, a.Name, resource.ScopeWish{State: &to})
	return s.scope(info, i), scopeHint(customerHint(err), a.Account)
}

func (s *Server) scope(a account.Info, i scope.Info) Scope {
	out := Scope{
		Account: string(a.Name), Name: string(i.Name), ID: i.ID.String(), State: i.State.String(),
		Created: i.Created, Modified: i.Modified, Double: i.Double, Source: "service",
	}
	out.CustomerKey = s.customerReport(i.Protector())
	if p, ok := s.store.Ring.Protector(i.Protector()); ok {
		out.Source = p.Managed
		out.Key = KeyName{Chain: p.Chain.String(), Version: p.Active.Number, Ref: p.Active.Kref.String()}
		if p.Active.Number > 0 {
			out.Key.State = p.Active.State.String()
		}
	}
	return out
}
