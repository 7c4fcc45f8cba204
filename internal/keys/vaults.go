package keys

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
)

// VaultProtector is the protector of a vault: the data keys of its private keys are
// wrapped under it.
func VaultProtector(vault ID) Protector { return Protector{Kind: ProtectVault, ID: vault} }

// AddVault gives a vault its KEK. It is the store's own and always service-managed: a
// vault under a key in a vault could lock itself out.
func (r *Ring) AddVault(ctx context.Context, vault ID) error {
	if vault.IsZero() {
		return fault.New("keys.AddVault", "", fault.InvalidInput, errors.New("no vault"))
	}
	p := VaultProtector(vault)
	return r.granted(ctx, "keys.vault.add", p.String(), ID{}, func() error {
		return r.update(ctx, func(d *draft) error {
			return r.addProtector(d, d.file.Store, p, false)
		})
	})
}
