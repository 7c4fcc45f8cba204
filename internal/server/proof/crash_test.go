package proof

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/server/store"
)

var seed = flag.Uint64("seed", 0, "seed of random tests; 0 draws one")

func newSeed(t testing.TB) uint64 {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	return s
}

// syncFS calls hook before every sync of a file or a directory.
type syncFS struct {
	vfs.FS
	hook func()
}

type syncFile struct {
	vfs.File
	hook func()
}

func (f *syncFile) Sync() error     { f.hook(); return f.File.Sync() }
func (f *syncFile) SyncData() error { f.hook(); return f.File.SyncData() }
func (f *syncFile) SyncTo(n int64) (bool, error) {
	f.hook()
	return f.File.SyncTo(n)
}

func (s *syncFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &syncFile{f, s.hook}, nil
}

func (s *syncFS) Create(n string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return s.wrap(s.FS.Create(n, c))
}

func (s *syncFS) OpenReadWrite(n string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return s.wrap(s.FS.OpenReadWrite(n, c, o...))
}

func (s *syncFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return s.wrap(s.FS.ReuseForWrite(from, to, c))
}

func (s *syncFS) OpenDir(n string) (vfs.File, error) { return s.wrap(s.FS.OpenDir(n)) }

// value is what one blob holds; a nil data is no blob.
type value struct {
	data []byte
	meta string
}

func (v value) equal(w value) bool {
	return (v.data == nil) == (w.data == nil) && bytes.Equal(v.data, w.data) && v.meta == w.meta
}

func (v value) String() string { return describe(v.data) + " metadata " + v.meta }

// promise is what was acknowledged, and the one operation under way.
type promise struct {
	acked  map[string]value
	key    string // of the operation under way, or ""
	during value  // what it will leave
}

// ledger is kept by the workload and copied at a power cut.
type ledger struct {
	mu sync.Mutex
	promise
}

func (l *ledger) snapshot() promise {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.promise
	p.acked = make(map[string]value, len(l.acked))
	for k, v := range l.acked {
		p.acked[k] = v
	}
	return p
}

// do runs one operation that leaves v under key.
func (l *ledger) do(key string, v value, f func() error) error {
	l.mu.Lock()
	l.key, l.during = key, v
	l.mu.Unlock()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	l.mu.Lock()
	l.acked[key] = v
	l.key = ""
	l.mu.Unlock()
	return nil
}

// workload mixes every kind of write, with rotation, collection and restarts of logs.
func workload(t testing.TB, st *store.Store, l *ledger, rng *rand.Rand, rounds int) error {
	kek, vfsk := chain(t, st, keys.KEK), chain(t, st, keys.VFSK)
	for i := range rounds {
		key := fmt.Sprintf("dir%d/blob-%d", rng.IntN(3), rng.IntN(12))
		data := content(fmt.Sprint(i), []int{0, 10, 5_000, 32_768, 32_769, 200_000, 1_200_000}[rng.IntN(7)])
		meta := fmt.Sprintf("round-%d", i)
		var err error
		switch rng.IntN(10) {
		case 0, 1, 2, 3:
			err = l.do(key, value{data, meta}, func() error {
				return put(st, key, data, blob.MetaPair{Name: "Round", Value: meta})
			})
		case 4, 5:
			data = content(fmt.Sprint(i), 300_000)
			err = l.do(key, value{data, ""}, func() error { return putBlocks(st, key, data, 70_000) })
		case 6:
			old := l.snapshot().acked[key]
			if old.data == nil {
				continue
			}
			err = l.do(key, value{old.data, meta}, func() error {
				_, err := st.Blobs.SetMetadata(ctx, owner, ref(key), blob.Metadata{{Name: "Round", Value: meta}}, blob.Conditions{})
				return err
			})
		case 7:
			if l.snapshot().acked[key].data == nil {
				continue
			}
			err = l.do(key, value{}, func() error {
				return st.Blobs.Delete(ctx, owner, ref(key), blob.DeleteOptions{})
			})
		case 8:
			if _, err = st.Objects.Collect(ctx); err == nil {
				_, err = st.Blobs.Collect(ctx, 100)
			}
		case 9:
			switch rng.IntN(4) {
			case 0:
				_, err = st.Ring.Rotate(ctx, vfsk)
			case 1:
				if _, err = st.Ring.Rotate(ctx, kek); err == nil {
					err = st.Objects.Mirror(ctx)
				}
			case 2:
				err = st.Ring.RotateRoot(ctx, keys.SRK)
			case 3:
				err = st.Meta.CompactAll(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// kept checks that a store holds what was promised.
func (p promise) kept(st *store.Store) error {
	list, err := names(st)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, n := range list {
		there[n] = true
		if _, ok := p.acked[n]; !ok && n != p.key {
			return fmt.Errorf("%s was never stored, and is there", n)
		}
	}
	for key := range p.all() {
		data, m, err := get(st, key)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		got := value{data: data}
		for _, pair := range m {
			got.meta = pair.Value
		}
		want, during := p.acked[key], key == p.key
		if !got.equal(want) && !(during && got.equal(p.during)) {
			return fmt.Errorf("%s = %v, want %v (under way: %v %v)", key, got, want, during, p.during)
		}
		if there[key] != (data != nil) {
			return fmt.Errorf("%s: listed %v, read %v", key, there[key], data != nil)
		}
	}
	return nil
}

func (p promise) all() map[string]bool {
	all := map[string]bool{}
	for k := range p.acked {
		all[k] = true
	}
	if p.key != "" {
		all[p.key] = true
	}
	return all
}

// TestAckedSurvivesPowerCut cuts the power at syncs all over a mixed workload, keeps
// none, half or all of what was not synced, reopens, and asks for everything that was
// acknowledged so far. After the check the store must take a write, too.
func TestAckedSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	points := sized(50, 300, 5_000)
	s := newSeed(t)

	const rounds = 400
	total := powerCuts(t, s, rounds, func(int) bool { return false }, nil)
	if total < points {
		t.Fatalf("the workload syncs %d times, want at least %d", total, points)
	}
	reached := 0
	levels := []int{0, 50, 100}
	powerCuts(t, s, rounds, func(i int) bool { return i*points/total != (i+1)*points/total }, func(i int, cut func(percent int) *vfs.MemFS, p promise, sec *secrets) {
		reached++
		level := levels[reached%3]
		if err := afterCut(cut(level), sec, p); err != nil {
			t.Errorf("power cut at sync %d, %d%% of unsynced data kept: %v", i, level, err)
		}
	})
	t.Logf("%d power cuts of %d syncs", reached, total)
	if reached < points*9/10 {
		t.Errorf("reached %d points, want %d", reached, points)
	}
}

// afterCut reopens what a power cut left.
func afterCut(disk vfs.FS, sec *secrets, p promise) error {
	o := sec.options(disk)
	o.NoCreate = true
	st, err := store.Open(ctx, o)
	if err != nil {
		return fmt.Errorf("reopening: %w", err)
	}
	err = p.kept(st)
	if err == nil {
		err = put(st, "after", []byte("the cut"))
	}
	if err == nil {
		_, err = st.Objects.Collect(ctx)
	}
	if err == nil {
		p.acked["after"] = value{data: []byte("the cut")}
		err = p.kept(st)
	}
	if cerr := st.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("closing: %w", cerr)
	}
	return err
}

// powerCuts runs the workload on a disk and calls at for the chosen syncs, before each
// has its effect. It returns the number of syncs.
func powerCuts(t testing.TB, seed uint64, rounds int, chosen func(i int) bool, at func(i int, cut func(int) *vfs.MemFS, p promise, sec *secrets)) int {
	t.Helper()
	disk := vfs.NewCrashableMem()
	sec := newSecrets()
	l := &ledger{promise: promise{acked: map[string]value{}}}
	var (
		armed atomic.Bool
		count atomic.Int64
		mu    sync.Mutex // one cut at a time
	)
	rng := rand.New(rand.NewPCG(seed, 2))
	fs := &syncFS{FS: disk, hook: func() {
		if !armed.Load() {
			return
		}
		i := int(count.Add(1)) - 1
		if !chosen(i) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		// What is acknowledged is copied before the disk: it can only be less.
		p := l.snapshot()
		at(i, func(percent int) *vfs.MemFS {
			return disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
		}, p, sec)
	}}
	st := mustOpen(t, fs, sec)
	armed.Store(true)
	if err := workload(t, st, l, rand.New(rand.NewPCG(seed, 1)), rounds); err != nil {
		t.Fatal(err)
	}
	armed.Store(false)
	if err := l.snapshot().kept(st); err != nil {
		t.Fatalf("before any cut: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return int(count.Load())
}

// TestCreationSurvivesPowerCut cuts the power at every sync of the first start: the next
// start begins again or finishes, and never refuses.
func TestCreationSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{0, 50, 100} {
		for i, more := 0, true; more; i++ {
			disk, sec := vfs.NewCrashableMem(), newSecrets()
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			var cut *vfs.MemFS
			var count atomic.Int64
			fs := &syncFS{FS: disk, hook: func() {
				if int(count.Add(1))-1 == i {
					cut = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
				}
			}}
			st := mustOpen(t, fs, sec)
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			if more = cut != nil; !more {
				if i < 5 {
					t.Fatalf("creation syncs only %d times", i)
				}
				break
			}
			again, err := open(cut, sec)
			if err != nil {
				if fault.Is(err, fault.Rollback) {
					t.Errorf("sync %d, %d%%: refused: %v", i, percent, err)
				} else {
					t.Errorf("sync %d, %d%%: %v", i, percent, err)
				}
				continue
			}
			if err := again.Close(); err != nil {
				t.Errorf("sync %d: closing: %v", i, err)
			}
		}
	}
}
