package armhttp

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

const (
	msiPath   = groupPath + msi
	msiAction = "Microsoft.ManagedIdentity/userAssignedIdentities/"
	msiType   = "Microsoft.ManagedIdentity/userAssignedIdentities"
)

var identityRoutes = []route{
	{method: "GET", pattern: subPath + msi, action: msiAction + "read", serve: (*Handler).listIdentities},
	{method: "GET", pattern: msiPath, action: msiAction + "read", serve: (*Handler).listIdentities},
	{method: "GET", pattern: msiPath + "/{n}", action: msiAction + "read", serve: (*Handler).getIdentity},
	{method: "PUT", pattern: msiPath + "/{n}", action: msiAction + "write", serve: (*Handler).putIdentity},
	{method: "PATCH", pattern: msiPath + "/{n}", action: msiAction + "write", serve: (*Handler).patchIdentity},
	{method: "DELETE", pattern: msiPath + "/{n}", action: msiAction + "delete", serve: (*Handler).deleteIdentity},
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

type msiForm struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties msiProperties     `json:"properties"`
}

type msiProperties struct {
	Tenant    string `json:"tenantId"`
	Principal string `json:"principalId"`
	Client    string `json:"clientId"`
}

func showMSI(p identity.Principal) msiForm {
	name := p.ResourceID[strings.LastIndexByte(p.ResourceID, '/')+1:]
	return msiForm{p.ResourceID, name, msiType, "local", p.TagMap(), msiProperties{p.TenantID, p.ObjectID, p.ClientID}}
}

// identities refuses where there are none.
func (h *Handler) identities() error {
	if h.o.Identities == nil {
		return armError{http.StatusNotFound, "InvalidResourceType", "This server keeps no identities."}
	}
	return nil
}

func msiID(r *request) string {
	return "/subscriptions/" + r.subscription() + "/resourceGroups/" + r.group() + msi + "/" + r.at["n"]
}

func (h *Handler) listIdentities(r *request) (int, any, error) {
	if err := h.identities(); err != nil {
		return 0, nil, err
	}
	all, err := h.o.Identities.Principals(r.Context())
	prefix := "/subscriptions/" + r.subscription() + "/"
	if r.group() != "" {
		prefix += "resourceGroups/" + r.group() + "/"
	}
	out := []msiForm{}
	for _, p := range all {
		if p.Kind == identity.UserAssigned && strings.HasPrefix(strings.ToLower(p.ResourceID), strings.ToLower(prefix)) {
			out = append(out, showMSI(p))
		}
	}
	return http.StatusOK, collection{Value: out}, err
}

func (h *Handler) getIdentity(r *request) (int, any, error) {
	if err := h.identities(); err != nil {
		return 0, nil, err
	}
	p, err := h.o.Identities.Identity(r.Context(), msiID(r))
	if fault.Is(err, fault.PrincipalNotFound) {
		return 0, nil, notFound(msiType, r.at["n"])
	}
	return http.StatusOK, showMSI(p), err
}

func (h *Handler) putIdentity(r *request) (int, any, error) {
	if err := h.identities(); err != nil {
		return 0, nil, err
	}
	if _, err := h.o.Resources.Group(r.Context(), r.subscription(), r.group()); err != nil {
		return 0, nil, err
	}
	var b struct {
		Tags map[string]string `json:"tags"`
	}
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	if identity.CheckTags(b.Tags) != nil {
		return 0, nil, badTags()
	}
	status := http.StatusOK
	if _, err := h.o.Identities.Identity(r.Context(), msiID(r)); err != nil {
		status = http.StatusCreated
	}
	if _, err := h.o.Identities.CreateIdentity(r.Context(), identity.UserAssigned, msiID(r), r.at["n"]); err != nil {
		return 0, nil, err
	}
	p, err := h.setTags(r, b.Tags)
	if err != nil {
		return 0, nil, err
	}
	return status, showMSI(p), nil
}

func (h *Handler) setTags(r *request, tags map[string]string) (identity.Principal, error) {
	p, err := h.o.Identities.SetTags(r.Context(), msiID(r), tags)
	switch {
	case fault.Is(err, fault.PrincipalNotFound):
		err = notFound(msiType, r.at["n"])
	case fault.Is(err, fault.InvalidInput):
		err = badTags()
	}
	return p, err
}

func badTags() error {
	return badValue("tags", "A resource has at most 50 tags, with names of 1 to 512 characters and values of at most 256.")
}

// patchIdentity changes the tags, as a whole; there is nothing else to change.
func (h *Handler) patchIdentity(r *request) (int, any, error) {
	if err := h.identities(); err != nil {
		return 0, nil, err
	}
	var b struct {
		Tags map[string]string `json:"tags"`
	}
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	if b.Tags == nil {
		return h.getIdentity(r)
	}
	p, err := h.setTags(r, b.Tags)
	return http.StatusOK, showMSI(p), err
}

func (h *Handler) deleteIdentity(r *request) (int, any, error) {
	if err := h.identities(); err != nil {
		return 0, nil, err
	}
	err := h.o.Identities.DeleteIdentity(r.Context(), msiID(r))
	if fault.Is(err, fault.PrincipalNotFound) {
		return http.StatusNoContent, nil, nil
	}
	return http.StatusOK, nil, err
}
