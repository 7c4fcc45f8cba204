package pebblekv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/crypt/recordtest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs/sealedfstest"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: never", what)
		}
	}
}

func TestFullDisk(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 30)
	fs := vfs.NewCrashableMem()
	const reserve = 1 << 20
	s := create(t, fs, func(o *pebblekv.Options) {
		o.MinFree, o.Reserve = 8<<20, reserve
		o.FreeSpace = func() (uint64, error) { return free.Load(), nil }
	})
	write := func(ctx context.Context, n int) error {
		return s.Update(ctx, func(tx meta.Tx) error {
			tx.Put([]byte("k"), crypttest.Sealed(make([]byte, n)))
			return nil
		})
	}
	there := func() bool { _, err := fs.Stat(path.Join(dir, "reserve")); return err == nil }
	must(t, write(t.Context(), 10))
	if !there() {
		t.Error("no reserve file")
	}

	free.Store(6 << 20)
	eventually(t, "full", func() bool { return errors.Is(write(t.Context(), 10), meta.ErrFull) })
	if !s.Stats().Full || !there() {
		t.Errorf("Stats = %+v, reserve %v", s.Stats(), there())
	}
	must(t, write(meta.WithReclaim(t.Context()), 10))
	must(t, s.View(t.Context(), func(r meta.Reader) error { _, err := r.Get([]byte("k")); return err }))
	must(t, s.Update(t.Context(), func(meta.Tx) error { return nil })) // nothing is written

	free.Store(1 << 20)
	eventually(t, "reserve given up", func() bool { return !there() })
	must(t, write(meta.WithReclaim(t.Context()), 10))

	free.Store(1 << 30)
	eventually(t, "reserve made again", there)
	eventually(t, "room", func() bool { return write(t.Context(), 10) == nil })

	free.Store(10 << 20) // room for small commits, not for a large one; seen at once
	if err := write(t.Context(), 4<<20); !errors.Is(err, meta.ErrFull) {
		t.Errorf("large commit = %v, want ErrFull", err)
	}
	must(t, write(t.Context(), 10))
}

func TestReadOnly(t *testing.T) {
	h := makeHistory(t)
	for name, im := range map[string]image{"running": h.newer, "stopped": h.clean} {
		fs := im.disk(t)
		s := open(t, fs, func(o *pebblekv.Options) { o.ReadOnly = true })
		got, err := rows(t, s)
		if err != nil || !cmp.Equal(got, all5) {
			t.Errorf("%s: rows = %v, %v", name, got, err)
		}
		err = s.Update(t.Context(), func(tx meta.Tx) error { tx.Delete([]byte("a1")); return nil })
		if !fault.Is(err, fault.NotAllowed) {
			t.Errorf("%s: Update = %v, want NotAllowed", name, err)
		}
		must(t, s.Close())
		after := read(t, fs)
		delete(after, path.Join(dir, "lsm", "LOCK"))
		before := im.with(func(im image) { delete(im, path.Join(dir, "lsm", "LOCK")) })
		if diff := cmp.Diff(before, after, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: files changed:\n%.2000s", name, diff)
		}
	}
}

// TestCheckpoint: a copy that was made while commits go on opens as a store, with
// everything that was acknowledged before it began.
func TestCheckpoint(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := create(t, fs, nil)
	put(t, s, 1, "a", "b")
	must(t, s.CompactAll(t.Context()))
	put(t, s, 2, "c")
	stop := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				put(t, s, i, "x")
			}
		}
	})
	must(t, fs.MkdirAll("copy", 0o700))
	err := s.Checkpoint("copy/lsm")
	close(stop)
	wg.Wait()
	must(t, err)
	k := sealedfstest.New(1)
	must(t, sealedfs.WriteHeads(fs, "copy", k))
	must(t, sealedfs.SyncDir(fs, "."))
	c := open(t, fs.CrashClone(vfs.CrashCloneCfg{}), func(o *pebblekv.Options) { o.Dir = "copy" })
	got, err := rows(t, c)
	must(t, err)
	if len(got) < 3 || !cmp.Equal(got[:3], []string{"a#1", "b#1", "c#2"}) {
		t.Errorf("rows of the copy = %v", got)
	}
	put(t, s, 9, "a") // the original goes on
	must(t, s.Close())
	must(t, c.Close())
}

// TestRotation: after CompactAll every table is under the new VFSK, whatever its shape.
func TestRotation(t *testing.T) {
	fs := vfs.NewCrashableMem()
	k := sealedfstest.New(1)
	s := create(t, fs, func(o *pebblekv.Options) { o.Keys = k })
	put(t, s, 1, "m") // a table with one row
	must(t, s.CompactAll(t.Context()))
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("n%03d", i))
	}
	put(t, s, 2, names...)
	must(t, s.CompactAll(t.Context()))
	before, err := rows(t, s)
	must(t, err)
	old := k.Active()

	k.RotateVFS()
	must(t, s.AfterSwap())
	must(t, s.CompactAll(t.Context()))
	after, err := rows(t, s)
	if err != nil || !cmp.Equal(before, after) {
		t.Errorf("rows changed: %v", err)
	}
	eventually(t, "tables of the old key gone", func() bool {
		for p, b := range read(t, fs) {
			if path.Ext(p) == ".sst" && bytes.Equal(b[8:24], old[:]) {
				return false
			}
		}
		return true
	})
	// The MANIFEST and OPTIONS follow at the next start.
	must(t, s.Close())
	s = open(t, fs, func(o *pebblekv.Options) { o.Keys = k })
	put(t, s, 3, "z")
	must(t, s.CompactAll(t.Context()))
	eventually(t, "nothing under the old key", func() bool {
		count, err := s.FS().Krefs()
		must(t, err)
		return count[old] == 0 && count[k.Active()] > 0
	})
}

// TestCanary: what is in keys is in no file; the same search finds it in what went
// into the seals of log and tables.
func TestCanary(t *testing.T) {
	const canary = "CANARY-in-a-row-key"
	var mu sync.Mutex
	heard := map[string]int{}
	recordtest.Listen(t, func(kind string, plain []byte) {
		mu.Lock()
		defer mu.Unlock()
		heard[kind] += bytes.Count(plain, []byte(canary))
	})
	fs := vfs.NewCrashableMem()
	s := create(t, fs, nil)
	for i := range 20 {
		put(t, s, i, fmt.Sprint(canary, i))
	}
	must(t, s.CompactAll(t.Context()))
	must(t, s.Close())
	for p, b := range read(t, fs) {
		if bytes.Contains(b, []byte("CANARY")) || strings.Contains(p, "CANARY") {
			t.Errorf("%s shows it", p)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if heard[recordtest.WAL] < 20 || heard[recordtest.SST] < 20 {
		t.Errorf("heard %v: the search would find nothing anywhere", heard)
	}
}

func TestHooks(t *testing.T) {
	var commits, conflicts atomic.Int64
	s := create(t, vfs.NewCrashableMem(), func(o *pebblekv.Options) {
		o.Hooks = pebblekv.Hooks{
			Commit:   func(time.Duration, int) { commits.Add(1) },
			Conflict: func() { conflicts.Add(1) },
		}
	})
	put(t, s, 1, "a")
	tries := 0
	must(t, s.Update(t.Context(), func(tx meta.Tx) error {
		v, err := tx.Get([]byte("a"))
		if tries++; tries == 1 {
			put(t, s, 2, "a")
		}
		tx.Put([]byte("b"), crypttest.Sealed(v))
		return err
	}))
	if commits.Load() != 3 || conflicts.Load() != 1 {
		t.Errorf("%d commits, %d conflicts, want 3, 1", commits.Load(), conflicts.Load())
	}
	st := s.Stats()
	if st.Commits != 3 || st.Conflicts != 1 || st.Syncs == 0 || st.WALFiles == 0 || st.Batches.Commits != 3 || st.Batches.Syncs == 0 {
		t.Errorf("Stats = %+v", st)
	}
}

// TestCheckpointOnABadDisk: whatever fails where the copy goes fails the copy, and the
// store goes on. The engine panics when the marker of the copy does not sync.
func TestCheckpointOnABadDisk(t *testing.T) {
	for n, done := 0, false; !done; n++ {
		mem := vfs.NewCrashableMem()
		var armed atomic.Bool
		var count atomic.Int64
		fs := &hookFS{FS: mem, fail: func(op, path string) error {
			if op == "sync" && armed.Load() && strings.HasPrefix(path, "copy") && int(count.Add(1))-1 == n {
				return errors.New("input/output error")
			}
			return nil
		}}
		s := create(t, fs, nil)
		put(t, s, 1, "a")
		must(t, mem.MkdirAll("copy", 0o700))
		armed.Store(true)
		err := s.Checkpoint("copy/lsm")
		armed.Store(false)
		if done = int(count.Load()) <= n; done {
			must(t, err)
			if n < 3 {
				t.Errorf("a checkpoint syncs only %d times", n)
			}
		} else if err == nil {
			t.Errorf("sync %d failed and Checkpoint said nothing", n)
		}
		if err := s.Latched(); err != nil {
			t.Fatalf("sync %d: the store ended for the sake of a copy: %v", n, err)
		}
		put(t, s, 2, "a")
		must(t, s.Close())
	}
}

// TestCompactAllOnABadDisk: the engine tries for ever to write a table and its blob file;
// who asked for it hears of it.
func TestCompactAllOnABadDisk(t *testing.T) {
	for _, where := range []struct{ op, suffix string }{
		{"write", ".sst"}, {"sync", ".sst"}, {"write", ".blob"}, {"sync", ".blob"}, {"create", ".blob"},
	} {
		t.Run(where.op+where.suffix, func(t *testing.T) {
			var broken atomic.Bool
			fs := &hookFS{FS: vfs.NewCrashableMem(), fail: func(op, path string) error {
				if broken.Load() && op == where.op && strings.Contains(path, where.suffix) {
					return syscall.ENOSPC
				}
				return nil
			}}
			s := create(t, fs, nil)
			large := strings.Repeat("a name that makes the value large", 100)
			put(t, s, 1, large)
			broken.Store(true)
			if err := s.CompactAll(t.Context()); !errors.Is(err, syscall.ENOSPC) || s.Latched() != nil {
				t.Errorf("CompactAll = %v, latched %v", err, s.Latched())
			}
			put(t, s, 2, large)
			broken.Store(false)
			must(t, s.CompactAll(t.Context()))
			must(t, s.Close())
			found := false
			names, err := fs.List(path.Join(dir, "lsm"))
			must(t, err)
			for _, n := range names {
				found = found || strings.HasSuffix(n, ".blob")
			}
			if !found {
				t.Error("no blob file was written")
			}
		})
	}
}
