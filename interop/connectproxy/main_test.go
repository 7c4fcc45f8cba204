package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestLookup(t *testing.T) {
	var r routes
	for _, s := range []string{"*.blob.core.windows.net:443=127.0.0.1:1", "one.example:443=127.0.0.1:2"} {
		if err := r.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		host, want string
		ok         bool
	}{
		{"acct.blob.core.windows.net:443", "127.0.0.1:1", true},
		{"ACCT.Blob.Core.Windows.Net:443", "127.0.0.1:1", true},
		{"one.example:443", "127.0.0.1:2", true},
		{"acct.blob.core.windows.net:80", "", false},
		{"blob.core.windows.net:443", "", false},
		{"other.example:443", "", false},
	}
	for _, tt := range tests {
		if got, ok := r.lookup(tt.host); got != tt.want || ok != tt.ok {
			t.Errorf("lookup(%q) = %q, %v, want %q, %v", tt.host, got, ok, tt.want, tt.ok)
		}
	}
}

func TestSetRefuses(t *testing.T) {
	for _, s := range []string{"", "a", "=b", "a=", "[=b"} {
		var r routes
		if err := r.Set(s); err == nil {
			t.Errorf("Set(%q) was accepted", s)
		}
	}
}

// A TLS client behind the proxy reaches the mapped server under a name that no
// resolver knows; an unmapped name is refused by the proxy itself.
func TestTunnel(t *testing.T) {
	back := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "host "+r.Host)
	}))
	defer back.Close()
	var r routes
	if err := r.Set("*.example.com:443=" + back.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(r)
	defer proxy.Close()
	pu, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	cl := back.Client()
	tr := cl.Transport.(*http.Transport)
	tr.Proxy = http.ProxyURL(pu)
	defer tr.CloseIdleConnections()
	resp, err := cl.Get("https://acct.example.com/x") // the test server's certificate is for example.com and its subdomains
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := "host acct.example.com"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := cl.Get("https://elsewhere.invalid/"); err == nil {
		t.Error("an unmapped name was served")
	}
}
