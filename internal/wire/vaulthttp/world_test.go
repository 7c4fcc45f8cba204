package vaulthttp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
	"github.com/coffer-storage/coffer/internal/vault"
	"github.com/coffer-storage/coffer/internal/wire/vaulthttp"
)

const (
	alice  = "11111111-aaaa-4000-8000-000000000001"
	bob    = "22222222-bbbb-4000-8000-000000000002"
	tenant = "33333333-cccc-4000-8000-000000000003"
	login  = "https://login.localhost:10006"
)

var ctx = context.Background()

// world is a vault endpoint over TLS with a vault, an HSM and who may use them.
type world struct {
	*objecttest.Env
	vaults *vault.Service
	port   string
	client *http.Client

	mu     sync.Mutex
	scopes []policy.TokenRequestOptions // what clients asked tokens for
}

// tokens takes "NAME AUDIENCE" as a token of that principal.
type tokens struct{}

func (tokens) Verify(_ context.Context, raw string, audiences ...string) (identity.Claims, error) {
	who, audience, _ := strings.Cut(raw, " ")
	for _, a := range audiences {
		if audience == a {
			return identity.Claims{ObjectID: who, ClientID: "client", TenantID: tenant, Audience: a}, nil
		}
	}
	return identity.Claims{}, fault.New("test", "", fault.TokenRefused, errors.New("another audience"))
}

// roles let alice do everything on HSMs.
type roles struct{}

func (roles) Allowed(_ context.Context, principal, action string, data bool, scope string) bool {
	return principal == alice && data && strings.HasPrefix(scope, "/hsm/safe")
}

var everything = []string{"all", "purge"}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{Env: objecttest.New(t)}
	w.vaults = vault.New(w.Store, w.Ring, vault.Options{Now: w.Clock.Now, Authorizer: roles{}, Tenant: tenant})
	for _, s := range []vault.Spec{
		{Kind: vault.Standard, Name: "default", Policies: []vault.AccessPolicy{{ObjectID: alice, Keys: everything}}},
		{Kind: vault.Standard, Name: "box", Policies: []vault.AccessPolicy{{ObjectID: alice, Keys: everything}, {ObjectID: bob, Keys: []string{"get"}}}},
		{Kind: vault.Standard, Name: "firm", PurgeProtection: true, Policies: []vault.AccessPolicy{{ObjectID: alice, Keys: everything}}},
		{Kind: vault.Standard, Name: "ruled", RBAC: true},
		{Kind: vault.HSM, Name: "safe"},
	} {
		if _, err := w.vaults.CreateVault(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	h := vaulthttp.New(vaulthttp.Options{Vaults: w.vaults, Tokens: tokens{}, Login: func() string { return login }, Tenant: tenant})
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	addr := srv.Listener.Addr().String()
	_, w.port, _ = net.SplitHostPort(addr)
	var d net.Dialer
	w.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		},
	}}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

func (w *world) url(host string) string { return "https://" + host + ":" + w.port }

// credential gets tokens of a principal, for what it is asked.
type credential struct {
	w   *world
	who string
}

func (c credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.scopes = append(c.w.scopes, o)
	audience := strings.TrimSuffix(o.Scopes[0], "/.default")
	return azcore.AccessToken{Token: c.who + " " + audience, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// azkeys is the official client of a vault.
func (w *world) azkeys(t testing.TB, host, who string) *azkeys.Client {
	t.Helper()
	o := &azkeys.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: w.client, Retry: policy.RetryOptions{MaxRetries: -1}}}
	c, err := azkeys.NewClient(w.url(host), credential{w, who}, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reply is what a bare request got.
type reply struct {
	status int
	head   http.Header
	body   []byte
}

// code is the code of an error, with that of innererror behind it.
func (r reply) code() string {
	var f struct {
		Error struct {
			Code, Message string
			Inner         struct{ Code string } `json:"innererror"`
		}
	}
	json.Unmarshal(r.body, &f)
	if f.Error.Inner.Code != "" {
		return f.Error.Code + "/" + f.Error.Inner.Code
	}
	return f.Error.Code
}

// send sends a bare request as who, to the vault box.
func (w *world) send(t testing.TB, who, verb, target, body string) reply {
	t.Helper()
	return w.sendTo(t, "box.vault.localhost", who, verb, target, body)
}

func (w *world) sendTo(t testing.TB, host, who, verb, target, body string) reply {
	t.Helper()
	u, err := url.Parse(w.url(host) + target)
	if err != nil {
		t.Fatal(err)
	}
	req := &http.Request{Method: verb, URL: u, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(body))}
	if who != "" {
		suffix := "vault.localhost"
		if strings.Contains(host, "managedhsm") {
			suffix = "managedhsm.localhost"
		}
		req.Header.Set("Authorization", "Bearer "+who+" https://"+suffix)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, b}
}

// refused checks the status and code of an official client's error.
func refused(t testing.TB, what string, err error, status int, code string) {
	t.Helper()
	e, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok || e.StatusCode != status || e.ErrorCode != code {
		t.Errorf("%s = %v, want %d %s", what, err, status, code)
	}
}

func ok(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func ptr[T any](v T) *T { return &v }
