package blobhttp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/md5"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/wire"
	"github.com/coffer-storage/coffer/internal/wire/auth/authtest"
)

var update = flag.Bool("update", false, "rewrite goldens and docs/rest-status.md")

// rig is a server over a store in memory, on a real connection.
type rig struct {
	testing.TB
	store *blobtest.Store
	cred  authtest.Credential
	srv   *httptest.Server
	log   *syncBuffer

	mu       sync.Mutex
	raw      []string // x-ms-meta names of the request on its way
	observed []*wire.Observation
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newRig(t testing.TB) *rig {
	t.Helper()
	g := stoppedRig(t)
	g.srv.Start()
	return g
}

// newSecureRig is newRig over TLS.
func newSecureRig(t testing.TB) *rig {
	t.Helper()
	g := stoppedRig(t)
	g.srv.StartTLS()
	return g
}

func stoppedRig(t testing.TB) *rig {
	t.Helper()
	g := &rig{TB: t, store: blobtest.New(t), log: new(syncBuffer)}
	if _, err := g.store.Accounts.EnsureDefault(context.Background()); err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(account.DefaultKey)
	if err != nil {
		t.Fatal(err)
	}
	g.cred = authtest.Credential{Account: string(account.DefaultName), Key: key}
	h := New(Options{
		Blobs: g.store.Blobs, Accounts: g.store.Accounts, Now: g.store.Clock.Now,
		Logger: slog.New(slog.NewTextHandler(g.log, nil)),
		Observe: func(o *wire.Observation) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.observed = append(g.observed, o)
		},
	})
	g.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		raw := g.raw
		g.mu.Unlock()
		h.ServeHTTP(w, r.WithContext(wire.WithRawHeader(r.Context(), raw)))
	}))
	g.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(func() { g.srv.Close() })
	return g
}

// last is the observation of the last request.
func (g *rig) last() *wire.Observation {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.observed[len(g.observed)-1]
}

// exchange sends a request as it is written and returns all bytes of the answer.
func (g *rig) exchange(head []string, body string) string {
	g.Helper()
	var names []string
	for _, l := range head[1:] {
		if n, _, _ := strings.Cut(l, ":"); strings.HasPrefix(strings.ToLower(n), "x-ms-meta-") {
			names = append(names, n)
		}
	}
	g.mu.Lock()
	g.raw = names
	g.mu.Unlock()
	c, err := net.Dial("tcp", g.srv.Listener.Addr().String())
	if err != nil {
		g.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "%s\r\nConnection: close\r\n\r\n%s", strings.Join(head, "\r\n"), body)
	b, _ := io.ReadAll(c) // a reset ends the answer
	return string(b)
}

// prepare completes a request of a script: host, length, version and signature. The
// pseudo header "!" carries words: anonymous, lite, versionless, nolength.
func (g *rig) prepare(line string, headers []string, body string) []string {
	g.Helper()
	words := ""
	head := []string{line + " HTTP/1.1"}
	has := func(n string) bool {
		for _, h := range head[1:] {
			if strings.HasPrefix(strings.ToLower(h), n+":") {
				return true
			}
		}
		return false
	}
	for _, h := range headers {
		if w, ok := strings.CutPrefix(h, "!"); ok {
			words = w
			continue
		}
		head = append(head, h)
	}
	if !has("host") {
		head = append(head, "Host: 127.0.0.1:10000")
	}
	verb, _, _ := strings.Cut(line, " ")
	if !strings.Contains(words, "nolength") && !has("content-length") && !has("transfer-encoding") && (body != "" || verb == "PUT" || verb == "POST") {
		head = append(head, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	if !has("x-ms-version") && !strings.Contains(words, "versionless") {
		head = append(head, "x-ms-version: 2026-12-06")
	}
	if strings.Contains(words, "anonymous") {
		return head
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(head, "\r\n") + "\r\n\r\n")))
	if err != nil {
		g.Fatalf("%s: %v", line, err)
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.Contains(words, "lite") {
		g.cred.SignLite(r, path, g.store.Clock.Now())
	} else {
		g.cred.Sign(r, path, g.store.Clock.Now())
	}
	for _, n := range []string{"x-ms-date", "Authorization"} {
		if !has(strings.ToLower(n)) {
			head = append(head, n+": "+r.Header.Get(n))
		}
	}
	return head
}

var (
	uuid     = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	sigField = regexp.MustCompile(`HTTP request '[A-Za-z0-9+/=]+'`)
)

// canonical writes an answer so that it is the same every time: the status, the headers
// in order and as spelled, the body.
func canonical(raw, verb string) string {
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	status := lines[0]
	headers := lines[1:]
	sort.Strings(headers)
	var b strings.Builder
	fmt.Fprintln(&b, "<", strings.TrimPrefix(status, "HTTP/1.1 "))
	for _, h := range headers {
		if h == "Connection: close" {
			continue
		}
		fmt.Fprintln(&b, "<", h)
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), &http.Request{Method: verb})
	if err != nil {
		fmt.Fprintln(&b, "< !", err)
		return b.String()
	}
	body, err := io.ReadAll(resp.Body)
	if len(body) > 0 {
		fmt.Fprintln(&b, "<")
		text := strings.NewReplacer("\ufeff", `\ufeff`, "\r", `\r`).Replace(string(body))
		for _, l := range strings.Split(strings.ReplaceAll(text, "><", ">\n<"), "\n") {
			fmt.Fprintln(&b, "< "+l)
		}
	}
	if err != nil {
		fmt.Fprintln(&b, "< !", err)
	}
	return sigField.ReplaceAllString(uuid.ReplaceAllString(b.String(), "ID"), "HTTP request 'SIG'")
}

// TestGolden plays the scripts of testdata: lines with > are a request, a line with only
// > ends its headers, < is the answer, # a remark. Each script begins with an empty store.
// Words in a request that are replaced: {md5} of the body, {crc64} of it, {sas QUERY} an
// account SAS, {sasbox QUERY} a service SAS for the container box.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newRig(t).play(string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("answers differ (-want +got):\n%s", diff)
			}
		})
	}
}

// play runs a script and returns it with the answers of now.
func (g *rig) play(script string) string {
	g.Helper()
	var out strings.Builder
	var request []string
	flush := func() {
		if len(request) == 0 {
			return
		}
		head, body, inBody := []string{}, []string{}, false
		for _, l := range request {
			l = strings.TrimPrefix(strings.TrimPrefix(l, ">"), " ")
			switch {
			case inBody:
				body = append(body, l)
			case l == "":
				inBody = true
			default:
				head = append(head, l)
			}
		}
		text := strings.Join(body, "\n")
		for i := range head {
			head[i] = g.expand(head[i], text)
		}
		verb, _, _ := strings.Cut(head[0], " ")
		out.WriteString(canonical(g.exchange(g.prepare(head[0], head[1:], text), text), verb))
		g.store.Clock.Add(time.Second)
		request = nil
	}
	for _, l := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		switch {
		case strings.HasPrefix(l, ">"):
			request = append(request, l)
			fmt.Fprintln(&out, l)
		case strings.HasPrefix(l, "<"):
		default:
			flush()
			fmt.Fprintln(&out, l)
		}
	}
	flush()
	return out.String()
}

var replaced = regexp.MustCompile(`\{(md5|sas|sasbox)( [^}]*)?\}`)

func (g *rig) expand(line, body string) string {
	return replaced.ReplaceAllStringFunc(line, func(m string) string {
		parts := replaced.FindStringSubmatch(m)
		q, err := url.ParseQuery(strings.TrimSpace(parts[2]))
		if err != nil {
			g.Fatal(err)
		}
		switch parts[1] {
		case "md5":
			var sum [md5.Size]byte
			fips140.WithoutEnforcement(func() { sum = md5.Sum([]byte(body)) })
			return base64.StdEncoding.EncodeToString(sum[:])
		case "sas":
			return g.cred.AccountSAS(q).Encode()
		}
		return g.cred.ServiceSAS(q, "box", q.Get("!blob"), "").Encode()
	})
}
