package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/server/dualconn"
	"github.com/coffer-storage/coffer/internal/vault"
	"github.com/coffer-storage/coffer/internal/wire/vaulthttp"
)

// vaultTick is how often rotation policies and purges are looked at.
const vaultTick = time.Minute

// vaultOptions configure the vault service.
func (s *Server) vaultOptions() vault.Options {
	return vault.Options{
		VaultSuffix: "vault." + s.cfg.VaultDomain, HSMSuffix: "managedhsm." + s.cfg.VaultDomain,
		Tenant: identity.Tenant, Port: func() int { return port(s.vault) },
	}
}

// vaultDomains are names that certificates are made for.
func (c *Config) vaultDomains() []string {
	return []string{"vault." + c.VaultDomain, "managedhsm." + c.VaultDomain}
}

// vaultHandler is the outermost handler of the vault endpoint.
func (s *Server) vaultHandler() http.Handler {
	h := vaulthttp.New(vaulthttp.Options{
		Vaults: s.store.Vaults, Tokens: s.store.Identity, Roles: s.store.Identity,
		Login: s.identityURL, Tenant: identity.Tenant, Logger: s.log, Observe: s.metrics.observeVault,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dualconn.Names(r) // settles r.TLS
		h.ServeHTTP(w, r)
	})
}

// observeVault counts one request of the vault endpoint.
func (m *metrics) observeVault(o vaulthttp.Observation) {
	const service = "vault"
	m.requests.WithLabelValues(service, o.Operation, strconv.Itoa(o.Status)).Inc()
	m.latency.WithLabelValues(service, o.Operation).Observe(o.Duration.Seconds())
}

// runVaults does what is due in vaults until ctx ends.
func (s *Server) runVaults(ctx context.Context) {
	ctx = audit.WithBy(ctx, audit.Origin{Actor: "server"})
	t := time.NewTicker(vaultTick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := s.store.Vaults.Tick(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("work that is due in vaults failed", "err", err)
			}
		}
	}
}

// port is the port of an endpoint, or 0 while it does not listen.
func port(e endpoint) int {
	if e.l == nil {
		return 0
	}
	a := e.l.Addr().String()
	n, _ := strconv.Atoi(a[strings.LastIndexByte(a, ':')+1:])
	return n
}

// vaultURL is the address of the default vault, for people.
func (s *Server) vaultURL() string {
	return strings.Replace(s.url(s.vault.l), "http://", "https://", 1)
}

// checkVaultDomain checks the name below which vaults are reached.
func (c *Config) checkVaultDomain() error {
	if c.VaultDomain == "" {
		c.VaultDomain = DefaultVaultDomain
	}
	c.VaultDomain = strings.ToLower(strings.Trim(c.VaultDomain, "."))
	for _, label := range strings.Split(c.VaultDomain, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return withHint(fault.New("server.Open", c.VaultDomain, fault.InvalidInput, errors.New("not a domain name")),
				"--vault-domain takes a name such as example.com: vaults are then NAME.vault.example.com")
		}
	}
	return nil
}

// VaultURL is the address of a vault of that name.
func (st Status) VaultURL(name string) string {
	at := strings.LastIndexByte(st.Vault, ':')
	if at < 0 {
		return ""
	}
	return "https://" + name + ".vault." + st.VaultDomain + st.Vault[at:]
}
