package vaulthttp_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

const v = "api-version=7.6"

// TestChallenge: who has no token, or one for something else, learns where to get one and
// nothing about vaults and keys.
func TestChallenge(t *testing.T) {
	w := newWorld(t)
	vaults, hsms := "https://vault.localhost:"+w.port, "https://managedhsm.localhost:"+w.port
	tests := []struct{ host, token, target, resource string }{
		{"box.vault.localhost", "", "/keys/k?" + v, vaults},
		{"box.vault.localhost", "", "/nothing/like/it", vaults}, // not even an api-version
		{"nowhere.vault.localhost", "", "/keys?" + v, vaults},
		{"BOX.Vault.localhost", "", "/keys?" + v, vaults},
		{"safe.managedhsm.localhost", "", "/keys?" + v, hsms},
		{"127.0.0.1", "", "/keys?" + v, vaults},
		{"box.vault.localhost", "Bearer " + alice + " https://managedhsm.localhost", "/keys?" + v, vaults},
		{"box.vault.localhost", "Bearer " + alice + " https://vault.localhost:1", "/keys?" + v, vaults},
		{"box.vault.localhost", "Basic " + alice + " https://vault.localhost", "/keys?" + v, vaults},
		{"box.vault.localhost", "Bearer", "/keys?" + v, vaults},
	}
	for _, tt := range tests {
		req, err := http.NewRequest("GET", w.url(tt.host)+tt.target, nil)
		ok(t, "NewRequest", err)
		if tt.token != "" {
			req.Header.Set("Authorization", tt.token)
		}
		resp, err := w.client.Do(req)
		ok(t, "Do", err)
		resp.Body.Close()
		want := `Bearer authorization="` + login + "/" + tenant + `", resource="` + tt.resource + `"`
		if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || got != want {
			t.Errorf("%s %q: %s, %s, want 401, %s", tt.host, tt.token, resp.Status, got, want)
		}
	}
	if r := w.sendTo(t, "127.0.0.1", alice, "GET", "/keys?"+v, ""); r.status != 200 {
		t.Errorf("the default vault by the bare address: %d %s", r.status, r.body)
	}
	if r := w.sendTo(t, "nowhere.vault.localhost", alice, "GET", "/keys?"+v, ""); r.status != 404 || r.code() != "VaultNotFound" {
		t.Errorf("no vault: %d %s", r.status, r.body)
	}
}

// TestErrors: statuses and codes as the vault has them.
func TestErrors(t *testing.T) {
	w := newWorld(t)
	must := func(verb, target, body string) reply {
		t.Helper()
		r := w.send(t, alice, verb, target+"?"+v, body)
		if r.status != 200 {
			t.Fatalf("%s %s: %d %s", verb, target, r.status, r.body)
		}
		return r
	}
	must("POST", "/keys/k/create", `{"kty":"RSA"}`)
	must("POST", "/keys/off/create", `{"kty":"RSA","attributes":{"enabled":false}}`)
	must("POST", "/keys/late/create", `{"kty":"RSA","attributes":{"exp":1000000000}}`)
	must("POST", "/keys/early/create", `{"kty":"RSA","attributes":{"nbf":4000000000}}`)
	must("POST", "/keys/sign/create", `{"kty":"RSA","key_ops":["sign"]}`)
	must("POST", "/keys/gone/create", `{"kty":"EC"}`)
	must("DELETE", "/keys/gone", "")
	wrap := `{"alg":"RSA-OAEP-256","value":"AAAA"}`
	tests := []struct {
		who, verb, target, body string
		status                  int
		code                    string
	}{
		{alice, "GET", "/keys", "", 400, "BadParameter"}, // no version
		{alice, "GET", "/keys?api-version=6.0", "", 400, "BadParameter"},
		{alice, "GET", "/keys/k?api-version=7.0", "", 200, ""},
		{alice, "GET", "/keys/k?api-version=7.6-preview.2", "", 200, ""},
		{alice, "GET", "/keys/k?api-version=2025-07-01", "", 200, ""},
		{alice, "GET", "/keys/none?" + v, "", 404, "KeyNotFound"},
		{alice, "GET", "/keys/k/0123456789abcdef0123456789abcdef?" + v, "", 404, "KeyNotFound"},
		{alice, "GET", "/keys/k/?" + v, "", 200, ""},
		{alice, "GET", "/Keys/K?" + v, "", 200, ""},
		{alice, "GET", "/keys/a_b?" + v, "", 400, "BadParameter"},
		{alice, "GET", "/keys/gone?" + v, "", 404, "KeyNotFound"},
		{alice, "POST", "/keys/gone/create?" + v, `{"kty":"EC"}`, 409, "Conflict/ObjectIsDeletedButRecoverable"},
		{alice, "GET", "/deletedkeys/gone?" + v, "", 200, ""},
		{alice, "GET", "/deletedkeys/k?" + v, "", 404, "KeyNotFound"},
		{alice, "POST", "/keys/off//wrapkey?" + v, wrap, 403, "Forbidden/KeyDisabled"},
		{alice, "POST", "/keys/late/wrapkey?" + v, wrap, 403, "Forbidden/KeyExpired"},
		{alice, "POST", "/keys/early//wrapKey?" + v, wrap, 403, "Forbidden/KeyNotYetValid"},
		{alice, "POST", "/keys/sign//wrapkey?" + v, wrap, 403, "Forbidden/KeyOperationForbidden"},
		{alice, "POST", "/keys/late//unwrapkey?" + v, wrap, 400, "BadParameter"}, // tried, and no ciphertext
		{alice, "POST", "/keys/k//wrapkey?" + v, wrap, 200, ""},
		{alice, "POST", "/keys/k//wrapkey?" + v, "", 400, "BadParameter"},
		{alice, "POST", "/keys/k//wrapkey?" + v, `{"alg":"none","value":"AAAA"}`, 400, "BadParameter"},
		{alice, "POST", "/keys/k//wrapkey?" + v, `{"value":"AAAA"}`, 400, "BadParameter"},
		{alice, "POST", "/keys/k//wrapkey?" + v, `{"alg":"RSA-OAEP-256","value":"*"}`, 400, "BadParameter"},
		{alice, "POST", "/keys/k//wrapkey?" + v, `{"alg":`, 400, "BadParameter"},
		{alice, "POST", "/keys/k//wrapkey?" + v, `{"alg":"RSA-OAEP-256","value":"` + strings.Repeat("A", 200<<10) + `"}`, 413, "RequestEntityTooLarge"},
		{alice, "POST", "/keys/k//release?" + v, `{}`, 405, "MethodNotAllowed"},
		{alice, "PUT", "/secrets/s?" + v, `{}`, 501, "NotImplemented"},
		{alice, "GET", "/Secrets?" + v, "", 501, "NotImplemented"},
		{alice, "GET", "/deletedsecrets?" + v, "", 501, "NotImplemented"},
		{alice, "POST", "/certificates/c/create?" + v, `{}`, 501, "NotImplemented"},
		{alice, "GET", "/deletedstorage?" + v, "", 501, "NotImplemented"},
		{alice, "GET", "/nothing?" + v, "", 404, "NotFound"},
		{alice, "POST", "/rng?" + v, `{"count":4}`, 501, "NotImplemented"},
		{alice, "POST", "/keys/x/create?" + v, `{"kty":"RSA","key_size":1024}`, 400, "BadParameter"},
		{alice, "POST", "/keys/x/create?" + v, `{"kty":"EC","release_policy":{"data":"AA"}}`, 400, "BadParameter"},
		{alice, "PUT", "/keys/x?" + v, `{}`, 400, "BadParameter"},
		{alice, "PUT", "/keys/x?" + v, `{"key":{"kty":"RSA","n":"AQ","e":"AQAB"}}`, 400, "BadParameter"},
		{alice, "POST", "/keys/restore?" + v, `{"value":"AAAA"}`, 400, "BadParameter"},
		{alice, "GET", "/keys?maxresults=26&" + v, "", 400, "BadParameter"},
		{alice, "GET", "/keys?%24skiptoken=%2A&" + v, "", 400, "BadParameter"},
		{bob, "GET", "/keys/k?" + v, "", 200, ""},
		{bob, "GET", "/keys?" + v, "", 403, "Forbidden/ForbiddenByPolicy"},
		{bob, "GET", "/keys/none?" + v, "", 404, "KeyNotFound"},
		{bob, "DELETE", "/keys/none?" + v, "", 403, "Forbidden/ForbiddenByPolicy"},
		{alice, "GET", "/providers/Microsoft.Authorization/roleAssignments?" + v, "", 404, "NotFound"},
	}
	for _, tt := range tests {
		r := w.send(t, tt.who, tt.verb, tt.target, tt.body)
		if r.status != tt.status || r.code() != tt.code {
			t.Errorf("%s %.60s %.40s = %d %s, want %d %s", tt.verb, tt.target, tt.body, r.status, r.code(), tt.status, tt.code)
		}
	}
	if r := w.sendTo(t, "ruled.vault.localhost", alice, "GET", "/keys?"+v, ""); r.status != 403 || r.code() != "Forbidden/ForbiddenByRbac" {
		t.Errorf("without a role: %d %s", r.status, r.body)
	}
	c := w.azkeys(t, "firm.vault.localhost", alice)
	_, err := c.CreateKey(ctx, "k", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeEC)}, nil)
	ok(t, "CreateKey", err)
	_, err = c.DeleteKey(ctx, "k", nil)
	ok(t, "DeleteKey", err)
	_, err = c.PurgeDeletedKey(ctx, "k", nil)
	refused(t, "purge in spite of the protection", err, 403, "Forbidden")
}

// TestNoSecrets: what answers show of a key is public.
func TestNoSecrets(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{"/keys/k/create", "/keys/k", "/keys/k/versions", "/keys"} {
		verb, body := "GET", ""
		if strings.HasSuffix(target, "create") {
			verb, body = "POST", `{"kty":"RSA"}`
		}
		r := w.send(t, alice, verb, target+"?"+v, body)
		var any map[string]json.RawMessage
		if err := json.Unmarshal(r.body, &any); err != nil || r.status != 200 {
			t.Fatalf("%s: %d %s", target, r.status, r.body)
		}
		for _, name := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"dq"`, `"qi"`, `"k"`} {
			if strings.Contains(string(r.body), name+":") {
				t.Errorf("%s has the member %s", target, name)
			}
		}
	}
}

// FuzzRequest: whatever is sent, the answer is one of the interface and no failure of ours.
func FuzzRequest(f *testing.F) {
	w := newWorld(f)
	for _, s := range [][3]string{
		{"POST", "/keys/k/create", `{"kty":"EC","attributes":{"exp":1},"tags":{"a":null}}`},
		{"POST", "/keys/k//sign", `{"alg":"ES256","value":"AAAA"}`},
		{"PUT", "/keys/k", `{"key":{"kty":"EC","crv":"P-256","d":"AA","x":"AA","y":"AA"},"Hsm":true}`},
		{"PUT", "/keys/k/rotationpolicy", `{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P30D"},"action":{"type":"Rotate"}}],"attributes":{"expiryTime":"P90D"}}`},
		{"PATCH", "/keys/k", `{"attributes":{"nbf":-1,"exp":9223372036854775807}}`},
		{"POST", "/keys/restore", `{"value":"Q0ZWQgEB"}`},
		{"GET", "/deletedkeys", ``},
		{"POST", "//keys/providers/Microsoft.Authorization/roleAssignments/x", `{}`},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, verb, target, body string) {
		if !strings.HasPrefix(target, "/") || strings.ContainsAny(target, " ?#\r\n\t") || strings.ContainsFunc(target, func(r rune) bool { return r < 33 || r > 126 }) ||
			strings.Contains(target, "%") || strings.ContainsFunc(verb, func(r rune) bool { return r < 'A' || r > 'Z' }) || verb == "" || verb == "CONNECT" {
			return
		}
		r := w.send(t, alice, verb, target+"?"+v, body)
		if r.status == 500 || r.status == 503 {
			t.Errorf("%s %s %s = %d %s", verb, target, body, r.status, r.body)
		}
	})
}
