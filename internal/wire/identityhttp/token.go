package identityhttp

import (
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coffer-storage/coffer/internal/identity"
)

const (
	clientCredentials = "client_credentials"
	jwtBearer         = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	defaultScope      = "/.default"
)

// token serves the token endpoint of the second version of the protocol.
func (h *Handler) token(r *request) (any, error) {
	form, p, err := h.client(r)
	if err != nil {
		return nil, err
	}
	audience, err := scopeAudience(form.Get("scope"))
	if err != nil {
		return nil, err
	}
	token, expires, err := h.o.Identities.Issue(r.Context(), p.ObjectID, audience)
	if err != nil {
		return nil, err
	}
	left := int64(expires.Sub(h.o.Now()).Seconds())
	return map[string]any{"token_type": "Bearer", "expires_in": left, "ext_expires_in": left, "access_token": token}, nil
}

// tokenV1 serves that of the first, which names a resource and writes numbers as text.
func (h *Handler) tokenV1(r *request) (any, error) {
	form, p, err := h.client(r)
	if err != nil {
		return nil, err
	}
	resource := form.Get("resource")
	if resource == "" {
		return nil, bad(900144, "The request body must contain the parameter 'resource'.")
	}
	token, expires, err := h.o.Identities.Issue(r.Context(), p.ObjectID, resource)
	if err != nil {
		return nil, err
	}
	now := h.o.Now()
	left := strconv.FormatInt(int64(expires.Sub(now).Seconds()), 10)
	return map[string]any{
		"token_type": "Bearer", "expires_in": left, "ext_expires_in": left, "resource": resource, "access_token": token,
		"expires_on": strconv.FormatInt(expires.Unix(), 10), "not_before": strconv.FormatInt(now.Unix(), 10),
	}, nil
}

// client reads the form and finds out who asks.
func (h *Handler) client(r *request) (url.Values, identity.Principal, error) {
	var none identity.Principal
	if !r.secure && !h.o.AllowPlain && !loopback(r.RemoteAddr) {
		return nil, none, errPlain
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, none, bad(900144, "The request body must be application/x-www-form-urlencoded.")
	}
	if err := r.ParseForm(); err != nil {
		return nil, none, bad(900144, "The request body is malformed or too large.")
	}
	form := r.PostForm // what stands in the URL counts for nothing: it is logged everywhere
	for n, v := range form {
		if len(v) > 1 {
			return nil, none, bad(900144, "The parameter '"+clip(n)+"' is there more than once.")
		}
	}
	switch form.Get("grant_type") {
	case clientCredentials:
	case "":
		return nil, none, bad(900144, "The request body must contain the parameter 'grant_type'.")
	default:
		return nil, none, oauthError{http.StatusBadRequest, "unsupported_grant_type", 70003, "The grant type is not supported: this server has client_credentials."}
	}
	p, err := h.authenticate(r, form)
	return form, p, err
}

// authenticate checks the credential of a client: in the form or by Basic, never both.
func (h *Handler) authenticate(r *request, form url.Values) (identity.Principal, error) {
	id, secret, assertion := form.Get("client_id"), form.Get("client_secret"), form.Get("client_assertion")
	if user, pass, ok := r.BasicAuth(); ok {
		user, errU := url.QueryUnescape(user) // RFC 6749 2.3.1 has both encoded as in a form
		pass, errP := url.QueryUnescape(pass)
		if errU != nil || errP != nil || secret != "" || assertion != "" || id != "" && !strings.EqualFold(id, user) {
			return identity.Principal{}, bad(7000219, "More than one credential, or a malformed one.")
		}
		id, secret = user, pass
	}
	switch {
	case secret != "" && assertion != "":
		return identity.Principal{}, bad(7000219, "More than one credential.")
	case assertion != "":
		if form.Get("client_assertion_type") != jwtBearer {
			return identity.Principal{}, bad(50027, "The parameter 'client_assertion_type' must be '"+jwtBearer+"'.")
		}
		return h.o.Identities.CheckAssertion(r.Context(), id, assertion, h.audiences(r)...)
	case id == "":
		return identity.Principal{}, bad(900144, "The request body must contain the parameter 'client_id'.")
	case secret != "":
		return h.o.Identities.CheckSecret(r.Context(), id, secret)
	}
	return identity.Principal{}, oauthError{http.StatusUnauthorized, "invalid_client", 7000218, "The request body must contain the parameter 'client_assertion' or 'client_secret'."}
}

// audiences are what an assertion for us may name: the token endpoint or the issuer, at
// the address that the client used or at our own.
func (h *Handler) audiences(r *request) []string {
	own := strings.TrimSuffix(h.o.Identities.IssuerOf(identity.Tenant), "/"+identity.Tenant+"/v2.0")
	var list []string
	for _, base := range []string{r.base(), own} {
		base += "/" + identity.Tenant
		list = append(list, base+"/oauth2/v2.0/token", base+"/oauth2/token", base+"/v2.0", base+"/")
	}
	return list
}

// scopeAudience finds the resource in a list of scopes: the one that ends in /.default.
// Others, which ask for what only users have, are passed over.
func scopeAudience(scope string) (string, error) {
	if scope == "" {
		return "", bad(900144, "The request body must contain the parameter 'scope'.")
	}
	var found string
	for s := range strings.FieldsSeq(scope) {
		if resource, ok := strings.CutSuffix(s, defaultScope); ok {
			if found != "" {
				return "", oauthError{http.StatusBadRequest, "invalid_scope", 70011, "More than one resource."}
			}
			found = resource
		}
	}
	if found == "" {
		return "", oauthError{http.StatusBadRequest, "invalid_scope", 1002012, "The scope is not valid for client credentials: it is a resource with /.default after it."}
	}
	return found, nil
}

func clip(s string) string { return s[:min(len(s), 40)] }
