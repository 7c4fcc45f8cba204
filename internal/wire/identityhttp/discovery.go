package identityhttp

import (
	"strings"

	"github.com/coffer-storage/coffer/internal/identity"
)

// discovery tells clients what is where. Addresses are those that the client reached us
// by; so is the issuer, which clients compare with the authority that they were given.
// Tokens name the one issuer of the server, which is the same at its own address.
func (h *Handler) discovery(r *request) (any, error) {
	base := r.base() + "/" + identity.Tenant
	host := r.Host
	return map[string]any{
		"issuer":                                base + "/v2.0",
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"device_authorization_endpoint":         base + "/oauth2/v2.0/devicecode",
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"PS256", "RS256", "PS384", "RS384", "ES256", "ES384"},
		"grant_types_supported":                            []string{clientCredentials},
		"response_types_supported":                         []string{"token"},
		"response_modes_supported":                         []string{"form_post"},
		"subject_types_supported":                          []string{"public"},
		"id_token_signing_alg_values_supported":            []string{"RS256"},
		"scopes_supported":                                 []string{},
		"claims_supported":                                 []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "oid", "tid", "appid", "azp", "ver"},
		"cloud_instance_name":                              host,
		"tenant_region_scope":                              nil,
	}, nil
}

// instance tells that the host a client was given is an authority of its own.
func (h *Handler) instance(r *request) (any, error) {
	return map[string]any{
		"tenant_discovery_endpoint": r.base() + "/" + identity.Tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []map[string]any{{
			"preferred_network": r.Host, "preferred_cache": r.Host, "aliases": []string{r.Host},
		}},
	}, nil
}

// keys publishes the public keys.
func (h *Handler) keys(r *request) (any, error) {
	return h.o.Identities.JWKS(r.Context())
}

// noUsers refuses what only users could do.
func (h *Handler) noUsers(*request) (any, error) { return nil, errUsers }

// hostName is a Host header without its port.
func hostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.Trim(host, "[]")
}
