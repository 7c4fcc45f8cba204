package keys

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
)

// SetVault gives the ring the driver of vaults, which lies behind the store.
func (r *Ring) SetVault(v Vault, o CustomerOptions) error { return o.Check() }

// SetVaultKey puts a protector under a key of a customer's vault: from the service's key,
// from another key, or from an older version. follow takes new versions by itself; then
// the version of ref says nothing. No content is written anew.
func (r *Ring) SetVaultKey(ctx context.Context, p Protector, ref VaultRef, follow bool) error {
	return errNoVault("keys.SetVaultKey", p)
}

// SetServiceKey puts a protector back under the service's key.
func (r *Ring) SetServiceKey(ctx context.Context, p Protector) error {
	return errNoVault("keys.SetServiceKey", p)
}

// RevokeNow forgets what was unwrapped for a protector: the next use asks the vault.
func (r *Ring) RevokeNow(ctx context.Context, p Protector) error {
	return errNoVault("keys.RevokeNow", p)
}

// CustomerKey describes the customer's key of a protector; false without one.
func (r *Ring) CustomerKey(p Protector) (CustomerKeyInfo, bool) { return CustomerKeyInfo{}, false }

// AddOwnerUnder is AddOwner with the account's key under a customer's key from the start.
func (r *Ring) AddOwnerUnder(ctx context.Context, owner ID, double bool, ref VaultRef, follow bool) error {
	return errNoVault("keys.AddOwnerUnder", AccountProtector(owner))
}

// AddScopeUnder is AddScopes for one scope with a customer's key of its own.
func (r *Ring) AddScopeUnder(ctx context.Context, owner, scope ID, double bool, ref VaultRef, follow bool) error {
	return errNoVault("keys.AddScopeUnder", ScopeProtector(scope))
}

func errNoVault(op string, p Protector) error {
	return fault.New(op, p.String(), fault.NotAllowed, errors.New("no vaults are configured"))
}
