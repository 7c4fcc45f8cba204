package server

import (
	"net/http"

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
	if d := s.cfg.VaultDomain; d != "" {
		audiences = append([]string{"https://management." + d}, audiences...)
	}
	return armhttp.New(armhttp.Options{
		Resources: s.store.Resources, Accounts: s.store.Accounts, Scopes: s.store.Scopes, Blobs: s.store.Blobs,
		Identities: s.store.Identity, Vaults: s.store.Vaults, Logger: s.log, Anyone: s.cfg.Dev,
		Audiences: audiences, Login: s.identityURL, Endpoint: s.blobEndpoint,
		HTTPSOnly: !s.cfg.Dev && !s.cfg.AllowHTTP,
	})
}

// blobEndpoint is the address of an account's blob service.
func (s *Server) blobEndpoint(account string) string {
	u := s.url(s.blob.l)
	if u == "" {
		return ""
	}
	return "https" + u[len("http"):] + "/" + account + "/"
}
