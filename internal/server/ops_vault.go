package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/vault"
)

func vaultKind(hsm bool) vault.Kind {
	if hsm {
		return vault.HSM
	}
	return vault.Standard
}

func (s *Server) vaultInfo(v vault.Vault) VaultInfo {
	out := VaultInfo{
		Name: v.Name, Kind: v.Kind.String(), URI: s.store.Vaults.URI(v.Kind, v.Name), ResourceID: v.ResourceID,
		Authorization: "access policies", Scope: v.Scope(""), Admins: v.Admins, SoftDeleteDays: v.SoftDeleteDays,
		PurgeProtection: v.PurgeProtection, Platform: "software", Created: v.Created,
	}
	if v.RBAC {
		out.Authorization = "roles"
	}
	for _, p := range v.Policies {
		out.Policies = append(out.Policies, VaultPolicy{p.ObjectID, p.Keys})
	}
	out.Deleted, out.Purge = deletion(v.Deletion)
	return out
}

// vaultNames adds the names of vaults, deleted ones too, to those of accounts and scopes.
func (s *Server) vaultNames(ctx context.Context, names map[keys.ID]string) error {
	for _, kind := range []vault.Kind{vault.Standard, vault.HSM} {
		for _, list := range []func(context.Context, vault.Kind) ([]vault.Vault, error){s.store.Vaults.Vaults, s.store.Vaults.DeletedVaults} {
			vs, err := list(ctx, kind)
			if err != nil {
				return err
			}
			for _, v := range vs {
				names[v.ID] = kind.String() + " " + v.Name
			}
		}
	}
	return nil
}

// nameOfVault is what a person calls a vault.
func nameOfVault(names map[keys.ID]string, id keys.ID) string {
	if n := names[id]; n != "" {
		return n
	}
	return "(purged vault) " + id.String()
}

func deletion(d *vault.Deletion) (deleted, purge *time.Time) {
	if d == nil {
		return nil, nil
	}
	return &d.Deleted, &d.Purge
}

// vaultHint says what to do about errors of vaults.
func vaultHint(err error, a VaultArgs) error {
	list := "coffer vault list"
	if a.HSM {
		list += " --hsm"
	}
	switch {
	case fault.Is(err, fault.VaultNotFound):
		return withHint(err, list+" shows those there are, "+list+" --deleted those that can be recovered")
	case fault.Is(err, fault.Exists):
		return withHint(err, "choose another name; a deleted vault keeps its name until it is purged: "+list+" --deleted")
	case fault.Is(err, fault.NotAllowed):
		return withHint(err, "purge protection is for ever: the vault and its keys go when their time has come")
	}
	return err
}

// grantee is the object id of whom a person named by id or name.
func (s *Server) grantee(ctx context.Context, who string) (string, error) {
	p, err := s.store.Identity.Principal(ctx, who)
	if fault.Is(err, fault.PrincipalNotFound) {
		return "", withHint(err, "coffer identity list shows the identities there are")
	}
	return p.ObjectID, err
}

func (s *Server) opVaultCreate(ctx context.Context, a VaultArgs, _ func(Progress)) (VaultInfo, error) {
	spec := vault.Spec{Kind: vaultKind(a.HSM), Name: a.Name, Location: a.Location, SoftDeleteDays: a.Days,
		PurgeProtection: a.PurgeProtection, RBAC: !a.Policies}
	for _, who := range a.Admins {
		id, err := s.grantee(ctx, who)
		if err != nil {
			return VaultInfo{}, err
		}
		spec.Admins = append(spec.Admins, id)
	}
	v, err := s.store.Vaults.CreateVault(ctx, spec)
	return s.vaultInfo(v), vaultHint(err, a)
}

func (s *Server) opVaultShow(ctx context.Context, a VaultArgs, _ func(Progress)) (VaultInfo, error) {
	v, err := s.store.Vaults.Vault(ctx, vaultKind(a.HSM), a.Name)
	return s.vaultInfo(v), vaultHint(err, a)
}

func (s *Server) opVaultList(ctx context.Context, a VaultArgs, _ func(Progress)) ([]VaultInfo, error) {
	list := s.store.Vaults.Vaults
	if a.Deleted {
		list = s.store.Vaults.DeletedVaults
	}
	vs, err := list(ctx, vaultKind(a.HSM))
	out := []VaultInfo{}
	for _, v := range vs {
		out = append(out, s.vaultInfo(v))
	}
	return out, err
}

func (s *Server) opVaultDelete(ctx context.Context, a VaultArgs, _ func(Progress)) (VaultInfo, error) {
	v, err := s.store.Vaults.DeleteVault(ctx, vaultKind(a.HSM), a.Name)
	return s.vaultInfo(v), vaultHint(err, a)
}

func (s *Server) opVaultRecover(ctx context.Context, a VaultArgs, _ func(Progress)) (VaultInfo, error) {
	v, err := s.store.Vaults.RecoverVault(ctx, vaultKind(a.HSM), a.Name)
	return s.vaultInfo(v), vaultHint(err, a)
}

func (s *Server) opVaultPurge(ctx context.Context, a VaultArgs, _ func(Progress)) (Nothing, error) {
	return Nothing{}, vaultHint(s.store.Vaults.PurgeVault(ctx, vaultKind(a.HSM), a.Name), a)
}

// opVaultProtect switches purge protection on.
func (s *Server) opVaultProtect(ctx context.Context, a VaultArgs, _ func(Progress)) (VaultInfo, error) {
	on := true
	v, err := s.store.Vaults.UpdateVault(ctx, vaultKind(a.HSM), a.Name, vault.Change{PurgeProtection: &on})
	return s.vaultInfo(v), vaultHint(err, a)
}

// opVaultAllow sets the access policy of a principal; without permissions it is removed.
func (s *Server) opVaultAllow(ctx context.Context, a VaultArgs, _ func(Progress)) (VaultInfo, error) {
	v, err := s.store.Vaults.Vault(ctx, vaultKind(a.HSM), a.Name)
	if err != nil {
		return VaultInfo{}, vaultHint(err, a)
	}
	if v.RBAC {
		return VaultInfo{}, withHint(fault.New("server.vaultAllow", a.Name, fault.NotAllowed, errors.New("roles decide about this vault")),
			"coffer role assign gives a principal a role on "+v.Scope(""))
	}
	who, err := s.grantee(ctx, a.Principal)
	if err != nil {
		return VaultInfo{}, err
	}
	policies := slices.DeleteFunc(slices.Clone(v.Policies), func(p vault.AccessPolicy) bool { return strings.EqualFold(p.ObjectID, who) })
	if len(a.Permissions) > 0 {
		policies = append(policies, vault.AccessPolicy{TenantID: v.TenantID, ObjectID: who, Keys: a.Permissions})
	}
	v, err = s.store.Vaults.UpdateVault(ctx, v.Kind, v.Name, vault.Change{Policies: &policies})
	return s.vaultInfo(v), err
}

func (a VaultKeyArgs) ref() vault.Ref {
	return vault.Ref{Kind: vaultKind(a.HSM), Vault: a.Vault, Key: a.Key, Version: a.Version}
}

func (s *Server) vaultKey(k vault.Key) VaultKey {
	out := VaultKey{
		Vault: k.Vault, Name: k.Name(), Version: k.Version, ID: s.store.Vaults.URI(k.Kind, k.Vault) + "/keys/" + k.Name() + "/" + k.Version,
		Type: k.Type, Bits: k.Bits, Curve: k.Curve, Ops: k.Ops, Enabled: k.Enabled, Created: k.Created,
		NotBefore: dateOf(k.NotBefore), Expires: dateOf(k.Expires),
	}
	out.Deleted, out.Purge = deletion(k.Deletion)
	return out
}

// shown is what an operation on one key answers.
func (s *Server) shown(k vault.Key, err error, a VaultKeyArgs) (VaultKey, error) {
	if err != nil {
		return VaultKey{}, vaultKeyHint(err, a)
	}
	return s.vaultKey(k), nil
}

func vaultKeyHint(err error, a VaultKeyArgs) error {
	switch fault.KindOf(err) {
	case fault.VaultKeyNotFound:
		return withHint(err, "coffer vault key list "+a.Vault+" shows the keys there are, with --deleted those that can be recovered")
	case fault.VaultKeyDeleted:
		return withHint(err, "recover it with coffer vault key recover, purge it with coffer vault key purge, or choose another name")
	}
	return vaultHint(err, VaultArgs{HSM: a.HSM})
}

func (s *Server) opVaultKeyCreate(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	k, err := s.store.Vaults.CreateKey(ctx, vault.Operator(), a.ref(), a.newKey())
	return s.shown(k, err, a)
}

func (s *Server) opVaultKeyShow(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	k, err := s.store.Vaults.GetKey(ctx, vault.Operator(), a.ref())
	return s.shown(k, err, a)
}

func (s *Server) opVaultKeyRotate(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	k, err := s.store.Vaults.RotateKey(ctx, vault.Operator(), a.ref())
	return s.shown(k, err, a)
}

func (s *Server) opVaultKeyEnable(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	return s.enableKey(ctx, a, true)
}

func (s *Server) opVaultKeyDisable(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	return s.enableKey(ctx, a, false)
}

// enableKey enables or disables one version, or all of a key when none is named: who
// turns a key off means the key.
func (s *Server) enableKey(ctx context.Context, a VaultKeyArgs, on bool) (VaultKey, error) {
	change := vault.KeyChange{Enabled: &on}
	if a.Version != "" {
		k, err := s.store.Vaults.UpdateKey(ctx, vault.Operator(), a.ref(), change)
		return s.shown(k, err, a)
	}
	list, err := s.keyVersions(ctx, a)
	if err == nil && len(list) == 0 {
		_, err = s.store.Vaults.GetKey(ctx, vault.Operator(), a.ref())
	}
	var newest vault.Key
	for i, k := range list {
		if err != nil {
			break
		}
		r := a.ref()
		r.Version = k.Version
		if k, err = s.store.Vaults.UpdateKey(ctx, vault.Operator(), r, change); i == 0 {
			newest = k
		}
	}
	return s.shown(newest, err, a)
}

// keyVersions lists all versions of a key, newest first.
func (s *Server) keyVersions(ctx context.Context, a VaultKeyArgs) (list []vault.Key, err error) {
	return all(func(from string) (vault.Page, error) {
		return s.store.Vaults.ListVersions(ctx, vault.Operator(), a.ref(), from, 0)
	})
}

// all reads a list to its end.
func all(page func(from string) (vault.Page, error)) (list []vault.Key, err error) {
	for from := ""; ; {
		p, err := page(from)
		if err != nil {
			return nil, err
		}
		list = append(list, p.Keys...)
		if from = p.Next; from == "" {
			return list, nil
		}
	}
}

func (s *Server) opVaultKeyList(ctx context.Context, a VaultKeyArgs, _ func(Progress)) ([]VaultKey, error) {
	list, err := all(func(from string) (vault.Page, error) {
		switch {
		case a.Deleted:
			return s.store.Vaults.ListDeleted(ctx, vault.Operator(), a.ref(), from, 0)
		case a.Key != "":
			return s.store.Vaults.ListVersions(ctx, vault.Operator(), a.ref(), from, 0)
		}
		return s.store.Vaults.ListKeys(ctx, vault.Operator(), a.ref(), from, 0)
	})
	out := []VaultKey{}
	for _, k := range list {
		out = append(out, s.vaultKey(k))
	}
	return out, vaultKeyHint(err, a)
}

func (s *Server) opVaultKeyDelete(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	k, err := s.store.Vaults.DeleteKey(ctx, vault.Operator(), a.ref())
	return s.shown(k, err, a)
}

func (s *Server) opVaultKeyRecover(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	k, err := s.store.Vaults.RecoverKey(ctx, vault.Operator(), a.ref())
	return s.shown(k, err, a)
}

func (s *Server) opVaultKeyPurge(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (Nothing, error) {
	return Nothing{}, vaultKeyHint(s.store.Vaults.PurgeKey(ctx, vault.Operator(), a.ref()), a)
}
