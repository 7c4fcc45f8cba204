// Package armhttp serves the part of the resource provider's interface that storage
// accounts are managed with: encryption scopes, so far.
//
//	/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Storage/storageAccounts/{a}/
//	    encryptionScopes           GET
//	    encryptionScopes/{name}    GET, PUT, PATCH
//
// Paths and JSON field names are matched without regard to case, api-version is
// required, and answers and errors have the form of Azure Resource Manager. There is no
// identity service yet, so who may ask is decided by where he is: only the own machine,
// unless the store is a development store.
package armhttp

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/scope"
)

const maxBody = 64 << 10

// Options configure a Handler.
type Options struct {
	Accounts *account.Service
	Scopes   *scope.Service
	Logger   *slog.Logger // nil: no log
	// Anyone lets callers from other machines in: a development store.
	Anyone bool
}

// Handler serves the interface. It is safe in parallel.
type Handler struct{ o Options }

// New makes a Handler.
func New(o Options) *Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{o}
}

// Handles reports whether a path is for this handler.
func Handles(path string) bool {
	return len(path) > 1 && strings.HasPrefix(strings.ToLower(path), "/subscriptions/")
}

// request is one request, taken apart.
type request struct {
	*http.Request
	subscription, group, account string
	scope                        string // "" is the collection
	info                         account.Info
	version                      string
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	id := newID()
	w.Header().Set("x-ms-request-id", id)
	w.Header().Set("Cache-Control", "no-cache")
	hr = hr.WithContext(audit.WithBy(hr.Context(), audit.Origin{Actor: "management", RequestID: id}))
	status, body, err := h.answer(hr)
	if err != nil {
		status, body = render(err)
	}
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	attrs := []slog.Attr{slog.String("request_id", id), slog.String("method", hr.Method), slog.Int("status", status)}
	if status >= 500 {
		attrs = append(attrs, slog.String("kind", fault.KindOf(err).String()))
	}
	h.o.Logger.LogAttrs(hr.Context(), level, "management request", attrs...)
	write(w, hr, status, body)
}

func write(w http.ResponseWriter, r *http.Request, status int, body any) {
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

// answer serves a request.
func (h *Handler) answer(hr *http.Request) (int, any, error) {
	if !h.o.Anyone && !local(hr) {
		return 0, nil, armError{http.StatusForbidden, "AuthorizationFailed",
			"This server has no identity service yet: encryption scopes are managed from the machine it runs on, or with --dev."}
	}
	r, err := h.read(hr)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case r.scope == "" && r.Method == http.MethodGet:
		return h.list(r)
	case r.scope == "":
	case r.Method == http.MethodGet:
		return h.get(r)
	case r.Method == http.MethodPut:
		return h.put(r)
	case r.Method == http.MethodPatch:
		return h.patch(r)
	}
	return 0, nil, armError{http.StatusMethodNotAllowed, "MethodNotAllowed",
		"The resource does not support the method " + r.Method + ". Encryption scopes cannot be deleted: disable them."}
}

// local reports whether a request comes from this machine and was meant for it. A name
// in Host that is not its own is that of a web page which had a browser ask us.
func local(r *http.Request) bool {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(peer); err != nil || ip == nil || !ip.IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

var apiVersion = regexp.MustCompile(`^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(-preview)?$`)

// oldest is the first version with encryption scopes.
const oldest = "2019-06-01"

func (h *Handler) read(hr *http.Request) (*request, error) {
	parts := strings.Split(strings.Trim(hr.URL.Path, "/"), "/")
	fixed := []string{"subscriptions", "", "resourcegroups", "", "providers", "microsoft.storage", "storageaccounts", "", "encryptionscopes"}
	if len(parts) < len(fixed) || len(parts) > len(fixed)+1 {
		return nil, errNoType
	}
	for i, want := range fixed {
		if want != "" && !strings.EqualFold(parts[i], want) || parts[i] == "" {
			return nil, errNoType
		}
	}
	r := &request{Request: hr, subscription: parts[1], group: parts[3], account: strings.ToLower(parts[7])}
	if len(parts) > len(fixed) {
		r.scope = parts[len(fixed)]
	}
	for n, v := range hr.URL.Query() {
		if strings.EqualFold(n, "api-version") && len(v) == 1 {
			r.version = v[0]
		}
	}
	switch {
	case r.version == "":
		return nil, armError{http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."}
	case !apiVersion.MatchString(r.version) || r.version < oldest:
		return nil, armError{http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version is invalid: it is a date from " + oldest + " on."}
	}
	n, err := name.ParseAccount(r.account)
	if err == nil {
		r.info, err = h.o.Accounts.Get(hr.Context(), n)
	}
	if err != nil && (fault.Is(err, fault.AccountNotFound) || fault.Is(err, fault.InvalidResourceName)) {
		return nil, armError{http.StatusNotFound, "ResourceNotFound",
			"The Resource 'Microsoft.Storage/storageAccounts/" + parts[7] + "' under resource group '" + r.group + "' was not found."}
	}
	return r, err
}

var errNoType = armError{http.StatusNotFound, "InvalidResourceType", "The resource type could not be found: this server has encryptionScopes of Microsoft.Storage/storageAccounts."}

// armError is an error in the form of the Resource Manager.
type armError struct {
	status        int
	code, message string
}

func (e armError) Error() string { return "armhttp: " + e.code }

// render turns an error into its answer.
func render(err error) (int, any) {
	e, ok := errors.AsType[armError](err)
	if !ok {
		e = classify(err)
	}
	return e.status, map[string]any{"error": map[string]string{"code": e.code, "message": e.message}}
}

// classify gives kinds of the domain their answers.
func classify(err error) armError {
	switch fault.KindOf(err) {
	case fault.ScopeNotFound:
		return armError{http.StatusNotFound, "EncryptionScopeNotFound", "The specified encryption scope does not exist."}
	case fault.KeyGone:
		return armError{http.StatusConflict, "EncryptionScopeDestroyed", "The keys of the encryption scope were destroyed."}
	case fault.NotAllowed:
		return armError{http.StatusConflict, "MaximumEncryptionScopesReached", "The storage account has as many encryption scopes as it may have."}
	case fault.Full, fault.Busy, fault.Unavailable, fault.Timeout, fault.Canceled, fault.KeyStore:
		return armError{http.StatusServiceUnavailable, "ServerBusy", "The server cannot make the change now. Please retry."}
	}
	return armError{http.StatusInternalServerError, "InternalServerError", "The server encountered an internal error. Please retry the request."}
}

func badValue(field, why string) error {
	return armError{http.StatusBadRequest, "InvalidValuesForRequestParameters", "Values for request parameters are invalid: " + field + ". " + why}
}

// readBody decodes a body of JSON; none is an empty object.
func readBody(r *request, into any) error {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return fault.New("armhttp.readBody", "", fault.Canceled, err)
	case len(b) > maxBody:
		return armError{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request body is too large."}
	case len(b) == 0:
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return armError{http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized."}
	}
	return nil
}

// stamp is the form of times: UTC, seven digits after the second.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }
