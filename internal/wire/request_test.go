package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
)

func TestResolve(t *testing.T) {
	exists := func(n name.Account) bool { return n == "acct1" }
	tests := []struct {
		host, path string
		want       Target
		kind       fault.Kind // KindCount: success
	}{
		{"127.0.0.1:10000", "/acct1", Target{Account: "acct1"}, fault.KindCount},
		{"127.0.0.1:10000", "/acct1/", Target{Account: "acct1"}, fault.KindCount},
		{"127.0.0.1:10000", "/acct1/box", Target{Account: "acct1", First: "box"}, fault.KindCount},
		{"127.0.0.1:10000", "/acct1/box/", Target{Account: "acct1", First: "box", HasRest: true}, fault.KindCount},
		{"127.0.0.1:10000", "/acct1/b%6fx/a//b/../%2E/c%2Fd+e%20f", Target{Account: "acct1", First: "box", Rest: "a//b/.././c/d+e f", HasRest: true}, fault.KindCount},
		{"127.0.0.1:10000", "/acct1-secondary/box", Target{Account: "acct1", First: "box", Secondary: true}, fault.KindCount},
		{"127.0.0.1:10000", "/other/box", Target{Account: "other", First: "box"}, fault.KindCount},
		{"acct1.blob.core.windows.net", "/box/b", Target{Account: "acct1", First: "box", Rest: "b", HasRest: true, HostStyle: true}, fault.KindCount},
		{"ACCT1.BLOB.localhost:10000", "/box", Target{Account: "acct1", First: "box", HostStyle: true}, fault.KindCount},
		{"acct1.blob", "/", Target{Account: "acct1", HostStyle: true}, fault.KindCount},
		{"acct1.blob-secondary.x", "/box", Target{Account: "acct1", First: "box", HostStyle: true, Secondary: true}, fault.KindCount},
		{"acct1-secondary.blob.x", "/box", Target{Account: "acct1", First: "box", HostStyle: true, Secondary: true}, fault.KindCount},
		// Not an account, or not this service: path-style.
		{"other.blob.core.windows.net", "/acct1/box", Target{Account: "acct1", First: "box"}, fault.KindCount},
		{"acct1.queue.core.windows.net", "/acct1/box", Target{Account: "acct1", First: "box"}, fault.KindCount},
		{"acct1.example.com", "/acct1/box", Target{Account: "acct1", First: "box"}, fault.KindCount},
		{"[::1]:10000", "/acct1/box", Target{Account: "acct1", First: "box"}, fault.KindCount},
		{"127.0.0.1", "/", Target{}, fault.InvalidURI},
		{"127.0.0.1", "", Target{}, fault.InvalidURI},
		{"127.0.0.1", "//box", Target{}, fault.InvalidURI},
		{"127.0.0.1", "/AB/box", Target{}, fault.InvalidResourceName},
		{"127.0.0.1", "/acct1/%zz", Target{}, fault.InvalidURI},
		{"127.0.0.1", "/acct1/box/%z", Target{}, fault.InvalidURI},
	}
	for _, tt := range tests {
		got, err := Resolve("blob", tt.host, tt.path, exists)
		if tt.kind != fault.KindCount {
			if !fault.Is(err, tt.kind) {
				t.Errorf("Resolve(%q, %q) error = %v, want %v", tt.host, tt.path, err, tt.kind)
			}
			continue
		}
		tt.want.RawPath = tt.path
		if err != nil || got != tt.want {
			t.Errorf("Resolve(%q, %q) = %+v, %v, want %+v", tt.host, tt.path, got, err, tt.want)
		}
	}
}

func TestRawPath(t *testing.T) {
	for uri, want := range map[string]string{
		"/a/b%2fc?x=/y":              "/a/b%2fc",
		"http://host:1/a/b?x=1":      "/a/b",
		"https://host/":              "/",
		"/a(b)|c\"d":                 "/a(b)|c\"d",
		"http://host?x":              "/decoded%20path",
		"":                           "/decoded%20path",
		"/a//../b":                   "/a//../b",
		"http://h/x?u=http://other/": "/x",
	} {
		r := httptest.NewRequest("GET", "/decoded%20path", nil)
		r.RequestURI = uri
		if got := RawPath(r); got != want {
			t.Errorf("RawPath(%q) = %q, want %q", uri, got, want)
		}
	}
}

func TestParseQuery(t *testing.T) {
	q, err := ParseQuery("Comp=list&&prefix=a%2Fb+c&include&x;y=1;2&comp=two&=v")
	want := Query{{"Comp", "list"}, {"prefix", "a/b c"}, {"include", ""}, {"x;y", "1;2"}, {"comp", "two"}, {"", "v"}}
	if err != nil || !cmp.Equal(q, want) {
		t.Fatalf("ParseQuery = %v, %v, want %v", q, err, want)
	}
	if q.Get("COMP") != "list" || !q.Has("Include") || q.Has("nothing") || q.Count("comp") != 2 {
		t.Errorf("Get, Has, Count = %q, %t, %t, %d", q.Get("COMP"), q.Has("Include"), q.Has("nothing"), q.Count("comp"))
	}
	for raw, kind := range map[string]fault.Kind{
		"a=%zz": fault.InvalidQueryParameter, "%z=1": fault.InvalidURI, strings.Repeat("a=1&", maxPairs): fault.InvalidURI,
	} {
		if _, err := ParseQuery(raw); !fault.Is(err, kind) {
			t.Errorf("ParseQuery(%.20q) error = %v, want %v", raw, err, kind)
		}
	}
}

func TestReadVersion(t *testing.T) {
	tests := []struct {
		name, target, header, byDefault string
		want                            Version // "" is UnsupportedVersion
	}{
		{"header", "/", "2026-12-06", "", "2026-12-06"},
		{"newer than known", "/", "2099-01-31", "", "2099-01-31"},
		{"oldest", "/", "2015-02-21", "", "2015-02-21"},
		{"too old", "/", "2015-02-20", "", ""},
		{"no day", "/", "2015-02-30", "", ""},
		{"no date", "/", "latest", "", ""},
		{"more than a date", "/", "2026-12-06T00:00", "", ""},
		{"header before SAS", "/?sv=2020-12-06&sig=x", "2018-11-09", "", "2018-11-09"},
		{"SAS", "/?sv=2020-12-06&sig=x", "", "2019-02-02", "2020-12-06"},
		{"old SAS", "/?sv=2012-02-12&sig=x", "", "", "2015-02-21"},
		{"sv without a signature", "/?sv=2020-12-06", "", "", "2015-02-21"},
		{"api-version", "/?api-version=2020-12-06", "", "", "2020-12-06"},
		{"nothing", "/", "", "", "2015-02-21"},
		{"default", "/", "", "2019-02-02", "2019-02-02"},
		{"default of no form", "/", "", "x", "2015-02-21"},
	}
	for _, tt := range tests {
		r := newTestRequest("GET", tt.target)
		if tt.header != "" {
			r.Header.Set(HeaderVersion, tt.header)
		}
		err := r.ReadVersion(tt.byDefault)
		if tt.want == "" {
			if !fault.Is(err, fault.UnsupportedVersion) {
				t.Errorf("%s: %v, want UnsupportedVersion", tt.name, err)
			}
			continue
		}
		if err != nil || r.Version != tt.want {
			t.Errorf("%s: version %q, %v, want %q", tt.name, r.Version, err, tt.want)
		}
	}
}

func TestRawHeaderNames(t *testing.T) {
	if got := RawHeaderNames(context.Background()); got != nil {
		t.Errorf("RawHeaderNames of nothing = %v", got)
	}
	names := []string{"x-ms-meta-CamelCase", "X-MS-META-b"}
	got := RawHeaderNames(WithRawHeader(context.Background(), names))
	if !slices.Equal(got, names) {
		t.Fatalf("RawHeaderNames = %v", got)
	}
	if s := Spelling(got, "X-Ms-Meta-Camelcase"); s != "x-ms-meta-CamelCase" {
		t.Errorf("Spelling = %q", s)
	}
	if s := Spelling(nil, "X-Ms-Meta-Camelcase"); s != "X-Ms-Meta-Camelcase" {
		t.Errorf("Spelling of nothing noted = %q", s)
	}
}

func bodyOf(content io.Reader, length int64) *Body {
	r := httptest.NewRequest("PUT", "/", io.NopCloser(content))
	r.ContentLength = length
	return NewBody(httptest.NewRecorder(), r)
}

func TestBody(t *testing.T) {
	broken := errors.New("connection reset")
	tests := []struct {
		name    string
		src     io.Reader
		length  int64
		want    string
		kind    fault.Kind
		exactly bool
	}{
		{"whole", strings.NewReader("hello"), 5, "hello", fault.KindCount, true},
		{"one byte a time", iotest.OneByteReader(strings.NewReader("hello")), 5, "hello", fault.KindCount, true},
		{"with its end", iotest.DataErrReader(strings.NewReader("hello")), 5, "hello", fault.KindCount, true},
		{"more than announced", strings.NewReader("hello, world"), 5, "hello", fault.KindCount, true},
		{"empty", strings.NewReader(""), 0, "", fault.KindCount, true},
		{"short", strings.NewReader("hel"), 5, "hel", fault.ContentLengthMismatch, true},
		{"cut", io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(io.ErrUnexpectedEOF)), 5, "hel", fault.ContentLengthMismatch, true},
		{"reset", io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(broken)), 5, "hel", fault.Canceled, true},
		{"unknown length", strings.NewReader("hello"), -1, "", fault.KindCount, true},
	}
	for _, tt := range tests {
		b := bodyOf(tt.src, tt.length)
		got, err := io.ReadAll(b)
		if tt.kind == fault.KindCount && err != nil || tt.kind != fault.KindCount && !fault.Is(err, tt.kind) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.kind)
		}
		if string(got) != tt.want || b.Count() != int64(len(tt.want)) {
			t.Errorf("%s: read %q, counted %d, want %q", tt.name, got, b.Count(), tt.want)
		}
	}
}

// deadlines is an answer whose connection notes its read deadlines.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// The deadline of a body moves with every 64 KiB, and does not outlive the body.
func TestBodyDeadline(t *testing.T) {
	d := &deadlines{ResponseWriter: httptest.NewRecorder()}
	const length = 3*stallBytes + 10
	r := httptest.NewRequest("PUT", "/", io.LimitReader(zeros{}, length))
	r.ContentLength = length
	b := NewBody(d, r)
	if len(d.set) != 0 {
		t.Fatal("a deadline before the first read")
	}
	begun := time.Now()
	buf := make([]byte, stallBytes/4)
	for n := 0; n < length; {
		m, err := b.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n += m; n < length {
			if want := (n-1)/stallBytes + 1; len(d.set) != want {
				t.Errorf("after %d bytes: %d deadlines, want %d", n, len(d.set), want)
			}
		}
	}
	if len(d.set) != 5 || !d.set[4].IsZero() {
		t.Fatalf("deadlines = %v, want 4 and their end", d.set)
	}
	for _, at := range d.set[:4] {
		if in := at.Sub(begun); in < stallTime || in > stallTime+10*time.Second {
			t.Errorf("deadline in %v, want %v", in, stallTime)
		}
	}
	b.Finish()
	if n := len(d.set); n != 5 {
		t.Errorf("%d deadlines after the end", n)
	}
	// What the handler leaves over may not stall either.
	left := NewBody(d, r)
	left.Finish()
	if n := len(d.set); n != 6 || d.set[5].IsZero() {
		t.Errorf("deadlines = %v after a body that was not read", d.set)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A sender that stalls is cut off.
func TestBodyStall(t *testing.T) {
	result := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := NewBody(w, r)
		b.stall = 300 * time.Millisecond
		_, err := io.Copy(io.Discard, b)
		result <- err
	}))
	defer srv.Close()
	pr, pw := io.Pipe()
	defer pw.Close()
	req, err := http.NewRequest("PUT", srv.URL, pr)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 100
	go func() {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	pw.Write(make([]byte, 50))
	if err := <-result; !fault.Is(err, fault.Timeout) {
		t.Errorf("stalled body: %v, want Timeout", err)
	}
}

func TestParseISOTime(t *testing.T) {
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"":                             {},
		"2026-11-25":                   at,
		"2026-11-25T00:00Z":            at,
		"2026-11-25T00:00:00Z":         at,
		"2026-11-25T00:00:00.0000000Z": at,
		"2026-11-25T00:00:00.1234567Z": at.Add(123456700),
		"2026-11-25T01:30:00+01:30":    at,
	} {
		got, ok := ParseISOTime(s)
		if !ok || !got.Equal(want) {
			t.Errorf("ParseISOTime(%q) = %v, %t, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"2026", "2026-11", "2026-11-25T00", "2026-11-25 00:00:00", "2026-13-25", "now"} {
		if got, ok := ParseISOTime(s); ok {
			t.Errorf("ParseISOTime(%q) = %v", s, got)
		}
	}
	if got := ISOTime(at.Add(123456700)); got != "2026-11-25T00:00:00.1234567Z" {
		t.Errorf("ISOTime = %q", got)
	}
}
