package blobhttp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/scope"
)

const (
	forbidden = "403 RequestForbiddenByContainerEncryptionPolicy"
	disabled  = "403 EncryptionScopeDisabled"
	noScope   = "404 EncryptionScopeNotFound"
	accountSc = "$account-encryption-key"
)

// newScopes makes a rig with the scopes a, b and off, which is disabled, and containers:
// plain, default-a, deny-a, deny-account, default-off.
func newScopes(t testing.TB) client {
	t.Helper()
	c := client{newSecureRig(t)}
	for _, n := range []string{"scope-a", "scope-b", "scope-off"} {
		c.scope(n, scope.Options{})
	}
	c.want(201, "PUT", "/plain?restype=container", nil)
	for box, def := range map[string][2]string{
		"default-a": {"scope-a", "false"}, "deny-a": {"scope-a", "true"},
		"deny-account": {accountSc, "true"}, "default-off": {"scope-off", "false"},
	} {
		c.want(201, "PUT", "/"+box+"?restype=container", nil, headerDefaultScope, def[0], headerDenyOverride, def[1])
	}
	c.state("scope-off", keys.Disabled)
	return c
}

func (c client) owner() keys.ID {
	c.Helper()
	info, err := c.store.Accounts.Get(context.Background(), name.Account(c.cred.Account))
	if err != nil {
		c.Fatal(err)
	}
	return info.ID
}

func (c client) scope(n string, o scope.Options) {
	c.Helper()
	if _, err := c.store.Scopes.Create(context.Background(), c.owner(), name.Scope(n), o); err != nil {
		c.Fatal(err)
	}
}

func (c client) state(n string, to keys.AdminState) {
	c.Helper()
	if _, err := c.store.Scopes.SetState(context.Background(), c.owner(), n, to); err != nil {
		c.Fatal(err)
	}
}

// sasFields are those of both kinds of SAS.
func (c client) sasFields(ses string) url.Values {
	return url.Values{
		"sv": {"2020-12-06"}, "spr": {"https"}, "ses": {ses},
		"se": {c.store.Clock.Now().Add(time.Hour).Format(time.RFC3339)},
	}
}

// withSAS sends a request that an account SAS with that scope signs.
func (c client) withSAS(ses, method, target string, body []byte, headers ...string) *http.Response {
	c.Helper()
	q := c.sasFields(ses)
	q.Set("ss", "b")
	q.Set("srt", "sco")
	q.Set("sp", "rwdlac")
	return c.token(c.cred.AccountSAS(q), method, target, body, headers...)
}

// withServiceSAS is withSAS with a service SAS of the container.
func (c client) withServiceSAS(ses, method, target string, body []byte, headers ...string) *http.Response {
	c.Helper()
	q := c.sasFields(ses)
	q.Set("sr", "c")
	q.Set("sp", "racwdl")
	container, _, _ := strings.Cut(target[1:], "/")
	return c.token(c.cred.ServiceSAS(q, container, "", ""), method, target, body, headers...)
}

// token sends a request that is signed by its query.
func (c client) token(q url.Values, method, target string, body []byte, headers ...string) *http.Response {
	c.Helper()
	path, query, _ := strings.Cut(target, "?")
	r, err := http.NewRequest(method, c.srv.URL+"/"+c.cred.Account+path+"?"+q.Encode()+"&"+query, bytes.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	r.Header.Set("x-ms-version", "2026-12-06")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.srv.Client().Do(r)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { resp.Body.Close() })
	return resp
}

func asked(what string) []string {
	switch what {
	case "":
		return nil
	case "key":
		return keyA.headers()
	case "key and scope":
		return append(keyA.headers(), headerScope, "scope-a")
	}
	return []string{headerScope, what}
}

// A key and a scope never go together, wherever the scope comes from.
func TestKeyAndScope(t *testing.T) {
	c := newScopes(t)
	put := append(keyA.headers(), blockBlob...)
	if got := outcome(c.withSAS("scope-a", "PUT", "/plain/x", nil, put...)); got != badValue {
		t.Errorf("key and ses: %s", got)
	}
	if got := outcome(c.do("PUT", "/deny-a/x", nil, put...)); got != forbidden {
		t.Errorf("key into a container that denies: %s", got)
	}
	if got := outcome(c.do("PUT", "/deny-account/x", nil, put...)); got != forbidden {
		t.Errorf("key into a container that wants the account's key: %s", got)
	}
	// Reads through the SAS go on as without its scope.
	c.want(201, "PUT", "/plain/b", []byte("x"), append(asked("scope-b"), blockBlob...)...)
	c.want(201, "PUT", "/plain/k", []byte("x"), append(asked("key"), blockBlob...)...)
	if got := outcome(c.withSAS("scope-a", "GET", "/plain/b", nil)); got != "ok" {
		t.Errorf("read of another scope's blob through the SAS: %s", got)
	}
	if got := outcome(c.withSAS("scope-a", "GET", "/plain/k", nil, keyA.headers()...)); got != "ok" {
		t.Errorf("read with a key through the SAS: %s", got)
	}
}

// The rules for blocks, section 4.2.
func TestScopedBlocks(t *testing.T) {
	c := newScopes(t)
	for i, tt := range []struct{ old, block, commit, want string }{
		{"", "scope-a", "scope-a", "ok"},
		{"", "scope-a", "scope-b", mismatch},
		{"", "scope-a", "", uses},
		{"", "", "scope-a", doesNot},
		{"", "key", "scope-a", mismatch},
		{"", "scope-a", "key", mismatch},
		{"scope-b", "scope-a", "scope-a", "ok"},
	} {
		target := fmt.Sprintf("/plain/blocks-%d", i)
		c.want(201, "PUT", target, []byte("old"), append(asked(tt.old), blockBlob...)...)
		c.want(201, "PUT", target+blockQuery, []byte("new"), asked(tt.block)...)
		resp := c.do("PUT", target+"?comp=blocklist", []byte(listOf(blockA)), asked(tt.commit)...)
		if got := outcome(resp); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// Containers: one header of the pair is not enough, the scope has to be there and
// enabled, and the answers show what was set.
func TestDefaultScope(t *testing.T) {
	c := newScopes(t)
	for _, tt := range []struct{ scope, deny, want string }{
		{"scope-a", "", missing}, {"", "true", missing}, {"scope-a", "maybe", badValue},
		{"no-such", "false", noScope}, {"scope-off", "false", disabled}, {"scope-b", "TRUE", "ok"},
	} {
		var h []string
		if tt.scope != "" {
			h = append(h, headerDefaultScope, tt.scope)
		}
		if tt.deny != "" {
			h = append(h, headerDenyOverride, tt.deny)
		}
		resp := c.do("PUT", "/made?restype=container", nil, h...)
		if got := outcome(resp); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
		if resp.Header.Get(headerDefaultScope) != "" {
			t.Errorf("%+v: Create Container tells the scope back", tt)
		}
	}
	for box, want := range map[string][2]string{
		"plain": {accountSc, "false"}, "default-a": {"scope-a", "false"}, "deny-a": {"scope-a", "true"}, "made": {"scope-b", "true"},
	} {
		h := c.want(200, "HEAD", "/"+box+"?restype=container", nil).Header
		if h.Get(headerDefaultScope) != want[0] || h.Get(headerDenyOverride) != want[1] {
			t.Errorf("%s: %s, %s", box, h.Get(headerDefaultScope), h.Get(headerDenyOverride))
		}
	}
	c.want(200, "PUT", "/deny-a?restype=container&comp=metadata", nil, "x-ms-meta-a", "b")
	if h := c.want(200, "HEAD", "/deny-a?restype=container", nil).Header; h.Get(headerDefaultScope) != "scope-a" || h.Get(headerDenyOverride) != "true" {
		t.Error("the default was lost when the container's metadata changed")
	}
	body, _ := io.ReadAll(c.want(200, "GET", "?comp=list", nil).Body)
	if !strings.Contains(string(body), "<DefaultEncryptionScope>scope-a</DefaultEncryptionScope><DenyEncryptionScopeOverride>true</DenyEncryptionScopeOverride>") {
		t.Errorf("list: %s", body)
	}
}

// A disabled scope stops what it protects, and nothing else: crypto-design.md section 8.
func TestDisabledScope(t *testing.T) {
	c := newScopes(t)
	content := randomBytes(100_000)
	in := append(asked("scope-a"), "x-ms-blob-type", "BlockBlob")
	c.want(201, "PUT", "/plain/a", content, append(in, "x-ms-meta-k", "v")...)
	c.want(201, "PUT", "/plain/b"+blockQuery, content, asked("scope-a")...)
	c.want(201, "PUT", "/default-a/d", content, "x-ms-blob-type", "BlockBlob")
	c.want(201, "PUT", "/plain/other", content, append(asked("scope-b"), "x-ms-blob-type", "BlockBlob")...)
	c.state("scope-a", keys.Disabled)

	type step struct {
		method, target string
		body           string
		headers        []string
		want           string
	}
	meta := "x-ms-meta-k"
	for _, s := range []step{
		{"GET", "/plain/a", "", nil, disabled},
		{"HEAD", "/plain/a", "", nil, disabled},
		{"GET", "/plain/a?comp=metadata", "", nil, disabled},
		{"GET", "/default-a/d", "", nil, disabled},
		{"PUT", "/plain/new", "x", in, disabled},
		{"PUT", "/default-a/new", "x", blockBlob, disabled},
		{"PUT", "/plain/b" + strings.Replace(blockQuery, "blockid", "timeout=30&blockid", 1), "x", asked("scope-a"), disabled},
		{"PUT", "/plain/b?comp=blocklist", listOf(blockA), asked("scope-a"), disabled},
		{"PUT", "/plain/a?comp=metadata", "", append(asked("scope-a"), meta, "w"), disabled},
		{"PUT", "/plain/a?comp=metadata", "", asked("scope-a"), disabled},
		{"GET", "/plain?restype=container&comp=list&include=metadata", "", nil, disabled},
		// what needs no key of the scope
		{"GET", "/plain?restype=container&comp=list", "", nil, "ok"},
		{"GET", "/default-a?restype=container&comp=list&include=metadata", "", nil, "ok"}, // none has metadata
		{"GET", "/plain/b?comp=blocklist&blocklisttype=all", "", nil, "ok"},
		{"PUT", "/plain/a?comp=properties", "", []string{"x-ms-blob-content-type", "text/plain"}, "ok"},
		{"GET", "/plain/other", "", nil, "ok"},
		{"PUT", "/plain/plain", "x", blockBlob, "ok"},
		{"PUT", "/default-a/override", "x", append(asked("scope-b"), blockBlob...), "ok"},
		{"HEAD", "/default-a?restype=container", "", nil, "ok"},
	} {
		resp := c.do(s.method, s.target, []byte(s.body), s.headers...)
		if got := outcome(resp); got != s.want {
			body, _ := io.ReadAll(resp.Body)
			t.Errorf("disabled: %s %s %v = %s, want %s\n%s", s.method, s.target, s.headers, got, s.want, body)
		}
	}

	c.state("scope-a", keys.Enabled)
	for _, target := range []string{"/plain/a", "/default-a/d"} {
		c.compare(target, content)
	}
	c.want(201, "PUT", "/plain/b?comp=blocklist", []byte(listOf(blockA)), asked("scope-a")...)
	c.compare("/plain/b", content)
	c.state("scope-a", keys.Disabled)
	c.want(202, "DELETE", "/plain/a", nil) // deleting needs no key
}

// A download that is on its way is cut off when its scope is disabled.
func TestDisableCutsDownload(t *testing.T) {
	c := newScopes(t)
	size := 24 << 20
	c.want(201, "PUT", "/plain/big", make([]byte, size), append(asked("scope-a"), "x-ms-blob-type", "BlockBlob")...)
	resp := c.want(200, "GET", "/plain/big", nil)
	if _, err := io.ReadFull(resp.Body, make([]byte, 1<<10)); err != nil {
		t.Fatal(err)
	}
	c.state("scope-a", keys.Disabled)
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil || n+1<<10 >= int64(size) {
		t.Errorf("the download went on to the end: %d bytes, %v", n, err)
	}
}
