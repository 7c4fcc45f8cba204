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
	"github.com/coffer-storage/coffer/internal/scope"
)

const (
	scopeType   = "Microsoft.Storage/storageAccounts/encryptionScopes"
	sourceOurs  = "Microsoft.Storage"
	sourceVault = "Microsoft.KeyVault"

	maxPage = 5000
)

// resource is an encryption scope as the interface shows it.
type resource struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Name       string         `json:"name"`
	Properties propertiesForm `json:"properties"`
}

type propertiesForm struct {
	Source           string    `json:"source"`
	KeyVault         *struct{} `json:"keyVaultProperties,omitempty"`
	CreationTime     string    `json:"creationTime"`
	LastModifiedTime string    `json:"lastModifiedTime"`
	State            string    `json:"state"`
	Infrastructure   bool      `json:"requireInfrastructureEncryption"`
}

// wish is what a request may say of a scope. Read-only fields that a client sends back
// are not looked at.
type wish struct {
	Properties struct {
		Source         string `json:"source"`
		State          string `json:"state"`
		Infrastructure *bool  `json:"requireInfrastructureEncryption"`
		KeyVault       struct {
			KeyURI string `json:"keyUri"`
		} `json:"keyVaultProperties"`
	} `json:"properties"`
}

// check reads the words of a wish; 0 is no state.
func (w *wish) check() (keys.AdminState, error) {
	p := &w.Properties
	switch {
	case strings.EqualFold(p.Source, sourceVault) || p.KeyVault.KeyURI != "":
		return 0, armError{http.StatusNotImplemented, "NotImplemented",
			"Customer-managed keys are not served yet: the source of an encryption scope is " + sourceOurs + "."}
	case p.Source != "" && !strings.EqualFold(p.Source, sourceOurs):
		return 0, badValue("source", "It is "+sourceOurs+" or "+sourceVault+".")
	case p.State == "":
		return 0, nil
	case strings.EqualFold(p.State, "Enabled"):
		return keys.Enabled, nil
	case strings.EqualFold(p.State, "Disabled"):
		return keys.Disabled, nil
	}
	return 0, badValue("state", "It is Enabled or Disabled.")
}

// keeps refuses a change of what was fixed at the creation.
func (w *wish) keeps(i scope.Info) error {
	if v := w.Properties.Infrastructure; v != nil && *v != i.Double {
		return badValue("requireInfrastructureEncryption", "It is chosen when the encryption scope is created, and cannot change.")
	}
	return nil
}

func (h *Handler) show(r *request, i scope.Info) resource {
	state := "Enabled"
	if i.State != keys.Enabled {
		state = "Disabled"
	}
	return resource{
		ID: "/subscriptions/" + r.subscription + "/resourceGroups/" + r.group +
			"/providers/Microsoft.Storage/storageAccounts/" + r.account + "/encryptionScopes/" + string(i.Name),
		Type: scopeType, Name: string(i.Name),
		Properties: propertiesForm{
			Source: sourceOurs, CreationTime: stamp(i.Created), LastModifiedTime: stamp(i.Modified),
			State: state, Infrastructure: i.Double,
		},
	}
}

func (h *Handler) get(r *request) (int, any, error) {
	i, err := h.o.Scopes.Get(r.Context(), r.info.ID, r.scope)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.show(r, i), nil
}

// put creates a scope. One that is there takes the state that the body names; what the
// body does not name stays.
func (h *Handler) put(r *request) (int, any, error) {
	n, err := name.ParseScope(r.scope)
	if err != nil {
		return 0, nil, armError{http.StatusBadRequest, "InvalidEncryptionScopeName",
			"An encryption scope's name has 3 to 63 lower-case letters, digits and dashes, each dash between two of the others."}
	}
	var w wish
	if err := readBody(r, &w); err != nil {
		return 0, nil, err
	}
	state, err := w.check()
	if err != nil {
		return 0, nil, err
	}
	double := w.Properties.Infrastructure != nil && *w.Properties.Infrastructure
	status := http.StatusCreated
	i, err := h.o.Scopes.Create(r.Context(), r.info.ID, n, scope.Options{Double: double})
	if fault.Is(err, fault.Exists) {
		status, err = http.StatusOK, w.keeps(i)
	}
	if err == nil && state != 0 && state != i.State {
		i, err = h.o.Scopes.SetState(r.Context(), r.info.ID, r.scope, state)
	}
	if err != nil {
		return 0, nil, err
	}
	made := h.show(r, i)
	made.Properties.KeyVault = &struct{}{} // only this answer has the empty object
	return status, made, nil
}

func (h *Handler) patch(r *request) (int, any, error) {
	var w wish
	if err := readBody(r, &w); err != nil {
		return 0, nil, err
	}
	state, err := w.check()
	if err != nil {
		return 0, nil, err
	}
	i, err := h.o.Scopes.Get(r.Context(), r.info.ID, r.scope)
	if err == nil {
		err = w.keeps(i)
	}
	if err == nil && state != 0 && state != i.State {
		i, err = h.o.Scopes.SetState(r.Context(), r.info.ID, r.scope, state)
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.show(r, i), nil
}

// page is what a list answers.
type page struct {
	Value    []resource `json:"value"`
	NextLink string     `json:"nextLink,omitempty"`
}

func (h *Handler) list(r *request) (int, any, error) {
	o := scope.ListOptions{Most: maxPage}
	q := r.URL.Query()
	for n, v := range q {
		if err := listOption(&o, strings.ToLower(n), v[0]); err != nil {
			return 0, nil, err
		}
	}
	list, next, err := h.o.Scopes.List(r.Context(), r.info.ID, o)
	if err != nil {
		return 0, nil, err
	}
	p := page{Value: []resource{}}
	for _, i := range list {
		p.Value = append(p.Value, h.show(r, i))
	}
	if next != "" {
		q.Set("$skiptoken", base64.RawURLEncoding.EncodeToString([]byte(next)))
		u := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawQuery: q.Encode()}
		if r.TLS != nil {
			u.Scheme = "https"
		}
		p.NextLink = u.String()
	}
	return http.StatusOK, p, nil
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
