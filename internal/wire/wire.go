// Package wire is what all storage endpoints share at the edge: who is asked (Target), in
// which version of the protocol, how an answer is written, and how an error looks.
//
//	request line, headers          ->  Request   (target, query, version, metadata names)
//	any error of the domain        ->  Entry     (status, code, text: one table)
//	body in, body out              ->  Body, Response (counted, watched for stalling)
//	XML in, XML out                ->  Decoder, Writer (bounded; in the service's spelling)
//	the request when it is over    ->  Observation (one log line, one set of metrics)
//
// The path is matched as it was sent, and never cleaned: "/a/b//c/../d" names the blob
// "/c/../d" of container b, or c's parent, of nobody. Routes live in packages such as
// blobhttp, authentication in package auth, behaviour in the services. The package holds
// no business rule.
package wire

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/audit"
)

// Names of headers that every operation knows.
const (
	HeaderRequestID       = "x-ms-request-id"
	HeaderClientRequestID = "x-ms-client-request-id"
	HeaderVersion         = "x-ms-version"
	HeaderErrorCode       = "x-ms-error-code"
)

// maxClientRequestID is the protocol's limit of the id that clients give.
const maxClientRequestID = 1024

// Request is one request of the protocol, taken apart.
type Request struct {
	*http.Request
	ID              string // ours; x-ms-request-id
	ClientRequestID string // theirs, echoed; empty if it may not be
	Received        time.Time
	Target          Target
	Query           Query
	Version         Version
	Operation       string // name in the route table, once it is known
	Caller          *access.Caller
	Key             Key // that protects what was read or written, once it is known

	body     *Body
	withheld http.Header
	ctx      context.Context // names r as who asks
}

// Key names a version of a key, for logs.
type Key struct {
	Name    string // kind and id of the protector
	Ref     string // random reference of the version
	Version uint64 // 0: not known
}

// NewRequest starts the request that r carries. It has an id from here on, so that every
// error that follows can be found again.
func NewRequest(r *http.Request, now time.Time) *Request {
	req := &Request{Request: r, ID: newID(), Received: now, Caller: &access.Caller{}}
	req.ctx = audit.WithAsker(r.Context(), req)
	if id := r.Header.Get(HeaderClientRequestID); len(id) <= maxClientRequestID && printableASCII(id) {
		req.ClientRequestID = id
	}
	return req
}

// Context is that of the HTTP request; what is done with it the audit trail has as the act
// of the caller.
func (r *Request) Context() context.Context { return r.ctx }

// Origin implements audit.Asker. Until the caller is authenticated it is nobody.
func (r *Request) Origin() audit.Origin {
	return audit.Origin{Actor: r.Caller.Actor(), RequestID: r.ID}
}

// newID makes a request id in the usual form.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var s [36]byte
	at := 0
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			s[at] = '-'
			at++
		}
		hex.Encode(s[at:], b[:n])
		copy(b[:], b[n:])
		at += 2 * n
	}
	return string(s[:])
}

func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Header1 returns the value of a header that may be there once, without blanks around it.
func (r *Request) Header1(name string) string {
	if vs := r.Header[Canonical(name)]; len(vs) > 0 {
		return strings.TrimSpace(vs[0])
	}
	return ""
}

// Has reports whether the header was sent at all, be it empty.
func (r *Request) Has(name string) bool {
	_, ok := r.Header[Canonical(name)]
	return ok
}
