package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func issuer(t *testing.T, clock func() time.Time, domains ...string) *Issuer {
	t.Helper()
	a, err := NewAuthority("test", now)
	if err != nil {
		t.Fatal(err)
	}
	hostStyle := func(n string) bool { return strings.HasPrefix(n, "known.blob.") }
	i, err := NewIssuer(a, domains, hostStyle, clock)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

type at struct {
	net.Conn
	ip string
}

func (a at) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(a.ip), Port: 1} }

func TestWhichNamesAreSigned(t *testing.T) {
	i := issuer(t, func() time.Time { return now }, "store.example", "*.Wild.Example.")
	roots := x509.NewCertPool()
	roots.AddCert(i.authority.Certificate)
	tests := []struct {
		sni, local, verify string
		want               bool
	}{
		{"known.blob.core.windows.net", "127.0.0.1", "known.blob.core.windows.net", true},
		{"KNOWN.blob.core.windows.net", "127.0.0.1", "known.blob.core.windows.net", true},
		{"other.blob.core.windows.net", "127.0.0.1", "other.blob.core.windows.net", false},
		{"localhost", "127.0.0.1", "localhost", true},
		{"a.localhost", "127.0.0.1", "a.localhost", true},
		{"store.example", "127.0.0.1", "store.example", true},
		{"x.store.example", "127.0.0.1", "x.store.example", true},
		{"xstore.example", "127.0.0.1", "xstore.example", false},
		{"a.wild.example", "127.0.0.1", "a.wild.example", true},
		{"bank.example", "127.0.0.1", "bank.example", false},
		{"", "127.0.0.1", "127.0.0.1", true},
		{"", "10.1.2.3", "10.1.2.3", true},
		{"", "10.1.2.3", "127.0.0.1", true},
		{"", "10.1.2.3", "10.1.2.4", false},
		{"", "fd00::7", "fd00::7", true},
	}
	for _, tt := range tests {
		c, err := i.GetCertificate(&tls.ClientHelloInfo{ServerName: tt.sni, Conn: at{ip: tt.local}})
		if err != nil {
			t.Fatalf("GetCertificate(%q): %v", tt.sni, err)
		}
		_, err = c.Leaf.Verify(x509.VerifyOptions{DNSName: tt.verify, Roots: roots, CurrentTime: now})
		if (err == nil) != tt.want {
			t.Errorf("SNI %q at %s verifies as %q: %v, want %v", tt.sni, tt.local, tt.verify, err, tt.want)
		}
	}
}

func TestCacheIsBoundedAndRenews(t *testing.T) {
	clock := now
	i := issuer(t, func() time.Time { return clock }, "d.example")
	get := func(sni string) *tls.Certificate {
		t.Helper()
		c, err := i.GetCertificate(&tls.ClientHelloInfo{ServerName: sni, Conn: at{ip: "127.0.0.1"}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := get("a.d.example")
	if get("a.d.example") != first {
		t.Error("the second handshake signed again")
	}
	clock = now.Add(leafLife - leafLife/3 + time.Hour)
	if get("a.d.example") == first {
		t.Error("an old certificate was not renewed")
	}
	for n := range maxCached + 50 {
		get(fmt.Sprintf("h%d.d.example", n))
	}
	if len(i.certs) > maxCached || len(i.order) != len(i.certs) {
		t.Errorf("cache holds %d certificates in %d places, want at most %d", len(i.certs), len(i.order), maxCached)
	}
}

func TestAuthorityRoundTrip(t *testing.T) {
	a, err := NewAuthority("round", now)
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.KeyDER()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseAuthority(a.PEM(), der)
	if err != nil {
		t.Fatal(err)
	}
	if !b.Certificate.Equal(a.Certificate) {
		t.Error("the certificate changed")
	}
	other, err := NewAuthority("other", now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseAuthority(other.PEM(), der); err == nil {
		t.Error("ParseAuthority took a key of another certificate")
	}
}
