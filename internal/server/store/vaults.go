package store

import (
	"context"

	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/vault"
)

// openVaults makes the vault service. Roles are the identity service's; those that are
// local to a Managed HSM go with it.
func (s *Store) openVaults(o *Options) {
	vo := o.Vaults
	vo.Now, vo.Logger, vo.Audit, vo.Authorizer = o.Now, o.Logger, s.Audit, s.Identity
	if vo.Tenant == "" {
		vo.Tenant = identity.Tenant
	}
	vo.OnPurge = s.dropLocalRoles
	s.Vaults = vault.New(s.Objects, s.Ring, vo)
	s.later(func() error { s.Vaults.Close(); return nil })
}

// dropLocalRoles removes the local role assignments of a purged HSM: another one may get
// its name.
func (s *Store) dropLocalRoles(ctx context.Context, v vault.Vault) error {
	if v.Kind != vault.HSM {
		return nil
	}
	list, err := s.Identity.Assignments(ctx, identity.Filter{Below: vault.HSMScope(v.Name)})
	for _, a := range list {
		if err == nil {
			err = s.Identity.Unassign(ctx, a.ID)
		}
	}
	return err
}
