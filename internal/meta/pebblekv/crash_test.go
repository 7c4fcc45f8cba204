package pebblekv_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
)

// writer is one client: it does one thing after the other in its own key space and
// knows what was acknowledged.
type writer struct {
	id    int
	rng   *rand.Rand
	acked map[string]int // key -> version of the value
	next  map[string]int // after the operation in flight; nil: none
}

const keysPerWriter = 12

func (w *writer) key(i int) string { return fmt.Sprintf("w%d/%02d", w.id, i) }

func clone(m map[string]int) map[string]int {
	c := make(map[string]int, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// content is of different sizes, so that memtables and logs fill.
func content(key string, version int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%s#%d;", key, version), 1+version*37%400)
}

// plan draws the next operation; the world is what it leads to.
func (w *writer) plan(version int) (op func(meta.Tx) error, world map[string]int) {
	world = clone(w.acked)
	switch w.rng.IntN(8) {
	case 0:
		k := w.key(w.rng.IntN(keysPerWriter))
		delete(world, k)
		return func(tx meta.Tx) error { tx.Delete([]byte(k)); return nil }, world
	case 1:
		lo, hi := w.key(w.rng.IntN(keysPerWriter)), w.key(w.rng.IntN(keysPerWriter))
		for k := range world {
			if k >= lo && k < hi {
				delete(world, k)
			}
		}
		return func(tx meta.Tx) error { tx.DeleteRange([]byte(lo), []byte(hi)); return nil }, world
	default:
		var ks []string
		for range 1 + w.rng.IntN(4) {
			k := w.key(w.rng.IntN(keysPerWriter))
			ks = append(ks, k)
			world[k] = version
		}
		return func(tx meta.Tx) error {
			for _, k := range ks {
				tx.Put([]byte(k), crypttest.Sealed(content(k, version)))
			}
			return nil
		}, world
	}
}

// world is all writers. Its lock is held while one of them notes the start or the end
// of an operation, and while the power is cut.
type world struct {
	mu      sync.Mutex
	writers []*writer
	audit   int // acknowledged audit records
}

type wanted struct {
	acked, next map[string]int
}

func (w *world) snapshot() (ws []wanted, audit int) {
	for _, x := range w.writers {
		ws = append(ws, wanted{clone(x.acked), x.next})
	}
	return ws, w.audit
}

// check opens what is left after a power cut.
func check(t *testing.T, fs vfs.FS, ws []wanted, audit int, point string, creating bool) {
	t.Helper()
	if err := holds(t, fs, ws, audit, creating); err != nil {
		t.Errorf("%s: %v", point, err)
	}
}

func holds(t *testing.T, fs vfs.FS, ws []wanted, audit int, creating bool) error {
	o := options(t, fs)
	o.MemTable = 256 << 10
	o.Create = creating
	s, err := pebblekv.Open(t.Context(), o)
	if err != nil {
		return err
	}
	defer s.Close()
	err = s.View(t.Context(), func(r meta.Reader) error {
		for i, want := range ws {
			got := map[string]int{}
			lo, hi := fmt.Appendf(nil, "w%d/", i), fmt.Appendf(nil, "w%d0", i)
			err := r.Scan(lo, hi, false, func(k, v []byte) (bool, error) {
				var version int
				if _, err := fmt.Sscanf(string(v[len(k):]), "#%d;", &version); err != nil || !bytes.Equal(v, content(string(k), version)) {
					return false, fmt.Errorf("%s has wrong bytes", k)
				}
				got[string(k)] = version
				return true, nil
			})
			if err != nil {
				return err
			}
			if !same(got, want.acked) && (want.next == nil || !same(got, want.next)) {
				return fmt.Errorf("writer %d: got %v\nacknowledged %v\nin flight %v", i, got, want.acked, want.next)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	n, err := countAudit(s.FS())
	if err == nil && n < audit {
		err = fmt.Errorf("%d audit records, %d were acknowledged", n, audit)
	}
	return err
}

func same(a, b map[string]int) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func countAudit(fs *sealedfs.FS) (count int, err error) {
	ns, err := fs.Audits()
	for _, n := range ns {
		if err == nil {
			err = fs.ReadAudit(n, func([]byte) error { count++; return nil })
		}
	}
	return count, err
}

// TestCrash cuts the power at the syncs of a workload of parallel writers with
// flushes, compactions, key-store swaps and an audit log, and opens what the disk is
// bound to have kept.
func TestCrash(t *testing.T) {
	total := 160
	if testing.Short() {
		total = 50
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	disk := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(seed, 1))
	w := &world{}
	type cut struct {
		fs    *vfs.MemFS
		ws    []wanted
		audit int
		point string
	}
	cuts := make(chan cut, 4)
	var syncs points
	started := make(chan bool)
	take := func(when string) func() {
		return func() {
			n := syncs.next()
			select {
			case <-started:
			default:
				return // the creation has its own test
			}
			if n%3 != 0 {
				return
			}
			w.mu.Lock()
			ws, audit := w.snapshot()
			percent := []int{0, 30, 50, 70, 100}[rng.IntN(5)]
			fs := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			w.mu.Unlock()
			select {
			case cuts <- cut{fs, ws, audit, fmt.Sprintf("%s sync %d, %d %% of the rest kept", when, n, percent)}:
			default: // the checks are slower than the syncs
			}
		}
	}
	fs := &hookFS{FS: disk, before: take("before"), after: take("after")}
	s := create(t, fs, func(o *pebblekv.Options) { o.MemTable = 256 << 10 })
	close(started)

	stop := make(chan bool)
	var wg sync.WaitGroup
	for i := range 4 {
		x := &writer{id: i, rng: rand.New(rand.NewPCG(seed, uint64(100+i))), acked: map[string]int{}}
		w.writers = append(w.writers, x)
	}
	for _, x := range w.writers {
		wg.Go(func() { run(t, s, w, x, stop) })
	}
	wg.Go(func() { sideShow(t, s, w, stop) })
	for i := 0; i < total; i++ {
		c := <-cuts
		check(t, c.fs, c.ws, c.audit, c.point, false)
		if i%10 == 0 { // what was opened once, and cut again at once, opens again
			again := c.fs.CrashClone(vfs.CrashCloneCfg{})
			check(t, again, c.ws, c.audit, c.point+", and again", false)
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	ws, audit := w.snapshot()
	check(t, disk, ws, audit, "clean stop", false)
}

func run(t *testing.T, s *pebblekv.Store, w *world, x *writer, stop chan bool) {
	for version := 1; ; version++ {
		select {
		case <-stop:
			return
		default:
		}
		op, world := x.plan(version)
		w.mu.Lock()
		x.next = world
		w.mu.Unlock()
		if err := s.Update(t.Context(), op); err != nil {
			t.Errorf("Update: %v", err)
			return
		}
		w.mu.Lock()
		x.acked, x.next = world, nil
		w.mu.Unlock()
	}
}

// sideShow writes audit records, swaps key-store generations and compacts.
func sideShow(t *testing.T, s *pebblekv.Store, w *world, stop chan bool) {
	for file := uint64(1); ; file++ {
		a, err := s.FS().CreateAudit(file)
		if err != nil {
			t.Errorf("CreateAudit: %v", err)
			return
		}
		for range 5 {
			select {
			case <-stop:
				if err := a.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				return
			default:
			}
			if err := errors.Join(a.Append([]byte("record")), a.Sync()); err != nil {
				t.Errorf("audit: %v", err)
				return
			}
			w.mu.Lock()
			w.audit++
			w.mu.Unlock()
		}
		if err := errors.Join(a.Close(), s.AfterSwap()); err != nil {
			t.Errorf("audit: %v", err)
		}
		if file%4 == 0 {
			if err := s.CompactAll(t.Context()); err != nil {
				t.Errorf("CompactAll: %v", err)
			}
		}
	}
}

// TestCrashInCreation cuts the power at every sync of the creation: it begins again, or
// ends.
func TestCrashInCreation(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, percent := range []int{0, 50, 100} {
		disk := vfs.NewCrashableMem()
		var cuts []*vfs.MemFS
		take := func() {
			cuts = append(cuts, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
		}
		create(t, &hookFS{FS: disk, before: take, after: take}, nil)
		for i, c := range cuts {
			if err := c.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			check(t, c, nil, 0, fmt.Sprintf("point %d, %d %%", i, percent), true)
			check(t, c, nil, 0, fmt.Sprintf("point %d, %d %%, opened again", i, percent), false)
		}
		if len(cuts) < 10 {
			t.Errorf("only %d syncs in a creation", len(cuts))
		}
	}
}
