package vaulthttp

import (
	"net"
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/vault"
)

// authenticate makes the caller of a request from its token.
func (h *Handler) authenticate(r *request) error {
	scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if raw = strings.TrimSpace(raw); !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return unauthorized("AKV10000: Request is missing a Bearer or PoP token.")
	}
	claims, err := h.o.Tokens.Verify(r.Context(), raw, h.audiences(r)...)
	if fault.Is(err, fault.TokenRefused) {
		return unauthorized("AKV10022: The token is not one for this vault: its signature, audience, issuer or time is not accepted.")
	}
	if err != nil {
		return err
	}
	r.caller = vault.Caller{ObjectID: claims.ObjectID, ClientID: claims.ClientID, TenantID: claims.TenantID}
	return nil
}

// audiences are what a token may be for: the name below which the vault is, with and
// without the port that clients see.
func (h *Handler) audiences(r *request) []string {
	name := "https://" + h.o.Vaults.Suffix(r.kind)
	list := []string{name}
	if with := h.resource(r); with != name {
		list = append(list, with)
	}
	return list
}

// resource is what a client is told to get a token for. It ends the client's own idea of
// the host, port and all, because clients compare the two.
func (h *Handler) resource(r *request) string {
	name := "https://" + h.o.Vaults.Suffix(r.kind)
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" && port != "443" {
		name += ":" + port
	}
	return name
}

// challenge says where tokens are to be had. The tenant is the vault's if it has one, and
// the same for vaults that are not there.
func (h *Handler) challenge(r *request) string {
	tenant := h.o.Tenant
	if v, err := h.o.Vaults.Vault(r.Context(), r.kind, r.vault); err == nil && v.TenantID != "" {
		tenant = v.TenantID
	}
	login := "https://localhost"
	if h.o.Login != nil {
		login = strings.TrimRight(h.o.Login(), "/")
	}
	return `Bearer authorization="` + login + "/" + tenant + `", resource="` + h.resource(r) + `"`
}

func unauthorized(message string) error {
	return wireError{http.StatusUnauthorized, "Unauthorized", message, ""}
}
