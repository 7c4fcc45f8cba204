package keyvault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/keyvault"
)

// vault answers wrapkey, unwrapkey and get key as Key Vault does.
type vault struct {
	t    *testing.T
	url  string
	key  cse.Key // what it wraps by
	fail int     // status of every answer, if not zero
	seen []string
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="`+v.url+`/tenant", resource="https://vault.azure.net"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	v.seen = append(v.seen, r.Method+" "+r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	if v.fail != 0 {
		w.WriteHeader(v.fail)
		w.Write([]byte(`{"error":{"code":"Failed","message":"it says much"}}`))
		return
	}
	kid := v.url + "/keys/name/version1"
	if r.Method == http.MethodGet {
		json.NewEncoder(w).Encode(map[string]any{"key": map[string]any{"kid": kid, "kty": "RSA"}})
		return
	}
	var in struct{ Alg, Value string }
	json.NewDecoder(r.Body).Decode(&in)
	value, _ := base64.RawURLEncoding.DecodeString(in.Value)
	var out []byte
	var err error
	if strings.HasSuffix(r.URL.Path, "/wrapkey") {
		out, err = v.key.WrapKey(r.Context(), in.Alg, value)
	} else {
		out, err = v.key.UnwrapKey(r.Context(), in.Alg, value)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":{"code":"BadParameter","message":"padding of byte 7"}}`))
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"kid": kid, "value": base64.RawURLEncoding.EncodeToString(out)})
}

type token struct{}

func (token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func newVault(t *testing.T) (*vault, *azkeys.Client) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, err := cse.NewRSAKey("inside", private, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{t: t, key: key}
	s := httptest.NewTLSServer(v)
	t.Cleanup(s.Close)
	v.url = s.URL
	o := &azkeys.ClientOptions{DisableChallengeResourceVerification: true}
	o.Transport = s.Client()
	o.Retry = policy.RetryOptions{MaxRetries: -1}
	c, err := azkeys.NewClient(s.URL, token{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return v, c
}

func TestKey(t *testing.T) {
	v, c := newVault(t)
	ctx := t.Context()
	k, err := keyvault.NewKey(ctx, c, v.url+"/keys/name", nil)
	if err != nil {
		t.Fatal(err)
	}
	if k.KeyID() != v.url+"/keys/name/version1" || k.DefaultAlgorithm() != cse.RSAOAEP256 {
		t.Errorf("NewKey = %s by %s", k.KeyID(), k.DefaultAlgorithm())
	}
	text, err := cse.EncryptMessage(ctx, "hello", &cse.Options{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := keyvault.NewResolver(map[string]*azkeys.Client{v.url: c})
	if err != nil {
		t.Fatal(err)
	}
	got, err := cse.DecryptMessage(ctx, text, &cse.Options{Resolver: resolver})
	if err != nil || got != "hello" {
		t.Errorf("DecryptMessage = %q, %v", got, err)
	}
}

func TestErrors(t *testing.T) {
	v, c := newVault(t)
	ctx := t.Context()
	k, err := keyvault.NewKey(ctx, c, v.url+"/keys/name/version1", &keyvault.KeyOptions{Algorithm: cse.RSAOAEP})
	if err != nil || k.DefaultAlgorithm() != cse.RSAOAEP {
		t.Fatal(k, err)
	}
	text, err := cse.EncryptMessage(ctx, "hello", &cse.Options{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	opt := &cse.Options{Key: k}
	changed := strings.Replace(text, `"Algorithm":"RSA-OAEP"`, `"Algorithm":"RSA-OAEP-256"`, 1)
	if _, err := cse.DecryptMessage(ctx, changed, opt); err == nil || err.Error() != "cse: authentication failed" {
		t.Errorf("a key that does not unwrap: %v", err)
	}
	before := len(v.seen)
	changed = strings.Replace(text, `"Algorithm":"RSA-OAEP"`, `"Algorithm":"RSA1_5"`, 1)
	if _, err := cse.DecryptMessage(ctx, changed, opt); !cse.HasCode(err, cse.AuthenticationFailed) || len(v.seen) != before {
		t.Errorf("RSA1_5: %v, and %d requests", err, len(v.seen)-before)
	}
	for _, status := range []int{401, 403, 404, 429, 500, 503} {
		v.fail = status
		if _, err := cse.DecryptMessage(ctx, text, opt); !cse.HasCode(err, cse.KeyUnavailable) {
			t.Errorf("status %d: %v, want KeyUnavailable", status, err)
		}
		if _, err := cse.EncryptMessage(ctx, text, opt); !cse.HasCode(err, cse.KeyUnavailable) {
			t.Errorf("wrap, status %d: %v, want KeyUnavailable", status, err)
		}
		if _, err := keyvault.NewKey(ctx, c, v.url+"/keys/name", nil); !cse.HasCode(err, cse.KeyUnavailable) {
			t.Errorf("get, status %d: %v, want KeyUnavailable", status, err)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := k.UnwrapKey(gone, cse.RSAOAEP, bytes.Repeat([]byte{1}, 256)); err == nil || cse.HasCode(err, cse.KeyUnavailable) {
		t.Errorf("canceled: %v", err)
	}
}

// An id of an object reaches no vault that was not named, and no other path of one.
func TestResolverAsksNobodyElse(t *testing.T) {
	v, c := newVault(t)
	r, err := keyvault.NewResolver(map[string]*azkeys.Client{v.url: c})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{
		"", "key1", "https://evil.example/keys/name/version1", v.url + "/keys/name", v.url + "/secrets/name/version1",
		"http" + strings.TrimPrefix(v.url, "https") + "/keys/name/version1", "https://u@" + strings.TrimPrefix(v.url, "https://") + "/keys/name/v", "://",
	} {
		if k, err := r.ResolveKey(t.Context(), id); !cse.HasCode(err, cse.KeyNotFound) {
			t.Errorf("ResolveKey(%q) = %v, %v; want KeyNotFound", id, k, err)
		}
	}
	if len(v.seen) != 0 {
		t.Errorf("the vault was asked: %v", v.seen)
	}
	for _, bad := range []map[string]*azkeys.Client{{"http://v": c}, {"https://v": nil}, {"::": c}} {
		if _, err := keyvault.NewResolver(bad); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("NewResolver(%v): %v", bad, err)
		}
	}
	for _, bad := range []string{"", "https://v/keys/", "http://v/keys/n/v", "https://v/secrets/n/v"} {
		if _, err := keyvault.NewKey(t.Context(), c, bad, nil); !cse.HasCode(err, cse.InvalidOption) {
			t.Errorf("NewKey(%q): %v", bad, err)
		}
	}
	if _, err := keyvault.NewKey(t.Context(), nil, v.url+"/keys/n/v", nil); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("NewKey without a client: %v", err)
	}
}
