// Package identityhttp serves tokens, as the clients of Entra ID and of managed identities
// ask for them.
//
//	/{tenant}/v2.0/.well-known/openid-configuration     what is where
//	/{tenant}/discovery/v2.0/keys                        public keys that tokens are checked with
//	/{tenant}/oauth2/v2.0/token                          client credentials: secret, Basic, signed assertion
//	/{tenant}/oauth2/token                               the same in the first version of the protocol
//	/common/discovery/instance                           which authority a host is
//	/metadata/identity/oauth2/token                      managed identity, header Metadata: true
//	/msi/token                                           managed identity, header X-IDENTITY-HEADER
//
// Managed identities are for programs on this machine: requests over loopback, for a name
// of loopback, with the header that no web page can send, and that no proxy passed on.
//
// Errors have the forms that the clients of each know. Secrets and tokens are in bodies
// only, and no body is ever logged.
package identityhttp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

const maxBody = 64 << 10

// Identities is what this package asks of the service; *identity.Service has it.
type Identities interface {
	CheckSecret(ctx context.Context, clientID, secret string) (identity.Principal, error)
	CheckAssertion(ctx context.Context, clientID, assertion string, audiences ...string) (identity.Principal, error)
	MachineIdentity(ctx context.Context, q identity.Query) (identity.Principal, error)
	Issue(ctx context.Context, objectID, audience string) (token string, expires time.Time, err error)
	IssuerOf(tenant string) string
	JWKS(ctx context.Context) (jose.JSONWebKeySet, error)
}

// Options configure a Handler.
type Options struct {
	Identities Identities
	Logger     *slog.Logger // nil: no log
	Now        func() time.Time
	// AllowPlain takes credentials over plain HTTP from other machines too.
	AllowPlain bool
	// Secure reports whether a request came over TLS, to us or to a proxy that we trust.
	// nil: to us.
	Secure func(*http.Request) bool
}

// Handler serves the endpoints. It is safe in parallel.
type Handler struct{ o Options }

// New makes a Handler.
func New(o Options) *Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Secure == nil {
		o.Secure = func(r *http.Request) bool { return r.TLS != nil }
	}
	return &Handler{o}
}

// route is one endpoint: the path below the tenant, or from the root.
type route struct {
	path   string
	root   bool
	method string
	name   string
	serve  func(*Handler, *request) (any, error)
}

var routes = []route{
	{path: "v2.0/.well-known/openid-configuration", method: http.MethodGet, name: "discovery", serve: (*Handler).discovery},
	{path: ".well-known/openid-configuration", method: http.MethodGet, name: "discovery", serve: (*Handler).discovery},
	{path: "discovery/v2.0/keys", method: http.MethodGet, name: "keys", serve: (*Handler).keys},
	{path: "discovery/keys", method: http.MethodGet, name: "keys", serve: (*Handler).keys},
	{path: "oauth2/v2.0/token", method: http.MethodPost, name: "token", serve: (*Handler).token},
	{path: "oauth2/token", method: http.MethodPost, name: "token", serve: (*Handler).tokenV1},
	{path: "oauth2/v2.0/authorize", method: "", name: "authorize", serve: (*Handler).noUsers},
	{path: "oauth2/v2.0/devicecode", method: "", name: "devicecode", serve: (*Handler).noUsers},
	{path: "common/discovery/instance", root: true, method: http.MethodGet, name: "instance", serve: (*Handler).instance},
	{path: "metadata/identity/oauth2/token", root: true, method: http.MethodGet, name: "imds", serve: (*Handler).imds},
	{path: "msi/token", root: true, method: http.MethodGet, name: "msi", serve: (*Handler).msi},
}

// find returns the route of a path, and the tenant that it names.
func find(path string) (*route, string) {
	path = strings.Trim(path, "/")
	tenant, below, _ := strings.Cut(path, "/")
	for i := range routes {
		r := &routes[i]
		if r.root && strings.EqualFold(r.path, path) || !r.root && strings.EqualFold(r.path, below) {
			return r, tenant
		}
	}
	return nil, ""
}

// Handles reports whether a path is for this handler.
func Handles(path string) bool {
	r, _ := find(path)
	return r != nil
}

// request is one request on its way.
type request struct {
	*http.Request
	id     string
	tenant string
	secure bool // came over TLS
}

// base is the address that the client reached us by.
func (r *request) base() string {
	if !r.secure {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	rt, tenant := find(hr.URL.Path)
	r := &request{Request: hr, id: newID(), tenant: tenant, secure: h.o.Secure(hr)}
	r.Request = hr.WithContext(audit.WithBy(hr.Context(), audit.Origin{Actor: "identity endpoint", RequestID: r.id}))
	r.Body = http.MaxBytesReader(w, hr.Body, maxBody)
	status, name := http.StatusOK, "unknown"
	body, err := any(nil), error(errNoSuchPath)
	if rt != nil {
		name = rt.name
		body, err = h.serve(rt, r)
	}
	if err != nil {
		status, body = h.render(r, err)
	}
	h.log(r, name, status, err)
	write(w, r, status, body)
}

func (h *Handler) serve(rt *route, r *request) (any, error) {
	if !rt.root && !strings.EqualFold(r.tenant, identity.Tenant) {
		return nil, oauthError{http.StatusBadRequest, "invalid_tenant", 90002, "Tenant not found: this server has the tenant " + identity.Tenant + "."}
	}
	if rt.method != "" && r.Method != rt.method && !(rt.method == http.MethodGet && r.Method == http.MethodHead) {
		return nil, oauthError{http.StatusMethodNotAllowed, "invalid_request", 900561, "The endpoint only accepts " + rt.method + " requests."}
	}
	return rt.serve(h, r)
}

func (h *Handler) log(r *request, name string, status int, err error) {
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("request_id", r.id), slog.String("operation", name), slog.Int("status", status)}
	if err != nil {
		if e, ok := errors.AsType[oauthError](err); ok {
			attrs = append(attrs, slog.String("code", e.code))
		} else {
			attrs = append(attrs, slog.String("kind", fault.KindOf(err).String()))
		}
	}
	if status >= 500 {
		level = slog.LevelError
	}
	h.o.Logger.LogAttrs(r.Context(), level, "identity request", attrs...)
}

func write(w http.ResponseWriter, r *request, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil { // nothing that we marshal can fail
		status, b = http.StatusInternalServerError, nil
	}
	head := w.Header()
	head.Set("x-ms-request-id", r.id)
	head.Set("Cache-Control", "no-store, no-cache")
	head.Set("Pragma", "no-cache")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Type", "application/json; charset=utf-8")
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
