package armhttp

import (
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/vault"
)

const (
	vaultPath   = groupPath + vaults + "/vaults"
	vaultAction = "Microsoft.KeyVault/vaults/"
	vaultType   = "Microsoft.KeyVault/vaults"
	locationAt  = subPath + vaults + "/locations/{l}"
)

var vaultRoutes = []route{
	{method: "POST", pattern: subPath + vaults + "/checkNameAvailability", action: "Microsoft.KeyVault/checkNameAvailability/read", serve: (*Handler).checkVaultName},
	{method: "GET", pattern: subPath + vaults + "/vaults", action: vaultAction + "read", serve: (*Handler).listVaults},
	{method: "GET", pattern: vaultPath, action: vaultAction + "read", serve: (*Handler).listVaults},
	{method: "GET", pattern: vaultPath + "/{n}", action: vaultAction + "read", serve: (*Handler).getVault},
	{method: "PUT", pattern: vaultPath + "/{n}", action: vaultAction + "write", serve: (*Handler).putVault},
	{method: "PATCH", pattern: vaultPath + "/{n}", action: vaultAction + "write", serve: (*Handler).patchVault},
	{method: "DELETE", pattern: vaultPath + "/{n}", action: vaultAction + "delete", serve: (*Handler).deleteVault},
	{method: "PUT", pattern: vaultPath + "/{n}/accessPolicies/{op}", action: vaultAction + "accessPolicies/write", serve: (*Handler).putPolicies},
	{method: "GET", pattern: subPath + vaults + "/deletedVaults", action: "Microsoft.KeyVault/deletedVaults/read", serve: (*Handler).listDeletedVaults},
	{method: "GET", pattern: locationAt + "/deletedVaults/{n}", action: "Microsoft.KeyVault/locations/deletedVaults/read", serve: (*Handler).getDeletedVault},
	{method: "POST", pattern: locationAt + "/deletedVaults/{n}/purge", action: "Microsoft.KeyVault/locations/deletedVaults/purge/action", serve: (*Handler).purgeVault},
}

type vaultBody struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties struct {
		Tenant      string        `json:"tenantId"`
		SKU         *vaultSKU     `json:"sku"`
		Policies    *[]policyForm `json:"accessPolicies"`
		SoftDelete  *bool         `json:"enableSoftDelete"`
		Days        *number       `json:"softDeleteRetentionInDays"`
		Protected   *bool         `json:"enablePurgeProtection"`
		RBAC        *bool         `json:"enableRbacAuthorization"`
		CreateMode  string        `json:"createMode"`
		Network     *string       `json:"publicNetworkAccess"`
		ACLs        *aclForm      `json:"networkAcls"`
		FirstAdmins []string      `json:"initialAdminObjectIds"` // Managed HSM
	} `json:"properties"`
	SKU *vaultSKU `json:"sku"` // Managed HSM
}

type vaultSKU struct {
	Family string `json:"family"`
	Name   string `json:"name"`
}

// check refuses what would be promised and not kept.
func (b *vaultBody) check() error {
	p := &b.Properties
	switch {
	case p.SoftDelete != nil && !*p.SoftDelete:
		return armError{http.StatusBadRequest, "BadRequest", "The property \"enableSoftDelete\" can be set to false only for creating new vault. Enabling the 'soft delete' functionality is an irreversible action, and every vault here has it."}
	case p.Network != nil && strings.EqualFold(*p.Network, "Disabled"),
		p.ACLs != nil && (strings.EqualFold(p.ACLs.Default, "Deny") || len(p.ACLs.IP)+len(p.ACLs.Virtual) > 0):
		return armError{http.StatusBadRequest, "BadRequest", "networkAcls: the address that the server listens on decides who reaches it."}
	}
	return nil
}

type vaultResource struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	SKU        *vaultSKU         `json:"sku,omitempty"` // Managed HSM
	Properties map[string]any    `json:"properties"`
}

func (h *Handler) showVault(v vault.Vault) vaultResource {
	f := vaultResource{ID: v.ResourceID, Name: v.Name, Type: vaultType, Location: v.Location, Tags: v.Tags, Properties: map[string]any{
		"tenantId": v.TenantID, "enableSoftDelete": true, "softDeleteRetentionInDays": v.SoftDeleteDays,
		"provisioningState": "Succeeded", "publicNetworkAccess": "Enabled",
	}}
	if f.Tags == nil {
		f.Tags = map[string]string{}
	}
	if f.Location == "" {
		f.Location = "local"
	}
	if v.PurgeProtection {
		f.Properties["enablePurgeProtection"] = true
	}
	if v.Kind == vault.HSM {
		return h.showHSM(f, v)
	}
	f.Properties["sku"] = vaultSKU{"A", v.SKU}
	f.Properties["vaultUri"] = h.o.Vaults.URI(v.Kind, v.Name) + "/"
	f.Properties["enableRbacAuthorization"] = v.RBAC
	f.Properties["accessPolicies"] = showPolicies(v.Policies)
	return f
}

// vaults refuses where there are none.
func (h *Handler) vaults() error {
	if h.o.Vaults == nil {
		return armError{http.StatusNotFound, "InvalidResourceType", "This server keeps no vaults."}
	}
	return nil
}

var typeOf = map[vault.Kind]string{vault.Standard: vaultType, vault.HSM: hsmType}

// vaultOf finds the vault that a path names, in the group that it names.
func (h *Handler) vaultOf(r *request, k vault.Kind) (vault.Vault, error) {
	if err := h.vaults(); err != nil {
		return vault.Vault{}, err
	}
	v, err := h.o.Vaults.Vault(r.Context(), k, r.at["n"])
	if fault.Is(err, fault.VaultNotFound) || err == nil && !strings.EqualFold(v.ResourceID, strings.TrimSuffix(vaultID(r, k), "/")) {
		return vault.Vault{}, notFound(typeOf[k], r.at["n"])
	}
	return v, err
}

func vaultID(r *request, k vault.Kind) string {
	return "/subscriptions/" + r.subscription() + "/resourceGroups/" + r.group() + "/providers/" + typeOf[k] + "/" + r.at["n"]
}

func (h *Handler) checkVaultName(r *request) (int, any, error) { return h.checkName(r, vault.Standard) }

// checkName tells whether a vault of that name could be made.
func (h *Handler) checkName(r *request, k vault.Kind) (int, any, error) {
	if err := h.vaults(); err != nil {
		return 0, nil, err
	}
	var b struct{ Name string }
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	if err := vault.CheckName(b.Name); err != nil {
		return http.StatusOK, map[string]any{"nameAvailable": false, "reason": "AccountNameInvalid", "message": err.Error()}, nil
	}
	_, err := h.o.Vaults.Vault(r.Context(), k, b.Name)
	_, gone := h.o.Vaults.DeletedVault(r.Context(), k, b.Name)
	if err == nil || gone == nil {
		return http.StatusOK, map[string]any{"nameAvailable": false, "reason": "AlreadyExists",
			"message": "The vault name '" + b.Name + "' is already in use, or a deleted vault has it."}, nil
	}
	return http.StatusOK, map[string]any{"nameAvailable": true}, nil
}

func (h *Handler) listVaults(r *request) (int, any, error) { return h.list(r, vault.Standard) }

// list lists vaults of a kind in a subscription, or in a group.
func (h *Handler) list(r *request, k vault.Kind) (int, any, error) {
	if err := h.vaults(); err != nil {
		return 0, nil, err
	}
	all, err := h.o.Vaults.Vaults(r.Context(), k)
	prefix := "/subscriptions/" + r.subscription() + "/"
	if r.group() != "" {
		prefix += "resourceGroups/" + r.group() + "/"
	}
	out := []vaultResource{}
	for _, v := range all {
		if strings.HasPrefix(strings.ToLower(v.ResourceID), strings.ToLower(prefix)) {
			out = append(out, h.showVault(v))
		}
	}
	return http.StatusOK, collection{Value: out}, err
}

func (h *Handler) getVault(r *request) (int, any, error) {
	v, err := h.vaultOf(r, vault.Standard)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.showVault(v), nil
}

func (h *Handler) putVault(r *request) (int, any, error) { return h.put(r, vault.Standard) }

// put makes a vault, brings a deleted one back when the body says so, or changes the one
// that is there.
func (h *Handler) put(r *request, k vault.Kind) (int, any, error) {
	var b vaultBody
	err := h.vaults()
	if err == nil {
		err = readBody(r, &b)
	}
	if err == nil {
		err = b.check()
	}
	if err == nil {
		_, err = h.o.Resources.Group(r.Context(), r.subscription(), r.group())
	}
	if err != nil {
		return 0, nil, err
	}
	if strings.EqualFold(b.Properties.CreateMode, "recover") {
		return h.recover(r, k)
	}
	if old, err := h.o.Vaults.Vault(r.Context(), k, r.at["n"]); err == nil {
		if !strings.EqualFold(old.ResourceID, vaultID(r, k)) {
			return 0, nil, armError{http.StatusConflict, "VaultAlreadyExists", "The vault name '" + r.at["n"] + "' is already in use."}
		}
		return h.change(r, k, &b)
	}
	v, err := h.o.Vaults.CreateVault(r.Context(), b.spec(r, k))
	if fault.Is(err, fault.Exists) {
		return 0, nil, armError{http.StatusConflict, "ConflictError", "A vault with the same name already exists in deleted state. You need to either recover or purge existing vault."}
	}
	if fault.Is(err, fault.InvalidInput) {
		return 0, nil, armError{http.StatusBadRequest, "VaultNameNotValid", message(err, "The vault name '"+clip(r.at["n"])+"' is invalid, or a value is.")}
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.showVault(v), nil
}

func message(err error, otherwise string) string {
	if why, ok := told(err); ok {
		return why
	}
	return otherwise
}

func (b *vaultBody) spec(r *request, k vault.Kind) vault.Spec {
	p := &b.Properties
	s := vault.Spec{Kind: k, Name: r.at["n"], ResourceID: vaultID(r, k), TenantID: p.Tenant, Location: b.Location, Tags: b.Tags, Admins: p.FirstAdmins}
	if p.Days != nil {
		s.SoftDeleteDays = int(*p.Days)
	}
	s.PurgeProtection = p.Protected != nil && *p.Protected
	s.RBAC = p.RBAC != nil && *p.RBAC
	if p.Policies != nil {
		s.Policies = policies(*p.Policies)
	}
	for _, sku := range []*vaultSKU{p.SKU, b.SKU} {
		if sku != nil {
			s.SKU = sku.Name
		}
	}
	return s
}

func (h *Handler) recover(r *request, k vault.Kind) (int, any, error) {
	old, err := h.o.Vaults.DeletedVault(r.Context(), k, r.at["n"])
	if err == nil && !strings.EqualFold(old.ResourceID, vaultID(r, k)) {
		err = fault.New("armhttp.recover", "", fault.VaultNotFound, nil)
	}
	if err == nil {
		old, err = h.o.Vaults.RecoverVault(r.Context(), k, r.at["n"])
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.showVault(old), nil
}

func (h *Handler) patchVault(r *request) (int, any, error) { return h.patch(r, vault.Standard) }

func (h *Handler) patch(r *request, k vault.Kind) (int, any, error) {
	if _, err := h.vaultOf(r, k); err != nil {
		return 0, nil, err
	}
	var b vaultBody
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	if err := b.check(); err != nil {
		return 0, nil, err
	}
	return h.change(r, k, &b)
}

func (h *Handler) change(r *request, k vault.Kind, b *vaultBody) (int, any, error) {
	p := &b.Properties
	c := vault.Change{Tags: b.Tags, SoftDeleteDays: (*int)(p.Days), PurgeProtection: p.Protected, RBAC: p.RBAC}
	if p.SKU != nil {
		c.SKU = &p.SKU.Name
	}
	if p.Policies != nil {
		list := policies(*p.Policies)
		c.Policies = &list
	}
	v, err := h.o.Vaults.UpdateVault(r.Context(), k, r.at["n"], c)
	if fault.Is(err, fault.NotAllowed) {
		return 0, nil, armError{http.StatusBadRequest, "BadRequest", message(err, "The property cannot be changed.")}
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.showVault(v), nil
}

func (h *Handler) deleteVault(r *request) (int, any, error) { return h.drop(r, vault.Standard) }

func (h *Handler) drop(r *request, k vault.Kind) (int, any, error) {
	if _, err := h.vaultOf(r, k); err != nil {
		if e, ok := err.(armError); ok && e.code == "ResourceNotFound" {
			return http.StatusNoContent, nil, nil
		}
		return 0, nil, err
	}
	_, err := h.o.Vaults.DeleteVault(r.Context(), k, r.at["n"])
	return http.StatusOK, nil, err
}
