package dualconn

import (
	"bytes"
	"strconv"
	"sync"
)

const (
	metaPrefix = "x-ms-meta-"
	maxLine    = 16 << 10 // bytes of one line that are kept: enough for a request line; the rest is skipped
	maxNames   = 1 << 10  // names of one request
	maxHeads   = 64       // heads noted and not yet taken: pipelining within one read buffer
)

// head is what is noted of one request.
type head struct {
	method, uri string
	names       []string
}

type state uint8

const (
	inHead      state = iota // lines up to the blank one
	inBody                   // skip bytes, then the next head
	inChunkSize              // line with the size of a chunk
	inChunk                  // skip bytes of a chunk and its CRLF
	inTrailer                // lines up to the blank one
	lost                     // not HTTP/1 as we know it: nothing is noted any more
)

// sniffer follows the framing of HTTP/1.1 requests just far enough to know where heads
// begin. It never fails: when the bytes make no sense it stops noting.
type sniffer struct {
	// Used by the reading goroutine only.
	state  state
	skip   int64 // bytes left in inBody and inChunk
	line   []byte
	first  bool // the request line was seen
	cur    head
	length int64
	chunks bool

	mu    sync.Mutex
	heads []head // noted, not yet taken
}

// feed looks at bytes that were read. Bytes of bodies are counted, not looked at.
func (s *sniffer) feed(p []byte) {
	for len(p) > 0 {
		switch s.state {
		case lost:
			return
		case inBody, inChunk:
			n := min(s.skip, int64(len(p)))
			s.skip -= n
			p = p[n:]
			if s.skip == 0 {
				if s.state == inBody {
					s.state = inHead
				} else {
					s.state = inChunkSize
				}
			}
		default:
			i := bytes.IndexByte(p, '\n')
			if i < 0 {
				s.keep(p)
				return
			}
			s.keep(p[:i])
			p = p[i+1:]
			s.endLine(bytes.TrimSuffix(s.line, []byte("\r")))
			s.line = s.line[:0]
		}
	}
}

func (s *sniffer) keep(p []byte) {
	if room := maxLine - len(s.line); len(p) > room {
		p = p[:room]
	}
	s.line = append(s.line, p...)
}

func (s *sniffer) endLine(line []byte) {
	switch s.state {
	case inHead:
		s.headLine(line)
	case inChunkSize:
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 63)
		switch {
		case err != nil || n < 0 || n > 1<<62:
			s.state = lost
		case n == 0:
			s.state = inTrailer
		default:
			s.state, s.skip = inChunk, n+2
		}
	case inTrailer:
		if len(line) == 0 {
			s.state = inHead
		}
	}
}

func (s *sniffer) headLine(line []byte) {
	if len(line) == 0 {
		if s.first { // else an empty line before a request, which is allowed
			s.endHead()
		}
		return
	}
	if !s.first {
		method, rest, _ := bytes.Cut(line, []byte(" "))
		uri, _, _ := bytes.Cut(rest, []byte(" "))
		s.first, s.cur = true, head{method: string(method), uri: string(uri)}
		return
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return
	}
	switch {
	case len(name) > len(metaPrefix) && bytes.EqualFold(name[:len(metaPrefix)], []byte(metaPrefix)):
		if len(s.cur.names) < maxNames {
			s.cur.names = append(s.cur.names, string(name))
		}
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil || n < 0 {
			s.state = lost
			return
		}
		s.length = n
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		s.chunks = true
	}
}

func (s *sniffer) endHead() {
	switch {
	case s.chunks:
		s.state = inChunkSize
	case s.length > 0:
		s.state, s.skip = inBody, s.length
	}
	s.mu.Lock()
	if len(s.heads) == maxHeads {
		s.heads = append(s.heads[:0], s.heads[1:]...)
	}
	s.heads = append(s.heads, s.cur)
	s.mu.Unlock()
	s.first, s.cur, s.length, s.chunks = false, head{}, 0, false
}

// take removes the oldest head with this request line, and every head before it.
func (s *sniffer) take(method, uri string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.heads {
		if h.method == method && h.uri == uri {
			s.heads = append(s.heads[:0], s.heads[i+1:]...)
			return h.names
		}
	}
	return nil
}
