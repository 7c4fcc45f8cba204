package armhttp

import (
	"context"
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/vault"
)

func deletedID(v vault.Vault, kind string) string {
	sub := "/subscriptions/" + strings.SplitN(v.ResourceID, "/", 4)[2]
	return sub + "/providers/Microsoft.KeyVault/locations/" + orLocal(v.Location) + "/" + kind + "/" + v.Name
}

func orLocal(l string) string {
	if l == "" {
		return "local"
	}
	return l
}

func showDeleted(v vault.Vault, kind, idMember string) map[string]any {
	p := map[string]any{
		idMember: v.ResourceID, "location": orLocal(v.Location), "tags": v.Tags,
		"deletionDate": stamp(v.Deletion.Deleted), "scheduledPurgeDate": stamp(v.Deletion.Purge),
	}
	if v.PurgeProtection {
		p["purgeProtectionEnabled"] = true
	}
	return map[string]any{"id": deletedID(v, kind), "name": v.Name, "type": "Microsoft.KeyVault/" + kind, "properties": p}
}

func (h *Handler) listDeletedVaults(r *request) (int, any, error) {
	return h.listDeleted(r, vault.Standard, "deletedVaults", "vaultId")
}

func (h *Handler) listDeleted(r *request, k vault.Kind, kind, idMember string) (int, any, error) {
	if err := h.vaults(); err != nil {
		return 0, nil, err
	}
	all, err := h.o.Vaults.DeletedVaults(r.Context(), k)
	out := []map[string]any{}
	for _, v := range all {
		if strings.HasPrefix(strings.ToLower(v.ResourceID), "/subscriptions/"+strings.ToLower(r.subscription())+"/") {
			out = append(out, showDeleted(v, kind, idMember))
		}
	}
	return http.StatusOK, collection{Value: out}, err
}

func (h *Handler) getDeletedVault(r *request) (int, any, error) {
	v, err := h.deleted(r.Context(), r, vault.Standard)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, showDeleted(v, "deletedVaults", "vaultId"), nil
}

// deleted finds a deleted vault of the subscription.
func (h *Handler) deleted(ctx context.Context, r *request, k vault.Kind) (vault.Vault, error) {
	if err := h.vaults(); err != nil {
		return vault.Vault{}, err
	}
	v, err := h.o.Vaults.DeletedVault(ctx, k, r.at["n"])
	if err == nil && !strings.HasPrefix(strings.ToLower(v.ResourceID), "/subscriptions/"+strings.ToLower(r.subscription())+"/") {
		err = fault.New("armhttp.deleted", "", fault.VaultNotFound, nil)
	}
	if fault.Is(err, fault.VaultNotFound) {
		return v, armError{http.StatusNotFound, "DeletedVaultNotFound", "The specified deleted vault '" + clip(r.at["n"]) + "' does not exist."}
	}
	return v, err
}

func (h *Handler) purgeVault(r *request) (int, any, error) { return h.purge(r, vault.Standard) }

func (h *Handler) purge(r *request, k vault.Kind) (int, any, error) {
	if _, err := h.deleted(r.Context(), r, k); err != nil {
		return 0, nil, err
	}
	err := h.o.Vaults.PurgeVault(r.Context(), k, r.at["n"])
	if fault.Is(err, fault.NotAllowed) {
		return 0, nil, armError{http.StatusConflict, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed: the vault has purge protection."}
	}
	return http.StatusOK, nil, err
}
