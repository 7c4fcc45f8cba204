package pebblekv_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
)

// broken is a store whose disk starts to fail when fail is set. latched receives what
// OnFatal was told.
type broken struct {
	disk    *vfs.MemFS
	fs      *hookFS
	fail    atomic.Pointer[func(op, path string) error]
	store   *pebblekv.Store
	latched chan error
}

func newBroken(t *testing.T) *broken {
	t.Helper()
	b := &broken{disk: vfs.NewCrashableMem(), latched: make(chan error, 1)}
	b.fs = &hookFS{FS: b.disk, fail: func(op, path string) error {
		if f := b.fail.Load(); f != nil {
			return (*f)(op, path)
		}
		return nil
	}}
	must(t, b.disk.MkdirAll(dir, 0o700))
	b.store = create(t, b.fs, func(o *pebblekv.Options) {
		o.MemTable = 256 << 10
		o.OnFatal = func(err error) { b.latched <- err }
	})
	return b
}

func (b *broken) set(f func(op, path string) error) { b.fail.Store(&f) }

// restart cuts the power and opens what is left on a disk that works.
func (b *broken) restart(t *testing.T) []string {
	t.Helper()
	got, err := rows(t, open(t, b.disk.CrashClone(vfs.CrashCloneCfg{}), nil))
	must(t, err)
	return got
}

// TestLatch: after a failed write or sync of the log nothing is acknowledged any more,
// and nothing that was acknowledged is missing after the restart.
func TestLatch(t *testing.T) {
	fails := func(op, pattern string) func(string, string) error {
		return func(o, p string) error {
			base := path.Base(p)
			if ok, _ := path.Match(pattern, base); o == op && ok {
				return errBoom
			}
			return nil
		}
	}
	tests := []struct {
		name string
		fail func(op, path string) error
	}{
		{"sync of the log", fails("sync", "*.log")},
		{"write of the log", fails("write", "*.log")},
		{"create of the next log", fails("create", "*.log.tmp-*")},
		{"rename of the next log", fails("rename", "*.log")},
		{"sync of the directory", fails("sync", "lsm")},
		{"write of HEAD", fails("create", "HEAD.*")},
		{"rename of HEAD", fails("rename", "HEAD.*")},
		{"sync of the data directory", fails("sync", "data")},
		{"sync of the MANIFEST", fails("sync", "MANIFEST-*")},
		{"write of the MANIFEST", fails("write", "MANIFEST-*")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBroken(t)
			put(t, b.store, 1, "before")
			b.set(tt.fail)
			// Until something breaks: the log fills, the memtable is flushed.
			big := func(i int) error {
				return b.store.Update(t.Context(), func(tx meta.Tx) error {
					tx.Put(fmt.Appendf(nil, "fill/%05d", i), crypttest.Sealed(make([]byte, 20_000)))
					return nil
				})
			}
			acked := 0
			deadline := time.After(5 * time.Second)
			var cause error
			for cause == nil {
				result := make(chan error, 1)
				go func() { result <- big(acked) }()
				select {
				case err := <-result:
					if err == nil {
						acked++
					} else if !errors.Is(err, meta.ErrFailed) {
						t.Fatalf("Update = %v, want ErrFailed", err)
					} else {
						cause = <-b.latched
					}
				case cause = <-b.latched:
					// A goroutine of the engine was stopped; the Update may wait for it.
				case <-deadline:
					t.Fatal("nothing broke")
				}
			}
			if !errors.Is(cause, errBoom) {
				t.Errorf("OnFatal(%v), want the cause", cause)
			}
			if b.store.Latched() == nil {
				t.Error("Latched = nil")
			}
			if err := big(acked); !errors.Is(err, meta.ErrFailed) {
				t.Errorf("Update = %v, want ErrFailed", err)
			}
			if err := b.store.View(t.Context(), func(meta.Reader) error { return nil }); !errors.Is(err, meta.ErrFailed) {
				t.Errorf("View = %v, want ErrFailed", err)
			}
			if err := b.store.Close(); !errors.Is(err, meta.ErrFailed) {
				t.Errorf("Close = %v, want ErrFailed", err)
			}
			got := b.restart(t)
			if len(got) < acked+1 || got[0] != "before#1" {
				t.Errorf("%d rows after the restart, %d were acknowledged", len(got), acked+1)
			}
		})
	}
}

// TestLatchReleasesAll: commits that wait when the log fails are told so.
func TestLatchReleasesAll(t *testing.T) {
	b := newBroken(t)
	b.set(func(op, p string) error {
		if op == "sync" && strings.HasSuffix(p, ".log") {
			time.Sleep(20 * time.Millisecond) // so that others queue up
			return errBoom
		}
		return nil
	})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := b.store.Update(t.Context(), func(tx meta.Tx) error {
				tx.Put(fmt.Append(nil, i), crypttest.Sealed([]byte("v")))
				return nil
			})
			if !errors.Is(err, meta.ErrFailed) {
				t.Errorf("Update = %v, want ErrFailed", err)
			}
		})
	}
	wg.Wait()
	if n := len(b.restart(t)); n != 0 {
		t.Errorf("%d rows after the restart", n)
	}
}

// TestFaults lets the k-th operation of the disk fail, for k = 1, 2, 3 ..: whatever was
// acknowledged is there after the restart.
func TestFaults(t *testing.T) {
	step := 3
	if testing.Short() {
		step = 9
	}
	ended := false
	for k := 1; !ended && k < 2000; k += step {
		b := newBroken(t)
		n := 0
		var mu sync.Mutex
		b.set(func(op, p string) error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n == k {
				return errBoom
			}
			return nil
		})
		acked := workUntilBroken(t, b)
		mu.Lock()
		ended = n < k
		mu.Unlock()
		clean := vfs.CrashCloneCfg{}
		s := open(t, b.disk.CrashClone(clean), nil)
		err := s.View(t.Context(), func(r meta.Reader) error {
			for i := range acked {
				if _, err := r.Get(fmt.Appendf(nil, "fill/%05d", i)); err != nil {
					return fmt.Errorf("row %d of %d: %w", i, acked, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("operation %d failed: %v", k, err)
		}
		must(t, s.Close())
	}
	if !ended {
		t.Error("the run never ended clean")
	}
}

func workUntilBroken(t *testing.T, b *broken) (acked int) {
	for acked < 40 {
		result := make(chan error, 1)
		go func() {
			result <- b.store.Update(t.Context(), func(tx meta.Tx) error {
				tx.Put(fmt.Appendf(nil, "fill/%05d", acked), crypttest.Sealed(make([]byte, 15_000)))
				return nil
			})
		}()
		select {
		case err := <-result:
			if err != nil {
				return acked
			}
			acked++
		case <-b.latched:
			return acked
		}
	}
	_ = b.store.Close()
	return acked
}

// TestFaultsWhileOpening lets the k-th operation of a start fail: an error comes back,
// the process goes on, and the next start finds everything.
func TestFaultsWhileOpening(t *testing.T) {
	h := makeHistory(t)
	step := 1
	if testing.Short() {
		step = 4
	}
	for name, im := range map[string]image{"running": h.newer, "stopped": h.clean} {
		failed := 0
		for k := 1; ; k += step {
			disk := im.disk(t)
			var n atomic.Int64
			fs := &hookFS{FS: disk, fail: func(op, p string) error {
				if n.Add(1) == int64(k) {
					return errBoom
				}
				return nil
			}}
			o := options(t, fs)
			o.OnFatal = func(error) {} // a goroutine of the engine was stopped
			s, err := pebblekv.Open(t.Context(), o)
			if err == nil {
				_ = s.Close()
			} else {
				failed++
				if !errors.Is(err, errBoom) && !strings.Contains(err.Error(), errBoom.Error()) {
					t.Errorf("%s, operation %d: Open = %v", name, k, err)
				}
			}
			again := open(t, disk.CrashClone(vfs.CrashCloneCfg{}), nil)
			got, err := rows(t, again)
			if err != nil || !cmp.Equal(got, all5) {
				t.Errorf("%s, operation %d: rows = %v, %v", name, k, got, err)
			}
			must(t, again.Close())
			if n.Load() < int64(k) {
				break
			}
		}
		if failed < 5 {
			t.Errorf("%s: only %d failures", name, failed)
		}
	}
}

// TestDiskStaysBroken: a start on a disk that does not get better ends with an error, and
// the same directory opens when it did, in the same process.
func TestDiskStaysBroken(t *testing.T) {
	h := makeHistory(t)
	for _, broken := range []string{"create", "write", "sync", "rename"} {
		disk := h.newer.disk(t)
		var failing atomic.Bool
		failing.Store(true)
		fs := &hookFS{FS: disk, fail: func(op, p string) error {
			if failing.Load() && op == broken {
				return errBoom
			}
			return nil
		}}
		o := options(t, fs)
		o.OnFatal = func(error) {}
		if s, err := pebblekv.Open(t.Context(), o); err == nil {
			t.Errorf("%s: Open succeeds", broken)
			_ = s.Close()
		}
		failing.Store(false)
		s := open(t, fs, nil)
		got, err := rows(t, s)
		if err != nil || !cmp.Equal(got, all5) {
			t.Errorf("%s: rows = %v, %v", broken, got, err)
		}
		must(t, s.Close())
	}
}

// TestExit: without OnFatal the process ends with code 3 and says why.
func TestExit(t *testing.T) {
	if os.Getenv("COFFER_TEST_EXIT") != "" {
		disk := vfs.NewCrashableMem()
		var failing atomic.Bool
		s := create(t, &hookFS{FS: disk, fail: func(op, p string) error {
			if failing.Load() && op == "sync" {
				return errBoom
			}
			return nil
		}}, func(o *pebblekv.Options) { o.OnFatal = nil })
		failing.Store(true)
		err := s.Update(t.Context(), func(tx meta.Tx) error {
			tx.Put([]byte("k"), crypttest.Sealed([]byte("v")))
			return nil
		})
		fmt.Println("acknowledged:", err)
		os.Exit(0)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestExit$")
	cmd.Env = append(os.Environ(), "COFFER_TEST_EXIT=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(string(out), "log failed") {
		t.Errorf("exit: %v, %s", err, out)
	}
}
