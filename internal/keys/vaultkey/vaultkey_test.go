package vaultkey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/coffer-storage/coffer/internal/keys"
)

// rest is a vault that speaks as much of the REST interface as the driver uses, with
// XOR in place of RSA.
type rest struct {
	t *testing.T

	mu       sync.Mutex
	resource string // of the challenge
	answer   func(w http.ResponseWriter, r *http.Request) bool
	tokens   []string
	refuse   int // how many tokens are refused first
	calls    int
}

func (s *rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "" || s.refuse > 0 {
		if token != "" {
			s.refuse--
		}
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.test/4f2c", resource="`+s.resource+`"`)
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"error":{"code":"Unauthorized","message":"AKV10000"}}`)
		return
	}
	s.calls++
	s.tokens = append(s.tokens, token)
	if s.answer != nil && s.answer(w, r) {
		return
	}
	if r.Method == http.MethodGet {
		io.WriteString(w, `{"key":{"kid":"https://a.vault.test/keys/k/0123","kty":"RSA-HSM","key_ops":["wrapKey","unwrapKey"],"n":"`+
			strings.Repeat("_", 341)+`w","e":"AQAB"},"attributes":{"enabled":true,"nbf":1000,"exp":2000,"recoveryLevel":"Recoverable"}}`)
		return
	}
	var op struct {
		Alg   string `json:"alg"`
		Value string `json:"value"`
	}
	if err := json.NewDecoder(r.Body).Decode(&op); err != nil || op.Alg != "RSA-OAEP-256" {
		s.t.Errorf("request %v %s", err, op.Alg)
	}
	fmt.Fprintf(w, `{"kid":"https://a.vault.test/keys/k/0123","value":%q}`, reverse(op.Value))
}

// reverse is its own inverse, and keeps base64url what it is for 33 bytes.
func reverse(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

func (s *rest) set(f func()) { s.mu.Lock(); defer s.mu.Unlock(); f() }

// cred counts what it is asked for.
type cred struct {
	mu     sync.Mutex
	asked  []policy.TokenRequestOptions
	err    error
	number int
}

func (c *cred) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, o)
	c.number++
	return azcore.AccessToken{Token: fmt.Sprintf("token-%d", c.number), ExpiresOn: time.Now().Add(time.Hour)}, c.err
}

// world is a driver that finds every vault of vault.test at one server.
func world(t *testing.T) (*Vault, *rest, *cred) {
	t.Helper()
	s := &rest{t: t, resource: "https://vault.test:10005"}
	srv := httptest.NewTLSServer(s)
	t.Cleanup(srv.Close)
	tr := NewTransport(TransportOptions{Own: []string{"vault.test"}, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", srv.Listener.Addr().String())
	}})
	tr.TLSClientConfig.RootCAs = srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	tr.TLSClientConfig.ServerName = "example.com"
	t.Cleanup(tr.CloseIdleConnections)
	c := &cred{}
	v, err := New(Options{
		Suffixes:   []Suffix{{Host: "vault.test", Audience: "https://vault.test", Own: true}, {Host: "vault.azure.net", Audience: "https://vault.azure.net"}},
		Credential: func(Suffix, keys.ID, string, string) (azcore.TokenCredential, error) { return c, nil },
		Transport:  tr,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, s, c
}

var ref = keys.VaultRef{URI: "https://a.vault.test:10005", Key: "k", Version: "0123"}

func TestRoundTrip(t *testing.T) {
	v, s, c := world(t)
	k, err := v.Inspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if k.Version != "0123" || k.Type != "RSA-HSM" || k.Bits != 2048 || !k.Enabled || len(k.Ops) != 2 || !k.SoftDelete || !k.PurgeProtection ||
		k.NotBefore.Unix() != 1000 || k.Expires.Unix() != 2000 {
		t.Errorf("Inspect = %+v", k)
	}
	p := bytes.Repeat([]byte("abc"), 11)
	blob, err := v.Wrap(t.Context(), ref, p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Unwrap(t.Context(), ref, blob)
	if err != nil || !bytes.Equal(got, p) || bytes.Equal(blob, p) {
		t.Errorf("Unwrap = %q, %v", got, err)
	}
	if len(c.asked) != 1 || c.asked[0].Scopes[0] != "https://vault.test/.default" || c.asked[0].TenantID != "" {
		t.Errorf("tokens asked for: %+v", c.asked)
	}
	if s.calls != 3 {
		t.Errorf("%d calls", s.calls)
	}
}

// What a vault says, and what package keys makes of it.
func TestClassify(t *testing.T) {
	body := func(status int, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			io.WriteString(w, text)
			return true
		}
	}
	tests := []struct {
		name       string
		answer     func(http.ResponseWriter, *http.Request) bool
		definitive bool
		reason     keys.Reason
		is         error
	}{
		{"no such key", body(404, `{"error":{"code":"KeyNotFound"}}`), true, keys.ReasonKey, nil},
		{"no such vault", body(404, `{"error":{"code":"VaultNotFound"}}`), true, keys.ReasonVault, nil},
		{"disabled", body(403, `{"error":{"code":"Forbidden","innererror":{"code":"KeyDisabled"}}}`), true, keys.ReasonKey, nil},
		{"forbidden", body(403, `{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByRbac"}}}`), true, keys.ReasonKey, keys.ErrForbidden},
		{"bad request", body(400, `{"error":{"code":"BadParameter"}}`), true, keys.ReasonKey, nil},
		{"conflict", body(409, `{}`), true, keys.ReasonKey, nil},
		{"gone", body(410, ``), true, keys.ReasonKey, nil},
		{"timeout", body(408, ``), false, keys.ReasonVault, nil},
		{"throttled", body(429, ``), false, keys.ReasonVault, nil},
		{"broken", body(500, ``), false, keys.ReasonVault, nil},
		{"unavailable", body(503, ``), false, keys.ReasonVault, nil},
		{"redirect", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://b.vault.test/", http.StatusTemporaryRedirect)
			return true
		}, false, keys.ReasonVault, errRedirect},
		{"long", body(200, strings.Repeat(" ", maxAnswer+1)), false, keys.ReasonVault, nil},
		{"long without a length", func(w http.ResponseWriter, _ *http.Request) bool {
			for range 70 {
				io.WriteString(w, strings.Repeat(" ", 1<<10))
				w.(http.Flusher).Flush()
			}
			return true
		}, false, keys.ReasonVault, nil},
		{"no JSON", body(200, `<html>`), false, keys.ReasonVault, nil},
		{"hostile text", body(403, `{"error":{"code":"`+strings.Repeat("A", 5000)+`\n\u0000"}}`), true, keys.ReasonKey, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, s, _ := world(t)
			s.set(func() { s.answer = tt.answer })
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			_, err := v.Unwrap(ctx, ref, []byte("x"))
			ve, ok := errors.AsType[*keys.VaultError](err)
			if !ok || ve.Definitive != tt.definitive || ve.Reason != tt.reason || tt.is != nil && !errors.Is(err, tt.is) {
				t.Fatalf("error = %v, want definitive %v, reason %v", err, tt.definitive, tt.reason)
			}
			if len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\x00\n") {
				t.Errorf("error of %d bytes: %q", len(err.Error()), err)
			}
		})
	}
}

// A token that is refused is asked for anew, once; then it says something.
func TestFreshToken(t *testing.T) {
	v, s, c := world(t)
	if _, err := v.Unwrap(t.Context(), ref, []byte("xyz")); err != nil {
		t.Fatal(err)
	}
	s.set(func() { s.refuse = 1 })
	if _, err := v.Unwrap(t.Context(), ref, []byte("xyz")); err != nil {
		t.Fatalf("after one refusal: %v", err)
	}
	s.set(func() { s.refuse = 1000 })
	_, err := v.Unwrap(t.Context(), ref, []byte("xyz"))
	if ve, ok := errors.AsType[*keys.VaultError](err); !ok || !ve.Definitive || ve.Reason != keys.ReasonToken {
		t.Errorf("after many: %v", err)
	}
	if c.number < 3 {
		t.Errorf("%d tokens were asked for", c.number)
	}
}

// No token leaves for a vault that is not where vaults are, or that asks for a token for
// somebody else.
func TestNoTokenForStrangers(t *testing.T) {
	for _, uri := range []string{
		"https://a.vault.test.evil.test", "https://vault.test", "https://a.b.vault.test", "https://evil.test", "http://a.vault.test",
		"https://a.vault.azure.net:8443", "https://u:p@a.vault.test", "https://a.vault.test/path", "https://.vault.test", "https://avault.test",
		"https://127.0.0.1", "https://[::1]:10005", "", "://",
	} {
		v, s, c := world(t)
		for what, err := range map[string]error{
			"Inspect": func() error { _, err := v.Inspect(t.Context(), keys.VaultRef{URI: uri, Key: "k"}); return err }(),
			"Wrap":    func() error { _, err := v.Wrap(t.Context(), keys.VaultRef{URI: uri, Key: "k"}, nil); return err }(),
			"Unwrap":  func() error { _, err := v.Unwrap(t.Context(), keys.VaultRef{URI: uri, Key: "k"}, nil); return err }(),
		} {
			if !errors.Is(err, keys.ErrForeignHost) {
				t.Errorf("%s at %q = %v, want ErrForeignHost", what, uri, err)
			}
		}
		if len(c.asked) > 0 || s.calls > 0 {
			t.Errorf("%q: %d tokens, %d calls", uri, len(c.asked), s.calls)
		}
	}
	for _, resource := range []string{"https://test", "https://storage.azure.com", "https://management.azure.com", "https://evil.test", "http://vault.test"} {
		v, s, c := world(t)
		s.set(func() { s.resource = resource })
		if _, err := v.Unwrap(t.Context(), ref, []byte("x")); err == nil {
			t.Errorf("challenge for %s: no error", resource)
		}
		if len(c.asked) > 0 || s.calls > 0 {
			t.Errorf("challenge for %s: %d tokens, %d calls", resource, len(c.asked), s.calls)
		}
	}
}

// Every identity of every owner has a client, and so tokens, of its own.
func TestIdentitiesAreApart(t *testing.T) {
	v, s, _ := world(t)
	creds := map[string]*cred{}
	v.o.Credential = func(_ Suffix, owner keys.ID, identity, federated string) (azcore.TokenCredential, error) {
		at := owner.String() + identity + federated
		if creds[at] == nil {
			creds[at] = &cred{number: 1000 * (len(creds) + 1)}
		}
		return creds[at], nil
	}
	for owner := range 3 {
		for _, identity := range []string{"", "/one", "/two"} {
			r := ref
			r.Owner[0], r.Identity = byte(owner), identity
			for range 2 {
				if _, err := v.Unwrap(t.Context(), r, []byte("xyz")); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if len(creds) != 9 {
		t.Errorf("%d credentials", len(creds))
	}
	seen := map[string]int{}
	for _, token := range s.tokens {
		seen[token]++
	}
	if len(seen) != 9 {
		t.Errorf("%d tokens: %v", len(seen), seen)
	}
}

func TestTokenFailures(t *testing.T) {
	v, _, c := world(t)
	c.err = &keys.VaultError{Definitive: true, Reason: keys.ReasonToken, Err: errors.New("no such identity")}
	_, err := v.Unwrap(t.Context(), ref, nil)
	if ve, ok := errors.AsType[*keys.VaultError](err); !ok || !ve.Definitive || ve.Reason != keys.ReasonToken {
		t.Errorf("identity gone: %v", err)
	}
	c.err = errors.New("connection refused, secret=hunter2")
	_, err = v.Unwrap(t.Context(), ref, nil)
	if ve, ok := errors.AsType[*keys.VaultError](err); !ok || ve.Definitive || ve.Reason != keys.ReasonToken || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("token endpoint away: %v", err)
	}
}

func TestDeadline(t *testing.T) {
	v, s, _ := world(t)
	release := make(chan struct{})
	defer close(release)
	s.set(func() {
		s.answer = func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return true
		}
	})
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	began := time.Now()
	_, err := v.Unwrap(ctx, ref, nil)
	if ve, ok := errors.AsType[*keys.VaultError](err); !ok || ve.Definitive || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestPublic(t *testing.T) {
	for a, want := range map[string]bool{
		"20.50.1.1": true, "2a01:111::1": true, "8.8.8.8": true,
		"127.0.0.1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.100.100.200": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "198.18.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "fd00:ec2::254": false, "::ffff:127.0.0.1": false,
		"::ffff:169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "2002:7f00:1::": false, "ff02::1": false, "fe80::1%eth0": false,
	} {
		if got := public(netip.MustParseAddr(a).Unmap()); got != want {
			t.Errorf("public(%s) = %v, want %v", a, got, want)
		}
	}
	// And the dialler asks it: localhost is never a vault that is not ours.
	tr := NewTransport(TransportOptions{})
	if _, err := tr.DialContext(t.Context(), "tcp", "localhost:443"); !errors.Is(err, errAddress) {
		t.Errorf("dial of localhost = %v", err)
	}
}

func TestParseSuffix(t *testing.T) {
	tests := []struct{ in, host, audience string }{
		{"vault.azure.net", "vault.azure.net", "https://vault.azure.net"},
		{".Vault.Example.", "vault.example", "https://vault.example"},
		{"vault.example=https://vault.azure.net/", "vault.example", "https://vault.azure.net"},
		{"", "", ""}, {"net", "", ""}, {"https://vault.azure.net", "", ""}, {"a.b:443", "", ""},
		{"a.b=http://c", "", ""}, {"a.b=https://c/path", "", ""}, {"a b.c", "", ""},
	}
	for _, tt := range tests {
		s, err := ParseSuffix(tt.in)
		if (err == nil) != (tt.host != "") || s.Host != tt.host || s.Audience != tt.audience {
			t.Errorf("ParseSuffix(%q) = %+v, %v", tt.in, s, err)
		}
	}
}
