package armhttp

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/resource"
	"github.com/coffer-storage/coffer/internal/vault"
)

var groupRoutes = []route{
	{method: "GET", pattern: "/tenants", action: resources + "read", serve: (*Handler).tenants, known: true},
	{method: "GET", pattern: "/subscriptions", action: resources + "read", serve: (*Handler).listSubscriptions, known: true},
	{method: "GET", pattern: subPath, action: resources + "read", serve: (*Handler).getSubscription},
	{method: "GET", pattern: subPath + "/locations", action: resources + "locations/read", serve: (*Handler).locations},
	{method: "GET", pattern: subPath + "/providers", action: resources + "providers/read", serve: (*Handler).listProviders},
	{method: "GET", pattern: subPath + "/providers/{ns}", action: resources + "providers/read", serve: (*Handler).getProvider},
	{method: "POST", pattern: subPath + "/providers/{ns}/register", action: resources + "providers/read", serve: (*Handler).getProvider},
	{method: "GET", pattern: subPath + "/resourceGroups", action: resources + "resourceGroups/read", serve: (*Handler).listGroups},
	{method: "GET", pattern: groupPath, action: resources + "resourceGroups/read", serve: (*Handler).getGroup},
	{method: "HEAD", pattern: groupPath, action: resources + "resourceGroups/read", serve: (*Handler).headGroup},
	{method: "PUT", pattern: groupPath, action: resources + "resourceGroups/write", serve: (*Handler).putGroup},
	{method: "PATCH", pattern: groupPath, action: resources + "resourceGroups/write", serve: (*Handler).patchGroup},
	{method: "DELETE", pattern: groupPath, action: resources + "resourceGroups/delete", serve: (*Handler).deleteGroup},
}

type tenantForm struct {
	ID     string `json:"id"`
	Tenant string `json:"tenantId"`
	Name   string `json:"displayName"`
}

func (h *Handler) tenants(*request) (int, any, error) {
	return http.StatusOK, collection{Value: []tenantForm{{"/tenants/" + identity.Tenant, identity.Tenant, "coffer"}}}, nil
}

type subscriptionForm struct {
	ID     string `json:"id"`
	Sub    string `json:"subscriptionId"`
	Tenant string `json:"tenantId"`
	Name   string `json:"displayName"`
	State  string `json:"state"`
}

// subscription is what every subscription is: they need not be made, and one is there.
func subscription(id string) subscriptionForm {
	return subscriptionForm{"/subscriptions/" + id, id, identity.Tenant, "coffer", "Enabled"}
}

// listSubscriptions lists those in which the caller has a role, at whatever: clients ask
// for them when somebody logs in. The operator sees the one that is always there.
func (h *Handler) listSubscriptions(r *request) (int, any, error) {
	out := []subscriptionForm{}
	if r.caller.operator {
		return http.StatusOK, collection{Value: append(out, subscription(account.DefaultSubscription))}, nil
	}
	list, err := h.o.Identities.Assignments(r.Context(), identity.Filter{PrincipalID: r.caller.claims.ObjectID})
	seen := map[string]bool{}
	for _, a := range list {
		id := account.DefaultSubscription // what a role at the root covers
		if p := strings.Split(a.Scope, "/"); len(p) > 2 && strings.EqualFold(p[1], "subscriptions") {
			id = p[2]
		} else if a.Scope != "/" {
			continue
		}
		if k := strings.ToLower(id); !seen[k] {
			seen[k] = true
			out = append(out, subscription(id))
		}
	}
	slices.SortFunc(out, func(a, b subscriptionForm) int { return strings.Compare(a.Sub, b.Sub) })
	return http.StatusOK, collection{Value: out}, err
}

func (h *Handler) getSubscription(r *request) (int, any, error) {
	return http.StatusOK, subscription(r.subscription()), nil
}

func (h *Handler) locations(r *request) (int, any, error) {
	return http.StatusOK, collection{Value: []map[string]any{{
		"id": "/subscriptions/" + r.subscription() + "/locations/" + account.DefaultLocation, "name": account.DefaultLocation,
		"displayName": "where this server runs", "regionalDisplayName": "where this server runs",
	}}}, nil
}

// providers are the namespaces with what is served of them.
var providers = map[string][]string{
	"Microsoft.Storage":         {"storageAccounts", "storageAccounts/blobServices", "storageAccounts/encryptionScopes", "checkNameAvailability"},
	"Microsoft.KeyVault":        {"vaults", "managedHSMs", "deletedVaults", "deletedManagedHSMs", "checkNameAvailability"},
	"Microsoft.ManagedIdentity": {"userAssignedIdentities"},
	"Microsoft.Authorization":   {"roleAssignments", "roleDefinitions"},
	"Microsoft.Resources":       {"subscriptions", "resourceGroups"},
}

func provider(r *request, ns string) map[string]any {
	var types []map[string]any
	for _, t := range providers[ns] {
		types = append(types, map[string]any{"resourceType": t, "locations": []string{account.DefaultLocation}, "apiVersions": []string{"2024-01-01"}})
	}
	return map[string]any{
		"id": "/subscriptions/" + r.subscription() + "/providers/" + ns, "namespace": ns,
		"registrationState": "Registered", "registrationPolicy": "RegistrationFree", "resourceTypes": types,
	}
}

func (h *Handler) listProviders(r *request) (int, any, error) {
	var out []map[string]any
	for _, ns := range sortedKeys(providers) {
		out = append(out, provider(r, ns))
	}
	return http.StatusOK, collection{Value: out}, nil
}

func (h *Handler) getProvider(r *request) (int, any, error) {
	for ns := range providers {
		if strings.EqualFold(ns, r.at["ns"]) {
			return http.StatusOK, provider(r, ns), nil
		}
	}
	return 0, nil, armError{http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '" + clip(r.at["ns"]) + "' is invalid."}
}

type groupForm struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties map[string]string `json:"properties"`
}

func showGroup(g resource.Group) groupForm {
	f := groupForm{g.ID(), g.Name, "Microsoft.Resources/resourceGroups", g.Location, g.Tags, map[string]string{"provisioningState": "Succeeded"}}
	if f.Tags == nil {
		f.Tags = map[string]string{}
	}
	return f
}

func (h *Handler) listGroups(r *request) (int, any, error) {
	list, err := h.o.Resources.Groups(r.Context(), r.subscription())
	out := []groupForm{}
	for _, g := range list {
		out = append(out, showGroup(g))
	}
	return http.StatusOK, collection{Value: out}, err
}

func (h *Handler) getGroup(r *request) (int, any, error) {
	g, err := h.o.Resources.Group(r.Context(), r.subscription(), r.group())
	return http.StatusOK, showGroup(g), err
}

func (h *Handler) headGroup(r *request) (int, any, error) {
	_, err := h.o.Resources.Group(r.Context(), r.subscription(), r.group())
	if resource.Is(err, resource.NoGroup) {
		return http.StatusNotFound, nil, nil
	}
	return http.StatusNoContent, nil, err
}

type groupBody struct {
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
}

func (h *Handler) putGroup(r *request) (int, any, error) {
	var b groupBody
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	g, created, err := h.o.Resources.PutGroup(r.Context(), resource.Group{
		Subscription: r.subscription(), Name: r.group(), Location: b.Location, Tags: b.Tags,
	})
	if created {
		return http.StatusCreated, showGroup(g), err
	}
	return http.StatusOK, showGroup(g), err
}

func (h *Handler) patchGroup(r *request) (int, any, error) {
	g, err := h.o.Resources.Group(r.Context(), r.subscription(), r.group())
	if err != nil {
		return 0, nil, err
	}
	var b groupBody
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	if b.Tags != nil { // tags are changed as a whole
		g.Tags = b.Tags
	}
	g, _, err = h.o.Resources.PutGroup(r.Context(), g)
	return http.StatusOK, showGroup(g), err
}

// deleteGroup deletes a group with everything in it: accounts and identities for good,
// vaults so that they can be recovered.
func (h *Handler) deleteGroup(r *request) (int, any, error) {
	g, err := h.o.Resources.Group(r.Context(), r.subscription(), r.group())
	if err != nil {
		return 0, nil, err
	}
	list, err := h.o.Resources.List(r.Context(), r.subscription(), r.group())
	if err != nil {
		return 0, nil, err
	}
	for _, i := range list {
		if i.Default {
			return 0, nil, armError{http.StatusConflict, "ResourceGroupDeletionBlocked", "The default account is in this group."}
		}
		if err := h.allowed(r, actions+"delete", i.ResourceID()); err != nil {
			return 0, nil, err
		}
		const withAll = true
		if err := h.o.Resources.Delete(r.Context(), i, withAll); err != nil {
			return 0, nil, err
		}
	}
	err = errors.Join(h.dropVaults(r, g, vault.Standard), h.dropVaults(r, g, vault.HSM), h.dropIdentities(r, g))
	if err == nil {
		err = h.o.Resources.RemoveGroup(r.Context(), r.subscription(), r.group())
	}
	return http.StatusOK, nil, err
}

// inGroup reports whether a resource is in a group.
func inGroup(id string, g resource.Group) bool {
	return strings.HasPrefix(strings.ToLower(id), strings.ToLower(g.ID())+"/")
}

func (h *Handler) dropVaults(r *request, g resource.Group, k vault.Kind) error {
	if h.o.Vaults == nil {
		return nil
	}
	list, err := h.o.Vaults.Vaults(r.Context(), k)
	for _, v := range list {
		if err == nil && inGroup(v.ResourceID, g) {
			_, err = h.o.Vaults.DeleteVault(r.Context(), k, v.Name)
		}
	}
	return err
}

func (h *Handler) dropIdentities(r *request, g resource.Group) error {
	if h.o.Identities == nil {
		return nil
	}
	list, err := h.o.Identities.Principals(r.Context())
	for _, p := range list {
		if err == nil && p.Kind == identity.UserAssigned && inGroup(p.ResourceID, g) {
			err = h.o.Identities.DeleteIdentity(r.Context(), p.ResourceID)
		}
	}
	return err
}
