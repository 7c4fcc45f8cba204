package armhttp

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/resource"
	"github.com/coffer-storage/coffer/internal/scope"
)

const (
	scopeType   = "Microsoft.Storage/storageAccounts/encryptionScopes"
	sourceOurs  = "Microsoft.Storage"
	sourceVault = "Microsoft.KeyVault"

	maxPage = 5000

	scopesPath = acct + "/encryptionScopes"
)

var scopeRoutes = []route{
	{method: "GET", pattern: scopesPath, action: actions + "encryptionScopes/read", serve: (*Handler).listScopes, account: true},
	{method: "GET", pattern: scopesPath + "/{n}", action: actions + "encryptionScopes/read", serve: (*Handler).getScope, account: true},
	{method: "PUT", pattern: scopesPath + "/{n}", action: actions + "encryptionScopes/write", serve: (*Handler).putScope, account: true},
	{method: "PATCH", pattern: scopesPath + "/{n}", action: actions + "encryptionScopes/write", serve: (*Handler).patchScope, account: true},
}

// scopeForm is an encryption scope as the interface shows it.
type scopeForm struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Name       string         `json:"name"`
	Properties propertiesForm `json:"properties"`
}

type propertiesForm struct {
	Source           string        `json:"source"`
	KeyVault         *scopeKeyForm `json:"keyVaultProperties,omitempty"`
	CreationTime     string        `json:"creationTime"`
	LastModifiedTime string        `json:"lastModifiedTime"`
	State            string        `json:"state"`
	Infrastructure   bool          `json:"requireInfrastructureEncryption"`
}

type scopeKeyForm struct {
	KeyURI   string `json:"keyUri,omitempty"`
	Current  string `json:"currentVersionedKeyIdentifier,omitempty"`
	Rotation string `json:"lastKeyRotationTimestamp,omitempty"`
}

// scopeBody is what a request may say of a scope. Read-only fields that a client sends
// back are not looked at.
type scopeBody struct {
	Properties struct {
		Source         *string `json:"source"`
		State          string  `json:"state"`
		Infrastructure *bool   `json:"requireInfrastructureEncryption"`
		KeyVault       struct {
			KeyURI *string `json:"keyUri"`
		} `json:"keyVaultProperties"`
	} `json:"properties"`
}

// wish reads the words of a body.
func (b *scopeBody) wish() (resource.ScopeWish, error) {
	p := &b.Properties
	w := resource.ScopeWish{Double: p.Infrastructure}
	if p.KeyVault.KeyURI != nil && *p.KeyVault.KeyURI != "" {
		w.KeyURI = p.KeyVault.KeyURI
	}
	var err error
	if w.Source, err = source(p.Source); err != nil {
		return w, badValue("source", "It is "+sourceOurs+" or "+sourceVault+".")
	}
	var state keys.AdminState
	switch {
	case p.State == "":
		return w, nil
	case strings.EqualFold(p.State, "Enabled"):
		state = keys.Enabled
	case strings.EqualFold(p.State, "Disabled"):
		state = keys.Disabled
	default:
		return w, badValue("state", "It is Enabled or Disabled.")
	}
	w.State = &state
	return w, nil
}

func (h *Handler) showScope(r *request, i scope.Info) scopeForm {
	state := "Enabled"
	if i.State != keys.Enabled {
		state = "Disabled"
	}
	f := scopeForm{
		ID: h.accountID(r) + "/encryptionScopes/" + string(i.Name), Type: scopeType, Name: string(i.Name),
		Properties: propertiesForm{
			Source: sourceOurs, CreationTime: stamp(i.Created), LastModifiedTime: stamp(i.Modified),
			State: state, Infrastructure: i.Double,
		},
	}
	if k, ok := h.o.Resources.ScopeKey(i); ok {
		uri := k.Ref
		if k.Follow {
			uri.Version = ""
		}
		f.Properties.Source = sourceVault
		f.Properties.KeyVault = &scopeKeyForm{uri.String(), k.Ref.String(), orEmpty(k.LastRotation)}
	}
	return f
}

// accountID is the id of the account that a path names. One that belongs to no group has
// the id under which it was asked for.
func (h *Handler) accountID(r *request) string {
	if r.account.Resource.Free() {
		return "/subscriptions/" + r.subscription() + "/resourceGroups/" + r.group() + "/providers/Microsoft.Storage/storageAccounts/" + string(r.account.Name)
	}
	return r.account.ResourceID()
}

func (h *Handler) getScope(r *request) (int, any, error) {
	i, err := h.o.Scopes.Get(r.Context(), r.account.ID, r.at["n"])
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.showScope(r, i), nil
}

// putScope creates a scope. One that is there takes what the body names; what the body
// does not name stays.
func (h *Handler) putScope(r *request) (int, any, error) {
	if _, err := name.ParseScope(r.at["n"]); err != nil {
		return 0, nil, armError{http.StatusBadRequest, "InvalidEncryptionScopeName",
			"An encryption scope's name has 3 to 63 lower-case letters, digits and dashes, each dash between two of the others."}
	}
	var b scopeBody
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	w, err := b.wish()
	if err != nil {
		return 0, nil, err
	}
	i, created, err := h.o.Resources.CreateScope(r.Context(), r.account, r.at["n"], w)
	if err != nil {
		if _, aboutKey := resource.Refusal(err); fault.Is(err, fault.NotAllowed) && !aboutKey {
			return 0, nil, armError{http.StatusConflict, "MaximumEncryptionScopesReached", "The storage account has as many encryption scopes as it may have."}
		}
		return 0, nil, err
	}
	made := h.showScope(r, i)
	if made.Properties.KeyVault == nil {
		made.Properties.KeyVault = &scopeKeyForm{} // only this answer has the empty object
	}
	if created {
		return http.StatusCreated, made, nil
	}
	return http.StatusOK, made, nil
}

func (h *Handler) patchScope(r *request) (int, any, error) {
	var b scopeBody
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	w, err := b.wish()
	if err != nil {
		return 0, nil, err
	}
	i, err := h.o.Resources.ChangeScope(r.Context(), r.account, r.at["n"], w)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.showScope(r, i), nil
}

func (h *Handler) listScopes(r *request) (int, any, error) {
	o := scope.ListOptions{Most: maxPage}
	for n, v := range r.URL.Query() {
		if err := listOption(&o, strings.ToLower(n), v[0]); err != nil {
			return 0, nil, err
		}
	}
	list, next, err := h.o.Scopes.List(r.Context(), r.account.ID, o)
	if err != nil {
		return 0, nil, err
	}
	out := []scopeForm{}
	for _, i := range list {
		out = append(out, h.showScope(r, i))
	}
	return http.StatusOK, collection{Value: out, NextLink: r.next(next)}, nil
}

// next is the address of the next page; "" at the end.
func (r *request) next(from string) string {
	if from == "" {
		return ""
	}
	q := r.URL.Query()
	q.Set("$skiptoken", base64.RawURLEncoding.EncodeToString([]byte(from)))
	return r.origin() + (&url.URL{Path: r.URL.Path, RawQuery: q.Encode()}).String()
}

// origin is the address that the client reached us by.
func (r *request) origin() string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func listOption(o *scope.ListOptions, n, v string) error {
	switch n {
	case "$maxpagesize":
		most, err := strconv.Atoi(v)
		if err != nil || most < 1 {
			return badValue("$maxpagesize", "It is a number from 1 on.")
		}
		o.Most = min(most, maxPage)
	case "$filter":
		prefix, err := filter(v)
		if err != nil {
			return badValue("$filter", "It is a prefix of the names, or startswith(name, 'PREFIX').")
		}
		o.Prefix = prefix
	case "$include":
		switch strings.ToLower(v) {
		case "", "all":
		case "enabled":
			o.State = keys.Enabled
		case "disabled":
			o.State = keys.Disabled
		default:
			return badValue("$include", "It is All, Enabled or Disabled.")
		}
	case "$skiptoken":
		b, err := base64.RawURLEncoding.DecodeString(v)
		if err != nil {
			return badValue("$skiptoken", "It is what nextLink had.")
		}
		o.From = string(b)
	}
	return nil
}

var errFilter = errors.New("armhttp: not a filter")

// filter reads a prefix, bare or as startswith(name, 'prefix').
func filter(v string) (string, error) {
	v = strings.TrimSpace(v)
	if inner, ok := strings.CutPrefix(v, "startswith("); ok {
		_, arg, ok := strings.Cut(strings.TrimSuffix(inner, ")"), ",")
		if !ok {
			return "", errFilter
		}
		v = strings.Trim(strings.TrimSpace(arg), "'")
	}
	for i := range len(v) {
		if c := v[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return "", errFilter
		}
	}
	return v, nil
}
