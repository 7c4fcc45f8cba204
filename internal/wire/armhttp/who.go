package armhttp

import (
	"net"
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/resource"
)

// caller is who asks: the operator of this machine, or the bearer of a token.
type caller struct {
	operator bool
	claims   identity.Claims
}

func (c caller) name() string {
	if c.operator {
		return "operator"
	}
	return c.claims.ObjectID
}

// who establishes who asks. A token counts wherever it comes from: who sends one is not
// the operator.
func (h *Handler) who(r *request) error {
	raw := r.Header.Get("Authorization")
	if raw == "" {
		if h.o.Anyone || local(r.Request) {
			r.caller.operator = true
			return nil
		}
		h.challenge(r, "")
		return armError{http.StatusUnauthorized, "AuthenticationFailed",
			"Authentication failed. The 'Authorization' header is missing: from other machines than its own this server wants a token."}
	}
	token, ok := bearer(raw)
	if !ok || h.o.Identities == nil {
		h.challenge(r, "invalid_token")
		return armError{http.StatusUnauthorized, "AuthenticationFailedInvalidHeader",
			"Authentication failed. The 'Authorization' header is provided in an invalid format."}
	}
	claims, err := h.o.Identities.Verify(r.Context(), token, h.o.Audiences...)
	if fault.Is(err, fault.TokenRefused) {
		h.challenge(r, "invalid_token")
		return armError{http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid, expired, or for another audience."}
	}
	r.caller.claims = claims
	return err
}

func bearer(header string) (string, bool) {
	scheme, token, ok := strings.Cut(header, " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

func (h *Handler) challenge(r *request, problem string) {
	c := `Bearer authorization_uri="` + strings.TrimRight(h.o.Login(), "/") + "/" + identity.Tenant + `"`
	if problem != "" {
		c += `, error="` + problem + `", error_description="The access token is not accepted here."`
	}
	r.answer.Set("WWW-Authenticate", c)
}

// let finds the account that a path is below, and lets the caller do what the route does
// or refuses him. Roles count at the id that the account has, not at one that he made up.
func (h *Handler) let(r *request) error {
	if r.route.known {
		return nil
	}
	scope := strings.TrimSuffix(r.URL.Path, "/")
	if s := r.at["scope"]; s != "" {
		scope = s
	}
	if a := r.at["a"]; a != "" {
		info, err := h.o.Resources.Find(r.Context(), r.subscription(), r.group(), strings.ToLower(a))
		if err != nil && !resource.Is(err, resource.NoAccount) {
			return err
		}
		if err == nil {
			r.account = info
			scope = accountScope(scope, info.ResourceID())
		}
		if allowed := h.allowed(r, r.route.action, scope); allowed != nil {
			return allowed
		}
		if err != nil && r.route.account {
			return err
		}
		return nil
	}
	return h.allowed(r, r.route.action, scope)
}

// accountScope puts the id of an account in place of what the path says of it.
func accountScope(path, id string) string {
	const segments = 9 // "", subscriptions, s, resourceGroups, g, providers, ns, type, name
	if p := strings.SplitN(path, "/", segments+1); len(p) > segments {
		return id + "/" + p[segments]
	}
	return id
}

// allowed refuses a caller whose roles do not let him do something.
func (h *Handler) allowed(r *request, action, scope string) error {
	if r.caller.operator || h.o.Identities.Allowed(r.Context(), r.caller.claims.ObjectID, action, false, scope) {
		return nil
	}
	return forbidden(r, action, scope)
}

func forbidden(r *request, action, scope string) error {
	return armError{http.StatusForbidden, "AuthorizationFailed",
		"The client '" + r.caller.claims.ClientID + "' with object id '" + r.caller.claims.ObjectID +
			"' does not have authorization to perform action '" + action + "' over scope '" + scope +
			"' or the scope is invalid. If access was recently granted, please refresh your credentials."}
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
