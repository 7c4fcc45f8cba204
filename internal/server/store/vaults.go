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
	vo.OnPurge = s.dropRoles
	s.Vaults = vault.New(s.Objects, s.Ring, vo)
	s.later(func() error { s.Vaults.Close(); return nil })
}

// dropRoles removes the role assignments of a purged vault or HSM: another one may get its
// name.
func (s *Store) dropRoles(ctx context.Context, v vault.Vault) error {
	if v.Kind == vault.HSM {
		if err := s.Identity.Forget(ctx, vault.HSMScope(v.Name)); err != nil {
			return err
		}
	}
	return s.Identity.Forget(ctx, v.ResourceID)
}
