package oidcissuer

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// provider is an OpenID issuer that can be away and can change its key.
type provider struct {
	*httptest.Server
	key  *rsa.PrivateKey
	kid  string
	away atomic.Bool
	asks atomic.Int32
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	p.change(t, "one")
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asks.Add(1)
		var body any
		switch {
		case p.away.Load():
			http.Error(w, "away", http.StatusBadGateway)
			return
		case r.URL.Path == "/.well-known/openid-configuration":
			body = map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/a", "token_endpoint": p.URL + "/t"}
		case r.URL.Path == "/keys":
			body = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: p.kid, Algorithm: "RS256", Use: "sig"}}}
		default:
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) change(t *testing.T, kid string) {
	t.Helper()
	var err error
	if p.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	p.kid = kid
}

// sign makes a token; change is NAME, VALUE, .. with nil to take a claim away.
func (p *provider) sign(t *testing.T, change ...any) string {
	t.Helper()
	c := jwt.MapClaims{"iss": p.URL, "sub": "user", "aud": []string{"a", "https://storage.azure.com"}, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix()}
	for i := 0; i < len(change); i += 2 {
		if change[i+1] == nil {
			delete(c, change[i].(string))
		} else {
			c[change[i].(string)] = change[i+1]
		}
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodRS256, c)
	tok.Header["kid"] = p.kid
	s, err := tok.SignedString(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVerify(t *testing.T) {
	p := newProvider(t)
	i := New(p.URL, Options{Client: p.Client(), Now: func() time.Time { return now }})
	ctx := t.Context()
	c, audiences, err := i.Verify(ctx, p.sign(t))
	if err != nil || c.ObjectID != ObjectID(p.URL, "user") || len(audiences) != 2 || c.Issuer != p.URL {
		t.Errorf("Verify = %+v, %v, %v", c, audiences, err)
	}
	const oid = "11111111-2222-4333-8444-555555555555"
	if c, _, err := i.Verify(ctx, p.sign(t, "oid", oid, "azp", oid, "tid", oid)); err != nil || c.ObjectID != oid || c.ClientID != oid || c.TenantID != oid {
		t.Errorf("Verify with ids = %+v, %v", c, err)
	}
	asks := p.asks.Load()
	if _, _, err := i.Verify(ctx, p.sign(t)); err != nil || p.asks.Load() != asks {
		t.Errorf("a further token asked the issuer %d times, %v", p.asks.Load()-asks, err)
	}
	other := newProvider(t)
	for name, tt := range map[string]struct {
		token string
		want  error
	}{
		"ended":        {p.sign(t, "exp", now.Add(-time.Minute).Unix()), identity.ErrExpired},
		"early":        {p.sign(t, "nbf", now.Add(time.Hour).Unix()), identity.ErrEarly},
		"other key":    {other.sign(t, "iss", p.URL), identity.ErrSignature},
		"other issuer": {p.sign(t, "iss", other.URL), identity.ErrSignature},
		"no audience":  {p.sign(t, "aud", nil), identity.ErrForm},
		"nothing":      {"", identity.ErrForm},
	} {
		if _, _, err := i.Verify(ctx, tt.token); !errors.Is(err, tt.want) {
			t.Errorf("%s: Verify = %v, want %v", name, err, tt.want)
		}
	}
	p.change(t, "two") // the issuer changed its key: the new one is fetched when it is met
	if _, _, err := i.Verify(ctx, p.sign(t)); err != nil {
		t.Errorf("after the issuer's rotation: %v", err)
	}
}

// TestAway: an issuer that does not answer refuses nobody for good.
func TestAway(t *testing.T) {
	p := newProvider(t)
	at := now
	i := New(p.URL, Options{Client: p.Client(), Now: func() time.Time { return at }})
	p.away.Store(true)
	for range 3 {
		if _, _, err := i.Verify(t.Context(), p.sign(t)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("while away: %v, want Unavailable", err)
		}
	}
	if n := p.asks.Load(); n != 1 {
		t.Errorf("an issuer that is away was asked %d times at once", n)
	}
	p.away.Store(false)
	at = at.Add(2 * again)
	if _, _, err := i.Verify(t.Context(), p.sign(t)); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	p.away.Store(true)
	p.change(t, "two") // unknown here, and cannot be fetched
	if _, _, err := i.Verify(t.Context(), p.sign(t)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("keys cannot be fetched: %v, want Unavailable", err)
	}
}

func TestObjectID(t *testing.T) {
	const want = "1931ad72-aa0e-8c80-a8f0-bb3f691d7880"
	got := ObjectID("https://issuer.example", "system:serviceaccount:ns:app")
	if got != want || got == ObjectID("https://issuer.example", "other") {
		t.Errorf("ObjectID = %s", got)
	}
}
