package server

import (
	"context"
	"errors"
	"strings"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/resource"
	"github.com/coffer-storage/coffer/internal/vault"
)

// systemIdentity is how a person says that an account's own identity is meant.
const systemIdentity = "system"

// opAccountUpdate changes settings, identity and key of an account.
func (s *Server) opAccountUpdate(ctx context.Context, a AccountArgs, _ func(Progress)) (Account, error) {
	info, err := s.accountOf(ctx, a.Name)
	if err != nil {
		return Account{}, err
	}
	w, err := s.accountWish(ctx, a)
	if err != nil {
		return Account{}, err
	}
	enc := w.Encryption
	if w.Identity != nil && enc != nil { // the grant goes between
		w.Encryption = nil
		w.RequireCustomerKey = nil
		if info, err = s.store.Resources.Change(ctx, info, w); err != nil {
			return Account{}, customerHint(err)
		}
		w = resource.Wish{Encryption: enc, RequireCustomerKey: a.RequireCMK}
	}
	if a.Grant && a.VaultKey != "" {
		if err := s.grant(ctx, info, a.VaultKey); err != nil {
			return Account{}, err
		}
	}
	info, err = s.store.Resources.Change(ctx, info, w)
	return s.account(info), customerHint(err)
}

// accountWish turns arguments into a wish.
func (s *Server) accountWish(ctx context.Context, a AccountArgs) (resource.Wish, error) {
	w := resource.Wish{ForbidCPK: a.ForbidCPK, AllowPublic: a.AllowPublic, RequireCustomerKey: a.RequireCMK, RequireDouble: a.RequireDouble}
	for _, f := range []struct {
		to   **string
		from string
	}{{&w.Kind, a.Kind}, {&w.SKU, a.SKU}, {&w.Location, a.Location}} {
		if f.from != "" {
			*f.to = &f.from
		}
	}
	who, err := s.identityOf(ctx, a.Identity)
	if err != nil {
		return w, err
	}
	if a.Identity != "" {
		w.Identity = &resource.IdentityWish{System: who == ""}
		if who != "" {
			w.Identity.User, w.Identity.Typed = []string{who}, true
		}
	}
	switch {
	case a.ServiceKey && a.VaultKey != "":
		return w, fault.New("server.account", a.Name, fault.InvalidInput, errors.New("--vault-key and --service-key exclude each other"))
	case a.ServiceKey:
		src := resource.ServiceManaged
		w.Encryption = &resource.EncryptionWish{Source: &src}
	case a.VaultKey != "":
		ref, err := s.vaultKeyRef(a.VaultKey)
		if err != nil {
			return w, err
		}
		src := resource.CustomerManaged
		w.Encryption = &resource.EncryptionWish{Source: &src, Vault: &resource.VaultWish{URI: &ref.URI, Key: &ref.Key, Version: &ref.Version}}
		if a.Identity != "" {
			w.Encryption.KeyIdentity = &who
		}
	}
	return w, nil
}

// identityOf is the resource id of the managed identity that a person named; "" is the
// account's own.
func (s *Server) identityOf(ctx context.Context, who string) (string, error) {
	if who == "" || who == systemIdentity {
		return "", nil
	}
	p, err := s.store.Identity.Principal(ctx, who)
	if err != nil {
		if p, err = s.store.Identity.Identity(ctx, who); err != nil {
			return "", principalHint(err)
		}
	}
	if p.Kind != identity.UserAssigned {
		return "", withHint(fault.New("server.account", who, fault.InvalidInput, errors.New("this is no user-assigned managed identity")),
			"make one with: coffer identity create NAME --managed; or leave it to the account's own: --identity system")
	}
	return p.ResourceID, nil
}

// vaultKeyRef reads VAULT/KEY of our own vaults, VAULT/KEY/VERSION, or an address.
func (s *Server) vaultKeyRef(text string) (keys.VaultRef, error) {
	if !strings.Contains(text, "://") {
		p := strings.SplitN(text, "/", 2)
		if len(p) < 2 {
			return keys.VaultRef{}, fault.New("server.vaultKey", text, fault.InvalidInput, errors.New("a key is VAULT/KEY or the address that coffer vault key show tells"))
		}
		text = s.store.Vaults.URI(vault.Standard, p[0]) + "/keys/" + p[1]
	}
	ref, err := keys.ParseVaultKey(text)
	if err != nil {
		return ref, fault.New("server.vaultKey", text, fault.InvalidInput, err)
	}
	return ref, nil
}

// grant lets the identity of an account use a key of a vault of ours.
func (s *Server) grant(ctx context.Context, i account.Info, text string) error {
	ref, err := s.vaultKeyRef(text)
	if err != nil {
		return err
	}
	p, ok := s.store.Resources.UserIdentity(ctx, i)
	if !ok {
		p, ok = s.store.Resources.SystemIdentity(ctx, i)
	}
	if !ok {
		return withHint(fault.New("server.grant", string(i.Name), fault.NotAllowed, errors.New("the account has no managed identity")), "add --identity system")
	}
	v, err := s.ownVault(ctx, ref.URI)
	if err != nil {
		return err
	}
	if !v.RBAC {
		next := []vault.AccessPolicy{{ObjectID: p.ObjectID, Keys: []string{"get", "wrapKey", "unwrapKey"}}}
		for _, old := range v.Policies {
			if old.ObjectID != p.ObjectID {
				next = append(next, old)
			}
		}
		_, err := s.store.Vaults.UpdateVault(ctx, v.Kind, v.Name, vault.Change{Policies: &next})
		return err
	}
	role := "Key Vault Crypto Service Encryption User"
	if v.Kind == vault.HSM {
		role = "Managed HSM Crypto Service Encryption User"
	}
	_, err = s.store.Identity.Assign(ctx, identity.RoleAssignment{Scope: v.Scope(ref.Key), RoleID: role, PrincipalID: p.ObjectID})
	if fault.Is(err, fault.Exists) {
		return nil
	}
	return err
}

// ownVault finds the vault of ours at an address.
func (s *Server) ownVault(ctx context.Context, uri string) (vault.Vault, error) {
	for _, k := range []vault.Kind{vault.Standard, vault.HSM} {
		list, err := s.store.Vaults.Vaults(ctx, k)
		if err != nil {
			return vault.Vault{}, err
		}
		for _, v := range list {
			if strings.EqualFold(s.store.Vaults.URI(k, v.Name), strings.TrimRight(uri, "/")) {
				return v, nil
			}
		}
	}
	return vault.Vault{}, withHint(fault.New("server.grant", uri, fault.VaultNotFound, errors.New("this vault is not ours")),
		"grant the identity the role at the vault itself, and leave --grant out")
}

// opAccountRevokeNow ends the use of what vaults unwrapped for an account.
func (s *Server) opAccountRevokeNow(ctx context.Context, a AccountArgs, _ func(Progress)) (Account, error) {
	info, err := s.accountOf(ctx, a.Name)
	if err == nil {
		err = s.store.Resources.RevokeNow(ctx, info)
	}
	return s.account(info), customerHint(err)
}

// opKeysRecover puts the customer's key that was in force before the present one back into
// force.
func (s *Server) opKeysRecover(ctx context.Context, a RecoverKeyArgs, _ func(Progress)) (RecoverKeyReport, error) {
	p, full, err := s.protectorOf(ctx, a.What, a.Name)
	if err != nil {
		return RecoverKeyReport{}, err
	}
	if err := s.store.Ring.RecoverPrevious(ctx, p); err != nil {
		return RecoverKeyReport{}, customerHint(err)
	}
	r := RecoverKeyReport{What: a.What + " " + full, Customer: s.customerReport(p)}
	return r, s.store.Objects.MirrorProtector(ctx, p)
}

// customerHint says what to do about keys that are refused.
func customerHint(err error) error {
	next := map[keys.Refusal]string{
		keys.RefusedPolicy:   "coffer vault protect VAULT switches purge protection on",
		keys.RefusedAccess:   "let the identity use the key: coffer role assign IDENTITY \"Key Vault Crypto Service Encryption User\" SCOPE, or add --grant",
		keys.RefusedIdentity: "see that the identity exists: coffer identity list",
		keys.RefusedKey:      "coffer vault key show VAULT KEY tells the state of the key",
		keys.RefusedType:     "make an RSA key: coffer vault key create VAULT KEY",
		keys.RefusedHost:     "allow the host by name: coffer serve --vault-suffix HOST",
		keys.RefusedVault:    "see that the vault is served and can be reached",
	}
	if _, ok := errors.AsType[*keys.Suspended](err); ok {
		return withHint(err, "the key in force has to open once more: give it back; if it is lost, within a day of the change: coffer keys recover account NAME --previous")
	}
	if r, ok := errors.AsType[keys.Refusal](err); ok {
		return withHint(err, next[r])
	}
	if e, ok := errors.AsType[*resource.Error](err); ok {
		switch e.Problem {
		case resource.NoKeyIdentity:
			return withHint(err, "give the account an identity: --identity system, or the name of a user-assigned one")
		case resource.NeedsCustomerKey:
			return withHint(err, "coffer account update NAME --vault-key VAULT/KEY, coffer scope create --vault-key; or drop the policy with --no-require-cmk")
		}
		return withHint(err, "see coffer account update --help")
	}
	return err
}
