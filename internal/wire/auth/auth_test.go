package auth

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/secret"
	"github.com/coffer-storage/coffer/internal/wire"
	"github.com/coffer-storage/coffer/internal/wire/auth/authtest"
)

const (
	account = "devstoreaccount1"
	keyA    = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	success = fault.KindCount
)

var (
	now     = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	first   = authtest.Credential{Account: account, Key: mustDecode(keyA)}
	second  = authtest.Credential{Account: account, Key: []byte("the other key of the account")}
	foreign = authtest.Credential{Account: account, Key: []byte("a key of somebody else")}
)

func mustDecode(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func newAuthenticator(policy func(string) (Policy, error)) *Authenticator {
	keys := [2]secret.Key{secret.New(bytes.Clone(first.Key)), secret.New(bytes.Clone(second.Key))}
	return New(Options{
		Now: func() time.Time { return now },
		Keys: func(_ context.Context, n name.Account) ([2]secret.Key, error) {
			if n != account {
				return [2]secret.Key{}, fault.New("test", "", fault.AccountNotFound, nil)
			}
			return keys, nil
		},
		Policy: func(_ context.Context, _ name.Account, container, id string) (Policy, error) {
			if policy == nil || container != "box" {
				return Policy{}, fault.New("test", "", fault.ResourceNotFound, nil)
			}
			return policy(id)
		},
	})
}

// request parses a request as a server would. The first line is "VERB target".
func request(t testing.TB, text string) *http.Request {
	t.Helper()
	line, rest, _ := strings.Cut(text, "\n")
	raw := line + " HTTP/1.1\r\nHost: 127.0.0.1:10000\r\n" + strings.ReplaceAll(rest, "\n", "\r\n") + "\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatalf("ReadRequest(%q): %v", raw, err)
	}
	r.RemoteAddr = "203.0.113.7:4711"
	return r
}

func rawPath(r *http.Request) string {
	p, _, _ := strings.Cut(r.RequestURI, "?")
	return p
}

// wired makes the request of the wire, as the handlers do.
func wired(t testing.TB, r *http.Request) *wire.Request {
	t.Helper()
	req := wire.NewRequest(r, now)
	var err error
	if req.Query, err = wire.ParseQuery(r.URL.RawQuery); err != nil {
		t.Fatal(err)
	}
	if req.Target, err = wire.Resolve("blob", r.Host, wire.RawPath(r), func(n name.Account) bool { return n == account }); err != nil {
		t.Fatal(err)
	}
	if err := req.ReadVersion(""); err != nil {
		t.Fatal(err)
	}
	return req
}

func detail(err error) string {
	e, _ := errors.AsType[*fault.Error](err)
	if e == nil {
		return ""
	}
	for _, d := range e.Details {
		if d.Name == "AuthenticationErrorDetail" {
			return d.Value
		}
	}
	return ""
}

// The requests that are signed and checked in both schemes.
var sharedKeyRequests = []struct{ name, text string }{
	{"service", "GET /devstoreaccount1/?comp=list\nx-ms-version: 2026-12-06"},
	{"account without slash", "GET /devstoreaccount1?comp=list\nx-ms-version: 2026-12-06"},
	{"blob", "PUT /devstoreaccount1/box/a/b\nContent-Length: 5\nContent-Type: text/plain\nx-ms-blob-type: BlockBlob\nx-ms-version: 2015-02-21"},
	{"empty body", "PUT /devstoreaccount1/box?restype=container\nContent-Length: 0"},
	{"all headers", "PUT /devstoreaccount1/box/b\nContent-Length: 1\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\nContent-Encoding: gzip\nContent-Language: de\n" +
		"If-Match: \"0x8D\"\nIf-None-Match: *\nIf-Modified-Since: Wed, 25 Nov 2026 10:00:00 GMT\nIf-Unmodified-Since: Wed, 25 Nov 2026 10:00:00 GMT\nRange: bytes=0-4"},
	{"encoded slashes and case", "GET /devstoreaccount1/box/a%2Fb%2fc%20d+e%E2%82%AC"},
	{"dots and doubled slashes", "GET /devstoreaccount1/box//c/../d/./e"},
	{"unescaped marks", "GET /devstoreaccount1/box/a(b)!'*~,;=@:$&"},
	{"empty query values", "GET /devstoreaccount1/box?restype=container&comp=list&prefix=&delimiter&include="},
	{"comp twice", "GET /devstoreaccount1/box?comp=list&comp=acl&COMP=b"},
	{"names in mixed case", "GET /devstoreaccount1/box?ResType=container&Comp=list&MaxResults=5"},
	{"unicode", "GET /devstoreaccount1/box?restype=container&comp=list&prefix=%C3%A4%2F%F0%9F%98%80+x%20y"},
	{"metadata", "PUT /devstoreaccount1/box/b?comp=metadata\nContent-Length: 0\nx-ms-meta-Zeta: 1\nx-ms-meta-alpha: two words\nX-MS-META-Beta:   padded  "},
	{"duplicate headers", "PUT /devstoreaccount1/box/b?comp=metadata\nContent-Length: 0\nx-ms-meta-a: one\nx-ms-meta-a: two"},
	{"prefixes of header names", "GET /devstoreaccount1/box/b\nx-ms-range: bytes=0-1\nx-ms-range-get-content-md5: true"},
	{"Date instead of x-ms-date", "GET /devstoreaccount1/box/b\nDate: Wed, 25 Nov 2026 11:59:00 GMT"},
	{"secondary", "GET /devstoreaccount1-secondary/box/b"},
}

func TestSharedKey(t *testing.T) {
	a := newAuthenticator(nil)
	for _, tt := range sharedKeyRequests {
		for _, scheme := range []access.Kind{access.SharedKey, access.SharedKeyLite} {
			if scheme == access.SharedKeyLite && strings.Contains(tt.name, "comp twice") {
				continue // what that means to SharedKeyLite is nowhere said
			}
			for who, c := range map[string]authtest.Credential{"first key": first, "second key": second, "foreign key": foreign} {
				t.Run(tt.name+"/"+scheme.String()+"/"+who, func(t *testing.T) {
					r := request(t, tt.text)
					if scheme == access.SharedKey {
						c.Sign(r, rawPath(r), now)
					} else {
						c.SignLite(r, rawPath(r), now)
					}
					caller, err := a.Authenticate(wired(t, r), http.Header{})
					if who == "foreign key" {
						if !fault.Is(err, fault.AuthenticationFailed) {
							t.Fatalf("Authenticate = %v, want AuthenticationFailed", err)
						}
						if caller.Kind != access.Anonymous {
							t.Errorf("caller of a refused request is %v", caller.Kind)
						}
						return
					}
					if err != nil {
						t.Fatalf("Authenticate = %v\n%s", err, detail(err))
					}
					if caller.Kind != scheme || caller.Account != account {
						t.Errorf("caller = %v of %q", caller.Kind, caller.Account)
					}
				})
			}
		}
	}
}

// Every part of a signed request is signed: a change of one is refused.
func TestSharedKeyTamper(t *testing.T) {
	a := newAuthenticator(nil)
	base := "PUT /devstoreaccount1/box/b?comp=metadata&timeout=5\nContent-Length: 3\nContent-Type: text/plain\nx-ms-version: 2026-12-06\nx-ms-meta-a: 1\nIf-Match: *"
	changes := []func(*http.Request){
		func(r *http.Request) { r.Method = "GET" },
		func(r *http.Request) { r.Header.Set("x-ms-meta-a", "2") },
		func(r *http.Request) { r.Header.Set("x-ms-meta-b", "1") },
		func(r *http.Request) { r.Header.Del("x-ms-meta-a") },
		func(r *http.Request) { r.Header.Set("x-ms-date", now.Add(time.Second).Format(http.TimeFormat)) },
		func(r *http.Request) { r.Header.Set("Content-Type", "text/html") },
		func(r *http.Request) { r.Header.Set("If-Match", `"x"`) },
		func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") },
		func(r *http.Request) { r.ContentLength = 4 },
		func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "/box/b", "/box/c", 1) },
		func(r *http.Request) { r.URL.RawQuery = "comp=metadata&timeout=6" },
		func(r *http.Request) { r.URL.RawQuery = "comp=metadata" },
		func(r *http.Request) { r.URL.RawQuery += "&x=y" },
	}
	for i, change := range changes {
		r := request(t, base)
		first.Sign(r, rawPath(r), now)
		if _, err := a.Authenticate(wired(t, r), http.Header{}); err != nil {
			t.Fatalf("unchanged: %v", err)
		}
		change(r)
		if _, err := a.Authenticate(wired(t, r), http.Header{}); !fault.Is(err, fault.AuthenticationFailed) {
			t.Errorf("change %d: Authenticate = %v, want AuthenticationFailed", i, err)
		}
	}
}

// The service and some SDKs order header names by the weights of a language.
func TestCulturalOrder(t *testing.T) {
	a := newAuthenticator(nil)
	r := request(t, "PUT /devstoreaccount1/box/b?comp=metadata\nContent-Length: 0\nx-ms-meta-a1: digit\nx-ms-meta-a_b: mark\nx-ms-meta-ab: letter")
	r.Header.Set("x-ms-date", now.Format(http.TimeFormat))
	text := first.SharedKeyText(r, rawPath(r))
	const byBytes = "x-ms-meta-a1:digit\nx-ms-meta-a_b:mark\nx-ms-meta-ab:letter\n"
	const byWeight = "x-ms-meta-a_b:mark\nx-ms-meta-a1:digit\nx-ms-meta-ab:letter\n"
	if !strings.Contains(text, byBytes) {
		t.Fatalf("text to sign = %q", text)
	}
	for _, signed := range []string{text, strings.Replace(text, byBytes, byWeight, 1)} {
		r.Header.Set("Authorization", "SharedKey "+account+":"+first.MAC(signed))
		if _, err := a.Authenticate(wired(t, r), http.Header{}); err != nil {
			t.Errorf("Authenticate = %v for %q", err, signed)
		}
	}
	r.Header.Set("Authorization", "SharedKey "+account+":"+first.MAC(strings.Replace(text, byBytes,
		"x-ms-meta-ab:letter\nx-ms-meta-a1:digit\nx-ms-meta-a_b:mark\n", 1)))
	if _, err := a.Authenticate(wired(t, r), http.Header{}); err == nil {
		t.Error("any order is accepted")
	}
}

func TestHostStyle(t *testing.T) {
	a := newAuthenticator(nil)
	for _, host := range []string{"devstoreaccount1.blob.core.windows.net", "devstoreaccount1.blob.localhost:10000", "devstoreaccount1-secondary.blob.x"} {
		r := request(t, "GET /box/a%20b?comp=metadata")
		r.Host = host
		first.Sign(r, rawPath(r), now)
		if _, err := a.Authenticate(wired(t, r), http.Header{}); err != nil {
			t.Errorf("%s: %v\n%s", host, err, detail(err))
		}
	}
}

func TestAuthorizationForm(t *testing.T) {
	a := newAuthenticator(nil)
	signed := func(at time.Time, change func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			first.Sign(r, rawPath(r), at)
			if change != nil {
				change(r)
			}
		}
	}
	set := func(value string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("x-ms-date", now.Format(http.TimeFormat))
			r.Header.Set("Authorization", value)
		}
	}
	tests := []struct {
		name   string
		do     func(*http.Request)
		want   fault.Kind
		detail string
	}{
		{"none", func(*http.Request) {}, success, ""},
		{"good", signed(now, nil), success, ""},
		{"15 minutes late", signed(now.Add(-15*time.Minute), nil), success, ""},
		{"too old", signed(now.Add(-15*time.Minute-time.Second), nil), fault.AuthenticationFailed, "too old"},
		{"too early", signed(now.Add(15*time.Minute+time.Second), nil), fault.AuthenticationFailed, "future"},
		{"no date", signed(now, func(r *http.Request) { r.Header.Del("x-ms-date") }), fault.AuthenticationFailed, "Date header is not specified"},
		{"date of no form", signed(now, func(r *http.Request) { r.Header.Set("x-ms-date", "yesterday") }), fault.AuthenticationFailed, "incorrect"},
		{"twice", signed(now, func(r *http.Request) { r.Header.Add("Authorization", "SharedKey a:b") }), fault.InvalidAuthenticationInfo, ""},
		{"scheme", set("Basic abc"), fault.InvalidAuthenticationInfo, ""},
		{"no colon", set("SharedKey abc"), fault.InvalidAuthenticationInfo, ""},
		{"empty", set("SharedKey"), fault.InvalidAuthenticationInfo, ""},
		{"not base64", set("SharedKey " + account + ":%%%"), fault.AuthenticationFailed, "base64"},
		{"short tag", set("SharedKey " + account + ":AAAA"), fault.AuthenticationFailed, "base64"},
		{"other account", set("SharedKey other:" + first.MAC("")), fault.AuthenticationFailed, "not the account"},
		{"bearer", set("Bearer eyJ0"), fault.TokenRefused, "Bearer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t, "GET /devstoreaccount1/box/b")
			tt.do(r)
			h := http.Header{}
			_, err := a.Authenticate(wired(t, r), h)
			if tt.want == success {
				if err != nil {
					t.Fatalf("Authenticate = %v", err)
				}
				return
			}
			if !fault.Is(err, tt.want) || !strings.Contains(detail(err), tt.detail) {
				t.Errorf("Authenticate = %v (%s), want %v", err, detail(err), tt.want)
			}
			if tt.want == fault.TokenRefused && !strings.HasPrefix(strings.Join(h[spelled("WWW-Authenticate")], ""), "Bearer authorization_uri=") {
				t.Errorf("challenge = %q", h[spelled("WWW-Authenticate")])
			}
			for _, c := range []authtest.Credential{first, second} {
				if strings.Contains(detail(err), base64.StdEncoding.EncodeToString(c.Key)) {
					t.Error("detail holds a key")
				}
			}
		})
	}
}

// An account that does not exist looks like a wrong key.
func TestUnknownAccount(t *testing.T) {
	a := newAuthenticator(nil)
	r := request(t, "GET /nosuchaccount/box/b")
	authtest.Credential{Account: "nosuchaccount", Key: nil}.Sign(r, rawPath(r), now)
	if _, err := a.Authenticate(wired(t, r), http.Header{}); !fault.Is(err, fault.AuthenticationFailed) {
		t.Errorf("Authenticate = %v, want AuthenticationFailed", err)
	}
}

func values(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q
}

// The example of the protocol's documentation, word for word.
func TestDocumentedText(t *testing.T) {
	r := request(t, "GET /mycontainer?comp=metadata&restype=container&timeout=20\nx-ms-date: Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version: 2015-02-21")
	req := wire.NewRequest(r, now)
	var err error
	if req.Query, err = wire.ParseQuery(r.URL.RawQuery); err != nil {
		t.Fatal(err)
	}
	req.Target = wire.Target{Account: "myaccount", RawPath: "/mycontainer", HostStyle: true}
	const want = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
	if got := signedTexts(req, access.SharedKey)[0]; got != want {
		t.Errorf("text to sign =\n%q, want\n%q", got, want)
	}
}

// spelled is a key of http.Header that is not canonical, on purpose.
func spelled(name string) string { return name }
