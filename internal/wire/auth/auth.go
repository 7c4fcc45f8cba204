// Package auth establishes who makes a request.
//
//	Authorization: SharedKey account:signature         keyed by one of the account's two keys
//	Authorization: SharedKeyLite account:signature
//	?sv=..&sig=..&ss=..                                 account SAS
//	?sv=..&sig=..&sr=..                                 service SAS, alone or with a stored access policy
//	?sv=..&sig=..&skoid=..&sr=..                        user delegation SAS
//	Authorization: Bearer token                         a principal, by a token of the identity service
//	nothing                                             anonymous
//
// It rebuilds the text that the client signed from the request as it was sent, compares
// in constant time with both keys, and checks times, addresses and the protocol. What the
// caller may then do, the services ask of package access. A token is checked for who its
// bearer is; what he may do, his roles say at the moment of the operation.
//
// Refusals carry AuthenticationErrorDetail in the service's words. It may hold the text
// that was signed, never a key and never the signature that would have been right.
package auth

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/secret"
	"github.com/coffer-storage/coffer/internal/wire"
)

// DefaultSkew is how far the date of a signed request may be from now.
const DefaultSkew = 15 * time.Minute

// Policy is what a stored access policy adds to a SAS. Zero values are absent.
type Policy struct {
	Start, Expiry time.Time
	Permission    string
}

// Options configure an Authenticator.
type Options struct {
	Service byte // 'b' blob, 'q' queue, 't' table, 'f' file; zero is blob
	// Keys returns the signing keys of an account, or AccountNotFound.
	Keys func(context.Context, name.Account) ([2]secret.Key, error)
	// Policy returns a stored access policy. ResourceNotFound, ContainerNotFound and
	// the like mean that there is none.
	Policy func(ctx context.Context, account name.Account, container, id string) (Policy, error)
	Now    func() time.Time
	Skew   time.Duration
	// TrustProxy believes X-Forwarded-For and X-Forwarded-Proto of the nearest proxy.
	TrustProxy bool
	// Authority is the login address that challenges name, with the tenant. nil: that of
	// the cloud.
	Authority func() string
	// Tokens checks tokens and knows roles. nil: tokens are refused.
	Tokens Tokens
	// Resource returns the id of an account as a resource, and its own id.
	Resource func(context.Context, name.Account) (string, keys.ID, error)
}

// Authenticator authenticates requests. It is safe in parallel.
type Authenticator struct{ o Options }

// New makes an Authenticator.
func New(o Options) *Authenticator {
	if o.Service == 0 {
		o.Service = 'b'
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Skew == 0 {
		o.Skew = DefaultSkew
	}
	if o.Authority == nil {
		o.Authority = func() string { return "https://login.microsoftonline.com/common" }
	}
	return &Authenticator{o}
}

// serviceNames are the first part of the resource that a service SAS is signed over.
var serviceNames = map[byte]string{'b': "blob", 'q': "queue", 't': "table", 'f': "file"}

// Authenticate finds out who makes r and returns the caller, who is anonymous if the
// request says nothing. h is the header of the answer, for a challenge.
func (a *Authenticator) Authenticate(r *wire.Request, h http.Header) (*access.Caller, error) {
	c := &access.Caller{RequestID: r.ID, Secure: a.Secure(r.Request), IP: a.clientIP(r.Request)}
	values := r.Header.Values("Authorization")
	switch {
	case len(values) > 1:
		return nil, fault.New("auth.Authenticate", "", fault.InvalidAuthenticationInfo, nil)
	case len(values) == 1:
		return c, a.authorization(r, c, values[0], h)
	case r.Query.Has("sig"):
		return c, a.sas(r, c)
	}
	return c, nil
}

// Challenge sets the header that a 401 must have.
func (a *Authenticator) Challenge(h http.Header) {
	wire.SetHeader(h, "WWW-Authenticate", "Bearer authorization_uri="+strings.TrimSuffix(a.o.Authority(), "/")+
		"/oauth2/authorize resource_id=https://storage.azure.com")
}

func (a *Authenticator) authorization(r *wire.Request, c *access.Caller, value string, h http.Header) error {
	scheme, credential, _ := strings.Cut(strings.TrimSpace(value), " ")
	switch strings.ToLower(scheme) {
	case "sharedkey":
		return a.sharedKey(r, c, access.SharedKey, credential)
	case "sharedkeylite":
		return a.sharedKey(r, c, access.SharedKeyLite, credential)
	case "bearer":
		a.Challenge(h)
		return a.bearer(r, c, strings.TrimSpace(credential))
	}
	return refuse(fault.InvalidAuthenticationInfo, "The Authorization header has an unknown scheme.")
}

// refuse is an error with the detail that the service gives.
func refuse(kind fault.Kind, detail string) error {
	return fault.New("auth.Authenticate", "", kind, nil, fault.Detail{Name: "AuthenticationErrorDetail", Value: detail})
}

// Secure reports whether a request came over TLS, to us or to a proxy that we trust.
func (a *Authenticator) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	return a.o.TrustProxy && strings.EqualFold(lastOf(r.Header.Values("X-Forwarded-Proto")), "https")
}

func (a *Authenticator) clientIP(r *http.Request) netip.Addr {
	if a.o.TrustProxy {
		if ip, err := netip.ParseAddr(lastOf(r.Header.Values("X-Forwarded-For"))); err == nil {
			return ip.Unmap()
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, _ := netip.ParseAddr(host)
	return ip.Unmap().WithZone("")
}

// lastOf returns the last of a list with commas: what the nearest proxy wrote. A proxy may
// add a line of its own to those that the client sent.
func lastOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	s := lines[len(lines)-1]
	if i := strings.LastIndexByte(s, ','); i >= 0 {
		s = s[i+1:]
	}
	return strings.TrimSpace(s)
}
