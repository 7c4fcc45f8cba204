package vaulthttp

import (
	"net/http"
	"slices"
	"strings"
)

// route is one operation. In the pattern words are compared without case, {x} takes any
// segment that is not empty, {x?} an empty one too, and it may be missing.
type route struct {
	op      string
	verb    string
	pattern string
	serve   func(*Handler, *request, []string) (answer, error)
}

// routes is every operation that is served, the more special ones first.
var routes = []route{
	{"RestoreKey", http.MethodPost, "keys/restore", (*Handler).restore},
	{"GetKeys", http.MethodGet, "keys", (*Handler).list},
	{"CreateKey", http.MethodPost, "keys/{name}/create", (*Handler).create},
	{"RotateKey", http.MethodPost, "keys/{name}/rotate", (*Handler).rotate},
	{"BackupKey", http.MethodPost, "keys/{name}/backup", (*Handler).backup},
	{"GetKeyVersions", http.MethodGet, "keys/{name}/versions", (*Handler).versions},
	{"GetKeyRotationPolicy", http.MethodGet, "keys/{name}/rotationpolicy", (*Handler).getPolicy},
	{"UpdateKeyRotationPolicy", http.MethodPut, "keys/{name}/rotationpolicy", (*Handler).setPolicy},
	{"ImportKey", http.MethodPut, "keys/{name}/{version?}", (*Handler).importKey},
	{"DeleteKey", http.MethodDelete, "keys/{name}", (*Handler).delete},
	{"UpdateKey", http.MethodPatch, "keys/{name}/{version?}", (*Handler).update},
	{"GetKey", http.MethodGet, "keys/{name}/{version?}", (*Handler).get},
	{"Encrypt", http.MethodPost, "keys/{name}/{version?}/encrypt", operate("encrypt")},
	{"Decrypt", http.MethodPost, "keys/{name}/{version?}/decrypt", operate("decrypt")},
	{"WrapKey", http.MethodPost, "keys/{name}/{version?}/wrapkey", operate("wrapkey")},
	{"UnwrapKey", http.MethodPost, "keys/{name}/{version?}/unwrapkey", operate("unwrapkey")},
	{"Sign", http.MethodPost, "keys/{name}/{version?}/sign", (*Handler).sign},
	{"Verify", http.MethodPost, "keys/{name}/{version?}/verify", (*Handler).verify},
	{"GetDeletedKeys", http.MethodGet, "deletedkeys", (*Handler).listDeleted},
	{"GetDeletedKey", http.MethodGet, "deletedkeys/{name}", (*Handler).getDeleted},
	{"PurgeDeletedKey", http.MethodDelete, "deletedkeys/{name}", (*Handler).purge},
	{"RecoverDeletedKey", http.MethodPost, "deletedkeys/{name}/recover", (*Handler).recover},
	{"GetRandomBytes", http.MethodPost, "rng", (*Handler).random},
}

// find returns the route of a request and what its pattern took.
func find(verb string, path []string) (*route, []string) {
	if rt, params := findRole(verb, path); rt != nil {
		return rt, params
	}
	for i := range routes {
		if routes[i].verb != verb {
			continue
		}
		if params, ok := match(strings.Split(routes[i].pattern, "/"), path); ok {
			return &routes[i], params
		}
	}
	return nil, nil
}

func match(pattern, path []string) (params []string, ok bool) {
	// Go's client leaves the segment of an empty version out, others send it empty.
	if i := slices.IndexFunc(pattern, optional); i >= 0 && len(path) == len(pattern)-1 {
		path = slices.Insert(slices.Clone(path), i, "")
	}
	if len(path) == len(pattern)+1 && path[len(path)-1] == "" { // a slash at the end
		path = path[:len(path)-1]
	}
	if len(path) != len(pattern) {
		return nil, false
	}
	for i, p := range pattern {
		switch {
		case p[0] != '{':
			if !strings.EqualFold(p, path[i]) {
				return nil, false
			}
		case path[i] == "" && !optional(p):
			return nil, false
		default:
			params = append(params, path[i])
		}
	}
	return params, true
}

func optional(p string) bool { return strings.HasSuffix(p, "?}") }
