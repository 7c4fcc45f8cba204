package server

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/identity/oidcissuer"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/vaultkey"
	"github.com/coffer-storage/coffer/internal/name"
)

// unsignedNotice is what the switch for tests says wherever it can.
const unsignedNotice = "--allow-unsigned-tokens: ANYBODY who reaches this server can read and write every blob with a token that he made up. For tests only."

// checkIdentity checks what the configuration says about tokens.
func (c *Config) checkIdentity() error {
	const op = "server.Open"
	for _, u := range append([]string{c.IdentityURL}, c.Issuers...) {
		if u == "" {
			continue
		}
		if p, err := url.Parse(u); err != nil || p.Scheme != "https" || p.Host == "" || p.RawQuery != "" || p.Fragment != "" || p.User != nil {
			return withHint(fault.New(op, u, fault.InvalidInput, errors.New("not an https address")), "--identity-url and --trust-issuer take addresses such as https://login.example.com")
		}
	}
	if !c.AllowUnsigned || c.offline {
		return nil
	}
	if !c.loopback() && !c.Dev {
		return withHint(fault.New(op, c.Host, fault.NotAllowed, errors.New("--allow-unsigned-tokens would let everybody in")),
			"leave it out, or serve loopback only (--host 127.0.0.1), or a development store with --dev")
	}
	c.Logger.Warn(unsignedNotice)
	return nil
}

// identityOptions configure the identity service.
func (s *Server) identityOptions() identity.Options {
	o := identity.Options{Issuer: s.identityURL, IsVault: s.cfg.isVault, VaultLife: s.cfg.KeyCache, AllowUnsigned: s.cfg.AllowUnsigned && !s.cfg.offline}
	for _, u := range s.cfg.Issuers {
		o.External = append(o.External, oidcissuer.New(u, oidcissuer.Options{Now: s.now}))
	}
	return o
}

// isVault reports whether an audience is that of vaults or of Managed HSMs: by its name,
// https://vault.SUFFIX and https://managedhsm.SUFFIX, or because --vault-suffix says so.
func (c *Config) isVault(audience string) bool {
	u, err := url.Parse(audience)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if strings.HasPrefix(host, "vault.") || strings.HasPrefix(host, "managedhsm.") {
		return true
	}
	return slices.ContainsFunc(c.VaultSuffixes, func(text string) bool {
		s, err := vaultkey.ParseSuffix(text) // checked at the start
		if err != nil {
			return false
		}
		of, err := url.Parse(s.Audience)
		return err == nil && (strings.EqualFold(host, of.Hostname()) || host == s.Host)
	})
}

// identityURL is how clients reach the identity endpoint.
func (s *Server) identityURL() string {
	if s.cfg.IdentityURL != "" {
		return s.cfg.IdentityURL
	}
	if s.management.l == nil {
		return "https://coffer.invalid"
	}
	return "https" + strings.TrimPrefix(s.url(s.management.l), "http")
}

// authorityURL is the authority that challenges name: with the tenant, for clients take
// it from there.
func (s *Server) authorityURL() string {
	return strings.TrimRight(s.identityURL(), "/") + "/" + identity.Tenant
}

// AuthorityHost is the authority as clients are told it: without the tenant.
func (st Status) AuthorityHost() string {
	return strings.TrimSuffix(st.Authority, "/"+identity.Tenant)
}

// resource is the id of an account as a resource, where roles count, and its own.
func (s *Server) resource(ctx context.Context, n name.Account) (string, keys.ID, error) {
	info, err := s.store.Accounts.Get(ctx, n)
	if err != nil {
		return "", keys.ID{}, err
	}
	return info.ResourceID(), info.ID, nil
}
