package armhttp

import (
	"net/http"

	"github.com/coffer-storage/coffer/internal/vault"
)

const (
	hsmPath   = groupPath + vaults + "/managedHSMs"
	hsmAction = "Microsoft.KeyVault/managedHSMs/"
	hsmType   = "Microsoft.KeyVault/managedHSMs"
)

var hsmRoutes = []route{
	{method: "POST", pattern: subPath + vaults + "/checkMhsmNameAvailability", action: "Microsoft.KeyVault/checkMhsmNameAvailability/read", serve: (*Handler).checkHSMName},
	{method: "GET", pattern: subPath + vaults + "/managedHSMs", action: hsmAction + "read", serve: (*Handler).listHSMs},
	{method: "GET", pattern: hsmPath, action: hsmAction + "read", serve: (*Handler).listHSMs},
	{method: "GET", pattern: hsmPath + "/{n}", action: hsmAction + "read", serve: (*Handler).getHSM},
	{method: "PUT", pattern: hsmPath + "/{n}", action: hsmAction + "write", serve: (*Handler).putHSM},
	{method: "PATCH", pattern: hsmPath + "/{n}", action: hsmAction + "write", serve: (*Handler).patchHSM},
	{method: "DELETE", pattern: hsmPath + "/{n}", action: hsmAction + "delete", serve: (*Handler).deleteHSM},
	{method: "GET", pattern: subPath + vaults + "/deletedManagedHSMs", action: "Microsoft.KeyVault/deletedManagedHsms/read", serve: (*Handler).listDeletedHSMs},
	{method: "GET", pattern: locationAt + "/deletedManagedHSMs/{n}", action: "Microsoft.KeyVault/locations/deletedManagedHsms/read", serve: (*Handler).getDeletedHSM},
	{method: "POST", pattern: locationAt + "/deletedManagedHSMs/{n}/purge", action: "Microsoft.KeyVault/locations/deletedManagedHsms/purge/action", serve: (*Handler).purgeHSM},
	{method: "GET", pattern: locationAt + "/operationResults/{n}", action: "Microsoft.KeyVault/locations/operationResults/read", serve: (*Handler).operationResult},
}

// software is what a Managed HSM says of itself while no hardware is behind it.
const software = "software: no hardware module is behind this Managed HSM"

// showHSM turns the form of a vault into that of a Managed HSM.
func (h *Handler) showHSM(f vaultResource, v vault.Vault) vaultResource {
	f.Type, f.SKU = hsmType, &vaultSKU{"B", v.SKU}
	f.Properties["hsmUri"] = h.o.Vaults.URI(v.Kind, v.Name) + "/"
	f.Properties["initialAdminObjectIds"] = append([]string{}, v.Admins...)
	f.Properties["statusMessage"] = software
	f.Properties["securityDomainProperties"] = map[string]string{"activationStatus": "Active", "activationStatusMessage": software}
	return f
}

func (h *Handler) checkHSMName(r *request) (int, any, error) { return h.checkName(r, vault.HSM) }
func (h *Handler) listHSMs(r *request) (int, any, error)     { return h.list(r, vault.HSM) }
func (h *Handler) putHSM(r *request) (int, any, error)       { return h.put(r, vault.HSM) }
func (h *Handler) patchHSM(r *request) (int, any, error)     { return h.patch(r, vault.HSM) }
func (h *Handler) deleteHSM(r *request) (int, any, error)    { return h.drop(r, vault.HSM) }

// purgeHSM answers that it was begun, and where the end is seen: clients take nothing
// else for this one.
func (h *Handler) purgeHSM(r *request) (int, any, error) {
	if _, _, err := h.purge(r, vault.HSM); err != nil {
		return 0, nil, err
	}
	at := "/subscriptions/" + r.subscription() + vaults + "/locations/" + r.at["l"] + "/operationResults/" + r.id
	r.answer.Set("Location", r.origin()+at+"?api-version="+r.version)
	return http.StatusAccepted, nil, nil
}

// operationResult answers that an operation is over, as each was when it was answered.
func (h *Handler) operationResult(*request) (int, any, error) { return http.StatusOK, nil, nil }

func (h *Handler) getHSM(r *request) (int, any, error) {
	v, err := h.vaultOf(r, vault.HSM)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.showVault(v), nil
}

func (h *Handler) listDeletedHSMs(r *request) (int, any, error) {
	return h.listDeleted(r, vault.HSM, "deletedManagedHSMs", "mhsmId")
}

func (h *Handler) getDeletedHSM(r *request) (int, any, error) {
	v, err := h.deleted(r.Context(), r, vault.HSM)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, showDeleted(v, "deletedManagedHSMs", "mhsmId"), nil
}
