package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Tokens of an issuer that --trust-issuer names count on the data plane, by the roles of
// the oid in them; those of others do not, whoever they say that they are.
func TestTrustedIssuer(t *testing.T) {
	const oid = "11111111-2222-4333-8444-555555555555"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var issuer *httptest.Server
	issuer = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body any = map[string]any{"issuer": issuer.URL, "jwks_uri": issuer.URL + "/keys", "authorization_endpoint": issuer.URL + "/a", "token_endpoint": issuer.URL + "/t"}
		if r.URL.Path == "/keys" {
			body = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "one", Algorithm: "ES256", Use: "sig"}}}
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(body)
	}))
	defer issuer.Close()
	// The machine trusts the issuer's certificate.
	was := http.DefaultTransport
	http.DefaultTransport = issuer.Client().Transport
	defer func() { http.DefaultTransport = was }()

	sign := func(by *ecdsa.PrivateKey) fixed {
		tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": issuer.URL, "sub": "user", "aud": "https://storage.azure.com", "oid": oid, "exp": time.Now().Add(time.Hour).Unix(),
		})
		tok.Header["kid"] = "one"
		text, err := tok.SignedString(by)
		if err != nil {
			t.Fatal(err)
		}
		return fixed(text)
	}
	r := newPlace(t).serve(t, func(c *Config) { c.Issuers = []string{issuer.URL} })
	create := func(r *running, token fixed) error {
		_, err := r.blobs(token).CreateContainer(t.Context(), "box", nil)
		return err
	}
	wantCode(t, "without a role", create(r, sign(key)), 403, "AuthorizationPermissionMismatch")
	r.assign("Storage Blob Data Contributor", r.accountScope(), oid)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "signed by another key", create(r, sign(other)), 401, "InvalidAuthenticationInfo")
	if err := create(r, sign(key)); err != nil {
		t.Errorf("with a role: %v", err)
	}
	wantCode(t, "a server that trusts nobody", create(newPlace(t).serve(t), sign(key)), 401, "InvalidAuthenticationInfo")

	for _, bad := range []string{"http://issuer.example", "issuer.example", "https://", "https://u@issuer.example", "https://issuer.example?x=y"} {
		_, err := Open(t.Context(), Config{Data: t.TempDir(), KeyMemory: true, Issuers: []string{bad}})
		if !fault.Is(err, fault.InvalidInput) || !strings.Contains(Hint(err), "--trust-issuer") {
			t.Errorf("Open with the issuer %q = %v, hint %q", bad, err, Hint(err))
		}
	}
}
