package armhttp

import (
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/vault"
)

type policyForm struct {
	Tenant      string `json:"tenantId"`
	Object      string `json:"objectId"`
	Application string `json:"applicationId,omitempty"`
	Permissions struct {
		Keys         []string `json:"keys,omitempty"`
		Secrets      []string `json:"secrets,omitempty"`
		Certificates []string `json:"certificates,omitempty"`
		Storage      []string `json:"storage,omitempty"`
	} `json:"permissions"`
}

func (p policyForm) policy() vault.AccessPolicy {
	return vault.AccessPolicy{
		TenantID: p.Tenant, ObjectID: strings.ToLower(p.Object), ApplicationID: p.Application,
		Keys: p.Permissions.Keys, Secrets: p.Permissions.Secrets, Certificates: p.Permissions.Certificates, Storage: p.Permissions.Storage,
	}
}

func showPolicies(list []vault.AccessPolicy) []policyForm {
	out := []policyForm{}
	for _, a := range list {
		f := policyForm{Tenant: a.TenantID, Object: a.ObjectID, Application: a.ApplicationID}
		if f.Tenant == "" {
			f.Tenant = identity.Tenant
		}
		f.Permissions.Keys, f.Permissions.Secrets = a.Keys, a.Secrets
		f.Permissions.Certificates, f.Permissions.Storage = a.Certificates, a.Storage
		out = append(out, f)
	}
	return out
}

func policies(list []policyForm) []vault.AccessPolicy {
	out := []vault.AccessPolicy{}
	for _, p := range list {
		out = append(out, p.policy())
	}
	return out
}

// putPolicies adds, replaces or removes access policies.
func (h *Handler) putPolicies(r *request) (int, any, error) {
	v, err := h.vaultOf(r, vault.Standard)
	if err != nil {
		return 0, nil, err
	}
	var b struct {
		Properties struct {
			Policies []policyForm `json:"accessPolicies"`
		} `json:"properties"`
	}
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	next, err := mergePolicies(v.Policies, policies(b.Properties.Policies), strings.ToLower(r.at["op"]))
	if err != nil {
		return 0, nil, err
	}
	if v, err = h.o.Vaults.UpdateVault(r.Context(), vault.Standard, v.Name, vault.Change{Policies: &next}); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{
		"id": v.ResourceID + "/accessPolicies/", "type": vaultType + "/accessPolicies", "location": v.Location,
		"properties": map[string]any{"accessPolicies": showPolicies(v.Policies)},
	}, nil
}

func mergePolicies(now, given []vault.AccessPolicy, op string) ([]vault.AccessPolicy, error) {
	switch op {
	case "replace":
		return given, nil
	case "add", "remove":
	default:
		return nil, badValue("operationKind", "It is add, replace or remove.")
	}
	named := map[string]int{}
	for i, g := range given {
		named[strings.ToLower(g.ObjectID+"|"+g.ApplicationID)] = i
	}
	var out []vault.AccessPolicy
	for _, p := range now {
		i, ok := named[strings.ToLower(p.ObjectID+"|"+p.ApplicationID)]
		switch {
		case !ok:
			out = append(out, p)
		case op == "add":
			out = append(out, union(p, given[i]))
			delete(named, strings.ToLower(p.ObjectID+"|"+p.ApplicationID))
		}
	}
	if op == "add" {
		for i, g := range given {
			if at, ok := named[strings.ToLower(g.ObjectID+"|"+g.ApplicationID)]; ok && at == i {
				out = append(out, g)
			}
		}
	}
	return out, nil
}

// union adds permissions to those that are there.
func union(a, b vault.AccessPolicy) vault.AccessPolicy {
	join := func(x, y []string) []string {
		out := append([]string(nil), x...)
		for _, w := range y {
			known := false
			for _, o := range out {
				known = known || strings.EqualFold(o, w)
			}
			if !known {
				out = append(out, w)
			}
		}
		return out
	}
	a.Keys, a.Secrets = join(a.Keys, b.Keys), join(a.Secrets, b.Secrets)
	a.Certificates, a.Storage = join(a.Certificates, b.Certificates), join(a.Storage, b.Storage)
	return a
}
