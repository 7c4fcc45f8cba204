// Package vaultkey reaches customers' keys in key vaults and managed HSMs, by their REST
// interface and through the official client: our own vault and a real one alike.
//
// What keeps a vault of a customer's choice from reaching inside or collecting tokens:
// hosts have to lie below a configured suffix; the audience of a token comes from the
// table of suffixes and never from the vault's challenge; a call uses the identity of the
// account that it serves; no redirect is followed; the dialled address is a public one
// unless the suffix is our own; and an answer has at most 64 KiB. The client's own check
// of the challenge stays on.
//
// The package keeps no state of keys: when a key may be used, package keys decides.
package vaultkey

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/coffer-storage/coffer/internal/keys"
)

// Suffix is a part of the world where vaults may be.
type Suffix struct {
	Host     string // NAME.Host is a vault: vault.azure.net
	Audience string // of tokens for it: https://vault.azure.net
	Own      bool   // ours: its addresses are not checked
}

// Public are the suffixes of the public cloud. They count only where an operator names
// them.
var Public = []Suffix{
	{Host: "vault.azure.net", Audience: "https://vault.azure.net"},
	{Host: "managedhsm.azure.net", Audience: "https://managedhsm.azure.net"},
	{Host: "vault.azure.cn", Audience: "https://vault.azure.cn"},
	{Host: "managedhsm.azure.cn", Audience: "https://managedhsm.azure.cn"},
	{Host: "vault.usgovcloudapi.net", Audience: "https://vault.usgovcloudapi.net"},
	{Host: "managedhsm.usgovcloudapi.net", Audience: "https://managedhsm.usgovcloudapi.net"},
}

// ParseSuffix reads what an operator writes: a host, or HOST=AUDIENCE.
func ParseSuffix(s string) (Suffix, error) {
	host, audience, own := strings.Cut(s, "=")
	host = strings.ToLower(strings.Trim(host, "."))
	if host == "" || strings.ContainsAny(host, "/:@ ") || !strings.Contains(host, ".") {
		return Suffix{}, fmt.Errorf("suffix %q: want a host name, or HOST=AUDIENCE", s)
	}
	if !own {
		audience = "https://" + host
	}
	u, err := url.Parse(audience)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Suffix{}, fmt.Errorf("suffix %q: the audience is not https://HOST", s)
	}
	return Suffix{Host: host, Audience: strings.TrimRight(audience, "/")}, nil
}

// Credential gives the credential of an identity for vaults below a suffix: "" is the
// owner's own. Its failures should be *keys.VaultError; others are judged by what they
// carry.
type Credential func(s Suffix, owner keys.ID, identity, federatedClient string) (azcore.TokenCredential, error)

// Options make a Vault. Suffixes and Credential are required.
type Options struct {
	Suffixes   []Suffix
	Credential Credential
	Transport  http.RoundTripper // nil: NewTransport without our own suffixes
}

// Vault implements keys.Vault. All methods are safe in parallel.
type Vault struct {
	o  Options
	do transporter

	mu      sync.Mutex
	clients map[clientAt]*client
	uses    uint64
}

// clientAt is whose client for which vault: no two share tokens.
type clientAt struct {
	uri, identity, federated string
	owner                    keys.ID
}

type client struct {
	*azkeys.Client
	used uint64
}

// maxClients bounds what is kept; the least recently used half goes.
const maxClients = 4096

// New makes a Vault.
func New(o Options) (*Vault, error) {
	if len(o.Suffixes) == 0 || o.Credential == nil {
		return nil, errors.New("vaultkey: suffixes and credentials are required")
	}
	if o.Transport == nil {
		o.Transport = NewTransport(TransportOptions{})
	}
	return &Vault{o: o, do: transporter{o.Transport}, clients: map[clientAt]*client{}}, nil
}

// suffix finds the part of the world that a vault is in. The vault is one label below it.
func (v *Vault) suffix(uri string) (Suffix, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return Suffix{}, foreign()
	}
	host := strings.ToLower(u.Hostname())
	i := slices.IndexFunc(v.o.Suffixes, func(s Suffix) bool {
		name, ok := strings.CutSuffix(host, "."+s.Host)
		return ok && name != "" && !strings.Contains(name, ".") && (s.Own || u.Port() == "" || u.Port() == "443")
	})
	if i < 0 {
		return Suffix{}, foreign()
	}
	return v.o.Suffixes[i], nil
}

func foreign() error {
	return &keys.VaultError{Definitive: true, Reason: keys.ReasonVault, Err: keys.ErrForeignHost}
}

// client returns the client of an identity for a vault.
func (v *Vault) client(ref keys.VaultRef) (*azkeys.Client, error) {
	s, err := v.suffix(ref.URI)
	if err != nil {
		return nil, err
	}
	at := clientAt{strings.ToLower(strings.TrimRight(ref.URI, "/")), ref.Identity, ref.FederatedClientID, ref.Owner}
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.clients[at]; c != nil {
		c.used = v.tick()
		return c.Client, nil
	}
	cred, err := v.o.Credential(s, ref.Owner, ref.Identity, ref.FederatedClientID)
	if err != nil {
		return nil, tokenError(err)
	}
	c, err := azkeys.NewClient(at.uri, bound{cred, s.Audience}, &azkeys.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: v.do,
		Retry:     policy.RetryOptions{MaxRetries: 2, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: time.Second},
		Telemetry: policy.TelemetryOptions{ApplicationID: "coffer"},
	}})
	if err != nil {
		return nil, &keys.VaultError{Definitive: true, Reason: keys.ReasonVault, Err: err}
	}
	v.makeRoom()
	v.clients[at] = &client{c, v.tick()}
	return c, nil
}

// tick orders uses. v.mu is held.
func (v *Vault) tick() uint64 {
	v.uses++
	return v.uses
}

// makeRoom drops the older half of the clients when there are too many. v.mu is held.
func (v *Vault) makeRoom() {
	if len(v.clients) < maxClients {
		return
	}
	var used []uint64
	for _, c := range v.clients {
		used = append(used, c.used)
	}
	slices.Sort(used)
	for at, c := range v.clients {
		if c.used <= used[len(used)/2] {
			delete(v.clients, at)
		}
	}
}

// forget drops a client, so that the next call asks for a challenge and a token anew.
func (v *Vault) forget(ref keys.VaultRef) {
	at := clientAt{strings.ToLower(strings.TrimRight(ref.URI, "/")), ref.Identity, ref.FederatedClientID, ref.Owner}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.clients, at)
}

// with runs a call. A refused token is tried once more with a fresh one: only then it
// says something of the identity.
func (v *Vault) with(ctx context.Context, ref keys.VaultRef, f func(*azkeys.Client) error) error {
	for fresh := false; ; fresh = true {
		c, err := v.client(ref)
		if err != nil {
			return err
		}
		err = f(c)
		if err == nil {
			return nil
		}
		if !fresh && statusOf(err) == http.StatusUnauthorized && ctx.Err() == nil {
			v.forget(ref)
			continue
		}
		return classify(err)
	}
}

// Inspect implements keys.Vault.
func (v *Vault) Inspect(ctx context.Context, ref keys.VaultRef) (k keys.VaultKey, err error) {
	err = v.with(ctx, ref, func(c *azkeys.Client) error {
		r, err := c.GetKey(ctx, ref.Key, ref.Version, nil)
		if err == nil {
			k, err = describe(r.KeyBundle)
		}
		return err
	})
	return k, err
}

// Wrap implements keys.Vault.
func (v *Vault) Wrap(ctx context.Context, ref keys.VaultRef, p []byte) (blob []byte, err error) {
	err = v.with(ctx, ref, func(c *azkeys.Client) error {
		r, err := c.WrapKey(ctx, ref.Key, ref.Version, operation(p), nil)
		blob = r.Result
		return err
	})
	return blob, err
}

// Unwrap implements keys.Vault.
func (v *Vault) Unwrap(ctx context.Context, ref keys.VaultRef, blob []byte) (p []byte, err error) {
	err = v.with(ctx, ref, func(c *azkeys.Client) error {
		r, err := c.UnwrapKey(ctx, ref.Key, ref.Version, operation(blob), nil)
		p = r.Result
		return err
	})
	return p, err
}

func operation(value []byte) azkeys.KeyOperationParameters {
	alg := azkeys.EncryptionAlgorithmRSAOAEP256
	return azkeys.KeyOperationParameters{Algorithm: &alg, Value: value}
}

// describe reads what a vault says of a key.
func describe(b azkeys.KeyBundle) (keys.VaultKey, error) {
	if b.Key == nil || b.Key.KID == nil || b.Key.Kty == nil || b.Attributes == nil {
		return keys.VaultKey{}, &keys.VaultError{Reason: keys.ReasonVault, Err: errors.New("an answer without a key")}
	}
	k := keys.VaultKey{Version: b.Key.KID.Version(), Type: string(*b.Key.Kty), Bits: bits(b.Key.N)}
	for _, op := range b.Key.KeyOps {
		if op != nil {
			k.Ops = append(k.Ops, string(*op))
		}
	}
	a := b.Attributes
	k.Enabled = a.Enabled == nil || *a.Enabled
	if a.NotBefore != nil {
		k.NotBefore = *a.NotBefore
	}
	if a.Expires != nil {
		k.Expires = *a.Expires
	}
	if a.RecoveryLevel != nil {
		k.SoftDelete = strings.Contains(*a.RecoveryLevel, "Recoverable")
		k.PurgeProtection = k.SoftDelete && !strings.Contains(*a.RecoveryLevel, "Purgeable")
	}
	return k, nil
}

// bits is the length of a modulus.
func bits(n []byte) int {
	for len(n) > 0 && n[0] == 0 {
		n = n[1:]
	}
	if len(n) == 0 {
		return 0
	}
	lead := 0
	for b := n[0]; b > 0; b >>= 1 {
		lead++
	}
	return (len(n)-1)*8 + lead
}

// bound is a credential that gives tokens for one audience, whatever is asked for.
type bound struct {
	azcore.TokenCredential
	audience string
}

// errAudience says that a vault asks for a token for somebody else.
var errAudience = errors.New("the vault asks for a token for another audience")

// GetToken implements azcore.TokenCredential.
func (b bound) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 || !sameAudience(o.Scopes[0], b.audience) {
		return azcore.AccessToken{}, &keys.VaultError{Definitive: true, Reason: keys.ReasonToken, Err: errAudience}
	}
	o.Scopes = []string{b.audience + "/.default"}
	o.TenantID = "" // the identity's own, not the one that a challenge names
	t, err := b.TokenCredential.GetToken(ctx, o)
	if err != nil {
		return azcore.AccessToken{}, tokenError(err)
	}
	return t, nil
}

// sameAudience compares without the port, which the client wants to see in the challenge
// of a vault that has one.
func sameAudience(scope, audience string) bool {
	u, err := url.Parse(strings.TrimSuffix(scope, "/.default"))
	w, werr := url.Parse(audience)
	return err == nil && werr == nil && u.Scheme == "https" && strings.EqualFold(u.Hostname(), w.Hostname()) && strings.Trim(u.Path, "/") == ""
}
