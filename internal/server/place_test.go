package server

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
)

// A directory of other things is refused before its mode is touched.
func TestForeignDirectoryIsLeftAlone(t *testing.T) {
	for _, tt := range []struct {
		what, file string
		ok         bool
	}{
		{"empty", "", true},
		{"a fresh file system", "lost+found", true},
		{"other things", "letter.txt", false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			p := newPlace(t)
			if err := os.Mkdir(p.data, 0o755); err != nil {
				t.Fatal(err)
			}
			if tt.file != "" {
				if err := os.WriteFile(filepath.Join(p.data, tt.file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want := os.FileMode(0o700)
			s, err := Open(t.Context(), p.config())
			if err == nil {
				defer s.Close()
			}
			if !tt.ok {
				want = 0o755
				if !fault.Is(err, fault.NotAllowed) || !strings.Contains(Hint(err), "--data") {
					t.Errorf("Open = %v, hint %q", err, Hint(err))
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if st, err := os.Stat(p.data); err != nil || st.Mode().Perm() != want {
				t.Errorf("mode %v, %v, want %v", st.Mode().Perm(), err, want)
			}
		})
	}
}

// Who waits for the ready file never sees the one of a server that was killed.
func TestStaleReadyFileGoesAtTheStart(t *testing.T) {
	p := newPlace(t)
	ready := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(ready, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := p.config()
	cfg.ReadyFile = ready
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := os.Stat(ready); !os.IsNotExist(err) {
		t.Errorf("the stale ready file is still there: %v", err)
	}
	// A second server does not get the store, and does not take the first one's file.
	if err := os.WriteFile(ready, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), cfg); !fault.Is(err, fault.Busy) || !strings.Contains(Hint(err), "one process") {
		t.Errorf("a second server: %v, hint %q", err, Hint(err))
	}
	if _, err := os.Stat(ready); err != nil {
		t.Errorf("a server that did not start removed the ready file: %v", err)
	}
}

// The message names the flag, not a key file that is somewhere else.
func TestDevStoreSaysSo(t *testing.T) {
	for _, dev := range []bool{true, false} {
		p := newPlace(t)
		p.serve(t, func(c *Config) { c.Dev, c.Host = dev, DefaultHost }).stop()
		cfg := p.config()
		cfg.Dev = !dev
		_, err := Open(t.Context(), cfg)
		if !fault.Is(err, fault.NotAllowed) || !strings.Contains(Hint(err), "--dev") {
			t.Errorf("dev store %v opened with dev %v: %v, hint %q", dev, !dev, err, Hint(err))
		}
	}
}

// The copy opens the store when both files of the data directory are gone.
func TestKeyStoreCopy(t *testing.T) {
	p := newPlace(t)
	second := filepath.Join(filepath.Dir(p.data), "second")
	with := func(c *Config) { c.KeyStoreCopy = second }
	cfg := p.config()
	with(&cfg)
	if _, err := Open(t.Context(), cfg); !fault.Is(err, fault.InvalidInput) {
		t.Fatalf("a place that is not there: %v", err)
	}
	if err := os.Mkdir(second, 0o700); err != nil {
		t.Fatal(err)
	}
	r := p.serve(t, with)
	r.fill()
	r.stop()
	for _, n := range keyStoreFiles {
		if err := os.Remove(filepath.Join(p.data, n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), p.config()); !fault.Is(err, fault.KeyStore) {
		t.Fatalf("without key store: %v", err)
	}
	r = p.serve(t, with)
	r.mustHoldAll()
	r.stop()
	p.serve(t).mustHoldAll() // the copy has repaired the data directory
}

// What a proxy says counts where it is trusted, and nowhere else.
func TestProxyThatEndsTLS(t *testing.T) {
	for _, tt := range []struct {
		trust bool
		proto string
		plain bool // refused as plain HTTP
	}{
		{false, "https", true},
		{true, "https", false},
		{true, "http, https", false},
		{true, "https, http", true},
		{true, "", true},
	} {
		p := newPlace(t)
		r := p.serve(t, func(c *Config) { c.TrustProxy = tt.trust })
		req := httptest.NewRequest(http.MethodGet, "/devstoreaccount1?comp=list", nil)
		req.RemoteAddr = "192.0.2.1:1234"
		if tt.proto != "" {
			req.Header.Set("X-Forwarded-Proto", tt.proto)
		}
		w := httptest.NewRecorder()
		r.blobHandler().ServeHTTP(w, req)
		if got := w.Header().Get("x-ms-error-code") == "AccountRequiresHttps"; got != tt.plain {
			t.Errorf("trust %v, proto %q: %d %q", tt.trust, tt.proto, w.Code, w.Header().Get("x-ms-error-code"))
		}
		r.stop()
	}
}

// A published key is refused where others than this machine can use it, whichever
// account has it, at the start and later.
func TestPublishedKeyStaysOnLoopback(t *testing.T) {
	p := newPlace(t)
	out := func(c *Config) { c.Host, c.AcceptDataLoss = "0.0.0.0", true }
	args := AccountArgs{Name: "another", Keys: []string{account.DefaultKey}}
	r := p.serve(t, out)
	err := Call(t.Context(), p.config(), "account.create", args, new(Account), nil)
	if err == nil || !strings.Contains(err.Error(), "published") || Hint(err) == "" {
		t.Errorf("account create: %v, hint %q", err, Hint(err))
	}
	r.stop()
	if err := Call(t.Context(), p.config(), "account.create", args, new(Account), nil); err != nil {
		t.Fatal(err)
	}
	cfg := p.config()
	out(&cfg)
	if _, err := Open(t.Context(), cfg); !fault.Is(err, fault.NotAllowed) || !strings.Contains(Hint(err), "regenerate another 1") {
		t.Errorf("Open = %v, hint %q", err, Hint(err))
	}
}
