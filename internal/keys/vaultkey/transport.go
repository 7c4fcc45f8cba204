package vaultkey

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// maxAnswer is the longest answer that is read.
const maxAnswer = 64 << 10

var (
	errRedirect = errors.New("the vault answers with a redirect")
	errLarge    = errors.New("the answer of the vault is longer than 64 KiB")
	errAddress  = errors.New("the address of the vault is not a public one")
)

// transporter is one HTTP exchange for the client: what it gets is bounded, and never
// from somewhere else than it asked.
type transporter struct{ rt http.RoundTripper }

// Do implements policy.Transporter.
func (t transporter) Do(r *http.Request) (*http.Response, error) {
	resp, err := t.rt.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		resp.Body.Close()
		return nil, errRedirect
	}
	if resp.ContentLength > maxAnswer {
		resp.Body.Close()
		return nil, errLarge
	}
	resp.Body = &bounded{resp.Body, maxAnswer}
	return resp, nil
}

// bounded fails a body that is too long.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errLarge
	}
	return n, err
}

// TransportOptions make a transport.
type TransportOptions struct {
	Roots *x509.CertPool // nil: the system's
	// Own are suffixes of vaults of ours, and Dial how to reach them.
	Own  []string
	Dial func(ctx context.Context, host string) (net.Conn, error)
}

// NewTransport makes a transport that connects to public addresses, and to our own
// vaults as it is told. It knows no proxy: a proxy would dial for us.
func NewTransport(o TransportOptions) *http.Transport {
	d := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second, Control: publicOnly}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			for _, s := range o.Own {
				if o.Dial != nil && strings.HasSuffix(strings.ToLower(host), "."+s) {
					return o.Dial(ctx, host)
				}
			}
			return d.DialContext(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  10 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        8,
		MaxResponseHeaderBytes: maxAnswer,
		ForceAttemptHTTP2:      true,
	}
}

// publicOnly refuses to connect to addresses that only this machine or its network has.
// It sees the address that is dialled, after the name was resolved.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !public(ap.Addr().Unmap()) {
		return errAddress
	}
	return nil
}

// special are ranges that no vault is in, beside those that package netip knows.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT, cloud metadata
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), // IPv4 behind NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4
}

func public(a netip.Addr) bool {
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.Zone() != "" {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
