package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const maxCached = 256 // certificates kept; the oldest goes

// Issuer answers TLS handshakes with certificates made on the fly.
type Issuer struct {
	authority *Authority
	domains   []string
	hostStyle func(name string) bool
	now       func() time.Time
	key       *ecdsa.PrivateKey // of all leaves, lives with the process
	hostname  string

	mu    sync.Mutex
	certs map[string]*tls.Certificate
	order []string // keys of certs, oldest first
}

// NewIssuer makes an issuer for localhost, the machine's own name, names below domains
// and names for which hostStyle says yes.
func NewIssuer(a *Authority, domains []string, hostStyle func(string) bool, now func() time.Time) (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	i := &Issuer{authority: a, hostStyle: hostStyle, now: now, key: key, certs: map[string]*tls.Certificate{}}
	for _, d := range domains {
		i.domains = append(i.domains, normal(strings.TrimPrefix(d, "*.")))
	}
	if h, err := os.Hostname(); err == nil {
		i.hostname = normal(h)
	}
	return i, nil
}

// GetCertificate is for tls.Config. A name that is not served gets the certificate of
// the local address: the client then reports a name that does not match, which says
// more than a broken handshake.
func (i *Issuer) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if sni := normal(hello.ServerName); sni != "" && i.Serves(sni) {
		return i.certificate(names{dns: []string{sni}})
	}
	return i.certificate(i.local(hello.Conn))
}

// Serves reports whether a certificate may be made for the name.
func (i *Issuer) Serves(name string) bool {
	if len(name) > 253 || strings.ContainsAny(name, "*\x00 /\\") {
		return false
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || name == i.hostname {
		return true
	}
	for _, d := range i.domains {
		if name == d || strings.HasSuffix(name, "."+d) {
			return true
		}
	}
	return i.hostStyle != nil && i.hostStyle(name)
}

// local names the address that was dialled, and loopback beside it: a forwarded port
// (containers) is dialled as loopback and arrives at another address.
func (i *Issuer) local(c net.Conn) names {
	n := names{dns: []string{"localhost"}, ips: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	if i.hostname != "" && i.hostname != "localhost" {
		n.dns = append(n.dns, i.hostname)
	}
	if c == nil {
		return n
	}
	if tcp, ok := c.LocalAddr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		n.ips = append(n.ips, tcp.IP)
	}
	return n
}

func (i *Issuer) certificate(n names) (*tls.Certificate, error) {
	k, now := n.key(), i.now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if c := i.certs[k]; c != nil && now.Before(c.Leaf.NotAfter.Add(-leafLife/3)) {
		return c, nil
	}
	leaf, err := i.authority.sign(n, &i.key.PublicKey, now)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: i.key, Leaf: leaf}
	if i.certs[k] == nil {
		i.order = append(i.order, k)
	}
	i.certs[k] = c
	if len(i.order) > maxCached {
		delete(i.certs, i.order[0])
		i.order = append(i.order[:0], i.order[1:]...)
	}
	return c, nil
}

// names is what one certificate is for.
type names struct {
	dns []string
	ips []net.IP
}

func (n names) common() string {
	if len(n.dns) > 0 && len(n.dns[0]) <= 64 { // the limit of a common name
		return n.dns[0]
	}
	return "coffer"
}

func (n names) key() string {
	var b strings.Builder
	for _, d := range n.dns {
		b.WriteString(d + "\x00")
	}
	for _, ip := range n.ips {
		b.WriteString(ip.String() + "\x00")
	}
	return b.String()
}

func normal(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
