package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/resource"
)

func (s *Server) opStatus(context.Context, Nothing, func(Progress)) (Status, error) {
	return s.Status(), nil
}

func (s *Server) opAccountCreate(ctx context.Context, a AccountArgs, _ func(Progress)) (Account, error) {
	n, err := parseAccount(a.Name)
	if err != nil {
		return Account{}, err
	}
	var given [2][]byte
	if len(a.Keys) > len(given) {
		return Account{}, fault.New("server.accountCreate", a.Name, fault.InvalidInput, errors.New("an account has two keys"))
	}
	for i, k := range a.Keys {
		if given[i], err = base64.StdEncoding.DecodeString(k); err != nil {
			return Account{}, fault.New("server.accountCreate", a.Name, fault.InvalidInput, errors.New("a key is base64"))
		}
		if base64.StdEncoding.EncodeToString(given[i]) == account.DefaultKey && s.exposed() {
			return Account{}, withHint(fault.New("server.accountCreate", a.Name, fault.NotAllowed,
				errors.New("this key is published: everybody has it")), "leave the keys out, and random ones are made")
		}
	}
	w, err := s.accountWish(ctx, a)
	if err != nil {
		return Account{}, err
	}
	w.Keys = given
	if a.Double {
		if w.Encryption == nil {
			w.Encryption = &resource.EncryptionWish{}
		}
		w.Encryption.Double = &a.Double
	}
	if _, err := s.store.Accounts.Get(ctx, n); err == nil {
		return Account{}, fault.New("server.accountCreate", a.Name, fault.Exists, nil)
	}
	group := account.DefaultGroup
	if a.Group != "" {
		g, err := s.store.Resources.Group(ctx, account.DefaultSubscription, a.Group)
		if err != nil {
			return Account{}, groupHint(err)
		}
		group = g.Name
	}
	info, _, err := s.store.Resources.Create(ctx, account.DefaultSubscription, group, string(n), w)
	if err != nil {
		return Account{}, customerHint(err)
	}
	return s.withKeys(ctx, info)
}

func (s *Server) opAccountList(ctx context.Context, _ Nothing, _ func(Progress)) ([]Account, error) {
	infos, err := s.store.Accounts.List(ctx)
	if err != nil {
		return nil, err
	}
	out := []Account{}
	for _, i := range infos {
		out = append(out, s.account(i))
	}
	return out, nil
}

func (s *Server) opAccountKeys(ctx context.Context, a AccountArgs, _ func(Progress)) (Account, error) {
	n, err := parseAccount(a.Name)
	if err != nil {
		return Account{}, err
	}
	info, err := s.store.Accounts.Get(ctx, n)
	if err != nil {
		return Account{}, err
	}
	return s.withKeys(ctx, info)
}

func (s *Server) opAccountRegenerate(ctx context.Context, a AccountArgs, _ func(Progress)) (Account, error) {
	n, err := parseAccount(a.Name)
	if err != nil {
		return Account{}, err
	}
	if err := s.store.Accounts.Regenerate(ctx, n, a.Which); err != nil {
		return Account{}, err
	}
	return s.opAccountKeys(ctx, a, nil)
}

func (s *Server) opAccountDelete(ctx context.Context, a AccountArgs, _ func(Progress)) (Nothing, error) {
	n, err := parseAccount(a.Name)
	if err != nil {
		return Nothing{}, err
	}
	info, err := s.store.Accounts.Get(ctx, n)
	if err != nil {
		return Nothing{}, err
	}
	err = s.store.Resources.Delete(ctx, info, a.Force)
	if fault.Is(err, fault.NotAllowed) {
		err = withHint(err, "delete its containers first, or delete all with --force")
	}
	return Nothing{}, err
}

func (s *Server) opAccountShow(ctx context.Context, a AccountArgs, _ func(Progress)) (Account, error) {
	info, err := s.accountOf(ctx, a.Name)
	if err != nil {
		return Account{}, err
	}
	return s.account(info), nil
}

func parseAccount(s string) (name.Account, error) {
	n, err := name.ParseAccount(s)
	return n, withHint(err, "an account's name has 3 to 24 lower case letters and digits")
}

func (s *Server) withKeys(ctx context.Context, info account.Info) (Account, error) {
	pair, err := s.store.Accounts.Keys(ctx, info.Name)
	if err != nil {
		return Account{}, err
	}
	a := s.account(info)
	a.Keys = pair[:]
	return a, nil
}

func (s *Server) account(i account.Info) Account {
	a := Account{
		Name: string(i.Name), ID: i.ID.String(), Created: i.Created, Default: i.Default, Double: i.Double,
		ForbidCPK: i.ForbidCustomerKeys,
		Protector: "account key (service-managed)",
		Resource:  i.ResourceID(), Kind: i.Stated().Kind, SKU: i.Stated().SKU, Redundancy: resource.OneCopy,
		Identity: i.Resource.Identity, RequireCMK: i.Resource.RequireCustomerKey, RequireDouble: i.Resource.RequireDouble,
		AllowPublic: i.AllowPublic,
	}
	if i.Resource.SystemIdentity {
		a.Identity = strings.TrimSuffix(systemIdentity+", "+a.Identity, ", ")
	}
	if k := s.customerReport(i.Protector); k != nil {
		a.CustomerKey, a.Protector = k, "account key under "+k.Address
	}
	if u := s.url(s.blob.l); u != "" {
		a.Endpoint = fmt.Sprintf("%s/%s", u, i.Name)
	}
	return a
}
