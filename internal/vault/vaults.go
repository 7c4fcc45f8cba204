package vault

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// DefaultGroup is the resource group of vaults that are made without a resource id.
const DefaultGroup = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/coffer"

const (
	maxPolicies = 1024
	maxText     = 1024
)

// complete checks a Spec and fills in what it leaves out.
func (p *Spec) complete(tenant string) error {
	const op = "vault.CreateVault"
	if p.Kind != Standard && p.Kind != HSM {
		return bad(op, p.Name, "no such kind of vault")
	}
	if _, err := parseVaultName(p.Name); err != nil {
		return fault.New(op, "", fault.InvalidInput, err)
	}
	if p.ResourceID == "" {
		kind := map[Kind]string{Standard: "vaults", HSM: "managedHSMs"}[p.Kind]
		p.ResourceID = DefaultGroup + "/providers/Microsoft.KeyVault/" + kind + "/" + p.Name
	}
	if p.TenantID == "" {
		p.TenantID = tenant
	}
	if p.SKU == "" {
		p.SKU = map[Kind]string{Standard: "standard", HSM: "Standard_B1"}[p.Kind]
	}
	if p.SoftDeleteDays == 0 {
		p.SoftDeleteDays = DefaultSoftDelete
	}
	if p.Kind == HSM { // roles are all that an HSM knows
		p.RBAC, p.Policies = true, nil
	}
	for _, t := range []string{p.ResourceID, p.TenantID, p.Location, p.SKU} {
		if len(t) > maxText {
			return bad(op, p.Name, "a text is too long")
		}
	}
	if p.SoftDeleteDays < MinSoftDelete || p.SoftDeleteDays > MaxSoftDelete {
		return bad(op, p.Name, "deleted keys are kept for 7 to 90 days")
	}
	if err := checkPolicies(op, p.Name, p.Policies); err != nil {
		return err
	}
	return checkTags(op, p.Name, p.Tags)
}

func checkPolicies(op, name string, ps []AccessPolicy) error {
	if len(ps) > maxPolicies {
		return bad(op, name, "there are at most 1,024 access policies")
	}
	for _, p := range ps {
		if p.ObjectID == "" || len(p.ObjectID)+len(p.TenantID)+len(p.ApplicationID) > maxText {
			return bad(op, name, "an access policy names an object id")
		}
		for _, l := range [][]string{p.Keys, p.Secrets, p.Certificates, p.Storage} {
			if len(l) > 32 || slices.ContainsFunc(l, func(w string) bool { return len(w) > 64 }) {
				return bad(op, name, "an access policy has too many permissions")
			}
		}
	}
	return nil
}

// CreateVault makes a vault. A name is taken (Exists) while a vault or a deleted one has
// it. Its key is made first: a crash between leaves one that nobody uses.
func (s *Service) CreateVault(ctx context.Context, p Spec) (Vault, error) {
	const op = "vault.CreateVault"
	if err := p.complete(s.o.Tenant); err != nil {
		return Vault{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	r := Ref{Kind: p.Kind, Vault: p.Name}
	err := s.store.View(ctx, func(tx *object.Tx) error {
		_, err := s.readVault(tx, p.Kind, p.Name)
		return err
	})
	switch {
	case err == nil:
		return Vault{}, fault.New(op, r.what(), fault.Exists, nil)
	case !fault.Is(err, fault.VaultNotFound):
		return Vault{}, edge(op, r, err)
	}
	now := s.o.Now().UTC()
	v := Vault{Spec: p, ID: keys.NewID(), Created: now, Modified: now}
	if err := s.ring.AddVault(ctx, v.ID); err != nil {
		return Vault{}, edge(op, r, err)
	}
	if err := s.store.MirrorProtector(ctx, v.Protector()); err != nil {
		return Vault{}, edge(op, r, err)
	}
	err = s.manage(ctx, r, "createVault", func() error {
		return s.store.Update(ctx, func(tx *object.Tx) error { return s.putVault(tx, v) })
	})
	return v, err
}

// manage runs a change of a vault between its two records.
func (s *Service) manage(ctx context.Context, r Ref, op string, f func() error) error {
	n := need{op: op}
	by := Caller{operator: true}
	if err := s.before(ctx, by, r, n, keys.ID{}, audit.Begin); err != nil {
		return err
	}
	err := edge("vault."+op, r, f())
	if s.o.Audit != nil {
		s.o.Audit.After(s.record(ctx, by, r, n, keys.ID{}, outcome(err)))
	}
	return err
}

func (s *Service) putVault(tx *object.Tx, v Vault) error {
	return tx.Put(object.Vault, vaultKey(v.Kind, strings.ToLower(v.Name)), v.row(s.store.StoreID()))
}

// readVault reads a vault, deleted or not.
func (s *Service) readVault(tx *object.Tx, k Kind, name string) (Vault, error) {
	const op = "vault.Vault"
	what := Ref{Kind: k, Vault: name}.what()
	lower, err := parseVaultName(name)
	if err != nil {
		return Vault{}, fault.New(op, "", fault.VaultNotFound, err)
	}
	r, err := tx.Get(object.Vault, s.store.StoreID(), vaultKey(k, lower))
	if errors.Is(err, meta.ErrNotFound) {
		return Vault{}, fault.New(op, what, fault.VaultNotFound, nil)
	}
	if err != nil {
		return Vault{}, err
	}
	v, err := decodeVault(k, r)
	if err == nil && !strings.EqualFold(v.Name, name) {
		err = errRow
	}
	return v, err
}

// Vault returns the vault of that name, or VaultNotFound.
func (s *Service) Vault(ctx context.Context, kind Kind, name string) (Vault, error) {
	return s.vault(ctx, kind, name, false)
}

// DeletedVault returns a deleted vault.
func (s *Service) DeletedVault(ctx context.Context, kind Kind, name string) (Vault, error) {
	return s.vault(ctx, kind, name, true)
}

func (s *Service) vault(ctx context.Context, kind Kind, name string, deleted bool) (v Vault, err error) {
	err = s.store.View(ctx, func(tx *object.Tx) error {
		v, err = s.readVault(tx, kind, name)
		return err
	})
	r := Ref{Kind: kind, Vault: name}
	if err == nil && deleted != (v.Deletion != nil) {
		err = fault.New("vault.Vault", r.what(), fault.VaultNotFound, nil)
	}
	if err != nil {
		return Vault{}, edge("vault.Vault", r, err)
	}
	return v, nil
}

// Vaults returns the vaults of a kind in the order of their names.
func (s *Service) Vaults(ctx context.Context, kind Kind) ([]Vault, error) {
	return s.vaults(ctx, kind, false)
}

// DeletedVaults returns the vaults that can be recovered.
func (s *Service) DeletedVaults(ctx context.Context, kind Kind) ([]Vault, error) {
	return s.vaults(ctx, kind, true)
}

func (s *Service) vaults(ctx context.Context, kind Kind, deleted bool) (list []Vault, err error) {
	lo := vaultKey(kind, "")
	err = s.store.View(ctx, func(tx *object.Tx) error {
		list = []Vault{}
		return tx.Scan(object.Vault, s.store.StoreID(), lo, after(lo), false, func(k []byte, r *object.Row) (bool, error) {
			v, err := decodeVault(kind, r)
			if err == nil && deleted == (v.Deletion != nil) {
				list = append(list, v)
			}
			return true, err
		})
	})
	return list, edge("vault.Vaults", Ref{Kind: kind}, err)
}

// change changes a vault in one transaction.
func (s *Service) change(ctx context.Context, op string, kind Kind, name string, f func(v *Vault) error) (v Vault, err error) {
	err = s.manage(ctx, Ref{Kind: kind, Vault: name}, op, func() error {
		return s.store.Update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
			if v, err = s.readVault(tx, kind, name); err != nil {
				return err
			}
			if err := f(&v); err != nil {
				return err
			}
			v.Modified = s.o.Now().UTC()
			return s.putVault(tx, v)
		})
	})
	if err != nil {
		return Vault{}, err
	}
	return v, nil
}

// UpdateVault changes a vault. Purge protection and the days of soft delete are for ever
// (NotAllowed).
func (s *Service) UpdateVault(ctx context.Context, kind Kind, name string, c Change) (Vault, error) {
	const op = "vault.UpdateVault"
	return s.change(ctx, "updateVault", kind, name, func(v *Vault) error {
		if v.Deletion != nil {
			return fault.New(op, v.Name, fault.VaultNotFound, nil)
		}
		if c.PurgeProtection != nil {
			if v.PurgeProtection && !*c.PurgeProtection {
				return fault.New(op, v.Name, fault.NotAllowed, errors.New("purge protection cannot be switched off"))
			}
			v.PurgeProtection = *c.PurgeProtection
		}
		if c.SoftDeleteDays != nil && *c.SoftDeleteDays != v.SoftDeleteDays {
			return fault.New(op, v.Name, fault.NotAllowed, errors.New("the days of soft delete cannot be changed"))
		}
		if c.SKU != nil {
			v.SKU = *c.SKU
		}
		if c.Tags != nil {
			v.Tags = maps.Clone(c.Tags)
		}
		if c.RBAC != nil && kind == Standard {
			v.RBAC = *c.RBAC
		}
		if c.Policies != nil && kind == Standard {
			v.Policies = slices.Clone(*c.Policies)
		}
		return v.complete(v.TenantID)
	})
}

// DeleteVault makes a vault and its keys unusable at once; it can be recovered until it
// is purged.
func (s *Service) DeleteVault(ctx context.Context, kind Kind, name string) (Vault, error) {
	return s.change(ctx, "deleteVault", kind, name, func(v *Vault) error {
		if v.Deletion != nil {
			return fault.New("vault.DeleteVault", v.Name, fault.VaultNotFound, nil)
		}
		now := s.o.Now().UTC()
		v.Deletion = &Deletion{Deleted: now, Purge: now.AddDate(0, 0, v.SoftDeleteDays)}
		return nil
	})
}

// RecoverVault brings a deleted vault back with all its keys.
func (s *Service) RecoverVault(ctx context.Context, kind Kind, name string) (Vault, error) {
	s.changing.Lock() // a purge may not have begun
	defer s.changing.Unlock()
	return s.change(ctx, "recoverVault", kind, name, func(v *Vault) error {
		if v.Deletion == nil || s.store.Shredded(v.Protector()) {
			return fault.New("vault.RecoverVault", v.Name, fault.VaultNotFound, errors.New("it is not deleted, or its keys are destroyed"))
		}
		v.Deletion = nil
		return nil
	})
}

// PurgeVault destroys a deleted vault and the keys that its private keys are under. With
// purge protection that is NotAllowed before its time.
func (s *Service) PurgeVault(ctx context.Context, kind Kind, name string) error {
	const op = "vault.PurgeVault"
	s.changing.Lock()
	defer s.changing.Unlock()
	v, err := s.DeletedVault(ctx, kind, name)
	if err != nil {
		return err
	}
	if v.PurgeProtection && s.o.Now().Before(v.Deletion.Purge) {
		return fault.New(op, v.Name, fault.NotAllowed, errors.New("the vault has purge protection"))
	}
	return s.manage(ctx, Ref{Kind: kind, Vault: name}, "purgeVault", func() error {
		if err := s.ring.ShredProtector(ctx, v.Protector(), audit.By(ctx).Actor); err != nil {
			return err
		}
		s.forgetAll()
		s.store.DropKeys(v.Protector())
		if err := s.store.MirrorProtector(ctx, v.Protector()); err != nil {
			return err
		}
		if s.o.OnPurge != nil {
			if err := s.o.OnPurge(ctx, v); err != nil {
				return err
			}
		}
		return s.dropVault(ctx, v)
	})
}

// dropVault removes the rows of a vault, keys first, so that a crash leaves something to
// purge again.
func (s *Service) dropVault(ctx context.Context, v Vault) error {
	for _, kind := range []byte{rowVersion, rowKey} {
		lo := append([]byte{kind}, v.ID[:]...)
		err := s.store.Update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
			tx.DeleteRange(object.Vault, lo, after(lo))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return s.store.Update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
		now, err := s.readVault(tx, v.Kind, v.Name)
		if err != nil || now.ID != v.ID {
			return err
		}
		tx.Delete(object.Vault, vaultKey(v.Kind, strings.ToLower(v.Name)))
		return nil
	})
}
