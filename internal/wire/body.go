package wire

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
)

// A transfer is cut off when it moves less than stallBytes in stallTime. There is no
// limit on its total time.
const (
	stallBytes = 64 << 10
	stallTime  = 60 * time.Second
)

// Body reads the body of a request: exactly its Content-Length, or an error that says
// why not. It counts, and gives up on a sender that stalls.
type Body struct {
	r        io.ReadCloser
	ctl      *http.ResponseController
	left     int64 // still to come
	read     int64
	window   int64 // bytes until the deadline moves
	deadline bool
	stall    time.Duration
}

// NewBody watches the body of r, whose answer goes to w. Nothing is read yet: a client
// that waits for "100 Continue" sends nothing before the first Read.
func NewBody(w http.ResponseWriter, r *http.Request) *Body {
	return &Body{r: r.Body, ctl: http.NewResponseController(w), left: max(r.ContentLength, 0), stall: stallTime}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.Release()
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if b.window <= 0 {
		// A connection that cannot have deadlines, as in tests, goes without.
		b.deadline = b.ctl.SetReadDeadline(time.Now().Add(b.stall)) == nil
		b.window = stallBytes
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	b.read += int64(n)
	b.window -= int64(n)
	switch {
	case b.left == 0:
		b.Release()
		return n, nil
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return n, fault.New("wire.Body", "", fault.ContentLengthMismatch, io.ErrUnexpectedEOF)
	}
	return n, broken("wire.Body", err)
}

// broken is the error for a connection that the other side broke off or let stall.
func broken(op string, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fault.New(op, "", fault.Timeout, err)
	}
	return fault.New(op, "", fault.Canceled, err)
}

// Release takes the deadline off the connection, which has other requests to serve.
func (b *Body) Release() {
	if b.deadline {
		b.ctl.SetReadDeadline(time.Time{})
		b.deadline = false
	}
	b.window = 0
}

// Finish ends the handler's use of the body. What is left of it the server reads and
// drops before the next request, and a sender may not stall there either; the deadline
// ends with the request.
func (b *Body) Finish() {
	if b.left == 0 {
		b.Release()
		return
	}
	b.ctl.SetReadDeadline(time.Now().Add(b.stall))
}

// Count returns how many bytes were read.
func (b *Body) Count() int64 { return b.read }

// SetBody gives the request its watched body.
func (r *Request) SetBody(b *Body) { r.body = b }

// Content returns the body, watched and bounded by Content-Length.
func (r *Request) Content() io.Reader { return r.body }

// BytesIn returns how much of the body was read.
func (r *Request) BytesIn() int64 {
	if r.body == nil {
		return 0
	}
	return r.body.Count()
}
