package server

import (
	"bytes"
	"context"
	"crypto/fips140"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/server/control"
	"github.com/coffer-storage/coffer/internal/wire/auth/authtest"
)

// place is a data directory and its key files, side by side.
type place struct {
	data, key string
	log       *logBuffer
}

func newPlace(t *testing.T) place {
	t.Helper()
	dir := t.TempDir()
	return place{data: filepath.Join(dir, "data"), key: filepath.Join(dir, "keys", "unseal.key"), log: &logBuffer{}}
}

// logBuffer keeps what the server logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (p place) config() Config {
	return Config{
		Version: "test", Data: p.data, UnsealKey: p.key, MemoryLimit: -1,
		Logger: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Fatal:  func(err error) { panic(err) },
	}
}

// running is a server that serves.
type running struct {
	*Server
	t    *testing.T
	st   Status
	log  *logBuffer
	stop func() // ends it in order and waits
}

// logText is what it has logged so far.
func (r *running) logText() string { return r.log.String() }

func (p place) serve(t *testing.T, change ...func(*Config)) *running {
	t.Helper()
	cfg := p.config()
	for _, c := range change {
		c(&cfg)
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- errors.Join(s.Serve(ctx), s.Close()) }()
	var once sync.Once
	r := &running{Server: s, t: t, st: s.Status(), log: p.log, stop: func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}}
	t.Cleanup(r.stop)
	return r
}

// do sends a signed request for a path below the default account.
func (r *running) do(method, path string, body io.Reader, size int64, header ...string) (int, []byte) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.st.Blob+"/"+r.st.Account+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.ContentLength = size
	req.Header.Set("x-ms-version", "2025-01-05")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	key, err := base64.StdEncoding.DecodeString(r.st.Key)
	if err != nil {
		r.t.Fatal(err)
	}
	authtest.Credential{Account: r.st.Account, Key: key}.Sign(req, req.URL.EscapedPath(), time.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, b
}

func (r *running) put(path string, content []byte) {
	r.t.Helper()
	status, b := r.do("PUT", path, bytes.NewReader(content), int64(len(content)), "x-ms-blob-type", "BlockBlob", "x-ms-meta-k", "v")
	if status != http.StatusCreated {
		r.t.Fatalf("put %s: %d %s", path, status, b)
	}
}

func (r *running) mustHold(path string, want []byte) {
	r.t.Helper()
	status, b := r.do("GET", path, nil, 0)
	if status != http.StatusOK || !bytes.Equal(b, want) {
		r.t.Fatalf("get %s: %d, %d bytes, want %d bytes", path, status, len(b), len(want))
	}
}

func (r *running) container(name string) {
	r.t.Helper()
	if status, b := r.do("PUT", "/"+name+"?restype=container", nil, 0); status != http.StatusCreated {
		r.t.Fatalf("container: %d %s", status, b)
	}
}

// Contents of each kind of place: in a row, in a shared extent, in extents of their own.
var contents = map[string][]byte{
	"/box/empty":  {},
	"/box/small":  bytes.Repeat([]byte("small"), 100),
	"/box/middle": bytes.Repeat([]byte("middle"), 20_000),
	"/box/large":  bytes.Repeat([]byte("large one"), 130_000),
}

func (r *running) fill() {
	r.t.Helper()
	r.container("box")
	for path, b := range contents {
		r.put(path, b)
	}
}

func (r *running) mustHoldAll() {
	r.t.Helper()
	for path, b := range contents {
		r.mustHold(path, b)
	}
}

func TestDataSurviveARestart(t *testing.T) {
	p := newPlace(t)
	ready := filepath.Join(t.TempDir(), "ready.json")
	r := p.serve(t, func(c *Config) { c.ReadyFile = ready })
	b, err := os.ReadFile(ready)
	if err != nil {
		t.Fatal(err)
	}
	var st Status
	if err := json.Unmarshal(b, &st); err != nil || st != r.st || st.Key == "" || st.PID != os.Getpid() {
		t.Errorf("ready file %s: %v, want %+v", b, err, r.st)
	}
	if info, _ := os.Stat(ready); info.Mode().Perm() != 0o600 {
		t.Errorf("ready file has mode %v", info.Mode())
	}
	r.fill()
	r.stop()
	for _, gone := range []string{ready, filepath.Join(p.data, "control.sock")} {
		if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there after a clean stop: %v", gone, err)
		}
	}
	r = p.serve(t)
	r.mustHoldAll()
}

func TestWhatIsRefusedAtStart(t *testing.T) {
	normal, dev := newPlace(t), newPlace(t)
	normal.serve(t).stop()
	dev.serve(t, func(c *Config) { c.Dev, c.Host, c.UnsealKey = true, "127.0.0.1", "" }).stop()
	lost := newPlace(t)
	lost.serve(t).stop()
	os.Remove(filepath.Join(lost.data, "keystore.A"))
	os.Remove(filepath.Join(lost.data, "keystore.B"))
	inside := newPlace(t)
	inside.key = filepath.Join(inside.data, "unseal.key")

	tests := []struct {
		name   string
		place  place
		change func(*Config)
		kind   fault.Kind
		hint   string
	}{
		{"other address without recovery kit", normal, func(c *Config) { c.Host = "0.0.0.0" }, fault.NotAllowed, "coffer recovery create"},
		{"other address with the published key", normal, func(c *Config) { c.Host, c.AcceptDataLoss = "0.0.0.0", true }, fault.NotAllowed, "regenerate"},
		{"ordinary store with --dev", normal, func(c *Config) { c.Dev = true }, fault.NotAllowed, ""},
		{"development store without --dev", dev, func(c *Config) { c.UnsealKey = "" }, fault.NotAllowed, ""},
		{"no key file", normal, func(c *Config) { c.UnsealKey += ".other" }, fault.KeyStore, "--unseal-key"},
		{"key store gone", lost, func(*Config) {}, fault.KeyStore, ""},
		{"half a certificate", normal, func(c *Config) { c.CertFile = "x" }, fault.InvalidInput, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := tt.place.config()
			tt.change(&cfg)
			s, err := Open(t.Context(), cfg)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if got := fault.KindOf(err); got != tt.kind {
				t.Errorf("kind %v, want %v: %v", got, tt.kind, err)
			}
			if !strings.Contains(Hint(err), tt.hint) {
				t.Errorf("hint %q, want %q in it", Hint(err), tt.hint)
			}
		})
	}
	t.Run("key file inside the data directory", func(t *testing.T) {
		if s, err := Open(t.Context(), inside.config()); err == nil {
			s.Close()
			t.Fatal("it was opened")
		}
	})
	t.Run("second server", func(t *testing.T) {
		normal.serve(t)
		s, err := Open(t.Context(), normal.config())
		if err == nil {
			s.Close()
			t.Fatal("two servers opened one store")
		}
	})
}

// Other addresses are served once the kit is proved and the key is not the published one.
func TestOtherAddressAfterProof(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	kit := p.recovery(t)
	var got RecoveryReport
	p.call(t, "recovery.prove", RecoveryArgs{Given: kit}, &got)
	var acc Account
	p.call(t, "account.regenerate", AccountArgs{Name: "devstoreaccount1", Which: 1}, &acc)
	r.stop()
	r = p.serve(t, func(c *Config) { c.Host = "0.0.0.0" })
	if r.st.Account != "" || r.st.Key != "" {
		t.Errorf("the ready file gives %q and a key away", r.st.Account)
	}
	if !strings.HasPrefix(r.st.Blob, "http://127.0.0.1:") {
		t.Errorf("blob = %s, want an address that can be dialled", r.st.Blob)
	}
}

// call runs an operation as a command would.
func (p place) call(t *testing.T, name string, args, result any) {
	t.Helper()
	if err := Call(t.Context(), p.config(), name, args, result, nil); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func (p place) recovery(t *testing.T) []string {
	t.Helper()
	var kit RecoveryReport
	n, k := 3, 2
	if fips140.Enabled() { // which has no secret sharing
		n, k = 1, 1
	}
	p.call(t, "recovery.create", RecoveryArgs{Name: "test", Shares: n, Threshold: k}, &kit)
	if len(kit.Shares) != n {
		t.Fatalf("the kit has %d shares, want %d", len(kit.Shares), n)
	}
	return kit.Shares[n-k:]
}

// Every operation works on a running server and on a store that nobody serves.
func TestOperationsWithAndWithoutServer(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	r.fill()
	for _, mode := range []string{"running", "offline"} {
		if mode == "offline" {
			r.stop()
		}
		t.Run(mode, func(t *testing.T) { p.operations(t, mode) })
	}
	p.serve(t).mustHoldAll()
}

func (p place) operations(t *testing.T, mode string) {
	var in Inspection
	p.call(t, "inspect", Target{"devstoreaccount1", "box", "large"}, &in)
	if in.Length != int64(len(contents["/box/large"])) || in.Chunks == 0 || in.Key.Version == 0 || in.StoredSize <= in.Length || len(in.Layers) == 0 {
		t.Errorf("inspect = %+v", in)
	}
	var v VerifyReport
	p.call(t, "verify", VerifyArgs{Search: [][]byte{[]byte("smallsmall"), []byte("devstoreaccount1")}}, &v)
	if !v.Clean() || v.Rows == 0 || v.Chunks < 3 || v.Files == 0 || v.Searched != 2 || len(v.Keys) < 3 {
		t.Errorf("verify = %+v", v)
	}
	var list KeysReport
	p.call(t, "keys.list", Nothing{}, &list)
	for _, what := range []RotateArgs{{What: "account", Account: "devstoreaccount1", Wait: true}, {What: "system", Account: "devstoreaccount1"}, {What: "vfs"}, {What: "infra"}, {What: "root"}, {What: "infra-root"}} {
		var rot RotateReport
		p.call(t, "keys.rotate", what, &rot)
		if what.What == "account" && rot.Rewraps < int64(len(contents)) {
			t.Errorf("rotate account wrapped %d data keys anew, want %d at least", rot.Rewraps, len(contents))
		}
	}
	var after KeysReport
	p.call(t, "keys.list", Nothing{}, &after)
	if after.Generation <= list.Generation {
		t.Errorf("generation %d after the rotations, %d before", after.Generation, list.Generation)
	}
	var drill DrillReport
	p.call(t, "keys.drill", Nothing{}, &drill)
	if len(drill.Failed) > 0 || len(drill.Roots) != 2 || drill.Opened == 0 {
		t.Errorf("drill = %+v", drill)
	}
	kit := p.recovery(t)
	var proof RecoveryReport
	p.call(t, "recovery.prove", RecoveryArgs{Given: kit}, &proof)
	if len(proof.Slots) != 2 {
		t.Errorf("prove = %+v", proof)
	}
	p.accounts(t, mode)
	var doc DoctorReport
	p.call(t, "doctor", Nothing{}, &doc)
	if len(doc.Advice) < len(checkups) {
		t.Errorf("doctor has %d lines", len(doc.Advice))
	}
	for _, a := range doc.Advice {
		if a.Level == "danger" {
			t.Errorf("doctor: %+v", a)
		}
	}
}

func (p place) accounts(t *testing.T, mode string) {
	name := "extra" + mode
	var made, again Account
	p.call(t, "account.create", AccountArgs{Name: name}, &made)
	p.call(t, "account.keys", AccountArgs{Name: name}, &again)
	if len(made.Keys) != 2 || made.Keys[0] != again.Keys[0] {
		t.Errorf("keys %v, then %v", made.Keys, again.Keys)
	}
	p.call(t, "account.regenerate", AccountArgs{Name: name, Which: 2}, &again)
	if again.Keys[0] != made.Keys[0] || again.Keys[1] == made.Keys[1] {
		t.Error("regenerate 2 did not replace key 2 alone")
	}
	var list []Account
	p.call(t, "account.list", Nothing{}, &list)
	if len(list) < 2 {
		t.Errorf("list = %+v", list)
	}
	p.call(t, "account.delete", AccountArgs{Name: name}, nil)
	err := Call(t.Context(), p.config(), "account.keys", AccountArgs{Name: name}, nil, nil)
	if err == nil || Hint(err) == "" {
		t.Errorf("keys of a deleted account: %v, hint %q", err, Hint(err))
	}
}

func TestOperationErrorsHaveHints(t *testing.T) {
	p := newPlace(t)
	if err := Call(t.Context(), p.config(), "doctor", Nothing{}, nil, nil); err == nil || Hint(err) == "" {
		t.Errorf("without a store: %v, hint %q", err, Hint(err))
	}
	p.serve(t)
	for name, args := range map[string]any{
		"inspect":            Target{"devstoreaccount1", "none", "none"},
		"keys.rotate":        RotateArgs{What: "everything"},
		"recovery.prove":     RecoveryArgs{Given: []string{"nonsense"}},
		"account.create":     AccountArgs{Name: "Not An Account"},
		"account.delete":     AccountArgs{Name: "nobody"},
		"account.regenerate": AccountArgs{Name: "devstoreaccount1", Which: 3},
		"verify":             VerifyArgs{Search: [][]byte{[]byte("abc")}},
		"backup.create":      BackupArgs{Dir: filepath.Join(p.data, "inside")},
	} {
		err := Call(t.Context(), p.config(), name, args, nil, nil)
		if err == nil || Hint(err) == "" {
			t.Errorf("%s: %v, hint %q; want both", name, err, Hint(err))
		}
	}
	if err := control.Call(t.Context(), p.data, "no.such", nil, nil, nil); err == nil {
		t.Error("an unknown operation succeeded")
	}
}

// Requests in flight end before the server does.
func TestStopLetsRequestsFinish(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	r.container("box")
	pr, pw := io.Pipe()
	result := make(chan int, 1)
	body := bytes.Repeat([]byte("x"), 1<<20)
	go func() {
		status, _ := r.do("PUT", "/box/slow", pr, int64(len(body)), "x-ms-blob-type", "BlockBlob")
		result <- status
	}()
	pw.Write(body[:1000]) // the request is at the server, or on its way
	time.Sleep(50 * time.Millisecond)
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	time.Sleep(50 * time.Millisecond)
	pw.Write(body[1000:])
	pw.Close()
	if status := <-result; status != http.StatusCreated {
		t.Errorf("status %d, want 201", status)
	}
	<-stopped
	p.serve(t).mustHold("/box/slow", body)
}

func TestMetricsAndHealth(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	r.fill()
	get := func(path string) string {
		resp, err := http.Get(r.st.Management + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return fmt.Sprintf("%d %s", resp.StatusCode, b)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := get(path); got != "200 ok\n" {
			t.Errorf("%s = %q", path, got)
		}
	}
	page := get("/metrics")
	for _, want := range []string{
		`coffer_requests_total{op="PutBlob",service="blob",status="201"} 4`, "coffer_request_seconds_bucket",
		`coffer_body_bytes_total{direction="in",service="blob"}`, "coffer_sealed_bytes_total", "coffer_opened_bytes_total",
		"coffer_data_key_lookups_total", `coffer_commit_batch_size_bucket{le="1"}`, "coffer_gc_backlog", "coffer_commit_seconds_count",
		"process_resident_memory_bytes", "go_goroutines",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	for _, secret := range []string{r.st.Key, "/box/small", "devstoreaccount1"} {
		if strings.Contains(page, secret) {
			t.Errorf("/metrics shows %q", secret)
		}
	}
}

// Nothing secret goes to the log: keys, SAS signatures, names of blobs.
func TestLogShowsNoSecret(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	r.container("secretcontainer")
	r.put("/secretcontainer/secretblob", []byte("secret content"))
	r.do("GET", "/secretcontainer/secretblob?sig=c2VjcmV0c2lnbmF0dXJl&sv=2020-01-01&se=2030-01-01", nil, 0)
	r.do("GET", "/secretcontainer/missing", nil, 0)
	p.recovery(t)
	r.stop()
	log := p.log.String()
	if !strings.Contains(log, "op=PutBlob") {
		t.Fatalf("the log has no request lines:\n%s", log)
	}
	for _, secret := range []string{r.st.Key, "secretcontainer", "secretblob", "secret content", "c2VjcmV0", "SharedKey devstoreaccount1:"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows %q", secret)
		}
	}
}

func TestPlainHTTPFromElsewhere(t *testing.T) {
	w := &recorder{header: http.Header{}}
	refusePlain(w)
	if w.status != 400 || !strings.Contains(w.body.String(), "AccountRequiresHttps") {
		t.Errorf("refusePlain = %d %s", w.status, w.body.String())
	}
	for remote, want := range map[string]bool{"127.0.0.1:5": true, "[::1]:5": true, "10.0.0.1:5": false, "bad": false} {
		if got := localPeer(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("localPeer(%q) = %v, want %v", remote, got, want)
		}
	}
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
