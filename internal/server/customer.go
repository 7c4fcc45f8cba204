package server

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/vaultkey"
)

// customerOptions are the timers of customers' keys.
func (c *Config) customerOptions() keys.CustomerOptions {
	return keys.CustomerOptions{Cache: c.KeyCache, VersionCheck: c.KeyVersionCheck, Stale: c.KeyStale}
}

// checkCustomer checks what the configuration says about customers' keys.
func (c *Config) checkCustomer() error {
	const op = "server.Open"
	if c.KeyCache == 0 {
		c.KeyCache = keys.DefaultKeyCache
	}
	if err := c.customerOptions().Check(); err != nil {
		return withHint(fault.New(op, "", fault.InvalidInput, err), "--key-cache, --key-version-check and --key-stale take times such as 60s, 1h and 15m")
	}
	for _, s := range c.VaultSuffixes {
		if _, err := vaultkey.ParseSuffix(s); err != nil {
			return withHint(fault.New(op, s, fault.InvalidInput, err), "--vault-suffix takes a name such as vault.azure.net")
		}
	}
	switch c.VaultCredential {
	case "", "managed", "environment":
		return nil
	}
	return fault.New(op, c.VaultCredential, fault.InvalidInput, errors.New("no such kind of credential"))
}

// openCustomer gives the key store its way to vaults: to our own through its listener,
// and to those of others that were allowed.
func (s *Server) openCustomer() error {
	var suffixes []vaultkey.Suffix
	for _, d := range s.cfg.vaultDomains() {
		suffixes = append(suffixes, vaultkey.Suffix{Host: d, Audience: "https://" + d, Own: true})
	}
	for _, text := range s.cfg.VaultSuffixes {
		f, err := vaultkey.ParseSuffix(text)
		if err != nil {
			return err
		}
		suffixes = append(suffixes, f)
	}
	roots, err := s.vaultRoots()
	if err != nil {
		return err
	}
	v, err := vaultkey.New(vaultkey.Options{
		Suffixes: suffixes, Credential: s.vaultCredential,
		Transport: vaultkey.NewTransport(vaultkey.TransportOptions{Roots: roots, Own: s.cfg.vaultDomains(), Dial: s.dialVault}),
	})
	if err != nil {
		return err
	}
	return s.store.Ring.SetVault(v, s.cfg.customerOptions())
}

// vaultRoots are the roots that vaults are believed with: the system's, our CA, and the
// certificate that we were given.
func (s *Server) vaultRoots() (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if s.authority != nil {
		roots.AppendCertsFromPEM(s.authority.PEM())
	}
	if s.cfg.CertFile != "" {
		b, err := os.ReadFile(s.cfg.CertFile)
		if err != nil {
			return nil, err
		}
		roots.AppendCertsFromPEM(b)
	}
	return roots, nil
}

// dialVault connects to our own vault endpoint, wherever the name of a vault may lead.
func (s *Server) dialVault(ctx context.Context, _ string) (net.Conn, error) {
	if s.vault.l == nil {
		return nil, errors.New("our own vaults are not served yet")
	}
	host, number, err := net.SplitHostPort(s.vault.l.Addr().String())
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	if _, err := strconv.Atoi(number); err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, number))
}

// vaultCredential is the credential of an account's identity. For our own vaults it is a
// managed identity of ours; elsewhere one that the machine or its environment has.
func (s *Server) vaultCredential(f vaultkey.Suffix, owner keys.ID, id, federated string) (azcore.TokenCredential, error) {
	if f.Own {
		return ownCredential{s, owner, id, f.Audience}, nil
	}
	return s.foreignCredential(id, federated)
}

// foreignCredential is a credential for a vault that is not ours.
func (s *Server) foreignCredential(id, federated string) (azcore.TokenCredential, error) {
	if s.cfg.VaultCredential == "environment" {
		return azidentity.NewEnvironmentCredential(nil)
	}
	o := &azidentity.ManagedIdentityCredentialOptions{}
	if id != "" {
		o.ID = azidentity.ResourceID(id)
	}
	managed, err := azidentity.NewManagedIdentityCredential(o)
	if err != nil || federated == "" {
		return managed, err
	}
	// Another tenant trusts its application when our identity vouches for it.
	tenant := os.Getenv("AZURE_TENANT_ID")
	return azidentity.NewClientAssertionCredential(tenant, federated, func(ctx context.Context) (string, error) {
		t, err := managed.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"api://AzureADTokenExchange/.default"}})
		return t.Token, err
	}, nil)
}

// ownCredential gives tokens of our own identity service.
type ownCredential struct {
	s        *Server
	owner    keys.ID
	identity string // resource id; "" is the account's own
	audience string
}

var errNoIdentity = errors.New("the identity is not there")

// GetToken implements azcore.TokenCredential.
func (c ownCredential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	resource := c.identity
	if resource == "" {
		var err error
		if resource, err = c.s.resourceOf(ctx, c.owner); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	p, err := c.s.store.Identity.Identity(ctx, resource)
	if err != nil {
		return azcore.AccessToken{}, tokenGone(err)
	}
	by := audit.By(ctx)
	by.Actor = "server" // whoever made us ask the vault does not get the token
	token, expires, err := c.s.store.Identity.Issue(audit.WithBy(ctx, by), p.ObjectID, c.audience)
	if err != nil {
		return azcore.AccessToken{}, tokenGone(err)
	}
	return azcore.AccessToken{Token: token, ExpiresOn: expires}, nil
}

// tokenGone says whether there is no such identity, or no answer just now.
func tokenGone(err error) error {
	gone := fault.Is(err, fault.PrincipalNotFound) || fault.Is(err, fault.ResourceNotFound)
	cause := errors.New("no token for the identity")
	if gone {
		cause = errNoIdentity
	}
	return &keys.VaultError{Definitive: gone, Reason: keys.ReasonToken, Err: cause}
}

// resourceOf is the resource id of the account with an id.
func (s *Server) resourceOf(ctx context.Context, owner keys.ID) (string, error) {
	all, err := s.store.Accounts.List(ctx)
	if err != nil {
		return "", &keys.VaultError{Reason: keys.ReasonToken, Err: errors.New("accounts cannot be read")}
	}
	for _, a := range all {
		if a.ID == owner {
			return a.ResourceID(), nil
		}
	}
	return "", &keys.VaultError{Definitive: true, Reason: keys.ReasonToken, Err: errNoIdentity}
}
