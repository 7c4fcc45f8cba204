// Package vaulthttp serves the keys of vaults and Managed HSMs by the REST interface of
// Azure Key Vault, api-versions 7.x.
//
//	https://NAME.vault.SUFFIX/keys/..         a vault
//	https://NAME.managedhsm.SUFFIX/keys/..    a Managed HSM
//	https://ADDRESS/keys/..                   the default vault
//
// A request without a token is answered 401 with a challenge that says where to get one
// and for which audience. The package translates: who may do what, and what it means, is
// in package vault. Choices of the wire are in spec/vault.md.
package vaulthttp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/vault"
)

// Tokens checks bearer tokens. The identity service is one.
type Tokens interface {
	Verify(ctx context.Context, raw string, audiences ...string) (identity.Claims, error)
}

// Observation is what is known of a request when it is over.
type Observation struct {
	Operation string // from the route table, or "Unknown"
	Status    int
	Duration  time.Duration
}

// Options configure a Handler. Vaults and Tokens are required.
type Options struct {
	Vaults *vault.Service
	Tokens Tokens
	Roles  Roles // local roles of Managed HSMs; nil: none can be assigned
	// Login is where tokens are issued: https://127.0.0.1:10006. It is asked each time.
	Login   func() string
	Tenant  string // of vaults that name none
	Default string // vault of requests to a bare address; "" is DefaultVault
	Logger  *slog.Logger
	Observe func(Observation) // may be nil
}

// DefaultVault is what the bare address serves.
const DefaultVault = "default"

// Handler serves the interface. It is safe in parallel.
type Handler struct{ o Options }

// New makes a Handler.
func New(o Options) *Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Default == "" {
		o.Default = DefaultVault
	}
	if o.Observe == nil {
		o.Observe = func(Observation) {}
	}
	return &Handler{o}
}

// request is one request, taken apart.
type request struct {
	*http.Request
	kind   vault.Kind
	vault  string
	caller vault.Caller
	path   []string // unescaped segments
	op     string
	id     string
}

// Origin implements audit.Asker. Until the caller is authenticated it is nobody.
func (r *request) Origin() audit.Origin {
	if r.caller == (vault.Caller{}) {
		return audit.Origin{Actor: "anonymous", RequestID: r.id}
	}
	return audit.Origin{Actor: "principal " + r.caller.ObjectID, RequestID: r.id}
}

// ref names what the request is about.
func (r *request) ref(key, version string) vault.Ref {
	return vault.Ref{Kind: r.kind, Vault: r.vault, Key: key, Version: version}
}

// base is the address of the vault as the client wrote it: ids of keys begin with it.
func (r *request) base() string { return "https://" + r.Host }

// answer is what a request gets.
type answer struct {
	status int
	body   any // nil: none
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	begin := time.Now()
	r := &request{id: newID(), op: "Unknown"}
	r.Request = hr.WithContext(audit.WithAsker(hr.Context(), r))
	head := w.Header()
	head.Set("x-ms-request-id", r.id)
	head.Set("x-ms-keyvault-service-version", "1.9.2400.1")
	head.Set("Cache-Control", "no-cache")
	head.Set("Pragma", "no-cache")
	head.Set("Strict-Transport-Security", "max-age=31536000;includeSubDomains")
	head.Set("X-Content-Type-Options", "nosniff")
	if id := hr.Header.Get("x-ms-client-request-id"); id != "" && len(id) <= 128 {
		head.Set("x-ms-client-request-id", id)
	}
	a, err := h.serve(r)
	if err != nil {
		a = h.refuse(w, r, err)
	}
	h.log(r, a.status, err)
	write(w, hr, a)
	h.o.Observe(Observation{Operation: r.op, Status: a.status, Duration: time.Since(begin)})
}

func (h *Handler) log(r *request, status int, err error) {
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("request_id", r.id), slog.String("op", r.op), slog.Int("status", status)}
	if status >= 500 {
		level = slog.LevelError
		attrs = append(attrs, slog.String("kind", fault.KindOf(err).String()))
	}
	h.o.Logger.LogAttrs(r.Context(), level, "vault request", attrs...)
}

func write(w http.ResponseWriter, r *http.Request, a answer) {
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	b, err := json.Marshal(a.body)
	if err != nil { // nothing that we marshal can fail
		a.status, b = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
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

// serve finds out who asks for what, in this order: a client without a token learns
// nothing, not even whether a vault is there.
func (h *Handler) serve(r *request) (answer, error) {
	if r.TLS == nil {
		return answer{}, wireError{http.StatusBadRequest, "BadParameter", "This endpoint is served over TLS only: use https.", ""}
	}
	h.resolve(r)
	r.path = segments(r.URL.EscapedPath())
	route, params := find(r.Method, r.path)
	if route != nil {
		r.op = route.op
	}
	if err := h.authenticate(r); err != nil {
		return answer{}, err
	}
	if err := checkVersion(r.URL.Query().Get("api-version")); err != nil {
		return answer{}, err
	}
	if route == nil {
		return answer{}, noRoute(r)
	}
	return route.serve(h, r, params)
}

// resolve finds the vault that a host names.
func (h *Handler) resolve(r *request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, kind := range []vault.Kind{vault.Standard, vault.HSM} {
		if n, ok := strings.CutSuffix(host, "."+h.o.Vaults.Suffix(kind)); ok && n != "" && !strings.Contains(n, ".") {
			r.kind, r.vault = kind, n
			return
		}
	}
	r.kind, r.vault = vault.Standard, h.o.Default
}

// segments splits a path. Empty ones stay: a client without a version writes
// /keys/name//wrapkey.
func segments(escaped string) []string {
	parts := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	for i, p := range parts {
		parts[i] = unescape(p)
	}
	return parts
}

var version = regexp.MustCompile(`^(7\.\d{1,2}(\.\d+)?|20\d\d-\d\d-\d\d)(-preview(\.\d+)?)?$`)

func checkVersion(v string) error {
	if v == "" {
		return wireError{http.StatusBadRequest, "BadParameter", "api-version must be specified", ""}
	}
	if !version.MatchString(v) {
		return wireError{http.StatusBadRequest, "BadParameter", "api-version is not one of the 7.x versions that are served", ""}
	}
	return nil
}
