package wire

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
)

const (
	bom          = "\ufeff"
	declaration  = `<?xml version="1.0" encoding="utf-8"?>`
	maxDetail    = 1024 // bytes of one detail value in an answer
	errorTime    = "2006-01-02T15:04:05.0000000Z"
	contentXML   = "application/xml"
	maxErrorBody = 16 << 10
)

// keptHeaders are the headers that an error answer keeps of those already set.
var keptHeaders = map[string]bool{
	"server": true, "date": true, "vary": true, "www-authenticate": true, "content-range": true,
	HeaderRequestID: true, HeaderClientRequestID: true, HeaderVersion: true,
	"access-control-allow-origin": true, "access-control-expose-headers": true, "access-control-allow-credentials": true,
}

// secretHeaders are never told back, however wrong they are.
var secretHeaders = []string{"authorization", "x-ms-encryption-key", "x-ms-source-encryption-key", "x-ms-copy-source", "x-ms-copy-source-authorization"}

// Classify turns what can go wrong around a handler, and comes without a kind, into an
// error that has one.
func Classify(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	kind := fault.Internal
	switch {
	case errors.Is(err, context.Canceled):
		kind = fault.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		kind = fault.Timeout
	}
	return fault.New("wire", "", kind, err)
}

// WriteError answers r with err, in XML. It must be called before anything of an answer
// was written.
func WriteError(w *Response, r *Request, err error) {
	err = Classify(err)
	e, _ := errors.AsType[*fault.Error](err)
	entry := Lookup(e.Kind)
	if entry.ContainerCode != "" && r.Target.IsContainerPath() && strings.EqualFold(r.Query.Get("restype"), "container") {
		entry.Code, entry.Message = entry.ContainerCode, entry.ContainerMessage
	}
	w.code = entry.Code
	h := w.Header()
	for name := range h { // a handler may have begun to describe an answer that now does not come
		if !keptHeaders[strings.ToLower(name)] {
			delete(h, name)
		}
	}
	SetHeader(h, HeaderErrorCode, entry.Code)
	if r.Method == http.MethodHead || entry.Status == http.StatusNotModified {
		w.WriteHeader(entry.Status)
		return
	}
	body := errorBody(entry, e.Details, r)
	h.Set("Content-Type", contentXML)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(entry.Status)
	w.Write(body)
}

func errorBody(entry Entry, details []fault.Detail, r *Request) []byte {
	var b bytes.Buffer
	x := NewWriter(&b)
	x.Start("Error")
	x.Elem("Code", entry.Code)
	x.Elem("Message", entry.Message+"\nRequestId:"+r.ID+"\nTime:"+r.Received.UTC().Format(errorTime))
	if !hidesDetails(entry) {
		for _, d := range safeDetails(details) {
			if b.Len()+x.Buffered()+len(d.Value) > maxErrorBody {
				break
			}
			x.Elem(d.Name, d.Value)
		}
	}
	x.End()
	x.Flush() // a bytes.Buffer does not fail
	return b.Bytes()
}

// safeDetails bounds the details and takes out the values of secret headers.
func safeDetails(ds []fault.Detail) []fault.Detail {
	secret := false
	for _, d := range ds {
		for _, s := range secretHeaders {
			secret = secret || d.Name == "HeaderName" && strings.EqualFold(d.Value, s)
		}
	}
	out := make([]fault.Detail, 0, len(ds))
	for _, d := range ds {
		if secret && d.Name == "HeaderValue" {
			continue
		}
		limit := maxDetail
		if d.Name == "AuthenticationErrorDetail" { // has the text that was signed
			limit = 8 * maxDetail
		}
		if len(d.Value) > limit {
			d.Value = d.Value[:limit]
		}
		out = append(out, d)
	}
	return out
}

// SetCommon sets the headers that every answer has.
func SetCommon(w http.ResponseWriter, r *Request, server string) {
	h := w.Header()
	h.Set("Server", server)
	h.Set("Date", r.Received.UTC().Format(http.TimeFormat))
	SetHeader(h, HeaderRequestID, r.ID)
	if r.ClientRequestID != "" {
		SetHeader(h, HeaderClientRequestID, r.ClientRequestID)
	}
	if r.Version != "" {
		SetHeader(h, HeaderVersion, string(r.Version))
	}
}

// SetHeader sets a header in the spelling given. net/http would write "X-Ms-Version" and
// "Etag"; case does not matter to a client that follows the rules, but not all do.
func SetHeader(h http.Header, name, value string) {
	if c := Canonical(name); c != name {
		delete(h, c)
	}
	h[name] = []string{value}
}

// Time formats t as headers and lists do.
func Time(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// ISOTime formats t as XML bodies of the protocol do, with seven fractional digits; the
// zero time is "".
func ISOTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(errorTime)
}

// isoLayouts are the forms that the protocol takes: a day, minutes, seconds, and, as Go
// reads fractions that a layout does not name, parts of a second.
var isoLayouts = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", time.DateOnly}

// ParseISOTime reads a time in any of the forms; "" is the zero time.
func ParseISOTime(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, true
	}
	for _, l := range isoLayouts {
		if t, err := time.Parse(l, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
