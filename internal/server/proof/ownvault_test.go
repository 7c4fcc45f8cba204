package proof

import (
	"bytes"
	"context"
	"strings"
	"sync"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/server/store"
	"github.com/coffer-storage/coffer/internal/vault"
)

// ownVault is the vault service of a store as the vault of its own customers, without
// HTTP between: driver and endpoint have tests of their own.
type ownVault struct {
	st *store.Store

	mu     sync.Mutex // guards values
	values [][]byte   // what was wrapped
}

// newOwnVault gives a store its own vault.
func newOwnVault(st *store.Store) (*ownVault, error) {
	v := &ownVault{st: st}
	return v, st.Ring.SetVault(v, keys.CustomerOptions{})
}

// ownRef names a key of the store's own vault as a customer does.
func ownRef(vaultName, key string) keys.VaultRef {
	return keys.VaultRef{URI: "https://" + vaultName + "." + vault.DefaultVaultSuffix, Key: key}
}

func vaultRef(r keys.VaultRef) vault.Ref {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URI, "https://"), ".")
	return vault.Ref{Kind: vault.Standard, Vault: name, Key: r.Key, Version: r.Version}
}

// refusal is an error as a driver tells it.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	e := &keys.VaultError{Reason: keys.ReasonVault, Err: err}
	switch {
	case fault.Is(err, fault.VaultNotFound):
		e.Definitive = true
	case fault.Is(err, fault.VaultKeyNotFound), fault.Is(err, fault.VaultKeyDisabled), fault.Is(err, fault.VaultKeyExpired),
		fault.Is(err, fault.VaultKeyNotYetValid), fault.Is(err, fault.VaultKeyDeleted), fault.Is(err, fault.InvalidInput):
		e.Definitive, e.Reason = true, keys.ReasonKey
	}
	return e
}

// Inspect implements keys.Vault.
func (v *ownVault) Inspect(ctx context.Context, r keys.VaultRef) (keys.VaultKey, error) {
	box, err := v.st.Vaults.Vault(ctx, vault.Standard, vaultRef(r).Vault)
	if err != nil {
		return keys.VaultKey{}, refusal(err)
	}
	k, err := v.st.Vaults.GetKey(ctx, vault.Operator(), vaultRef(r))
	if err != nil {
		return keys.VaultKey{}, refusal(err)
	}
	return keys.VaultKey{
		Version: k.Version, Type: k.Type, Bits: k.Bits, Enabled: k.Enabled, NotBefore: k.NotBefore, Expires: k.Expires,
		Ops: k.Ops, SoftDelete: true, PurgeProtection: box.PurgeProtection,
	}, nil
}

// Wrap implements keys.Vault.
func (v *ownVault) Wrap(ctx context.Context, r keys.VaultRef, p []byte) ([]byte, error) {
	v.mu.Lock()
	v.values = append(v.values, bytes.Clone(p))
	v.mu.Unlock()
	out, err := v.st.Vaults.Wrap(ctx, vault.Operator(), vaultRef(r), vault.Operation{Algorithm: "RSA-OAEP-256", Value: bytes.Clone(p)})
	return out.Value, refusal(err)
}

// Unwrap implements keys.Vault.
func (v *ownVault) Unwrap(ctx context.Context, r keys.VaultRef, blob []byte) ([]byte, error) {
	out, err := v.st.Vaults.Unwrap(ctx, vault.Operator(), vaultRef(r), vault.Operation{Algorithm: "RSA-OAEP-256", Value: blob})
	return out.Value, refusal(err)
}
