package vault

import "context"

// CreateVault makes a vault. A name is taken (Exists) while a vault or a deleted one has it.
func (s *Service) CreateVault(ctx context.Context, spec Spec) (Vault, error) {
	return Vault{}, skeleton("vault.CreateVault")
}

// UpdateVault changes a vault. Purge protection and the days of soft delete are for ever (NotAllowed).
func (s *Service) UpdateVault(ctx context.Context, kind Kind, name string, c Change) (Vault, error) {
	return Vault{}, skeleton("vault.UpdateVault")
}

// Vault returns the vault of that name, or VaultNotFound.
func (s *Service) Vault(ctx context.Context, kind Kind, name string) (Vault, error) {
	return Vault{}, skeleton("vault.Vault")
}

// Vaults returns the vaults of a kind in the order of their names.
func (s *Service) Vaults(ctx context.Context, kind Kind) ([]Vault, error) {
	return nil, skeleton("vault.Vaults")
}

// DeleteVault makes a vault and its keys unusable at once; it can be recovered until it is purged.
func (s *Service) DeleteVault(ctx context.Context, kind Kind, name string) (Vault, error) {
	return Vault{}, skeleton("vault.DeleteVault")
}

// DeletedVault returns a deleted vault.
func (s *Service) DeletedVault(ctx context.Context, kind Kind, name string) (Vault, error) {
	return Vault{}, skeleton("vault.DeletedVault")
}

// DeletedVaults returns the vaults that can be recovered.
func (s *Service) DeletedVaults(ctx context.Context, kind Kind) ([]Vault, error) {
	return nil, skeleton("vault.DeletedVaults")
}

// RecoverVault brings a deleted vault back with all its keys.
func (s *Service) RecoverVault(ctx context.Context, kind Kind, name string) (Vault, error) {
	return Vault{}, skeleton("vault.RecoverVault")
}

// PurgeVault destroys a deleted vault and the keys that its private keys are under. With
// purge protection that is NotAllowed before its time.
func (s *Service) PurgeVault(ctx context.Context, kind Kind, name string) error {
	return skeleton("vault.PurgeVault")
}
