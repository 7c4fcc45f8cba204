package proof

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/secret"
	"github.com/coffer-storage/coffer/internal/server/backup"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// TestNoPlaintextInBackup (C1) searches a backup set, what is restored from it, and the
// temporary directory for canaries and for keys, of which 50 are known.
func TestNoPlaintextInBackup(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	base := t.TempDir()
	var log bytes.Buffer
	sec := newSecrets()
	o := sec.options(vfs.Default)
	o.Dir = filepath.Join(base, dataDir)
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	st, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := furnish(st); err != nil {
		t.Fatal(err)
	}
	p := plant(t, st, account, sized(50, 200, 10_000))
	for range 22 {
		if err := rotateAll(t, st); err != nil {
			t.Fatal(err)
		}
	}
	known := knownKeys(t, st)
	set, restored := filepath.Join(base, "set"), filepath.Join(base, "restored")
	if _, err := backup.Create(ctx, st, set, time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	opener := func(ctx context.Context, port keys.Port) (*keys.Ring, error) {
		return keys.Open(ctx, keys.Options{Store: port, Service: sec.service, Infra: sec.infra})
	}
	if _, err := backup.Restore(ctx, vfs.Default, set, restored, opener, nil); err != nil {
		t.Fatal(err)
	}
	search(t, set, p, "backup")
	search(t, restored, p, "restored")
	for _, dir := range []string{o.Dir, set, restored, tmp} {
		searchKeys(t, dir, known)
	}
	if list, err := os.ReadDir(tmp); err != nil || len(list) > 0 {
		t.Errorf("left in the temporary directory: %v, %v", list, err)
	}
	for _, c := range append(p.all(), known.texts()...) {
		if bytes.Contains(log.Bytes(), []byte(c)) {
			t.Errorf("the log tells %q", c)
		}
	}
}

// secretBytes are keys that a test knows.
type secretBytes [][]byte

// knownKeys are keys of the key store in use and before, and the keys of the account.
func knownKeys(t testing.TB, st *store.Store) (list secretBytes) {
	t.Helper()
	add := func(k secret.Key, err error) {
		if err == nil {
			err = k.Use(func(b []byte) error { list = append(list, bytes.Clone(b)); return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range st.Ring.Chains() {
		for _, v := range c.Versions {
			switch {
			case c.Kind == keys.KEK:
				_, k, err := st.Ring.KEKByRef(context.Background(), v.Protector, v.Kref)
				add(k, err)
			case c.Kind == keys.SYSK:
				add(st.Ring.SystemByRef(c.Owner, v.Kref))
			case c.Kind == keys.VFSK:
				add(st.Ring.OpenVFS(v.Kref))
			case c.Kind == keys.IDK:
				add(st.Ring.OpenInfra(v.Kref))
			}
		}
	}
	pair, err := st.Accounts.Keys(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range pair {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	t.Logf("C1: %d keys are known", len(list))
	if len(list) < 50 {
		t.Errorf("only %d keys are known", len(list))
	}
	return list
}

func (s secretBytes) texts() (list []string) {
	for _, b := range s {
		list = append(list, base64.StdEncoding.EncodeToString(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)))
	}
	return list
}

// searchKeys looks for every key, raw and as text, in every file.
func searchKeys(t testing.TB, dir string, known secretBytes) {
	t.Helper()
	needles := known.texts()
	for _, b := range known {
		needles = append(needles, string(b))
	}
	everyFile(t, dir, func(path string, data []byte) {
		for i, n := range needles {
			if bytes.Contains(data, []byte(n)) {
				t.Errorf("%s holds known key %d", path, i)
			}
		}
	})
}

func everyFile(t testing.TB, dir string, f func(path string, data []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		f(path, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoPlaintextOutsideProcess (C1) runs the program and asks it for what would show its
// memory: profiles over HTTP, and a core when it is aborted. Then it searches logs, the
// directory it ran in, and temporary files.
func TestNoPlaintextOutsideProcess(t *testing.T) {
	bin, dir, tmp := build(t), t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("GOTRACEBACK", "crash") // a Go program that aborts then asks for its core
	p, err := start(bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := expect(http.StatusCreated)(p.client.do("PUT", "/box?restype=container", nil)); err != nil {
		p.kill()
		t.Fatal(err)
	}
	var planted []string
	for i := range sized(20, 100, 1_000) {
		n, m, b := canary("n"), canary("m"), canary("b")
		planted = append(planted, n, m, b)
		data := bytes.Repeat([]byte(b), 1+i%50*1_000)
		if err := expect(http.StatusCreated)(p.client.do("PUT", "/box/"+n, data, "x-ms-blob-type", "BlockBlob", "x-ms-meta-note", m)); err != nil {
			t.Error(err)
		}
		if got, err := p.client.get(n); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v", n, err)
		}
	}
	planted = append(planted, customersOverTLS(t, p, filepath.Join(dir, dataDir))...)
	status, _, err := p.client.do("GET", "/box/"+canary("q")+"?sig="+canary("s"), nil) // an error in the log
	if err != nil || status == http.StatusOK {
		t.Errorf("a blob that is not there: %d, %v", status, err)
	}
	noProfiles(t, dir)
	noCoreLimit(t, p.cmd.Process.Pid)
	p.cmd.Process.Signal(syscall.SIGABRT)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.kill()
		t.Fatal("the program survives SIGABRT")
	}
	if p.cmd.ProcessState.Sys().(syscall.WaitStatus).CoreDump() {
		t.Error("the program left a core")
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cores, _ := filepath.Glob(filepath.Join(wd, "core*"))
	more, _ := filepath.Glob(filepath.Join(dir, "*", "core*"))
	if cores = append(cores, more...); len(cores) > 0 {
		t.Errorf("cores: %v", cores)
	}
	look := func(where string, data []byte) {
		for form, needle := range encodings(mark) {
			if n := bytes.Count(data, needle); n > 0 {
				t.Errorf("%s holds a canary %d times (%s)", where, n, form)
			}
		}
	}
	look("the log", p.stderr.Bytes())
	if !bytes.Contains(p.stderr.Bytes(), []byte("goroutine ")) {
		t.Error("no trace on stderr: the process did not abort as a Go program does")
	}
	everyFile(t, dir, look)
	everyFile(t, tmp, look)
	t.Logf("C1: %d canaries, %d bytes of log, no profile, no core", len(planted), p.stderr.Len())
}

// customersOverTLS puts and gets contents under customers' keys, which are canaries: over
// TLS rightly, with a hash that is another key's, and over plain HTTP, which is refused.
func customersOverTLS(t testing.TB, p *process, data string) (planted []string) {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(data, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in ca.pem")
	}
	secure := *p.client
	secure.base = "https" + strings.TrimPrefix(p.client.base, "http")
	secure.http = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	var last []string
	for i := range sized(5, 20, 300) {
		n, b, key := canary("n"), canary("b"), []byte((canary("k") + canary("k"))[:32])
		planted = append(planted, n, b, string(key))
		sum := sha256.Sum256(key)
		h := []string{"x-ms-encryption-key", base64.StdEncoding.EncodeToString(key), "x-ms-encryption-key-sha256", base64.StdEncoding.EncodeToString(sum[:]),
			"x-ms-encryption-algorithm", "AES256", "x-ms-blob-type", "BlockBlob", "x-ms-meta-note", canary("m")}
		data := bytes.Repeat([]byte(b), 1+i%3*2_000)
		if err := expect(http.StatusCreated)(secure.do("PUT", "/box/"+n, data, h...)); err != nil {
			t.Error(err)
		}
		status, got, err := secure.do("GET", "/box/"+n, nil, h[:6]...)
		if err != nil || status != http.StatusOK || !bytes.Equal(got, data) {
			t.Errorf("%s: %d, %v", n, status, err)
		}
		if err := expect(http.StatusBadRequest)(p.client.do("PUT", "/box/"+n, data, h...)); err != nil { // in the clear
			t.Error(err)
		}
		if last != nil {
			wrong := append(append([]string{}, h[:3]...), append([]string{last[3]}, h[4:]...)...)
			if err := expect(http.StatusBadRequest)(secure.do("PUT", "/box/"+n, data, wrong...)); err != nil {
				t.Error(err)
			}
			if err := expect(http.StatusConflict)(secure.do("GET", "/box/"+n, nil, last[:6]...)); err != nil {
				t.Error(err)
			}
		}
		last = h
	}
	return planted
}

// noProfiles asks every listener for what Go programs like to offer.
func noProfiles(t testing.TB, dir string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "ready.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ready struct{ Blob, Management string }
	if err := json.Unmarshal(b, &ready); err != nil || ready.Management == "" || ready.Blob == "" {
		t.Fatalf("ready file: %v, %s", err, b)
	}
	c := &http.Client{Timeout: 10 * time.Second}
	answered := 0
	for _, base := range []string{ready.Blob, ready.Management} {
		for _, path := range []string{
			"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/heap?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/pprof/profile?seconds=1",
			"/debug/pprof/trace", "/debug/pprof/allocs", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/vars", "/debug/requests", "/debug/events",
			"/debug", "/heap", "/heapdump", "/dump", "/pprof/heap", "/stack", "/metrics", "/health", "/healthz", "/readyz",
		} {
			resp, err := c.Get(base + path)
			if err != nil {
				t.Errorf("%s: %v", base+path, err)
				continue
			}
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
			resp.Body.Close()
			answered++
			harmless := path == "/metrics" || strings.HasPrefix(path, "/health") || path == "/readyz"
			if resp.StatusCode < 300 && !harmless {
				t.Errorf("%s answers %d with %d bytes", path, resp.StatusCode, len(body))
			}
			if bytes.Contains(body, []byte(mark)) || bytes.Contains(body, []byte("goroutine ")) {
				t.Errorf("%s shows memory", path)
			}
		}
	}
	if answered != 44 {
		t.Errorf("%d requests answered, want 44", answered)
	}
}

// noCoreLimit checks that the kernel was told to write no core.
func noCoreLimit(t testing.TB, pid int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if os.IsNotExist(err) {
		t.Log("no /proc here: the limit on cores is not seen")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			if f := strings.Fields(rest); len(f) < 2 || f[0] != "0" || f[1] != "0" {
				t.Errorf("core limit: %q, want 0 and 0", strings.TrimSpace(rest))
			}
			return
		}
	}
	t.Error("no limit on cores in /proc")
}

// TestCoresAreSeen is the control: a process that does not forbid its core leaves one that
// CoreDump reports, where the system allows any.
func TestCoresAreSeen(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", "ulimit -c unlimited && kill -ABRT $$")
	cmd.Dir = t.TempDir()
	cmd.Run()
	s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !s.Signaled() {
		t.Skip("this system allows no cores: only the limit was checked")
	}
	t.Logf("C1: core of a process that forbids none: %v", s.CoreDump())
}
