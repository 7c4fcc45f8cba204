// Package dualconn lets one port take plain HTTP and TLS, and notes how the names of
// metadata headers were spelled.
//
// A connection decides at its first read, in its own goroutine and never in Accept:
// 0x16 (a TLS handshake record) begins TLS, everything else is HTTP. Above that, bytes of
// request heads are looked at while they pass; bytes of bodies pass untouched into the
// caller's buffer. What is noted is a hint for spelling only: the HTTP parser above
// decides what the request is, and where both disagree the hint is dropped.
package dualconn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// tlsHandshakeRecord is the first byte of every TLS connection (RFC 8446, 5.1).
const tlsHandshakeRecord = 0x16

// Listener wraps every accepted connection in a Conn.
type Listener struct {
	net.Listener
	TLS     *tls.Config   // nil refuses TLS
	Timeout time.Duration // for the first byte and the handshake; 0 is 30 s
}

// Accept never waits for bytes of a connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	timeout := l.Timeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	return &Conn{Conn: c, tlsConfig: l.TLS, timeout: timeout}, nil
}

// Conn is one connection of either kind. It carries net/http's contract: one reader,
// one writer, and deadlines and Close from anywhere.
type Conn struct {
	net.Conn  // the socket: addresses, deadlines, Close
	tlsConfig *tls.Config
	timeout   time.Duration

	once    sync.Once
	decided atomic.Bool // err, tls and pending are set
	err     error       // of the decision, sticky
	tls     *tls.Conn   // nil on plain HTTP
	below   *below      // what tls writes to
	pending []byte      // first byte, not yet read by the caller (plain HTTP)

	sniff sniffer
}

// ConnectionState decides and, for TLS, shakes hands. net/http calls it before its
// first read and keeps the answer for Request.TLS. Plain connections answer with the
// zero state; see Plain.
func (c *Conn) ConnectionState() tls.ConnectionState {
	if c.decide() != nil || c.tls == nil {
		return tls.ConnectionState{}
	}
	return c.tls.ConnectionState()
}

// Plain reports whether the connection is plain HTTP. It is known after the first read.
func (c *Conn) Plain() bool { return c.tls == nil }

func (c *Conn) decide() error {
	c.once.Do(func() {
		c.err = c.decideOnce()
		c.decided.Store(true)
	})
	return c.err
}

func (c *Conn) decideOnce() error {
	deadline := time.Now().Add(c.timeout)
	if err := c.Conn.SetDeadline(deadline); err != nil {
		return err
	}
	var first [1]byte
	if _, err := readFull(c.Conn, first[:]); err != nil {
		return err
	}
	if first[0] != tlsHandshakeRecord {
		c.pending = first[:]
		return c.Conn.SetDeadline(time.Time{})
	}
	if c.tlsConfig == nil {
		return errors.New("dualconn: TLS is not served here")
	}
	c.below = &below{Conn: c.Conn, prefix: first[:]}
	t := tls.Server(c.below, c.tlsConfig)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.tls = t
	return c.Conn.SetDeadline(time.Time{})
}

// Read reads plaintext and looks at request heads while they pass.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.decide(); err != nil {
		return 0, err
	}
	n, err := c.read(p)
	if n > 0 {
		c.sniff.feed(p[:n])
	}
	return n, err
}

func (c *Conn) read(p []byte) (int, error) {
	if c.tls != nil {
		return c.tls.Read(p)
	}
	if len(c.pending) > 0 && len(p) > 0 {
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// Write writes plaintext.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.decide(); err != nil {
		return 0, err
	}
	if c.tls != nil {
		if len(p) < gather { // one record or two: little to gather
			return c.tls.Write(p)
		}
		return c.below.gathered(func() (int, error) { return c.tls.Write(p) })
	}
	return c.Conn.Write(p)
}

// Close tells a TLS peer (within a bounded time) and closes the socket.
func (c *Conn) Close() error {
	// A decision may still wait for bytes in another goroutine. Closing the socket
	// ends it; only a decided connection has a TLS layer to say goodbye with.
	if c.decided.Load() && c.tls != nil {
		return c.tls.Close()
	}
	return c.Conn.Close()
}

// CloseWrite half-closes, which net/http does before it drops a refused upload, so
// that the client sees the answer.
func (c *Conn) CloseWrite() error {
	if !c.decided.Load() {
		return c.Conn.Close()
	}
	if c.tls != nil {
		return c.tls.CloseWrite()
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func readFull(c net.Conn, b []byte) (int, error) {
	for {
		n, err := c.Read(b)
		if n > 0 || err != nil {
			return n, err
		}
	}
}

type connKey struct{}

// ConnContext is for http.Server.ConnContext: it makes the connection known to Names.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if dc, ok := c.(*Conn); ok {
		return context.WithValue(ctx, connKey{}, dc)
	}
	return ctx
}

// Names takes the noted header names of the request r: names of x-ms-meta-* headers as
// they were spelled, in order of arrival. It is called once a request, by the outermost
// handler, in the order in which requests arrive; nil when nothing is known.
//
// It also sets r.TLS to nil on plain connections, where net/http puts a zero state.
func Names(r *http.Request) []string {
	c, ok := r.Context().Value(connKey{}).(*Conn)
	if !ok {
		return nil
	}
	if c.Plain() {
		r.TLS = nil
	}
	return c.sniff.take(r.Method, r.RequestURI)
}
