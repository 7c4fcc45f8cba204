package blobhttp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

// client speaks the protocol through net/http.
type client struct{ *rig }

func (c client) do(method, target string, body []byte, headers ...string) *http.Response {
	c.Helper()
	r, err := http.NewRequest(method, c.srv.URL+"/"+c.cred.Account+target, bytes.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	r.Header.Set("x-ms-version", "2026-12-06")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	c.cred.Sign(r, r.URL.EscapedPath(), c.store.Clock.Now())
	resp, err := c.srv.Client().Do(r)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (c client) want(status int, method, target string, body []byte, headers ...string) *http.Response {
	c.Helper()
	resp := c.do(method, target, body, headers...)
	if resp.StatusCode != status {
		b, _ := io.ReadAll(resp.Body)
		c.Fatalf("%s %s: %s, want %d\n%s", method, target, resp.Status, status, b)
	}
	return resp
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// Content of every size goes up whole or in blocks, in parallel, and comes back whole
// and in ranges.
func TestRoundTrip(t *testing.T) {
	c := client{newRig(t)}
	c.want(201, "PUT", "/box?restype=container", nil)
	sizes := []int{0, 1, 100, 32 << 10, 32<<10 + 1, 300 << 10, 3<<20 + 7}
	if testing.Short() {
		sizes = sizes[:6]
	}
	var wg sync.WaitGroup
	for _, n := range sizes {
		content := randomBytes(n)
		wg.Go(func() {
			target := fmt.Sprintf("/box/dir/whole-%d", n)
			c.want(201, "PUT", target, content, "x-ms-blob-type", "BlockBlob")
			c.compare(target, content)
		})
		wg.Go(func() {
			target := fmt.Sprintf("/box/dir/blocks-%d", n)
			var list strings.Builder
			list.WriteString("<BlockList>")
			for i, part := 0, n/5+1; i*part < n; i++ {
				id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "block-%04d", i))
				c.want(201, "PUT", target+"?comp=block&blockid="+url.QueryEscape(id), content[i*part:min((i+1)*part, n)])
				list.WriteString("<Latest>" + id + "</Latest>")
			}
			list.WriteString("</BlockList>")
			c.want(201, "PUT", target+"?comp=blocklist", []byte(list.String()))
			c.compare(target, content)
		})
	}
	wg.Wait()
	body, _ := io.ReadAll(c.want(200, "GET", "/box?restype=container&comp=list", nil).Body)
	if got := bytes.Count(body, []byte("<Blob>")); got != 2*len(sizes) {
		t.Errorf("list has %d blobs, want %d", got, 2*len(sizes))
	}
	for _, n := range sizes {
		c.want(202, "DELETE", fmt.Sprintf("/box/dir/whole-%d", n), nil)
		c.want(404, "HEAD", fmt.Sprintf("/box/dir/whole-%d", n), nil)
	}
}

// A range behind the end says how long the content is: by that SDKs tell an empty blob
// from a wrong range.
func TestRangeBehindTheEnd(t *testing.T) {
	c := client{newRig(t)}
	c.want(201, "PUT", "/box?restype=container", nil)
	for content, want := range map[string]string{"": "bytes */0", "0123456789": "bytes */10"} {
		c.want(201, "PUT", "/box/b", []byte(content), "x-ms-blob-type", "BlockBlob")
		resp := c.want(416, "GET", "/box/b", nil, "x-ms-range", fmt.Sprintf("bytes=%d-", len(content)))
		if got := resp.Header.Get("Content-Range"); got != want {
			t.Errorf("Content-Range %q, want %q", got, want)
		}
		if got := resp.Header.Get("x-ms-error-code"); got != "InvalidRange" {
			t.Errorf("code %q", got)
		}
	}
	for _, target := range []string{"/ab?restype=container", "/" + strings.Repeat("a", 64) + "?restype=container", "/box/" + strings.Repeat("n", 1025)} {
		resp := c.want(400, "PUT", target, nil, "x-ms-blob-type", "BlockBlob")
		if got := resp.Header.Get("x-ms-error-code"); got != "OutOfRangeInput" {
			t.Errorf("PUT %.20s: code %q, want OutOfRangeInput", target, got)
		}
	}
}

func (c client) compare(target string, content []byte) {
	c.Helper()
	got, err := io.ReadAll(c.want(200, "GET", target, nil).Body)
	if err != nil || !bytes.Equal(got, content) {
		c.Errorf("%s: %d bytes, %v, want %d", target, len(got), err, len(content))
	}
	if n := len(content); n > 0 {
		from, to := n/3, n/2
		resp := c.want(206, "GET", target, nil, "Range", fmt.Sprintf("bytes=%d-%d", from, to))
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, content[from:to+1]) {
			c.Errorf("%s: range of %d bytes, %v, want %d", target, len(got), err, to-from+1)
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", from, to, n); resp.Header.Get("Content-Range") != want {
			c.Errorf("%s: Content-Range %q, want %q", target, resp.Header.Get("Content-Range"), want)
		}
	}
	if resp := c.want(200, "HEAD", target, nil); resp.ContentLength != int64(len(content)) {
		c.Errorf("%s: HEAD has length %d, want %d", target, resp.ContentLength, len(content))
	}
}

// Without anyone who noted the spelling, metadata has the canonical one of net/http.
func TestMetadataWithoutSpelling(t *testing.T) {
	c := client{newRig(t)}
	c.want(201, "PUT", "/box?restype=container", nil, "x-ms-meta-camelCase", "v")
	if got := c.want(200, "GET", "/box?restype=container", nil).Header.Get("x-ms-meta-camelcase"); got != "v" {
		t.Errorf("metadata = %q", got)
	}
}

// A read that fails after bytes have gone out resets the connection.
func TestReadFailsMidway(t *testing.T) {
	broken := errors.New("segment does not open")
	for _, tt := range []struct {
		name    string
		before  int
		err     error
		n       int64
		status  int // 0: the answer is cut
		started bool
	}{
		{"whole", 10, nil, 10, 200, true},
		{"at once", 0, broken, 10, 500, false},
		{"midway", 5, broken, 10, 0, true},
		{"short without an error", 5, nil, 10, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			h := New(Options{Blobs: g.store.Blobs, Accounts: g.store.Accounts, Now: g.store.Clock.Now})
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, hr *http.Request) {
				w := wire.NewResponse(rw)
				w.Header().Set("Content-Length", fmt.Sprint(tt.n))
				err := stream(w, 200, tt.n, func(to io.Writer) (int64, error) {
					n, _ := to.Write(make([]byte, tt.before))
					return int64(n), tt.err
				})
				if w.Started() != tt.started {
					t.Errorf("started = %t, want %t", w.Started(), tt.started)
				}
				switch {
				case err != nil && w.Started():
					panic(http.ErrAbortHandler)
				case err != nil:
					h.refuse(w, wire.NewRequest(hr, time.Now()), err)
				}
			}))
			srv.Config.ErrorLog = nil
			srv.Start()
			defer srv.Close()
			resp, err := http.Get(srv.URL)
			if err != nil {
				if tt.status != 0 {
					t.Fatal(err)
				}
				return
			}
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
			if tt.status == 0 && err == nil {
				t.Error("a cut answer looks whole")
			}
			if tt.status != 0 && (err != nil || resp.StatusCode != tt.status) {
				t.Errorf("status %d, %v, want %d", resp.StatusCode, err, tt.status)
			}
		})
	}
}

// The same through the whole handler: a receiver gets no clean end, the log says so, and
// no request that follows is disturbed.
func TestCutAnswerIsLogged(t *testing.T) {
	g := newRig(t)
	c := client{g}
	c.want(201, "PUT", "/box?restype=container", nil)
	c.want(201, "PUT", "/box/b", randomBytes(4<<20), "x-ms-blob-type", "BlockBlob")
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", g.srv.URL+"/"+g.cred.Account+"/box/b", nil)
	if err != nil {
		t.Fatal(err)
	}
	g.cred.Sign(r, r.URL.EscapedPath(), g.store.Clock.Now())
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(resp.Body, make([]byte, 1000))
	cancel()
	resp.Body.Close()
	for range 200 {
		if o := g.last(); o.Operation == "GetBlob" {
			// The whole answer may have fitted into the buffers of the connection.
			if !o.Aborted && o.BytesOut != 4<<20 {
				t.Errorf("observation of a cut answer: %+v", o)
			}
			if o.Aborted && (o.Level() != slog.LevelInfo || !fault.Is(o.Err, fault.Canceled)) {
				t.Errorf("a client that went away is logged at %v with %v", o.Level(), o.Err)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.want(206, "GET", "/box/b", nil, "Range", "bytes=0-3")
}

// A client that waits for "100 Continue" sends no body to whoever refuses it.
func TestExpectContinue(t *testing.T) {
	g := newRig(t)
	client{g}.want(201, "PUT", "/box?restype=container", nil)
	for name, want := range map[string]string{"!signed": "HTTP/1.1 100 Continue", "!anonymous": "HTTP/1.1 401 Unauthorized"} {
		head := g.prepare("PUT /"+g.cred.Account+"/box/b", []string{"x-ms-blob-type: BlockBlob", "Content-Length: 5", "Expect: 100-continue", name}, "")
		c, err := net.Dial("tcp", g.srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "%s\r\n\r\n", strings.Join(head, "\r\n"))
		r := bufio.NewReader(c)
		if l, err := r.ReadString('\n'); err != nil || strings.TrimSpace(l) != want {
			t.Errorf("%q: first line %q, %v, want %q", name, l, err, want)
		}
		if name == "!signed" {
			r.ReadString('\n')
			io.WriteString(c, "hello")
			if l, err := r.ReadString('\n'); err != nil || !strings.Contains(l, "201") {
				t.Errorf("after the body: %q, %v", l, err)
			}
		}
		c.Close()
	}
}

// A body that ends early leaves nothing behind.
func TestShortBody(t *testing.T) {
	g := newRig(t)
	client{g}.want(201, "PUT", "/box?restype=container", nil)
	head := g.prepare("PUT /"+g.cred.Account+"/box/b", []string{"x-ms-blob-type: BlockBlob", "Content-Length: 50000"}, "")
	c, err := net.Dial("tcp", g.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "%s\r\n\r\n%s", strings.Join(head, "\r\n"), strings.Repeat("x", 40000))
	c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c)
	c.Close()
	if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) {
		t.Errorf("answer = %.100q", answer)
	}
	client{g}.want(404, "HEAD", "/box/b", nil)
	if o := g.last(); o.Operation != "GetBlobProperties" {
		t.Errorf("last operation %s", o.Operation)
	}
}

// What must not be logged is not: signatures, keys, names, content.
func TestLogHoldsNoSecrets(t *testing.T) {
	g := newRig(t)
	c := client{g}
	key := base64.StdEncoding.EncodeToString(randomBytes(32))
	c.want(201, "PUT", "/box-planted?restype=container", nil)
	c.want(201, "PUT", "/box-planted/name-planted", []byte("content-planted"), "x-ms-blob-type", "BlockBlob", "x-ms-meta-planted", "value-planted")
	c.want(400, "GET", "/box-planted/name-planted", nil, "x-ms-encryption-key", key)
	c.want(404, "GET", "/box-planted/other-planted", nil)
	c.want(400, "PUT", "/box-planted/bad-planted", nil, "x-ms-blob-type", "planted")
	q := g.cred.AccountSAS(url.Values{"sv": {"2022-11-02"}, "ss": {"b"}, "srt": {"o"}, "sp": {"r"}, "se": {"2026-11-26"}})
	sig := q.Get("sig")
	for _, target := range []string{"/box-planted/name-planted", "/box-planted/none-planted"} {
		resp, err := http.Get(g.srv.URL + "/" + g.cred.Account + target + "?" + q.Encode())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	o := g.last()
	if o.Caller != access.AccountSAS.String() || len(o.SignatureHash) != 64 || o.Operation != "GetBlob" || o.Status != 404 || o.Code != "BlobNotFound" {
		t.Errorf("observation = %+v", o)
	}
	log := g.log.String()
	for _, want := range []string{"op=PutBlob", "caller=SharedKey", "caller=AccountSAS", "sas=" + o.SignatureHash, "request_id=" + o.RequestID, "bytes_in=15", "bytes_out=15", "key_ref="} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q", want)
		}
	}
	for _, secret := range []string{"planted", sig, url.QueryEscape(sig), key, "SharedKey " + g.cred.Account, base64.StdEncoding.EncodeToString(g.cred.Key)} {
		if strings.Contains(log, secret) {
			t.Errorf("log holds %q:\n%s", secret, log)
		}
	}
}

// A panic in a handler is a bug that is answered and logged, and does not end the server.
func TestPanicIsAnswered(t *testing.T) {
	g := newRig(t)
	c := client{g}
	saved := routes
	defer func() { routes = saved }()
	routes = append([]route{{op: "Break", verb: "GET", on: onService, comp: "break", serve: func(*Handler, *wire.Response, *wire.Request) error {
		panic("broken")
	}}}, saved...)
	resp := c.want(500, "GET", "/?comp=break", nil)
	if got := resp.Header.Get("x-ms-error-code"); got != "InternalError" {
		t.Errorf("code = %q", got)
	}
	if body, _ := io.ReadAll(resp.Body); bytes.Contains(body, []byte("broken")) {
		t.Errorf("body = %s", body)
	}
	if log := g.log.String(); !strings.Contains(log, "panic=broken") || !strings.Contains(log, "protocol_test.go") {
		t.Errorf("log = %s", log)
	}
}

func TestURITooLong(t *testing.T) {
	c := client{newRig(t)}
	resp := c.want(400, "GET", "/box?comp=list&prefix="+strings.Repeat("x", maxURI), nil)
	if got := resp.Header.Get("x-ms-error-code"); got != "InvalidUri" {
		t.Errorf("code = %q", got)
	}
}
