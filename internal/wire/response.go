package wire

import (
	"net/http"
	"time"
)

// Response writes an answer, remembers what it was, and gives up on a receiver that
// stalls.
type Response struct {
	http.ResponseWriter
	ctl    *http.ResponseController
	status int
	code   string
	bytes  int64
	window int64 // bytes until the deadline moves
}

// NewResponse wraps w.
func NewResponse(w http.ResponseWriter) *Response {
	return &Response{ResponseWriter: w, ctl: http.NewResponseController(w)}
}

// Unwrap is for http.ResponseController.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *Response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *Response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	total := 0
	for len(p) > 0 {
		part := p[:min(len(p), 4*stallBytes)] // no single write may take longer than it has
		if w.window <= 0 {
			w.ctl.SetWriteDeadline(time.Now().Add(4 * stallTime)) // tests without a connection have none
			w.window = stallBytes
		}
		n, err := w.ResponseWriter.Write(part)
		total += n
		w.bytes += int64(n)
		w.window -= int64(n)
		if err != nil {
			return total, broken("wire.Response", err)
		}
		p = p[n:]
	}
	return total, nil
}

// Finish ends the handler's use of the answer. What is still buffered gets as long as any
// other part; the deadline ends with the request.
func (w *Response) Finish() { w.ctl.SetWriteDeadline(time.Now().Add(stallTime)) }

// Started reports whether a status line was written.
func (w *Response) Started() bool { return w.status != 0 }

// Status returns the status, 200 if none was written yet.
func (w *Response) Status() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// Code returns the error code of the answer, or "".
func (w *Response) Code() string { return w.code }

// BytesOut returns how many bytes of body were written.
func (w *Response) BytesOut() int64 { return w.bytes }
