// Package armhttp serves the resource provider interface: what storage accounts, vaults,
// managed identities and role assignments are managed with. It is the interface that
// management clients speak; package resource has the rules.
//
//	/subscriptions/{s}[/resourceGroups/{g}]/providers/
//	    Microsoft.Storage/storageAccounts/{a}          and encryptionScopes, blobServices below
//	    Microsoft.KeyVault/vaults, managedHSMs, deletedVaults, deletedManagedHSMs
//	    Microsoft.ManagedIdentity/userAssignedIdentities
//	{scope}/providers/Microsoft.Authorization/roleAssignments, roleDefinitions
//	/metadata/endpoints                                how to configure a client, for everybody
//
// Paths and JSON members are matched without regard to case, every api-version is
// accepted and the newest form is spoken. Everything is done when the answer is sent:
// 200 or 201 with provisioningState Succeeded, which clients that poll take as the end.
//
// Who may: the bearer of a token, by his roles. A request without one is the operator's
// if it comes from the own machine, or if the store is a development store.
//
// The choices are in spec/management.md.
package armhttp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/resource"
	"github.com/coffer-storage/coffer/internal/scope"
	"github.com/coffer-storage/coffer/internal/vault"
)

const maxBody = 256 << 10

// Identities is what the handler asks of the identity service; *identity.Service has it.
type Identities interface {
	Verify(ctx context.Context, raw string, audiences ...string) (identity.Claims, error)
	Allowed(ctx context.Context, principal, action string, data bool, scope string) bool
	MayAssign(ctx context.Context, principal, action, role, scope string) bool
	Principal(ctx context.Context, id string) (identity.Principal, error)
	Principals(ctx context.Context) ([]identity.Principal, error)
	CreateIdentity(ctx context.Context, kind identity.Kind, resourceID, name string) (identity.Principal, error)
	Identity(ctx context.Context, resourceID string) (identity.Principal, error)
	SetTags(ctx context.Context, resourceID string, tags map[string]string) (identity.Principal, error)
	DeleteIdentity(ctx context.Context, resourceID string) error
	Assign(ctx context.Context, a identity.RoleAssignment) (identity.RoleAssignment, error)
	Unassign(ctx context.Context, id string) error
	Assignments(ctx context.Context, f identity.Filter) ([]identity.RoleAssignment, error)
}

// Vaults is what the handler asks of the vault service; *vault.Service has it.
type Vaults interface {
	CreateVault(ctx context.Context, p vault.Spec) (vault.Vault, error)
	UpdateVault(ctx context.Context, kind vault.Kind, name string, c vault.Change) (vault.Vault, error)
	Vault(ctx context.Context, kind vault.Kind, name string) (vault.Vault, error)
	Vaults(ctx context.Context, kind vault.Kind) ([]vault.Vault, error)
	DeleteVault(ctx context.Context, kind vault.Kind, name string) (vault.Vault, error)
	DeletedVault(ctx context.Context, kind vault.Kind, name string) (vault.Vault, error)
	DeletedVaults(ctx context.Context, kind vault.Kind) ([]vault.Vault, error)
	RecoverVault(ctx context.Context, kind vault.Kind, name string) (vault.Vault, error)
	PurgeVault(ctx context.Context, kind vault.Kind, name string) error
	URI(kind vault.Kind, name string) string
}

// Options configure a Handler.
type Options struct {
	Resources  *resource.Service
	Accounts   *account.Service
	Scopes     *scope.Service
	Blobs      *blob.Service
	Identities Identities // nil: no tokens, no identities, no roles
	Vaults     Vaults     // nil: no vaults
	Logger     *slog.Logger
	// Anyone lets callers from other machines in without a token: a development store.
	Anyone bool
	// Audiences are those of the tokens that are accepted.
	Audiences []string
	// Endpoint is the address of an account's blob service.
	Endpoint func(account string) string
	// Login is the address of the identity endpoint, for refusals of tokens.
	Login func() string
	// Suffixes end the names of the server's hosts. It is asked each time; nil: none.
	Suffixes func() Suffixes
	// HTTPSOnly says that the blob service refuses plain HTTP from other machines.
	HTTPSOnly bool
}

// Handler serves the interface. It is safe in parallel.
type Handler struct{ o Options }

// New makes a Handler.
func New(o Options) *Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Endpoint == nil {
		o.Endpoint = func(string) string { return "" }
	}
	if o.Suffixes == nil {
		o.Suffixes = func() Suffixes { return Suffixes{} }
	}
	if o.Login == nil {
		o.Login = func() string { return "https://localhost:10006" }
	}
	return &Handler{o}
}

// Handles reports whether a path is for this handler.
func Handles(path string) bool {
	p := strings.ToLower(clean(path))
	return strings.HasPrefix(p, "/subscriptions/") || strings.HasPrefix(p, "/providers/microsoft.") ||
		p == "/subscriptions" || p == "/tenants" || isMetadata(p) || strings.Contains(p, "/providers/microsoft.authorization/")
}

var slashes = regexp.MustCompile(`/{2,}`)

// clean takes slashes away that clients write twice where they join an address and an id.
func clean(path string) string { return slashes.ReplaceAllString(path, "/") }

// request is one request, taken apart.
type request struct {
	*http.Request
	h       *Handler
	route   *route
	id      string
	at      map[string]string // captures of the path
	version string
	caller  caller
	account account.Info // of routes below an account, when there is one
	answer  http.Header
}

// Origin implements audit.Asker. Until the caller is authenticated it is nobody.
func (r *request) Origin() audit.Origin {
	by := audit.Origin{Actor: "anonymous", RequestID: r.id}
	switch {
	case r.caller.operator:
		by.Actor = "management"
	case r.caller.claims.ObjectID != "":
		by.Actor = "principal " + r.caller.claims.ObjectID
	}
	return by
}

// subscription and group are what the path names.
func (r *request) subscription() string { return r.at["s"] }
func (r *request) group() string        { return r.at["g"] }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	id := newID()
	w.Header().Set("x-ms-request-id", id)
	w.Header().Set("x-ms-correlation-request-id", id)
	w.Header().Set("Cache-Control", "no-cache")
	if p := clean(hr.URL.Path); p != hr.URL.Path {
		u := *hr.URL
		u.Path, u.RawPath = p, ""
		hr = hr.Clone(hr.Context())
		hr.URL = &u
	}
	r := &request{h: h, id: id, answer: w.Header()}
	r.Request = hr.WithContext(audit.WithAsker(hr.Context(), r))
	status, body, err := h.serve(r)
	if err != nil {
		status, body = render(err)
	}
	h.log(r, status, err)
	write(w, hr, status, body)
}

func (h *Handler) log(r *request, status int, err error) {
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("request_id", r.id), slog.String("method", r.Method), slog.Int("status", status), slog.String("caller", r.caller.name()),
	}
	if r.route != nil {
		attrs = append(attrs, slog.String("operation", r.route.action))
	}
	if status >= 500 {
		attrs = append(attrs, slog.String("kind", fault.KindOf(err).String()))
	}
	h.o.Logger.LogAttrs(r.Context(), level, "management request", attrs...)
}

func write(w http.ResponseWriter, r *http.Request, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	b, err := json.Marshal(body)
	if err != nil { // nothing that we marshal can fail
		status, b = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b)
	}
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// serve finds the route, lets the caller in and does the work.
func (h *Handler) serve(r *request) (int, any, error) {
	if isMetadata(r.URL.Path) {
		return h.metadata(r)
	}
	if err := h.who(r); err != nil {
		return 0, nil, err
	}
	if err := h.find(r); err != nil {
		return 0, nil, err
	}
	if err := r.readVersion(); err != nil {
		return 0, nil, err
	}
	if err := h.let(r); err != nil {
		return 0, nil, err
	}
	return r.route.serve(h, r)
}

var apiVersion = regexp.MustCompile(`^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(-[0-9A-Za-z.]+)?$`)

// readVersion reads api-version: it has to be there and to be a date, and makes no
// difference.
func (r *request) readVersion() error {
	for n, v := range r.URL.Query() {
		if strings.EqualFold(n, "api-version") && len(v) == 1 {
			r.version = v[0]
		}
	}
	switch {
	case r.version == "":
		return armError{http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."}
	case !apiVersion.MatchString(r.version):
		return armError{http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version '" + clip(r.version) + "' is invalid: it is a date."}
	}
	return nil
}

// query returns a parameter, whatever its case.
func (r *request) query(n string) string {
	for k, v := range r.URL.Query() {
		if strings.EqualFold(k, n) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

// clip bounds what is repeated of a request.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most]
	}
	return s
}

// stamp is the form of times: UTC, seven digits after the second.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }
