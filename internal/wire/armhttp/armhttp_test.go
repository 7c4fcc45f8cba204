package armhttp

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
	"github.com/coffer-storage/coffer/internal/resource"
	"github.com/coffer-storage/coffer/internal/vault"
)

const base = "/subscriptions/SUB/resourceGroups/RG/providers/Microsoft.Storage/storageAccounts/acct1/encryptionScopes"

func newHandler(t testing.TB, anyone bool) *Handler {
	t.Helper()
	h, s := newWorld(t, anyone)
	s.Account(t, "acct1")
	return h
}

// newWorld makes a handler over a whole store without accounts.
func newWorld(t testing.TB, anyone bool) (*Handler, *world) {
	t.Helper()
	s := &world{Store: blobtest.New(t), Keys: &keystest.Vault{}}
	if err := s.Ring.SetVault(s.Keys, keys.CustomerOptions{}); err != nil {
		t.Fatal(err)
	}
	s.IDs = identity.New(s.Objects, identity.Options{Now: s.Clock.Now})
	if err := s.IDs.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.IDs.Close)
	s.Vaults = vault.New(s.Objects, s.Ring, vault.Options{Now: s.Clock.Now, Authorizer: s.IDs, Tenant: identity.Tenant})
	t.Cleanup(s.Vaults.Close)
	s.Resources = resource.New(resource.Options{
		Store: s.Objects, Accounts: s.Accounts, Scopes: s.Scopes, Ring: s.Ring, Identities: s.IDs, Now: s.Clock.Now,
	})
	return New(Options{
		Resources: s.Resources, Accounts: s.Accounts, Scopes: s.Scopes, Blobs: s.Blobs, Identities: s.IDs, Vaults: s.Vaults,
		Anyone: anyone, Audiences: []string{audience}, HTTPSOnly: true,
		Endpoint: func(a string) string { return "https://127.0.0.1:10000/" + a + "/" },
	}), s
}

const audience = "https://management.localhost"

type world struct {
	*blobtest.Store
	Keys      *keystest.Vault
	IDs       *identity.Service
	Vaults    *vault.Service
	Resources *resource.Service
}

// ask sends one request from this machine.
func ask(t testing.TB, h *Handler, method, target, body string, change ...func(*http.Request)) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:10006"+target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4000"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Result().Body)
	var got map[string]any
	if len(b) == 0 {
		return w.Code, nil
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%s %s: %v in %q", method, target, err, b)
	}
	return w.Code, got
}

func codeOf(got map[string]any) string {
	e, _ := got["error"].(map[string]any)
	s, _ := e["code"].(string)
	if s != "" && e["message"] == "" {
		return s + " without a message"
	}
	return s
}

// The recorded answer of encryption-scopes.md section 2.2, field for field.
func TestCreateAnswer(t *testing.T) {
	h := newHandler(t, false)
	status, got := ask(t, h, "PUT", base+"/scope-a?api-version=2024-01-01", `{"properties":{"source":"Microsoft.Storage"}}`)
	want := map[string]any{
		"id": base + "/scope-a", "type": scopeType, "name": "scope-a",
		"properties": map[string]any{
			"source": "Microsoft.Storage", "keyVaultProperties": map[string]any{},
			"creationTime": "2026-11-25T12:00:00.0000000Z", "lastModifiedTime": "2026-11-25T12:00:00.0000000Z",
			"state": "Enabled", "requireInfrastructureEncryption": false,
		},
	}
	if d := cmp.Diff(want, got); status != 201 || d != "" {
		t.Errorf("PUT = %d (-want +got):\n%s", status, d)
	}
	delete(want["properties"].(map[string]any), "keyVaultProperties")
	status, got = ask(t, h, "GET", base+"/scope-a?api-version=2024-01-01", "")
	if d := cmp.Diff(want, got); status != 200 || d != "" {
		t.Errorf("GET = %d (-want +got):\n%s", status, d)
	}
}

// Every outcome of section 2, in order, on one account.
func TestScopeResource(t *testing.T) {
	h := newHandler(t, false)
	const v = "?api-version=2024-01-01"
	for _, s := range []struct {
		method, target, body string
		status               int
		code, state          string
	}{
		{"GET", "/scope-a" + v, "", 404, "EncryptionScopeNotFound", ""},
		{"PATCH", "/scope-a" + v, `{"properties":{"state":"Disabled"}}`, 404, "EncryptionScopeNotFound", ""},
		{"PUT", "/scope-a" + v, "", 201, "", "Enabled"},
		{"PUT", "/scope-a" + v, "{}", 200, "", "Enabled"},
		{"PATCH", "/scope-a" + v, `{"properties":{"state":"disabled"}}`, 200, "", "Disabled"},
		{"GET", "/scope-a" + v, "", 200, "", "Disabled"},
		{"PUT", "/scope-a" + v, "{}", 200, "", "Disabled"}, // what is not named stays
		{"PUT", "/scope-a" + v, `{"properties":{"state":"Enabled"}}`, 200, "", "Enabled"},
		{"PATCH", "/scope-a" + v, `{}`, 200, "", "Enabled"},
		{"PATCH", "/scope-a" + v, `{"properties":{"requireInfrastructureEncryption":false}}`, 200, "", "Enabled"},
		{"PATCH", "/scope-a" + v, `{"properties":{"requireInfrastructureEncryption":true}}`, 409, "AccountPropertyCannotBeUpdated", ""},
		{"PATCH", "/scope-a" + v, `{"properties":{"source":"microsoft.storage"}}`, 200, "", "Enabled"},
		{"PATCH", "/scope-a" + v, `{"properties":{"source":"Microsoft.KeyVault","keyVaultProperties":{"keyUri":"https://v.vault.azure.net/keys/k"}}}`, 400, "ManagedServiceIdentityNotFound", ""},
		{"PATCH", "/scope-a" + v, `{"properties":{"source":"Microsoft.KeyVault"}}`, 400, "MissingKeyvaultProperties", ""},
		{"PATCH", "/scope-a" + v, `{"properties":{"source":"Elsewhere"}}`, 400, "InvalidValuesForRequestParameters", ""},
		{"PATCH", "/scope-a" + v, `{"properties":{"state":"Gone"}}`, 400, "InvalidValuesForRequestParameters", ""},
		{"PATCH", "/scope-a" + v, `{"properties":`, 400, "InvalidRequestContent", ""},
		{"PUT", "/scope-b" + v, `{"properties":{"state":"Disabled"}}`, 201, "", "Disabled"},
		{"PUT", "/Scope_C" + v, "", 400, "InvalidEncryptionScopeName", ""},
		{"PUT", "/a--b" + v, "", 400, "InvalidEncryptionScopeName", ""},
		{"DELETE", "/scope-a" + v, "", 405, "MethodNotAllowed", ""},
		{"POST", v, "", 405, "MethodNotAllowed", ""},
		{"GET", "/scope-a", "", 400, "MissingApiVersionParameter", ""},
		{"GET", "/scope-a?api-version=2018-01-01", "", 200, "", "Enabled"},
		{"GET", "/scope-a?api-version=new", "", 400, "InvalidApiVersionParameter", ""},
		{"GET", "/scope-a?API-Version=2025-08-01-preview", "", 200, "", "Enabled"},
		{"GET", "/scope-a/more" + v, "", 404, "InvalidResourceType", ""},
	} {
		status, got := ask(t, h, s.method, base+s.target, s.body)
		state := ""
		if p, ok := got["properties"].(map[string]any); ok {
			state, _ = p["state"].(string)
		}
		if status != s.status || codeOf(got) != s.code || state != s.state {
			t.Errorf("%s %s %s = %d %q %q, want %d %q %q", s.method, s.target, s.body, status, codeOf(got), state, s.status, s.code, s.state)
		}
	}
	// Paths know no case; another account has no such scope, and no account is not found.
	if status, _ := ask(t, h, "GET", strings.ToUpper(base)+"/scope-a"+v, ""); status != 200 {
		t.Errorf("path in capitals: %d", status)
	}
	if status, got := ask(t, h, "GET", strings.Replace(base, "acct1", "acct2", 1)+"/scope-a"+v, ""); status != 404 || codeOf(got) != "ResourceNotFound" {
		t.Errorf("no such account: %d %s", status, codeOf(got))
	}
}

func TestListScopes(t *testing.T) {
	h := newHandler(t, false)
	const v = "?api-version=2024-01-01"
	for _, n := range []string{"a-1", "a-2", "a-3", "b-1"} {
		ask(t, h, "PUT", base+"/"+n+v, "")
	}
	ask(t, h, "PATCH", base+"/a-2"+v, `{"properties":{"state":"Disabled"}}`)
	names := func(target string) (string, string) {
		status, got := ask(t, h, "GET", target, "")
		if status != 200 {
			return codeOf(got), ""
		}
		var all []string
		for _, i := range got["value"].([]any) {
			all = append(all, i.(map[string]any)["name"].(string))
		}
		next, _ := got["nextLink"].(string)
		return strings.Join(all, " "), strings.TrimPrefix(next, "http://127.0.0.1:10006")
	}
	for query, want := range map[string]string{
		"": "a-1 a-2 a-3 b-1", "&$include=Enabled": "a-1 a-3 b-1", "&$include=disabled": "a-2", "&$include=All": "a-1 a-2 a-3 b-1",
		"&$filter=a-": "a-1 a-2 a-3", "&$filter=startswith(name,%20%27b%27)": "b-1", "&$include=some": "InvalidValuesForRequestParameters",
		"&$maxpagesize=0": "InvalidValuesForRequestParameters", "&$filter=A": "InvalidValuesForRequestParameters",
	} {
		if got, _ := names(base + v + query); got != want {
			t.Errorf("list %s = %q, want %q", query, got, want)
		}
	}
	var pages []string
	for next := base + v + "&$maxpagesize=3"; next != ""; {
		var page string
		page, next = names(next)
		pages = append(pages, page)
	}
	if d := cmp.Diff([]string{"a-1 a-2 a-3", "b-1"}, pages); d != "" {
		t.Errorf("pages differ:\n%s", d)
	}
}

// Without a token only the own machine may manage, and no web page may use
// a browser for it.
func TestOnlyFromHere(t *testing.T) {
	const target = base + "?api-version=2024-01-01"
	remote := func(r *http.Request) { r.RemoteAddr = "192.0.2.1:5" }
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	for _, tt := range []struct {
		name   string
		anyone bool
		change func(*http.Request)
		want   int
	}{
		{"from here", false, func(*http.Request) {}, 200},
		{"localhost", false, host("localhost:10006"), 200},
		{"IPv6", false, host("[::1]:10006"), 200},
		{"from elsewhere", false, remote, 401},
		{"through a browser", false, host("evil.example:10006"), 401},
		{"from elsewhere, development", true, remote, 200},
	} {
		if got, _ := ask(t, newHandler(t, tt.anyone), "GET", target, "", tt.change); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func FuzzPath(f *testing.F) {
	h := newHandler(f, true)
	for _, p := range []string{base, base + "/scope-a", "/subscriptions//resourceGroups", "/SUBSCRIPTIONS/a/b", "/subscriptions/%00"} {
		f.Add(p, "{}")
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		r := httptest.NewRequest("PATCH", "http://x/", strings.NewReader(body))
		r.URL.Path, r.URL.RawQuery = path, "api-version=2024-01-01"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 200 || w.Code == 500 {
			t.Errorf("%q: %d", path, w.Code)
		}
	})
}
