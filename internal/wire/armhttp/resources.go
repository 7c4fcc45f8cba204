package armhttp

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/vault"
)

var resourceRoutes = []route{
	{method: "GET", pattern: subPath + "/resources", action: resources + "resources/read", serve: (*Handler).listResources},
	{method: "GET", pattern: groupPath + "/resources", action: resources + "resourceGroups/resources/read", serve: (*Handler).listResources},
}

// genericForm is a resource of any type, as lists of all of them show it.
type genericForm struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Location string            `json:"location"`
	Kind     string            `json:"kind,omitempty"`
	SKU      *skuForm          `json:"sku,omitempty"`
	Tags     map[string]string `json:"tags"`
}

// listResources lists accounts, vaults, Managed HSMs and identities of a subscription or
// group. Clients find the group of a vault with it of which they were told the name only.
func (h *Handler) listResources(r *request) (int, any, error) {
	filter, err := parseFilter(r.query("$filter"))
	if err != nil {
		return 0, nil, err
	}
	ctx, within := r.Context(), "/subscriptions/"+r.subscription()+"/"
	if g := r.group(); g != "" {
		if _, err := h.o.Resources.Group(ctx, r.subscription(), g); err != nil {
			return 0, nil, err
		}
		within += "resourceGroups/" + g + "/"
	}
	out := []genericForm{}
	add := func(f genericForm) {
		if f.Tags == nil {
			f.Tags = map[string]string{}
		}
		if len(f.ID) > len(within) && strings.EqualFold(f.ID[:len(within)], within) && filter.fits(f) {
			out = append(out, f)
		}
	}
	list, err := h.o.Resources.List(ctx, r.subscription(), r.group())
	for _, i := range list {
		s := i.Stated()
		tier, _, _ := strings.Cut(s.SKU, "_")
		add(genericForm{i.ResourceID(), string(i.Name), accountType, s.Location, s.Kind, &skuForm{s.SKU, tier}, s.Tags})
	}
	for _, k := range []vault.Kind{vault.Standard, vault.HSM} {
		if err != nil || h.o.Vaults == nil {
			break
		}
		var all []vault.Vault
		all, err = h.o.Vaults.Vaults(ctx, k)
		for _, v := range all {
			add(genericForm{ID: v.ResourceID, Name: v.Name, Type: typeOf[k], Location: orLocal(v.Location), Tags: v.Tags})
		}
	}
	if err == nil && h.o.Identities != nil {
		var all []identity.Principal
		all, err = h.o.Identities.Principals(ctx)
		for _, p := range all {
			if p.Kind == identity.UserAssigned {
				m := showMSI(p)
				add(genericForm{ID: m.ID, Name: m.Name, Type: m.Type, Location: m.Location, Tags: m.Tags})
			}
		}
	}
	slices.SortFunc(out, func(a, b genericForm) int { return strings.Compare(a.ID, b.ID) })
	return http.StatusOK, collection{Value: out}, err
}

// resourceFilter is what a list is cut down to: terms that all have to hold.
type resourceFilter []func(genericForm) bool

func (f resourceFilter) fits(r genericForm) bool {
	return !slices.ContainsFunc(f, func(holds func(genericForm) bool) bool { return !holds(r) })
}

var (
	filterAnd  = regexp.MustCompile(`(?i)\s+and\s+`)
	filterTerm = regexp.MustCompile(`(?i)^\s*(resourceType|name|location|resourceGroup|tagName|tagValue)\s+eq\s+'([^']*)'\s*$`)
)

// parseFilter reads $filter: PROPERTY eq 'VALUE', joined by and.
func parseFilter(s string) (resourceFilter, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var f resourceFilter
	var tagName, tagValue *string
	for _, term := range filterAnd.Split(s, -1) {
		m := filterTerm.FindStringSubmatch(term)
		if m == nil {
			return nil, badValue("$filter", "It is resourceType, name, location, resourceGroup, tagName or tagValue eq '..', joined by and.")
		}
		want := m[2]
		switch strings.ToLower(m[1]) {
		case "resourcetype":
			f = append(f, func(r genericForm) bool { return strings.EqualFold(r.Type, want) })
		case "name":
			f = append(f, func(r genericForm) bool { return strings.EqualFold(r.Name, want) })
		case "location":
			f = append(f, func(r genericForm) bool { return strings.EqualFold(r.Location, want) })
		case "resourcegroup":
			f = append(f, func(r genericForm) bool { return strings.EqualFold(groupOf(r.ID), want) })
		case "tagname":
			tagName = &want
		case "tagvalue":
			tagValue = &want
		}
	}
	if tagValue != nil && tagName == nil {
		return nil, badValue("$filter", "tagValue comes with a tagName.")
	}
	if tagName != nil {
		f = append(f, func(r genericForm) bool {
			for k, v := range r.Tags {
				if strings.EqualFold(k, *tagName) && (tagValue == nil || v == *tagValue) {
					return true
				}
			}
			return false
		})
	}
	return f, nil
}

// groupOf is the resource group that an id names.
func groupOf(id string) string {
	const group = 4 // "", subscriptions, s, resourceGroups, g
	if p := strings.SplitN(id, "/", group+2); len(p) > group {
		return p[group]
	}
	return ""
}
