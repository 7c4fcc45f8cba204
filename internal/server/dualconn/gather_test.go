package dualconn

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// counted counts the writes to sockets.
type counted struct {
	net.Listener
	writes *atomic.Int64
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{c, l.writes}, nil
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// noise is n bytes that differ everywhere.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// TestLongWritesAreWhole answers with pieces of every size over TLS. Nothing of a piece
// may be held back when its Write has returned: the client takes each before the server
// writes the next. A second request goes over the same connection.
func TestLongWritesAreWhole(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var writes atomic.Int64
		sizes := []int{1, 100, gather - 1, gather, gather + 1, 2 * gather, 256 << 10, 1<<20 + 7, 3}
		content := noise(2 << 20)
		next := make(chan struct{})
		addr, client := start(t, func(w http.ResponseWriter, r *http.Request) {
			ctl, rest := http.NewResponseController(w), content
			for _, n := range sizes {
				w.Write(rest[:n])
				ctl.Flush()
				rest = rest[n:]
				<-next
			}
		}, func(l net.Listener) net.Listener { return counted{l, &writes} })
		tr := client.Transport.(*http.Transport)
		tr.TLSClientConfig.MaxVersion = version
		conns := 0
		for range 2 {
			before := writes.Load()
			resp, err := client.Get("https://" + addr + "/")
			if err != nil {
				t.Fatal(err)
			}
			if resp.TLS.Version != version {
				t.Fatalf("TLS version %x, want %x", resp.TLS.Version, version)
			}
			rest, records := content, 0
			for _, n := range sizes {
				got := make([]byte, n)
				if _, err := io.ReadFull(resp.Body, got); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, rest[:n]) {
					t.Fatalf("other bytes in the piece of %d", n)
				}
				rest, records = rest[n:], records+n>>14
				next <- struct{}{}
			}
			if k, err := resp.Body.Read(make([]byte, 1)); k != 0 || err != io.EOF {
				t.Fatalf("after the last piece: %d bytes, %v", k, err)
			}
			resp.Body.Close()
			if k := writes.Load() - before; conns == 1 && k > int64(records)*3/4 {
				t.Errorf("%d writes to the socket for over %d records", k, records)
			}
			conns++
		}
	}
}

// TestLongWriteIsCutOff panics after long writes: the client sees a prefix and an error.
func TestLongWriteIsCutOff(t *testing.T) {
	content := noise(1 << 20)
	addr, client := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2000000")
		w.Write(content[:300_000])
		w.Write(content[300_000:])
		panic(http.ErrAbortHandler)
	})
	resp, err := client.Get("https://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes (as written: %v), %v", len(got), bytes.HasPrefix(content, got), err)
	}
}

// TestLongWriteMeetsItsDeadline writes to a client that does not read.
func TestLongWriteMeetsItsDeadline(t *testing.T) {
	done := make(chan error, 1)
	addr, client := start(t, func(w http.ResponseWriter, r *http.Request) {
		ctl, b := http.NewResponseController(w), noise(256<<10)
		ctl.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			if n, err := w.Write(b); err != nil {
				if n == len(b) {
					t.Errorf("all %d bytes were written, and %v", n, err)
				}
				done <- err
				return
			}
		}
	})
	c, err := tls.Dial("tcp", addr, client.Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := bufio.NewReaderSize(c, 16).ReadByte(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Write did not return")
	}
}

// breaking is a socket that takes some bytes and then fails.
type breaking struct {
	net.Conn
	left int
	got  int
	err  error
}

func (b *breaking) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.got += n
	if n < len(p) {
		err := b.err
		b.left = 1 << 30 // whoever comes later is served
		return n, err
	}
	return n, nil
}

// TestNothingFollowsACutRecord lets the socket fail in every part of a long write and
// then recover: what would follow is refused.
func TestNothingFollowsACutRecord(t *testing.T) {
	record := noise(16<<10 + 22)
	for left := 0; left < 5*len(record); left += 7_001 {
		s := &breaking{left: left, err: io.ErrShortWrite}
		b := &below{Conn: s}
		n, err := b.gathered(func() (n int, err error) {
			for range 5 {
				k, err := b.Write(record)
				if n += k; err != nil {
					return n, err
				}
			}
			return n, nil
		})
		if err != io.ErrShortWrite || n > left {
			t.Errorf("socket failed at %d: n = %d, %v", left, n, err)
		}
		if k, err := b.Write(record); k != 0 || err != io.ErrShortWrite || s.got != left {
			t.Errorf("socket failed at %d: after that %d bytes, %v; it got %d", left, k, err, s.got)
		}
	}
}
