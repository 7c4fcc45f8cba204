package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
)

var testTime = time.Date(2026, 11, 25, 12, 0, 0, 123456700, time.UTC)

// Every kind has an entry, and every entry is one that a client can be sent.
func TestTableIsComplete(t *testing.T) {
	code := regexp.MustCompile(`^[A-Z][A-Za-z0-9]+$`)
	for k := range fault.KindCount {
		e := table[k]
		if e.Status == 0 {
			t.Errorf("%v has no entry", k)
			continue
		}
		if e.Status != http.StatusNotModified && (e.Status < 400 || e.Status > 599) || http.StatusText(e.Status) == "" {
			t.Errorf("%v has status %d", k, e.Status)
		}
		if !code.MatchString(e.Code) {
			t.Errorf("%v has code %q", k, e.Code)
		}
		if !strings.HasSuffix(e.Message, ".") || strings.TrimSpace(e.Message) != e.Message {
			t.Errorf("%v has message %q", k, e.Message)
		}
		if (e.ContainerCode == "") != (e.ContainerMessage == "") {
			t.Errorf("%v has half a container entry", k)
		}
	}
	for _, k := range []fault.Kind{fault.KindCount, fault.KindCount + 1, 1 << 15} {
		if got := Lookup(k); got != table[fault.Internal] {
			t.Errorf("Lookup(%d) = %+v, want the internal error", k, got)
		}
	}
}

// Codes with one meaning have one status and one text.
func TestTableAgrees(t *testing.T) {
	same := map[string]Entry{}
	varies := map[string]bool{"ConditionNotMet": true, "InvalidAuthenticationInfo": true, "InvalidInput": true, "OutOfRangeInput": true}
	for k := range fault.KindCount {
		e := table[k]
		if first, ok := same[e.Code]; ok && !varies[e.Code] && (first.Status != e.Status || first.Message != e.Message) {
			t.Errorf("%v: code %s with %d %q and with %d %q", k, e.Code, e.Status, e.Message, first.Status, first.Message)
		}
		same[e.Code] = e
	}
}

func newTestRequest(method, target string) *Request {
	r := NewRequest(httptest.NewRequest(method, target, nil), testTime)
	r.Query, _ = ParseQuery(r.URL.RawQuery)
	return r
}

func render(r *Request, err error) *http.Response {
	rec := httptest.NewRecorder()
	w := NewResponse(rec)
	rec.Header().Set("Content-Length", "99999")
	rec.Header()["ETag"] = []string{`"0x1"`}
	SetCommon(w, r, "test")
	WriteError(w, r, err)
	return rec.Result()
}

func TestWriteError(t *testing.T) {
	r := newTestRequest("GET", "/a/b/c")
	r.Version, r.ClientRequestID = "2026-12-06", "mine"
	err := fault.New("blob.Get", "acct/box/secret-name", fault.InvalidHeaderValue, errors.New("cause with detail"),
		fault.Detail{Name: "HeaderName", Value: "x-ms-range"}, fault.Detail{Name: "HeaderValue", Value: "<&>\x00"})
	resp := render(r, err)
	body, _ := io.ReadAll(resp.Body)
	want := "\ufeff" + `<?xml version="1.0" encoding="utf-8"?><Error><Code>InvalidHeaderValue</Code>` +
		"<Message>The value for one of the HTTP headers is not in the correct format.\nRequestId:" + r.ID + "\nTime:2026-11-25T12:00:00.1234567Z</Message>" +
		"<HeaderName>x-ms-range</HeaderName><HeaderValue>&lt;&amp;&gt;\ufffd</HeaderValue></Error>"
	if string(body) != want {
		t.Errorf("body =\n%q, want\n%q", body, want)
	}
	if resp.StatusCode != 400 || resp.ContentLength != int64(len(want)) {
		t.Errorf("status %d, length %d, want 400, %d", resp.StatusCode, resp.ContentLength, len(want))
	}
	for name, want := range map[string]string{
		"x-ms-error-code": "InvalidHeaderValue", "x-ms-request-id": r.ID, "x-ms-client-request-id": "mine", "x-ms-version": "2026-12-06", "ETag": "",
	} {
		if got := strings.Join(resp.Header[name], ","); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	var doc struct{ Code, Message string }
	if err := xml.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &doc); err != nil || doc.Code != "InvalidHeaderValue" {
		t.Errorf("body does not parse: %v, %+v", err, doc)
	}
}

// spelled is a key of http.Header that is not canonical, on purpose.
func spelled(name string) string { return name }

func TestWriteErrorWithoutBody(t *testing.T) {
	for _, tt := range []struct {
		method string
		kind   fault.Kind
		status int
	}{{"HEAD", fault.BlobNotFound, 404}, {"GET", fault.NotModified, 304}, {"HEAD", fault.NotModified, 304}} {
		resp := render(newTestRequest(tt.method, "/a/b/c"), fault.New("x", "", tt.kind, nil))
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != tt.status || len(body) != 0 || resp.Header.Get("Content-Length") != "" || len(resp.Header[spelled("x-ms-error-code")]) != 1 {
			t.Errorf("%s %v: status %d, body %q, headers %v", tt.method, tt.kind, resp.StatusCode, body, resp.Header)
		}
	}
}

// Neither causes nor names nor secrets of a request come back to whoever asks.
func TestWriteErrorTellsNothing(t *testing.T) {
	const secret = "c2VjcmV0"
	for _, err := range []error{
		errors.New(secret),
		fault.New("x", secret, fault.Internal, errors.New(secret), fault.Detail{Name: "Path", Value: secret}),
		fault.New("x", secret, fault.Corrupt, errors.New(secret), fault.Detail{Name: "Chunk", Value: secret}),
		fault.New("x", secret, fault.Unavailable, errors.New(secret), fault.Detail{Name: "Why", Value: secret}),
		fault.New("x", "", fault.InvalidHeaderValue, errors.New(secret), fault.Detail{Name: "HeaderName", Value: "X-Ms-Encryption-Key"}, fault.Detail{Name: "HeaderValue", Value: secret}),
		fault.New("x", "", fault.InvalidHeaderValue, nil, fault.Detail{Name: "HeaderName", Value: "Authorization"}, fault.Detail{Name: "HeaderValue", Value: secret}),
	} {
		body, _ := io.ReadAll(render(newTestRequest("GET", "/"), err).Body)
		if bytes.Contains(body, []byte(secret)) {
			t.Errorf("%v: body %s", err, body)
		}
		if strings.Contains(LogText(err), secret) && fault.KindOf(err) != fault.Internal && errors.Unwrap(err) == nil {
			t.Errorf("log text %q", LogText(err))
		}
	}
}

func TestWriteErrorIsBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	var ds []fault.Detail
	for range 100 {
		ds = append(ds, fault.Detail{Name: "HeaderValue", Value: long}, fault.Detail{Name: "AuthenticationErrorDetail", Value: long})
	}
	body, _ := io.ReadAll(render(newTestRequest("GET", "/"), fault.New("x", "", fault.AuthenticationFailed, nil, ds...)).Body)
	if len(body) > maxErrorBody+8<<10 {
		t.Errorf("error of %d bytes", len(body))
	}
}

func TestContainerCode(t *testing.T) {
	for target, want := range map[string]string{
		"/acct1/box?restype=container": "LeaseNotPresentWithContainerOperation",
		"/acct1/box/b":                 "LeaseNotPresentWithBlobOperation",
	} {
		r := newTestRequest("PUT", target)
		r.Target, _ = Resolve("blob", "h", RawPath(r.Request), nil)
		if got := render(r, fault.New("x", "", fault.LeaseNotPresent, nil)).Header[spelled("x-ms-error-code")]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: code %v, want %s", target, got, want)
		}
	}
}

func TestClientRequestID(t *testing.T) {
	for id, want := range map[string]string{
		"abc": "abc", strings.Repeat("x", 1024): strings.Repeat("x", 1024), strings.Repeat("x", 1025): "", "tab\there": "", "ü": "",
	} {
		hr := httptest.NewRequest("GET", "/", nil)
		hr.Header.Set(HeaderClientRequestID, id)
		if got := NewRequest(hr, testTime).ClientRequestID; got != want {
			t.Errorf("id %.20q is echoed as %.20q, want %.20q", id, got, want)
		}
	}
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	a, b := newID(), newID()
	if !form.MatchString(a) || a == b {
		t.Errorf("ids %s, %s", a, b)
	}
}

// The log line has the hash of a signature and no names.
func TestObservation(t *testing.T) {
	r := newTestRequest("GET", "/acct1/box/hidden-name?sig=hidden-sig")
	r.Target, _ = Resolve("blob", "h", RawPath(r.Request), nil)
	r.Caller = &access.Caller{Kind: access.ServiceSAS, SAS: &access.SAS{SignatureHash: "hash-of-it"}}
	r.Key = Key{Name: "1:abc", Ref: "ref", Version: 3}
	w := NewResponse(httptest.NewRecorder())
	err := fault.New("blob.Open", "acct1/box/hidden-name", fault.Corrupt, errors.New("segment 3 does not open"))
	WriteError(w, r, err)
	o := Observe(w, r, testTime.Add(time.Second), err)
	line := ""
	for _, a := range o.Attrs() {
		line += a.String() + " "
	}
	for _, want := range []string{"op=Unknown", "account=acct1", "caller=ServiceSAS", "sas=hash-of-it", "status=500", "code=InternalError", "key=1:abc", "key_version=3", "time=1s", "segment 3 does not open"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q lacks %q", line, want)
		}
	}
	if strings.Contains(line, "hidden") {
		t.Errorf("log line %q", line)
	}
}

// A client that goes away is no error of the server; an answer that the server cannot
// finish is.
func TestObservationLevel(t *testing.T) {
	for _, tt := range []struct {
		err     error
		status  int
		aborted bool
		want    slog.Level
	}{
		{nil, 200, false, slog.LevelInfo},
		{fault.New("x", "", fault.BlobNotFound, nil), 404, false, slog.LevelInfo},
		{fault.New("x", "", fault.UnsupportedOperation, nil), 501, false, slog.LevelInfo},
		{fault.New("x", "", fault.Canceled, nil), 200, true, slog.LevelInfo},
		{fault.New("x", "", fault.Timeout, nil), 500, false, slog.LevelInfo},
		{fault.New("x", "", fault.Corrupt, nil), 200, true, slog.LevelError},
		{fault.New("x", "", fault.Corrupt, nil), 500, false, slog.LevelError},
		{errors.New("x"), 500, false, slog.LevelError},
		{fault.New("x", "", fault.Full, nil), 507, false, slog.LevelError},
	} {
		o := &Observation{Err: tt.err, Status: tt.status, Aborted: tt.aborted}
		if got := o.Level(); got != tt.want {
			t.Errorf("%v, status %d, aborted %t: level %v, want %v", tt.err, tt.status, tt.aborted, got, tt.want)
		}
	}
}

// brokenWriter is a connection that is gone.
type brokenWriter struct {
	http.ResponseWriter
	err error
}

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }

func TestResponseToNobody(t *testing.T) {
	for err, want := range map[error]fault.Kind{errors.New("connection reset"): fault.Canceled, os.ErrDeadlineExceeded: fault.Timeout} {
		w := NewResponse(brokenWriter{httptest.NewRecorder(), err})
		if _, got := w.Write([]byte("x")); !fault.Is(got, want) {
			t.Errorf("Write = %v, want %v", got, want)
		}
	}
}
