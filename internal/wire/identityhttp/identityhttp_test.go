package identityhttp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

const client = "22222222-2222-4222-8222-222222222222"

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// fake knows one client, and one managed identity by each of its names.
type fake struct{ fail error }

func (f fake) CheckSecret(_ context.Context, id, secret string) (identity.Principal, error) {
	if id != client || secret != "s3cret+/" {
		return identity.Principal{}, fault.New("x", "", fault.InvalidClient, errors.New("wrong"))
	}
	return identity.Principal{ObjectID: "o", ClientID: client}, nil
}

func (f fake) CheckAssertion(_ context.Context, id, assertion string, audiences ...string) (identity.Principal, error) {
	if assertion != "signed" || len(audiences) == 0 || audiences[0] != "https://id.example/"+identity.Tenant+"/oauth2/v2.0/token" {
		return identity.Principal{}, fault.New("x", "", fault.InvalidClient, errors.New("wrong"))
	}
	return identity.Principal{ObjectID: "o", ClientID: client}, nil
}

func (f fake) MachineIdentity(_ context.Context, q identity.Query) (identity.Principal, error) {
	if q != (identity.Query{}) && q != (identity.Query{ClientID: client}) && q != (identity.Query{ResourceID: "/r"}) {
		return identity.Principal{}, fault.New("x", "", fault.PrincipalNotFound, nil)
	}
	return identity.Principal{ObjectID: "o", ClientID: client}, nil
}

func (f fake) Issue(_ context.Context, objectID, audience string) (string, time.Time, error) {
	if f.fail != nil {
		return "", time.Time{}, f.fail
	}
	if audience == "nonsense" {
		return "", time.Time{}, fault.New("x", "", fault.InvalidInput, nil)
	}
	return "token of " + objectID + " for " + audience, now.Add(time.Hour), nil
}

func (fake) IssuerOf(tenant string) string { return "https://own.example/" + tenant + "/v2.0" }

func (fake) JWKS(context.Context) (jose.JSONWebKeySet, error) {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}, nil
}

// ask sends a request; head is NAME, VALUE, ..
func ask(o Options, method, target, body string, head ...string) (int, http.Header, map[string]any) {
	o.Now = func() time.Time { return now }
	if o.Identities == nil {
		o.Identities = fake{}
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:5"
	for i := 0; i < len(head); i += 2 {
		switch head[i] {
		case "Remote":
			r.RemoteAddr = head[i+1]
		case "Host":
			r.Host = head[i+1]
		default:
			r.Header.Add(head[i], head[i+1])
		}
	}
	w := httptest.NewRecorder()
	New(o).ServeHTTP(w, r)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		got = map[string]any{"body": w.Body.String()}
	}
	return w.Code, w.Header(), got
}

const form = "application/x-www-form-urlencoded"

func TestToken(t *testing.T) {
	const target = "https://id.example/" + identity.Tenant + "/oauth2/v2.0/token"
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {"s3cret+/"}, "scope": {"https://storage.azure.com/.default openid profile"}}
	basic := []string{"Authorization", "Basic " + basicOf(client, url.QueryEscape("s3cret+/"))}
	assertion := []string{"client_secret", "", "client_assertion", "signed", "client_assertion_type", jwtBearer}
	tests := []struct {
		name   string
		change []string // of the form; "" takes a field away
		head   []string
		target string
		status int
		want   string // the token, or the code of the error
	}{
		{name: "secret", status: 200, want: "token of o for https://storage.azure.com"},
		{name: "slash before the suffix", change: []string{"scope", "https://storage.azure.com//.default"}, status: 200, want: "token of o for https://storage.azure.com/"},
		{name: "Basic", change: []string{"client_secret", "", "client_id", ""}, head: basic, status: 200, want: "token of o for https://storage.azure.com"},
		{name: "Basic and form", head: basic, status: 400, want: "invalid_request"},
		{name: "Basic of another", change: []string{"client_secret", "", "client_id", "other"}, head: basic, status: 400, want: "invalid_request"},
		{name: "assertion", change: assertion, status: 200, want: "token of o for https://storage.azure.com"},
		{name: "assertion without its client", change: append([]string{"client_id", ""}, assertion...), status: 200, want: "token of o for https://storage.azure.com"},
		{name: "assertion of another type", change: append(assertion[:4:4], "client_assertion_type", "x"), status: 400, want: "invalid_request"},
		{name: "assertion and secret", change: assertion[2:], status: 400, want: "invalid_request"},
		{name: "wrong assertion", change: []string{"client_secret", "", "client_assertion", "bent", "client_assertion_type", jwtBearer}, status: 401, want: "invalid_client"},
		{name: "assertion for another host", change: assertion, target: strings.Replace(target, "id.example", "other.example", 1), status: 401, want: "invalid_client"},
		{name: "wrong secret", change: []string{"client_secret", "x"}, status: 401, want: "invalid_client"},
		{name: "no credential", change: []string{"client_secret", ""}, status: 401, want: "invalid_client"},
		{name: "no client", change: []string{"client_id", ""}, status: 400, want: "invalid_request"},
		{name: "no grant", change: []string{"grant_type", ""}, status: 400, want: "invalid_request"},
		{name: "other grant", change: []string{"grant_type", "password"}, status: 400, want: "unsupported_grant_type"},
		{name: "no scope", change: []string{"scope", ""}, status: 400, want: "invalid_request"},
		{name: "scope of users", change: []string{"scope", "https://storage.azure.com/user_impersonation"}, status: 400, want: "invalid_scope"},
		{name: "two resources", change: []string{"scope", "https://a/.default https://b/.default"}, status: 400, want: "invalid_scope"},
		{name: "resource of no form", change: []string{"scope", "nonsense/.default"}, status: 400, want: "invalid_resource"},
		{name: "other content type", head: []string{"Content-Type", "application/json"}, status: 400, want: "invalid_request"},
		{name: "other tenant", target: "https://id.example/" + client + "/oauth2/v2.0/token", status: 400, want: "invalid_tenant"},
		{name: "upper case", target: strings.ToUpper(target), status: 200, want: "token of o for https://storage.azure.com"},
		{name: "plain, this machine", target: strings.Replace(target, "https", "http", 1), status: 200, want: "token of o for https://storage.azure.com"},
		{name: "plain, from elsewhere", target: strings.Replace(target, "https", "http", 1), head: []string{"Remote", "203.0.113.7:5"}, status: 400, want: "invalid_request"},
		{name: "TLS, from elsewhere", head: []string{"Remote", "203.0.113.7:5"}, status: 200, want: "token of o for https://storage.azure.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := url.Values{}
			for k, v := range good {
				f[k] = v
			}
			for i := 0; i < len(tt.change); i += 2 {
				if f.Set(tt.change[i], tt.change[i+1]); tt.change[i+1] == "" {
					f.Del(tt.change[i])
				}
			}
			if tt.target == "" {
				tt.target = target
			}
			head := tt.head
			if len(head) == 0 || head[0] != "Content-Type" {
				head = append(head[:len(head):len(head)], "Content-Type", form)
			}
			status, h, got := ask(Options{}, "POST", tt.target, f.Encode(), head...)
			is, _ := got["access_token"].(string)
			if tt.status != 200 {
				is, _ = got["error"].(string)
			}
			if status != tt.status || is != tt.want {
				t.Errorf("answer = %d %v, want %d %q", status, got, tt.status, tt.want)
			}
			if !strings.Contains(h.Get("Cache-Control"), "no-store") {
				t.Errorf("Cache-Control = %q", h.Get("Cache-Control"))
			}
		})
	}
	// A field that is there twice, a body that is too large, and what is in the URL.
	for name, body := range map[string]string{
		"twice": good.Encode() + "&scope=https://other/.default", "large": good.Encode() + "&x=" + strings.Repeat("x", maxBody), "empty": "",
	} {
		if status, _, got := ask(Options{}, "POST", target+"?"+good.Encode(), body, "Content-Type", form); status != 400 {
			t.Errorf("%s: %d %v, want 400", name, status, got)
		}
	}
}

func basicOf(user, pass string) string {
	r := httptest.NewRequest("GET", "/", nil)
	r.SetBasicAuth(user, pass)
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
}

func TestTokenV1(t *testing.T) {
	f := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {"s3cret+/"}, "resource": {"https://management.azure.com/"}}
	status, _, got := ask(Options{}, "POST", "https://id.example/"+identity.Tenant+"/oauth2/token", f.Encode(), "Content-Type", form)
	if status != 200 || got["access_token"] != "token of o for https://management.azure.com/" || got["expires_in"] != "3600" || got["expires_on"] != "1795611600" {
		t.Errorf("answer = %d %v", status, got)
	}
}

func TestManaged(t *testing.T) {
	const imds = "http://127.0.0.1:10006/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.localhost"
	const msi = "http://localhost:10006/MSI/token?api-version=2019-08-01&resource=https://vault.localhost"
	meta, head := []string{"Metadata", "true"}, []string{"X-IDENTITY-HEADER", "x"}
	for name, tt := range map[string]struct {
		target string
		head   []string
		status int
		code   string
	}{
		"metadata":              {imds, meta, 200, ""},
		"by client id":          {imds + "&client_id=" + client, meta, 200, ""},
		"by resource id":        {imds + "&msi_res_id=%2Fr", meta, 200, ""},
		"unknown":               {imds + "&object_id=" + client, meta, 400, "invalid_request"},
		"application":           {msi, head, 200, ""},
		"by the cloud's name":   {imds, append(meta[:2:2], "Host", "169.254.169.254"), 200, ""},
		"no header":             {imds, nil, 400, "invalid_request"},
		"header says no":        {imds, []string{"Metadata", "false"}, 400, "invalid_request"},
		"application, none":     {msi, nil, 401, "invalid_request"},
		"no version":            {strings.Replace(imds, "api-version", "x", 1), meta, 400, "invalid_request"},
		"no resource":           {strings.Replace(imds, "resource", "x", 1), meta, 400, "invalid_request"},
		"resource of no form":   {strings.Replace(imds, "https://vault.localhost", "nonsense", 1), meta, 400, "invalid_resource"},
		"from elsewhere":        {imds, append(meta[:2:2], "Remote", "203.0.113.7:5"), 403, "forbidden"},
		"through a proxy":       {imds, append(meta[:2:2], "X-Forwarded-For", "203.0.113.7"), 403, "forbidden"},
		"name of a web page":    {imds, append(meta[:2:2], "Host", "evil.example"), 403, "forbidden"},
		"name like loopback":    {imds, append(meta[:2:2], "Host", "localhost.evil.example"), 403, "forbidden"},
		"application elsewhere": {msi, append(head[:2:2], "Remote", "203.0.113.7:5"), 403, "forbidden"},
	} {
		status, _, got := ask(Options{}, "GET", tt.target, "", tt.head...)
		if status != tt.status || tt.code != "" && got["error"] != tt.code {
			t.Errorf("%s: %d %v, want %d %s", name, status, got, tt.status, tt.code)
		}
		if status == 200 && (got["access_token"] != "token of o for https://vault.localhost" || got["expires_in"] != "3600" || got["client_id"] != client) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if status, _, _ := ask(Options{}, "POST", imds, "", meta...); status != 405 {
		t.Errorf("POST = %d, want 405", status)
	}
}

// What cannot be decided now is no refusal: clients try again, and nobody takes it for a
// credential that was revoked.
func TestUnavailable(t *testing.T) {
	o := Options{Identities: fake{fail: fault.New("x", "", fault.Unavailable, nil)}}
	f := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {"s3cret+/"}, "scope": {"https://a/.default"}}
	if status, _, got := ask(o, "POST", "https://id.example/"+identity.Tenant+"/oauth2/v2.0/token", f.Encode(), "Content-Type", form); status != 503 {
		t.Errorf("token = %d %v, want 503", status, got)
	}
	if status, _, got := ask(o, "GET", "http://127.0.0.1/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://a", "", "Metadata", "true"); status != 503 {
		t.Errorf("metadata = %d %v, want 503", status, got)
	}
}

func TestDiscovery(t *testing.T) {
	for _, path := range []string{"/v2.0/.well-known/openid-configuration", "/.well-known/openid-configuration"} {
		status, _, got := ask(Options{}, "GET", "https://id.example:1/"+identity.Tenant+path, "")
		base := "https://id.example:1/" + identity.Tenant
		if status != 200 || got["issuer"] != base+"/v2.0" || got["token_endpoint"] != base+"/oauth2/v2.0/token" || got["jwks_uri"] != base+"/discovery/v2.0/keys" || got["authorization_endpoint"] == nil {
			t.Errorf("%s = %d %v", path, status, got)
		}
	}
	if status, _, got := ask(Options{}, "GET", "https://id.example/common/discovery/instance?api-version=1.1", ""); status != 200 || got["tenant_discovery_endpoint"] == nil {
		t.Errorf("instance = %d %v", status, got)
	}
	if status, _, got := ask(Options{}, "GET", "https://id.example/"+identity.Tenant+"/oauth2/v2.0/authorize", ""); status != 400 || got["error"] != "unauthorized_client" {
		t.Errorf("authorize = %d %v", status, got)
	}
	if status, _, _ := ask(Options{}, "GET", "https://id.example/"+identity.Tenant+"/discovery/v2.0/keys", ""); status != 200 {
		t.Errorf("keys = %d", status)
	}
	for path, want := range map[string]bool{
		"/": false, "/healthz": false, "/metrics": false, "/subscriptions/x": false, "/msi/token": true, "/metadata/identity/oauth2/token/": true,
		"/x/oauth2/token": true, "/x/y/oauth2/token": false, "/common/discovery/instance": true,
	} {
		if got := Handles(path); got != want {
			t.Errorf("Handles(%q) = %v, want %v", path, got, want)
		}
	}
}

// FuzzServe shows that no request makes the endpoints fall over, and that none gets a
// token without a credential.
func FuzzServe(f *testing.F) {
	f.Add("POST", "/"+identity.Tenant+"/oauth2/v2.0/token", "grant_type=client_credentials&client_id=x&client_secret=y&scope=z/.default", form)
	f.Add("GET", "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=a", "", "")
	f.Add("HEAD", "/common/discovery/instance", "", "")
	f.Add("GET", "//\x00", "%zz", "a/b; =")
	f.Fuzz(func(t *testing.T, method, target, body, contentType string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || strings.ContainsAny(contentType, "\r\n\x00") {
			return
		}
		r := &http.Request{Method: method, URL: u, Host: "id.example", RemoteAddr: "203.0.113.7:1", Header: http.Header{"Content-Type": {contentType}}, Body: http.NoBody}
		r.Body = httptest.NewRequest("POST", "/", strings.NewReader(body)).Body
		w := httptest.NewRecorder()
		New(Options{Identities: fake{}}).ServeHTTP(w, r)
		if w.Code == 0 || strings.Contains(w.Body.String(), "access_token") && !strings.Contains(body, "s3cret") {
			t.Errorf("%s %q: %d %s", method, target, w.Code, w.Body)
		}
	})
}
