// Package blobhttp serves the Blob service's REST protocol.
//
// Every request goes the same way, and each step may end it:
//
//	read form   query, version, target          wire
//	find route  the table in routes.go          data: docs/rest-status.md is made from it
//	who         Authorization, SAS              wire/auth
//	refuse      what must not be ignored        refuse.go
//	serve       translate in, call the service once, translate out
//	observe     one log line, one observation
//
// Authorization proper is in the service, where no handler can forget it. Handlers hold
// no rule of the service and choose no status of an error; they return errors, which
// package wire renders. An answer that has begun and cannot be finished is cut off: the
// connection is reset, so that no client takes a part for the whole.
package blobhttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/wire"
	"github.com/coffer-storage/coffer/internal/wire/auth"
)

// serverName is the Server header.
const serverName = "Coffer-Blob/1.0"

// maxURI bounds the request line; the longest name and SAS together stay well below.
const maxURI = 32 << 10

// Options configure a Handler.
type Options struct {
	Blobs    *blob.Service
	Accounts *account.Service
	Logger   *slog.Logger // nil: no log
	// Observe is called once for every request when it is over, in its goroutine.
	Observe func(*wire.Observation)
	Now     func() time.Time
	// KeyVersion returns the number of a key version, for the log; 0 if it is not known.
	KeyVersion func(keys.Protector, keys.ID) uint64
	// TrustProxy believes X-Forwarded-For and X-Forwarded-Proto of the nearest proxy.
	TrustProxy bool
	// Authority is the login address that challenges name, with the tenant.
	Authority func() string
	// Identity checks tokens, knows roles and gives user delegation keys. nil: none.
	Identity Identity
	// Resource returns the id of an account as a resource, and its own id.
	Resource func(context.Context, name.Account) (string, keys.ID, error)
}

// Handler serves the protocol. It is safe in parallel.
type Handler struct {
	o     Options
	blobs *blob.Service
	auth  *auth.Authenticator
}

// New makes a Handler.
func New(o Options) *Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{o: o, blobs: o.Blobs}
	ao := auth.Options{
		Service: 'b', Keys: o.Accounts.SigningKeys, Policy: h.policy, Now: o.Now,
		TrustProxy: o.TrustProxy, Authority: o.Authority, Resource: o.Resource,
	}
	if o.Identity != nil {
		ao.Tokens = o.Identity
	}
	h.auth = auth.New(ao)
	return h
}

// policy finds a stored access policy for auth.
func (h *Handler) policy(ctx context.Context, a name.Account, container, id string) (auth.Policy, error) {
	n, err := name.ParseContainer(container)
	if err != nil {
		return auth.Policy{}, err
	}
	p, err := h.blobs.Policy(ctx, a, n, id)
	return auth.Policy{Start: p.Start, Expiry: p.Expiry, Permission: p.Permission}, err
}

// errCut says that an answer was begun and could not be finished.
var errCut = errors.New("blobhttp: answer cut off")

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, hr *http.Request) {
	r, w := wire.NewRequest(hr, h.o.Now()), wire.NewResponse(rw)
	body := wire.NewBody(rw, hr)
	r.SetBody(body)
	withholdKeys(r)
	err := h.answer(w, r)
	cut := false
	if err != nil {
		if cut = w.Started(); !cut {
			h.refuse(w, r, err)
		}
	}
	body.Finish()
	w.Finish()
	o := wire.Observe(w, r, h.o.Now(), err)
	o.Aborted = cut
	h.o.Logger.LogAttrs(hr.Context(), o.Level(), "request", o.Attrs()...)
	if h.o.Observe != nil {
		h.o.Observe(o)
	}
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// refuse renders an error.
func (h *Handler) refuse(w *wire.Response, r *wire.Request, err error) {
	wire.SetCommon(w, r, serverName)
	if k := fault.KindOf(err); k == fault.NoAuthentication || k == fault.TokenRefused {
		h.auth.Challenge(w.Header())
	}
	wire.WriteError(w, r, err)
}

// answer serves r, or returns why not. A panic is a bug: it is logged with its stack
// and answered as an internal error.
func (h *Handler) answer(w *wire.Response, r *wire.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = errCut
			if !w.Started() {
				panic(p)
			}
		default:
			h.o.Logger.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("request_id", r.ID),
				slog.String("op", r.Operation), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
			err = fault.New("blobhttp", "", fault.Internal, nil)
		}
	}()
	if err := h.refusePlain(r); err != nil {
		return err
	}
	rt, err := h.read(r)
	wire.SetCommon(w, r, serverName)
	if err != nil {
		return err
	}
	if r.Method == http.MethodOptions {
		r.Operation = "PreflightBlobRequest"
		return h.preflight(w, r)
	}
	h.exposeCORS(w, r)
	if r.Caller, err = h.authenticate(w, r); err != nil {
		return err
	}
	if err := rt.admit(r); err != nil {
		return err
	}
	return rt.serve(h, w, r)
}

// authenticate finds the caller; what is known of him stays with the request, so that
// the log has it when he is refused.
func (h *Handler) authenticate(w *wire.Response, r *wire.Request) (*access.Caller, error) {
	c, err := h.auth.Authenticate(r, w.Header())
	if c == nil {
		c = &access.Caller{RequestID: r.ID}
	}
	return c, err
}

// read takes the request apart and finds its route.
func (h *Handler) read(r *wire.Request) (*route, error) {
	if len(r.RequestURI) > maxURI {
		return nil, fault.New("blobhttp.read", "", fault.InvalidURI, nil)
	}
	var err error
	if r.Query, err = wire.ParseQuery(r.URL.RawQuery); err != nil {
		return nil, err
	}
	exists := func(n name.Account) bool {
		_, err := h.o.Accounts.Get(r.Context(), n)
		return err == nil
	}
	if r.Target, err = wire.Resolve("blob", r.Host, wire.RawPath(r.Request), exists); err != nil {
		return nil, err
	}
	if err := r.ReadVersion(h.defaultVersion(r)); err != nil {
		return nil, err
	}
	if r.Method == http.MethodOptions {
		return nil, nil
	}
	return match(r)
}

// defaultVersion is the version that the account's owner has set for requests without
// one; it is looked up only where it counts.
func (h *Handler) defaultVersion(r *wire.Request) string {
	if r.Has(wire.HeaderVersion) || r.Query.Has("sv") || r.Query.Has("api-version") || r.Header.Get("Authorization") != "" {
		return ""
	}
	p, err := h.settings(r)
	if err != nil || p.DefaultServiceVersion == nil {
		return ""
	}
	return *p.DefaultServiceVersion
}

// settings reads the service properties for the server's own use: what a request without
// a caller may see is for the account's owner to say, and this is where he says it.
func (h *Handler) settings(r *wire.Request) (blob.ServiceProperties, error) {
	self := &access.Caller{Kind: access.SharedKey, Account: r.Target.Account, RequestID: r.ID}
	return h.blobs.GetServiceProperties(r.Context(), self, r.Target.Account)
}

// endpoint is the address of the account as the client sees it, for lists.
func (h *Handler) endpoint(r *wire.Request) string {
	scheme := "http://"
	if r.Caller.Secure {
		scheme = "https://"
	}
	if r.Target.HostStyle {
		return scheme + r.Host + "/"
	}
	account, _, _ := strings.Cut(strings.TrimPrefix(r.Target.RawPath, "/"), "/")
	return scheme + r.Host + "/" + account
}
