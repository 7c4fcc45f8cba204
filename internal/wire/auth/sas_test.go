package auth

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/wire"
)

// Every family of versions, and one from the future.
var sasVersions = []string{"2015-02-21", "2015-04-05", "2017-11-09", "2018-11-09", "2020-02-10", "2020-12-06", "2022-11-02", "2026-12-06", "2031-01-01"}

func withQuery(t testing.TB, target string, q url.Values) *http.Request {
	t.Helper()
	sep := "?"
	if strings.Contains(target, "?") {
		sep = "&"
	}
	return request(t, "GET "+target+sep+q.Encode())
}

func TestServiceSASVersions(t *testing.T) {
	a := newAuthenticator(nil)
	for _, sv := range sasVersions {
		q := values("sv", sv, "sr", "b", "sp", "r", "st", "2026-11-25T11:00Z", "se", "2026-11-26T00:00:00Z",
			"rscc", "no-cache", "rscd", "attachment; filename=\"ä.txt\"", "rsce", "gzip", "rscl", "de", "rsct", "text/plain")
		if sv >= "2015-04-05" {
			q.Set("sip", "203.0.113.1-203.0.113.9")
			q.Set("spr", "https,http")
		}
		if sv >= "2020-12-06" {
			q.Set("ses", "scope1")
		}
		for _, tt := range []struct{ target, container, blob, sr string }{
			{"/devstoreaccount1/box/a%20b/%C3%BC+c", "box", "a b/ü+c", "b"},
			{"/devstoreaccount1/box/x", "box", "", "c"},
			{"/devstoreaccount1/box?restype=container&comp=list", "box", "", "c"},
			{"/devstoreaccount1/index.html", "$root", "index.html", "b"},
		} {
			q.Set("sr", tt.sr)
			r := withQuery(t, tt.target, first.ServiceSAS(q, tt.container, tt.blob, ""))
			c, err := a.Authenticate(wired(t, r), http.Header{})
			if err != nil {
				t.Errorf("%s %s: %v\n%s", sv, tt.target, err, detail(err))
				continue
			}
			hash := sha256.Sum256([]byte(r.URL.Query().Get("sig")))
			s := c.SAS
			if c.Kind != access.ServiceSAS || s.Container != tt.container || s.Blob != tt.blob || s.Permissions != "r" ||
				s.SignatureHash != hex.EncodeToString(hash[:]) || s.ContentType != "text/plain" || s.CacheControl != "no-cache" ||
				s.Version != sv || s.EncryptionScope != q.Get("ses") || !s.Expiry.Equal(time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)) {
				t.Errorf("%s %s: caller = %+v, SAS %+v", sv, tt.target, c, s)
			}
		}
		// The same signature for another blob, or a changed field, does not hold.
		q.Set("sr", "b")
		signed := first.ServiceSAS(q, "box", "a", "")
		if _, err := a.Authenticate(wired(t, withQuery(t, "/devstoreaccount1/box/b", signed)), http.Header{}); !fault.Is(err, fault.AuthenticationFailed) {
			t.Errorf("%s: another blob: %v", sv, err)
		}
		for n := range signed {
			if n == "sig" {
				continue
			}
			changed := url.Values{}
			for k, v := range signed {
				changed[k] = v
			}
			changed.Set(n, changedValue(n, signed.Get(n)))
			if _, err := a.Authenticate(wired(t, withQuery(t, "/devstoreaccount1/box/a", changed)), http.Header{}); !fault.Is(err, fault.AuthenticationFailed) {
				t.Errorf("%s: changed %s: %v", sv, n, err)
			}
		}
	}
}

// changedValue is another value that parses.
func changedValue(field, v string) string {
	switch field {
	case "st":
		return "2026-11-25T11:30Z"
	case "se":
		return "2027-01-01"
	case "sip":
		return "203.0.113.7"
	case "spr":
		return "http,https"
	case "sr":
		return "c"
	case "sv":
		if v == "2017-11-09" {
			return "2016-05-31"
		}
		return "2017-11-09"
	case "sp":
		return "rw"
	}
	return v + "x"
}

func TestAccountSASVersions(t *testing.T) {
	a := newAuthenticator(nil)
	for _, sv := range sasVersions[1:] {
		q := values("sv", sv, "ss", "bfqt", "srt", "sco", "sp", "rwdl", "se", "2026-11-26", "spr", "https,http", "sip", "203.0.113.7")
		if sv >= "2020-12-06" {
			q.Set("ses", "scope1")
		}
		r := withQuery(t, "/devstoreaccount1/box/b", second.AccountSAS(q))
		c, err := a.Authenticate(wired(t, r), http.Header{})
		if err != nil {
			t.Errorf("%s: %v\n%s", sv, err, detail(err))
			continue
		}
		if c.Kind != access.AccountSAS || c.SAS.Services != "bfqt" || c.SAS.ResourceTypes != "sco" || c.SAS.Permissions != "rwdl" {
			t.Errorf("%s: caller = %+v, SAS %+v", sv, c, c.SAS)
		}
	}
	// Response headers are not signed in an account SAS, so nobody may add them.
	q := second.AccountSAS(values("sv", "2022-11-02", "ss", "b", "srt", "o", "sp", "r", "se", "2026-11-26"))
	q.Set("rsct", "text/html")
	c, err := a.Authenticate(wired(t, withQuery(t, "/devstoreaccount1/box/b", q)), http.Header{})
	if err != nil || c.SAS.ContentType != "" {
		t.Errorf("rsct with an account SAS: %v, %q", err, c.SAS.ContentType)
	}
}

func TestSASTerms(t *testing.T) {
	a := newAuthenticator(nil)
	tests := []struct {
		name   string
		change []string // names and values over the good SAS; "-" removes
		secure bool
		want   fault.Kind
		detail string
	}{
		{"good", nil, false, success, ""},
		{"expires now", []string{"se", "2026-11-25T12:00:00Z"}, false, fault.AuthenticationFailed, "time frame"},
		{"expires in a second", []string{"se", "2026-11-25T12:00:01Z"}, false, success, ""},
		{"starts now", []string{"st", "2026-11-25T12:00:00.0000000Z"}, false, success, ""},
		{"starts later", []string{"st", "2026-11-25T12:00:00.0000001Z"}, false, fault.AuthenticationFailed, "time frame"},
		{"day only", []string{"st", "2026-11-25", "se", "2026-11-26"}, false, success, ""},
		{"minutes", []string{"se", "2026-11-25T12:01Z"}, false, success, ""},
		{"with an offset", []string{"se", "2026-11-25T13:00:01+01:00"}, false, success, ""},
		{"no time", []string{"se", "tomorrow"}, false, fault.AuthenticationFailed, "se is not a time"},
		{"no start", []string{"st", "2026-13-01"}, false, fault.AuthenticationFailed, "st is not a time"},
		{"no expiry", []string{"se", "-"}, false, fault.AuthenticationFailed, "se is mandatory"},
		{"no permissions", []string{"sp", "-"}, false, fault.AuthenticationFailed, "sp is mandatory"},
		{"https only over http", []string{"spr", "https"}, false, fault.ProtocolMismatch, ""},
		{"https only over https", []string{"spr", "https"}, true, success, ""},
		{"protocol of no form", []string{"spr", "gopher"}, false, fault.AuthenticationFailed, "spr"},
		{"address", []string{"sip", "203.0.113.7"}, false, success, ""},
		{"range", []string{"sip", "203.0.113.0-203.0.113.7"}, false, success, ""},
		{"before the range", []string{"sip", "203.0.113.8-203.0.113.9"}, false, fault.SourceIPMismatch, ""},
		{"after the range", []string{"sip", "203.0.113.1-203.0.113.6"}, false, fault.SourceIPMismatch, ""},
		{"address of six", []string{"sip", "2001:db8::1"}, false, fault.SourceIPMismatch, ""},
		{"range backwards", []string{"sip", "203.0.113.9-203.0.113.1"}, false, fault.AuthenticationFailed, "sip"},
		{"address of no form", []string{"sip", "localhost"}, false, fault.AuthenticationFailed, "sip"},
		{"version of no form", []string{"sv", "2020-2-30"}, false, fault.AuthenticationFailed, "sv is mandatory"},
		{"version too old", []string{"sv", "2013-08-15"}, false, fault.AuthenticationFailed, "sv is mandatory"},
		{"scope in an old version", []string{"sv", "2019-12-12", "ses", "s"}, false, fault.AuthenticationFailed, "ses"},
		{"resource of no kind", []string{"sr", "x"}, false, fault.AuthenticationFailed, "sr is not"},
		{"half a user delegation", []string{"skoid", "x"}, false, fault.AuthenticationFailed, "user delegation SAS has all of"},
		{"user delegation for a user", []string{"sduoid", "x"}, false, fault.AuthenticationFailed, "sduoid needs users"},
		{"signed request headers", []string{"srh", "x"}, false, fault.AuthenticationFailed, "srh needs"},
		{"identifier without policy", []string{"si", "none"}, false, fault.AuthenticationFailed, "does not exist"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := values("sv", "2022-11-02", "sr", "b", "sp", "r", "se", "2026-11-26T00:00:00Z")
			for i := 0; i < len(tt.change); i += 2 {
				if q.Set(tt.change[i], tt.change[i+1]); tt.change[i+1] == "-" {
					q.Del(tt.change[i])
				}
			}
			r := withQuery(t, "/devstoreaccount1/box/b", first.ServiceSAS(q, "box", "b", ""))
			if tt.secure {
				r.TLS = &tls.ConnectionState{}
			}
			_, err := a.Authenticate(wired(t, r), http.Header{})
			if tt.want == success {
				if err != nil {
					t.Fatalf("Authenticate = %v\n%s", err, detail(err))
				}
				return
			}
			if !fault.Is(err, tt.want) || !strings.Contains(detail(err), tt.detail) {
				t.Errorf("Authenticate = %v (%s), want %v (%s)", err, detail(err), tt.want, tt.detail)
			}
		})
	}
}

func TestSASFieldTwice(t *testing.T) {
	a := newAuthenticator(nil)
	q := first.ServiceSAS(values("sv", "2022-11-02", "sr", "b", "sp", "r", "se", "2026-11-26"), "box", "b", "")
	for _, extra := range []string{"&sp=rw", "&SP=rw", "&sig=x", "&se=2030-01-01"} {
		r := request(t, "GET /devstoreaccount1/box/b?"+q.Encode()+extra)
		if _, err := a.Authenticate(wired(t, r), http.Header{}); !fault.Is(err, fault.AuthenticationFailed) {
			t.Errorf("%s: %v, want AuthenticationFailed", extra, err)
		}
	}
}

func TestStoredPolicy(t *testing.T) {
	full := Policy{Start: now.Add(-time.Hour), Expiry: now.Add(time.Hour), Permission: "rl"}
	policies := map[string]Policy{
		"full": full, "empty": {}, "old": {Expiry: now.Add(-time.Minute), Permission: "r"}, "expiry": {Expiry: now.Add(time.Hour)},
	}
	a := newAuthenticator(func(id string) (Policy, error) {
		p, ok := policies[id]
		if !ok {
			return Policy{}, fault.New("test", "", fault.ResourceNotFound, nil)
		}
		return p, nil
	})
	tests := []struct {
		name string
		q    []string
		want fault.Kind
		perm string
	}{
		{"all in the policy", []string{"si", "full"}, success, "rl"},
		{"all in the SAS", []string{"si", "empty", "sp", "rw", "se", "2026-11-26"}, success, "rw"},
		{"half and half", []string{"si", "expiry", "sp", "d"}, success, "d"},
		{"permission in both", []string{"si", "full", "sp", "r"}, fault.AuthenticationFailed, ""},
		{"expiry in both", []string{"si", "full", "se", "2026-11-26"}, fault.AuthenticationFailed, ""},
		{"start in both", []string{"si", "full", "st", "2026-11-24"}, fault.AuthenticationFailed, ""},
		{"permission in neither", []string{"si", "expiry"}, fault.AuthenticationFailed, ""},
		{"expiry in neither", []string{"si", "empty", "sp", "r"}, fault.AuthenticationFailed, ""},
		{"expired", []string{"si", "old"}, fault.AuthenticationFailed, ""},
		{"removed", []string{"si", "gone"}, fault.AuthenticationFailed, ""},
	}
	for _, tt := range tests {
		q := values(append([]string{"sv", "2022-11-02", "sr", "c"}, tt.q...)...)
		c, err := a.Authenticate(wired(t, withQuery(t, "/devstoreaccount1/box/b", first.ServiceSAS(q, "box", "", ""))), http.Header{})
		if tt.want != success {
			if !fault.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil || c.SAS.Permissions != tt.perm {
			t.Errorf("%s: %v (%s), permissions %q", tt.name, err, detail(err), c.SAS.Permissions)
		}
	}
}

func TestTrustProxy(t *testing.T) {
	direct := newAuthenticator(nil)
	behind := New(Options{Keys: direct.o.Keys, Now: direct.o.Now, TrustProxy: true})
	q := first.ServiceSAS(values("sv", "2022-11-02", "sr", "b", "sp", "r", "se", "2026-11-26", "spr", "https", "sip", "198.51.100.4"), "box", "b", "")
	r := withQuery(t, "/devstoreaccount1/box/b", q)
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Forwarded-For", "203.0.113.99, 198.51.100.4")
	if _, err := behind.Authenticate(wired(t, r), http.Header{}); err != nil {
		t.Errorf("behind a proxy: %v", err)
	}
	if _, err := direct.Authenticate(wired(t, r), http.Header{}); !fault.Is(err, fault.ProtocolMismatch) {
		t.Errorf("a client that says it came by https is believed: %v", err)
	}
	r.Header.Add("X-Forwarded-Proto", "http") // a proxy that adds a line to the client's
	if _, err := behind.Authenticate(wired(t, r), http.Header{}); !fault.Is(err, fault.ProtocolMismatch) {
		t.Errorf("the client's line counts, not the proxy's: %v", err)
	}
	r.Header["X-Forwarded-Proto"] = []string{"https"}
	r.Header.Add("X-Forwarded-For", "203.0.113.7")
	if _, err := behind.Authenticate(wired(t, r), http.Header{}); !fault.Is(err, fault.SourceIPMismatch) {
		t.Errorf("the client's address counts, not the proxy's: %v", err)
	}
}

// Whatever comes, a request without a right signature is refused or anonymous.
func FuzzAuthenticate(f *testing.F) {
	f.Add("GET", "/devstoreaccount1/box/b", "sv=2022-11-02&sr=b&sp=r&se=2026-11-26&sig=AAAA", "")
	f.Add("PUT", "/devstoreaccount1/box", "restype=container", "SharedKey devstoreaccount1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Add("GET", "/devstoreaccount1/", "comp=list&comp=%zz", "SharedKeyLite devstoreaccount1:x")
	f.Add("GET", "/devstoreaccount1/box//..%2f", "sv=2099-01-01&ss=b&srt=o&sig=%2B&sip=1-2&spr=&sdd=-1&sr=d", "Bearer x")
	f.Add("HEAD", "//", "sig", " ")
	a := newAuthenticator(nil)
	f.Fuzz(func(t *testing.T, method, path, query, authorization string) {
		u := &url.URL{Path: path, RawQuery: query}
		r := &http.Request{Method: method, URL: u, RequestURI: path + "?" + query, Header: http.Header{}, Host: "127.0.0.1", RemoteAddr: "127.0.0.1:1"}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		r.Header.Set("x-ms-date", now.Format(http.TimeFormat))
		req := wire.NewRequest(r, now)
		var err error
		if req.Query, err = wire.ParseQuery(query); err != nil {
			return
		}
		if req.Target, err = wire.Resolve("blob", r.Host, wire.RawPath(r), func(name.Account) bool { return true }); err != nil {
			return
		}
		c, err := a.Authenticate(req, http.Header{})
		if c != nil && c.Kind != access.Anonymous {
			t.Fatalf("authenticated as %v without a key: %v", c.Kind, err)
		}
	})
}
