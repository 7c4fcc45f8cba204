package armhttp

import (
	"net/http"
	"strings"
)

// route is one operation. A pattern's {x} takes one segment.
type route struct {
	method  string
	pattern string
	action  string // what a role has to allow
	serve   func(h *Handler, r *request) (int, any, error)
	// account says that the path is below an account, which has to be there.
	account bool
	// known says that who is known at all may: the answer has what is his.
	known bool
}

// Beginnings of patterns.
const (
	subPath   = "/subscriptions/{s}"
	groupPath = subPath + "/resourceGroups/{g}"
	storage   = "/providers/Microsoft.Storage"
	accounts  = groupPath + storage + "/storageAccounts"
	acct      = accounts + "/{a}"
	blobs     = acct + "/blobServices"
	msi       = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
	vaults    = "/providers/Microsoft.KeyVault"
	actions   = "Microsoft.Storage/storageAccounts/"
	resources = "Microsoft.Resources/subscriptions/"
)

// routes is everything that is served, before roles.
var routes = join(groupRoutes, resourceRoutes, accountRoutes, scopeRoutes, blobRoutes, identityRoutes, vaultRoutes, hsmRoutes)

func join(lists ...[]route) []route {
	var out []route
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

const authorization = "/providers/microsoft.authorization/"

// find chooses the route of a request.
func (h *Handler) find(r *request) error {
	path := strings.TrimSuffix(r.URL.Path, "/")
	table := routes
	if at := strings.LastIndex(strings.ToLower(path), authorization); at >= 0 {
		r.at = map[string]string{"scope": orRoot(path[:at])}
		path, table = path[at:], roleRoutes
	}
	known := false
	for i := range table {
		at, ok := match(table[i].pattern, path)
		if !ok {
			continue
		}
		known = true
		if table[i].method != r.Method {
			continue
		}
		if r.at == nil {
			r.at = map[string]string{}
		}
		for k, v := range at {
			r.at[k] = v
		}
		r.route = &table[i]
		return nil
	}
	if known {
		return notThisMethod(r)
	}
	return armError{http.StatusNotFound, "InvalidResourceType", "The resource type could not be found: this server does not have what the path names."}
}

func notThisMethod(r *request) error {
	return armError{http.StatusMethodNotAllowed, "MethodNotAllowed", "The resource does not support the method " + clip(r.Method) + "."}
}

func orRoot(scope string) string {
	if scope == "" {
		return "/"
	}
	return scope
}

// match compares a path with a pattern, segment by segment and without case.
func match(pattern, path string) (map[string]string, bool) {
	ps, xs := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(ps) != len(xs) {
		return nil, false
	}
	var at map[string]string
	for i, p := range ps {
		if !strings.HasPrefix(p, "{") {
			if !strings.EqualFold(p, xs[i]) {
				return nil, false
			}
			continue
		}
		if xs[i] == "" {
			return nil, false
		}
		if at == nil {
			at = map[string]string{}
		}
		at[strings.Trim(p, "{}")] = xs[i]
	}
	return at, true
}
