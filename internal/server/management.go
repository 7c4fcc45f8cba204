package server

import (
	"net/http"
	"strconv"

	"github.com/coffer-storage/coffer/internal/wire/armhttp"
)

// managementAudiences are those of the tokens that the management plane takes: our own,
// which client configurations name, and those of the public cloud, which are built into
// clients.
var managementAudiences = []string{
	"https://management.localhost", "https://management.azure.com", "https://management.core.windows.net",
}

// armHandler serves the resource provider interface.
func (s *Server) armHandler() http.Handler {
	audiences := managementAudiences
	if d := "https://management." + s.cfg.VaultDomain; d != audiences[0] {
		audiences = append([]string{d}, audiences...)
	}
	return armhttp.New(armhttp.Options{
		Resources: s.store.Resources, Accounts: s.store.Accounts, Scopes: s.store.Scopes, Blobs: s.store.Blobs,
		Identities: s.store.Identity, Vaults: s.store.Vaults, Logger: s.log, Anyone: s.cfg.Dev,
		Audiences: audiences, Login: s.identityURL, Endpoint: s.blobEndpoint, Suffixes: s.suffixes,
		HTTPSOnly: !s.cfg.Dev && !s.cfg.AllowHTTP,
	})
}

// suffixes end the names of our hosts, as clients have to write them. What follows blob
// makes no difference to us; clients find the account before ".blob.core." only.
func (s *Server) suffixes() armhttp.Suffixes {
	d := s.cfg.vaultDomains()
	return armhttp.Suffixes{Storage: "core." + s.cfg.VaultDomain + portOf(s.blob), Vault: d[0] + portOf(s.vault), HSM: d[1] + portOf(s.vault)}
}

// portOf is the port of an endpoint as it follows a host in an address.
func portOf(e endpoint) string {
	if n := port(e); n != 0 && n != 443 {
		return ":" + strconv.Itoa(n)
	}
	return ""
}

// blobEndpoint is the address of an account's blob service.
func (s *Server) blobEndpoint(account string) string {
	u := s.url(s.blob.l)
	if u == "" {
		return ""
	}
	return "https" + u[len("http"):] + "/" + account + "/"
}
