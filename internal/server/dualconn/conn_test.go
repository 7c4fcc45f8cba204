package dualconn

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start serves h on a loopback port that takes both kinds; the certificate is
// httptest's own.
func start(t *testing.T, h http.HandlerFunc, wrap ...func(net.Listener) net.Listener) (addr string, client *http.Client) {
	t.Helper()
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	t.Cleanup(certs.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range wrap {
		l = f(l)
	}
	srv := &http.Server{
		Handler: h, ConnContext: ConnContext, ReadHeaderTimeout: 5 * time.Second,
		DisableGeneralOptionsHandler: true,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(&Listener{
			Listener: l, Timeout: 5 * time.Second,
			TLS: &tls.Config{Certificates: certs.TLS.Certificates, NextProtos: []string{"http/1.1"}},
		})
	}()
	t.Cleanup(func() { srv.Close(); <-done })
	return l.Addr().String(), certs.Client()
}

func TestBothKindsOnOnePort(t *testing.T) {
	addr, client := start(t, func(w http.ResponseWriter, r *http.Request) {
		Names(r)
		fmt.Fprintf(w, "%v %s", r.TLS != nil, r.Proto)
	})
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	client.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"h2", "http/1.1"}
	for _, tt := range []struct{ scheme, want string }{
		{"http", "false HTTP/1.1"},
		{"https", "true HTTP/1.1"},
	} {
		resp, err := client.Get(tt.scheme + "://" + addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != tt.want {
			t.Errorf("GET %s = %q, want %q", tt.scheme, got, tt.want)
		}
		if p := resp.TLS; tt.scheme == "https" && p.NegotiatedProtocol != "http/1.1" {
			t.Errorf("ALPN chose %q, want http/1.1", p.NegotiatedProtocol)
		}
	}
}

// A silent connection must not keep others from being accepted.
func TestSilentConnectionBlocksNobody(t *testing.T) {
	addr, client := start(t, func(w http.ResponseWriter, r *http.Request) {})
	for range 3 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	resp, err := client.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestNamesOverKeepAliveAndPipelining(t *testing.T) {
	addr, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		names := Names(r)
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d %s", r.URL.Path, n, strings.Join(names, ","))
	})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	big := strings.Repeat("x-ms-meta-Trap: body\r\n\r\n", 8<<10)
	go io.WriteString(c, "PUT /a HTTP/1.1\r\nHost: h\r\nX-MS-Meta-CamelCase: 1\r\nx-ms-meta-lower: 2\r\nContent-Length: 2\r\n\r\nhi"+
		"OPTIONS * HTTP/1.1\r\nHost: h\r\nx-ms-meta-Star: 1\r\n\r\n"+
		"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"+
		fmt.Sprintf("PUT /c HTTP/1.1\r\nHost: h\r\nx-ms-meta-After_Body: 1\r\nContent-Length: %d\r\n\r\n%s", len(big), big)+
		"PUT /d HTTP/1.1\r\nHost: h\r\nx-ms-meta-CHUNKED: 1\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"18;ext=1\r\nx-ms-meta-Trap: body\r\n\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"+
		"GET /e?q=1 HTTP/1.1\r\nHost: h\r\nx-ms-meta-Last: 1\r\nConnection: close\r\n\r\n")
	want := []string{
		"/a 2 X-MS-Meta-CamelCase,x-ms-meta-lower",
		"* 0 x-ms-meta-Star",
		"/b 0 ",
		fmt.Sprintf("/c %d x-ms-meta-After_Body", len(big)),
		"/d 29 x-ms-meta-CHUNKED",
		"/e 0 x-ms-meta-Last",
	}
	var got []string
	br := bufio.NewReader(c)
	for range want {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(body))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names by request (-want +got):\n%s", diff)
	}
}

func TestSniffSplitAnywhere(t *testing.T) {
	in := []byte("PUT /a HTTP/1.1\r\nx-ms-meta-One: 1\r\nContent-Length: 3\r\n\r\nabc" +
		"PUT /b HTTP/1.1\nX-Ms-Meta-Two: 2\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n" +
		"GET /c HTTP/1.1\r\nx-ms-meta-Three: 3\r\n\r\n")
	for cut := range in {
		var s sniffer
		s.feed(in[:cut])
		s.feed(in[cut:])
		got := [][]string{s.take("PUT", "/a"), s.take("PUT", "/b"), s.take("GET", "/c")}
		want := [][]string{{"x-ms-meta-One"}, {"X-Ms-Meta-Two"}, {"x-ms-meta-Three"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("cut at %d (-want +got):\n%s", cut, diff)
		}
	}
}

func TestTakeDropsWhatDoesNotMatch(t *testing.T) {
	var s sniffer
	s.feed([]byte("GET /a HTTP/1.1\r\nx-ms-meta-A: 1\r\n\r\nGET /b HTTP/1.1\r\nx-ms-meta-B: 1\r\n\r\n"))
	if got := s.take("GET", "/zzz"); got != nil {
		t.Errorf("take of another request = %q, want nothing", got)
	}
	if diff := cmp.Diff([]string{"x-ms-meta-B"}, s.take("GET", "/b")); diff != "" {
		t.Errorf("take(/b): %s", diff)
	}
	if got := s.take("GET", "/a"); got != nil {
		t.Errorf("take(/a) after /b = %q, want nothing: it is older", got)
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("PUT /a HTTP/1.1\r\nx-ms-meta-One: 1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n"), 5)
	f.Add([]byte("PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n"), 0)
	f.Add([]byte("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 1)
	f.Add(bytes.Repeat([]byte("x"), 3*maxLine), maxLine)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var whole, split sniffer
		whole.feed(in)
		if cut < 0 || cut > len(in) {
			cut = len(in) / 2
		}
		split.feed(in[:cut])
		split.feed(in[cut:])
		if diff := cmp.Diff(whole.heads, split.heads, cmp.AllowUnexported(head{})); diff != "" {
			t.Errorf("heads differ when cut at %d:\n%s", cut, diff)
		}
		if cap(whole.line) > 2*maxLine {
			t.Errorf("kept a line of %d bytes", cap(whole.line))
		}
	})
}

func BenchmarkFeedBody(b *testing.B) {
	buf := make([]byte, 256<<10)
	s := sniffer{state: inBody, skip: 1 << 62}
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		s.feed(buf)
	}
}
