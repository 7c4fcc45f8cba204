package dualconn

import (
	"net"
	"sync"
)

// maxRecord is the longest record that crypto/tls writes: 16 KiB, its head, a tag, an
// explicit nonce or the type of its content.
const maxRecord = 16<<10 + 64

// gather is how many bytes of records go to the socket at once: two records. crypto/tls
// writes each alone; two halve the system calls and cost a long answer 2 to 4 % less of
// the server's CPU. Four or more gain less or nothing: the kernel then copies what has
// left the first cache of the processor.
const gather = 2 * maxRecord

var gatherPool = sync.Pool{New: func() any { return new([gather]byte) }}

// below is the socket as TLS sees it. What was read already comes first; and while a long
// write passes, records are gathered.
type below struct {
	net.Conn
	prefix []byte

	mu   sync.Mutex    // a read too may have to send: an alert, or a new key
	held *[gather]byte // nil: what is written goes out at once
	n    int           // bytes held
	err  error         // of the socket; a record that was cut must be the last
}

func (b *below) Read(p []byte) (int, error) {
	if len(b.prefix) > 0 && len(p) > 0 {
		n := copy(p, b.prefix)
		b.prefix = b.prefix[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

func (b *below) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil && b.err == nil {
		return b.Conn.Write(p)
	}
	if b.n+len(p) > gather {
		b.flush()
	}
	if b.err != nil {
		return 0, b.err
	}
	if len(p) > gather { // no record is, but a handshake may be
		n, err := b.Conn.Write(p)
		b.err = err
		return n, err
	}
	b.n += copy(b.held[b.n:], p)
	return len(p), nil
}

// flush sends what is held. The caller holds mu.
func (b *below) flush() {
	if b.err == nil && b.n > 0 {
		_, b.err = b.Conn.Write(b.held[:b.n])
	}
	b.n = 0
}

// gathered calls write, which writes to b in this goroutine, and returns after everything
// that was written went out, or with the socket's error.
func (b *below) gathered(write func() (int, error)) (n int, err error) {
	b.mu.Lock()
	b.held = gatherPool.Get().(*[gather]byte)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.flush()
		gatherPool.Put(b.held)
		b.held = nil
		if b.err != nil { // less than n went out, for so much may have been held
			n = max(0, n-gather)
			if err == nil {
				err = b.err
			}
		}
	}()
	return write()
}
