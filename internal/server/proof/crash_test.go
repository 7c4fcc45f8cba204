package proof

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
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

// cutter runs the workload on a disk whose power can be cut before any event that
// changes it. The store goes on undisturbed; each cut is a copy of the disk as it could
// be found afterwards.
type cutter struct {
	t       testing.TB
	seed    uint64
	workers int
	rounds  int
	chosen  func(e event, i int) bool // i counts the events of kind e
	at      func(c cut)

	count  atomic.Int64
	events [eventCount]atomic.Int64
	load   *load
}

// cut is a disk after a power cut, and what was promised before it.
type cut struct {
	disk    *vfs.MemFS
	promise promise
	sec     *secrets
	event   event
	path    string
	index   int
	level   int // percent of unsynced data that was kept
}

func (c cut) String() string {
	return fmt.Sprintf("cut %d before the %s of %s, %d%% of unsynced data kept", c.index, c.event, c.path, c.level)
}

var levels = []int{0, 50, 100}

// changesDisk leaves out what cannot change a disk: directories made that are there.
func changesDisk(disk vfs.FS, e event, path string) bool {
	if e == evMkdir {
		_, err := disk.Stat(path)
		return err != nil
	}
	return e.changes()
}

// run returns the number of events that changed the disk.
func (k *cutter) run() int {
	k.t.Helper()
	disk, sec, l := vfs.NewCrashableMem(), newSecrets(), newLedger()
	var armed atomic.Bool
	var mu sync.Mutex // one cut at a time
	rng := rand.New(rand.NewPCG(k.seed, 2))
	var fs *tapFS
	fs = &tapFS{FS: disk, before: func(e event, path string) error {
		if !armed.Load() || !changesDisk(disk, e, path) {
			return nil
		}
		i := int(k.count.Add(1)) - 1
		if !k.chosen(e, int(k.events[e].Add(1))-1) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		level := levels[rng.IntN(len(levels))]
		c := cut{event: e, path: path, index: i, level: level}
		l.frozen(func(p promise) {
			c.promise, c.sec = p, sec.copy()
			c.disk = fs.clone(vfs.CrashCloneCfg{UnsyncedDataPercent: level, RNG: rng})
		})
		k.at(c)
		return nil
	}}
	st := mustOpen(k.t, fs, sec)
	k.load = &load{t: k.t, st: st, l: l, seed: k.seed, backup: func(worker, i int) error { return l.wholeBackup(st, worker, i) }}
	armed.Store(true)
	if err := k.load.run(k.workers, k.rounds); err != nil {
		k.t.Fatal(err)
	}
	armed.Store(false)
	if err := l.snapshot().kept(st); err != nil {
		k.t.Fatalf("before any cut: %v", err)
	}
	if err := st.Close(); err != nil {
		k.t.Fatal(err)
	}
	if n := fs.open.Load(); n != 0 {
		k.t.Errorf("%d files are open after the close: %v", n, fs.leaked())
	}
	return int(k.count.Load())
}

// TestAckedSurvivesPowerCut cuts the power before writes, syncs, creates, renames, links
// and removals all over a mixed workload with whole backups, keeps none, half or all of
// what was not synced, reopens, and asks for everything that was acknowledged so far. In
// every third point the power is cut again while the store recovers. After the check the
// store must take a write, too. A backup set that was reported as done is whole, one that
// was not is whole or refused. The long run has ten lives, for what a check costs grows
// with the life.
func TestAckedSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	points, lives := sized(50, 1_000, 1_010), sized(1, 1, 10)
	s := newSeed(t)
	for life := range uint64(lives) {
		for workers, share := range map[int]int{1: points / 2, 3: points - points/2} {
			t.Run(fmt.Sprintf("life %d, %d workers", life, workers), func(t *testing.T) {
				t.Parallel()
				cutEverywhere(t, s+life, workers, share)
			})
		}
	}
}

func cutEverywhere(t *testing.T, seed uint64, workers, points int) {
	rounds := sized(120, 400, 400)
	dry := &cutter{t: t, seed: seed, workers: workers, rounds: rounds, chosen: func(event, int) bool { return false }}
	total := dry.run()
	if total < points {
		t.Fatalf("the workload changes the disk %d times, want at least %d", total, points)
	}
	check := newChecker(t, seed)
	wet := &cutter{
		t: t, seed: seed, workers: workers, rounds: rounds, at: check.later,
		chosen: spread(&dry.events, points),
	}
	wet.run()
	check.wait()
	t.Logf("%d power cuts in %d events, %d more cuts in recoveries, %d ms of recovery each; %v",
		check.points.Load(), wet.count.Load(), check.again.Load(), check.meanOpen(), wet.load)
	var kinds []string
	for e := range eventCount {
		if n := check.kinds[e].Load(); n > 0 {
			kinds = append(kinds, fmt.Sprintf("%v %d", e, n))
		}
	}
	t.Logf("cut before: %s; %v", strings.Join(kinds, ", "), &check.sets)
	// Two runs do not have quite the same events; of few points more get lost.
	if n := int(check.points.Load()); n < points*9/10 && (points > 100 || n < points/2) {
		t.Errorf("reached %d points, want %d", n, points)
	}
	if n := int(check.again.Load()); n < int(check.points.Load())/5 {
		t.Errorf("%d recoveries were cut, want %d", n, points/5)
	}
	if wet.load.moved.Load() == 0 && points > 100 {
		t.Error("no extent was compacted")
	}
	if n := &check.sets; points > 100 && (n.whole.Load() < 10 || n.restored.Load() == 0 || n.unfinished.Load() < 10) {
		t.Errorf("the cuts left %v", n)
	}
}

// spread chooses points of all kinds: rare ones get as many as common ones, up to all of
// them, and lie evenly among their kind.
func spread(totals *[eventCount]atomic.Int64, points int) func(event, int) bool {
	var quota, total [eventCount]int
	for e := range total {
		total[e] = int(totals[e].Load())
	}
	for left := points; left > 0; {
		given := 0
		for e := range total {
			if left > given && quota[e] < total[e] {
				quota[e]++
				given++
			}
		}
		if given == 0 {
			break
		}
		left -= given
	}
	return func(e event, i int) bool {
		return total[e] > 0 && i < total[e] && i*quota[e]/total[e] != (i+1)*quota[e]/total[e]
	}
}

// checker looks at cuts beside the workload.
type checker struct {
	t      testing.TB
	slots  chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	rng    *rand.Rand
	span   atomic.Int64 // events of a usual recovery
	kinds  [eventCount]atomic.Int64
	points atomic.Int64
	again  atomic.Int64
	sets   setCount
	opened atomic.Int64 // ns
}

func newChecker(t testing.TB, seed uint64) *checker {
	c := &checker{t: t, slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), rng: rand.New(rand.NewPCG(seed, 3))}
	c.span.Store(20)
	return c
}

func (k *checker) later(c cut) {
	n := k.points.Add(1)
	k.kinds[c.event].Add(1)
	k.mu.Lock()
	sub := rand.New(rand.NewPCG(k.rng.Uint64(), uint64(c.index)))
	k.mu.Unlock()
	k.slots <- struct{}{}
	k.wg.Go(func() {
		defer func() { <-k.slots }()
		defer func() {
			if p := recover(); p != nil {
				k.t.Errorf("%v: panic: %v", c, p)
			}
		}()
		if err := k.sets.check(c, n); err != nil {
			k.t.Errorf("%v: %v", c, err)
		}
		if err := k.check(c, sub, n%3 == 0); err != nil {
			k.t.Errorf("%v: %v", c, err)
		}
	})
}

func (k *checker) wait() { k.wg.Wait() }

func (k *checker) meanOpen() int64 { return k.opened.Load() / max(k.points.Load(), 1) / 1e6 }

// check recovers from a cut; with twice the recovery is cut as well, at a random event.
func (k *checker) check(c cut, rng *rand.Rand, twice bool) error {
	at := -1
	if twice {
		at = rng.IntN(int(k.span.Load()))
	}
	second, err := recoverFrom(c, rng, at, k)
	if err != nil || second == nil {
		return err
	}
	k.again.Add(1)
	if _, err := recoverFrom(*second, rng, -1, k); err != nil {
		return fmt.Errorf("and after the %v: %w", second, err)
	}
	return nil
}

// recoverFrom opens what a cut left and checks it. With at >= 0 it also returns the disk
// as it is when the power fails at that event of the opening.
func recoverFrom(c cut, rng *rand.Rand, at int, k *checker) (second *cut, err error) {
	var events atomic.Int64
	var opening atomic.Bool
	var mu sync.Mutex
	var fs *tapFS
	fs = &tapFS{FS: c.disk, before: func(e event, path string) error {
		if !opening.Load() || !changesDisk(c.disk, e, path) {
			return nil
		}
		if i := int(events.Add(1)) - 1; i == at {
			mu.Lock()
			defer mu.Unlock()
			level := levels[rng.IntN(len(levels))]
			disk := fs.clone(vfs.CrashCloneCfg{UnsyncedDataPercent: level, RNG: rng})
			second = &cut{disk: disk, promise: c.promise, sec: c.sec.copy(), event: e, path: path, index: i, level: level}
		}
		return nil
	}}
	opening.Store(true)
	began := time.Now().UnixNano()
	o := c.sec.options(fs)
	o.NoCreate = true
	st, err := store.Open(ctx, o)
	k.opened.Add(time.Now().UnixNano() - began)
	opening.Store(false)
	if err != nil {
		return nil, fmt.Errorf("reopening: %w", err)
	}
	k.span.Store(max(events.Load(), 1))
	err = afterRecovery(st, c.promise)
	if cerr := st.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("closing: %w", cerr)
	}
	if n := fs.open.Load(); err == nil && n != 0 {
		err = fmt.Errorf("%d files are open after the close: %v", n, fs.leaked())
	}
	mu.Lock()
	defer mu.Unlock()
	return second, err
}

// afterRecovery checks the promise, and that the store goes on: it takes a write and
// collects garbage without losing anything.
func afterRecovery(st *store.Store, p promise) error {
	if err := p.kept(st); err != nil {
		return err
	}
	const after = string(box) + "/after"
	data := []byte("the cut")
	if err := put(st, "after", data); err != nil {
		return err
	}
	for range 2 {
		if _, err := st.Objects.Collect(ctx); err != nil {
			return err
		}
	}
	if _, err := st.Blobs.Collect(ctx, 1_000); err != nil {
		return err
	}
	q := promise{acked: map[string]value{after: {data: data}}, during: p.during}
	for k, v := range p.acked {
		q.acked[k] = v
	}
	return q.kept(st)
}

// TestCreationSurvivesPowerCut cuts the power at every event of the first start: the
// next start begins again or finishes, and never refuses; neither does the one after it
// when that was cut, too.
func TestCreationSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	n, again := openingCuts(t, func() (*vfs.MemFS, func(vfs.FS) (*store.Store, error)) {
		sec := newSecrets()
		return vfs.NewCrashableMem(), func(fs vfs.FS) (*store.Store, error) { return open(fs, sec) }
	}, func(*testing.T, *store.Store) {})
	t.Logf("%d cuts while a store was made, %d more in the start after one", n, again)
	if n < 20 || again < n/20 {
		t.Errorf("%d and %d cuts: creation hardly changes the disk", n, again)
	}
}

// openingCuts opens a disk once, cuts at events of it with every level, and opens each
// of the results again. Some of those openings are cut as well. It returns the numbers
// of cuts.
func openingCuts(t *testing.T, prepare func() (*vfs.MemFS, func(vfs.FS) (*store.Store, error)), check func(*testing.T, *store.Store)) (cuts, again int) {
	t.Helper()
	disk, opener := prepare()
	rng := rand.New(rand.NewPCG(newSeed(t), 7))
	every := sized(6, 1, 1)
	first, span, err := cutOpening(disk, opener, rng, func(*store.Store) {}, func(i int) []int {
		if i%every != 0 {
			return nil
		}
		return levels
	})
	if err != nil {
		t.Fatal(err)
	}
	twice := sized(6, 6, 1)  // of so many first cuts one is cut again,
	points := sized(1, 1, 5) // at so many events of its opening and closing
	for n, c := range first {
		second, events, err := cutOpening(c.disk, opener, rng, func(st *store.Store) { check(t, st) }, func(int) []int {
			if n%twice != 0 || rng.IntN(span) >= points {
				return nil
			}
			return []int{levels[rng.IntN(len(levels))]}
		})
		span = max(events, points)
		if err != nil {
			t.Errorf("%v: %v", c, err)
		}
		for _, d := range second {
			again++
			if _, _, err := cutOpening(d.disk, opener, rng, func(st *store.Store) { check(t, st) }, nil); err != nil {
				t.Errorf("%v, and in the start after it, %v: %v", c, d, err)
			}
		}
	}
	return len(first), again
}

// cutOpening opens a disk, does something with the store and closes it. It cuts the
// power before the ith event that changes the disk in opening and closing, at the levels
// that at returns; without at nowhere.
func cutOpening(disk *vfs.MemFS, opener func(vfs.FS) (*store.Store, error), rng *rand.Rand, do func(*store.Store), at func(i int) []int) (cuts []cut, events int, err error) {
	var mu sync.Mutex
	armed := at != nil
	arm := func(on bool) {
		mu.Lock()
		defer mu.Unlock()
		armed = on && at != nil
	}
	var fs *tapFS
	fs = &tapFS{FS: disk, before: func(e event, path string) error {
		if !changesDisk(disk, e, path) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if !armed {
			return nil
		}
		events++
		for _, level := range at(events) {
			clone := fs.clone(vfs.CrashCloneCfg{UnsyncedDataPercent: level, RNG: rng})
			cuts = append(cuts, cut{disk: clone, event: e, path: path, index: events, level: level})
		}
		return nil
	}}
	st, err := opener(fs)
	if err != nil {
		what := "failed"
		if fault.Is(err, fault.Rollback) {
			what = "refused"
		}
		return cuts, events, fmt.Errorf("%s: %w", what, err)
	}
	arm(false)
	do(st)
	arm(true)
	if err := st.Close(); err != nil {
		return cuts, events, fmt.Errorf("closing: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	return cuts, events, nil
}

// TestClonesBesideLinks: a disk can be cloned while files are linked on it.
func TestClonesBesideLinks(t *testing.T) {
	fs := &tapFS{FS: vfs.NewCrashableMem(), before: func(event, string) error { return nil }}
	writeAll(t, fs, "file", []byte("bytes"))
	var links sync.WaitGroup
	for w := range 4 {
		links.Go(func() {
			for i := range 3_000 {
				to := fmt.Sprintf("link-%d", w)
				if err := fs.Link("file", to); err != nil {
					t.Errorf("link %d: %v", i, err)
					return
				}
				if err := fs.Remove(to); err != nil {
					t.Errorf("removing link %d: %v", i, err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { links.Wait(); close(done) }()
	for n := 0; ; n++ {
		select {
		case <-done:
			t.Logf("%d clones", n)
			return
		default:
			fs.clone(vfs.CrashCloneCfg{})
		}
	}
}
