package metamorphic

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	pebbletest "github.com/cockroachdb/pebble/v2/metamorphic"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/meta/sealedfs/sealedfstest"
)

var (
	one  = flag.Uint64("seed", 0, "run this seed alone, in this process")
	dir  = flag.String("dir", "", "with -seed: where the histories go")
	bad  = flag.Bool("damage", false, "with -seed: change a byte in some reads below sealedfs")
	long = os.Getenv("COFFER_LONG") != ""
)

// TestPebble runs random streams of Pebble's operations with random options, each plain
// and sealed, and compares the histories. Every seed has its own process: Pebble's test
// ends it at the first error of background work. Half of the runs restart from crash
// clones that lost everything unsynced.
func TestPebble(t *testing.T) {
	if *one != 0 {
		runSeed(t, *one, *dir)
		return
	}
	seeds := 20
	switch {
	case long:
		seeds = 1_000
	case testing.Short():
		seeds = 3 // replay with -short
	}
	first := rand.Uint64() >> 1
	t.Logf("seeds %d to %d; replay: go test -run TestPebble -seed=N", first, first+uint64(seeds)-1)
	var mu sync.Mutex
	var sum counts
	t.Run("seeds", func(t *testing.T) {
		for i := range seeds {
			t.Run(fmt.Sprint(first+uint64(i)), func(t *testing.T) {
				t.Parallel()
				n := inProcess(t, first+uint64(i))
				mu.Lock()
				defer mu.Unlock()
				for k := range n {
					sum[k] += n[k]
				}
			})
		}
	})
	t.Logf("%d seeds plain and sealed; %d restarts from crash clones, %d copies of live stores and %d checkpoints opened, %d logs reused, %d blob files",
		seeds, sum[0], sum[1], sum[2], sum[3], sum[4])
	if seeds >= 20 && (sum[0] == 0 || sum[1] == 0 || sum[2] == 0 || sum[4] == 0) {
		t.Error("no restart, no copy, no checkpoint or no blob file")
	}
}

// counts of restarts, copies, checkpoints, reused files and blob files.
type counts [5]int

// child runs one seed in a process of its own.
func child(t *testing.T, seed uint64, args ...string) ([]byte, error) {
	cmd := exec.Command(os.Args[0], append(args, fmt.Sprintf("-test.short=%v", testing.Short()), "-test.run=^TestPebble$", "-test.timeout=5m",
		"-seed="+strconv.FormatUint(seed, 10), "-dir="+t.TempDir())...)
	cmd.Dir = t.TempDir() // where Pebble's test leaves its store when it fails
	return cmd.CombinedOutput()
}

// TestDamageIsMet is the control: with a changed byte below sealedfs the same streams fail.
func TestDamageIsMet(t *testing.T) {
	failed := 0
	seeds := 4
	if testing.Short() {
		seeds = 2
	}
	for seed := range uint64(seeds) {
		if _, err := child(t, seed+1, "-damage"); err != nil {
			failed++
		}
	}
	if failed == 0 {
		t.Errorf("none of %d runs on a damaged disk failed", seeds)
	}
}

// inProcess checks one seed.
func inProcess(t *testing.T, seed uint64) (sum counts) {
	t.Helper()
	out, err := child(t, seed)
	if err != nil {
		const most = 12_000
		if len(out) > most {
			out = append([]byte("...\n"), out[len(out)-most:]...)
		}
		t.Fatalf("-seed=%d: %v\n%s", seed, err, out)
	}
	for line := range strings.Lines(string(out)) {
		for i, word := range []string{"restarts:", "copies:", "checkpoints:", "reused:", "blobs:"} {
			if n, ok := strings.CutPrefix(strings.TrimSpace(line), word); ok {
				sum[i], _ = strconv.Atoi(n)
			}
		}
	}
	return sum
}

// runSeed runs one stream twice.
func runSeed(t *testing.T, seed uint64, dir string) {
	if dir == "" {
		dir = t.TempDir()
	}
	paths := []string{filepath.Join(dir, "plain"), filepath.Join(dir, "sealed")}
	sealed := &layer{keys: sealedfstest.New(1), damage: *bad}
	plain := execute(t, seed, paths[0], nil)
	execute(t, seed, paths[1], sealed)
	if _, diff := pebbletest.CompareHistories(t, paths); diff != "" {
		t.Fatalf("-seed=%d: the histories differ\n%s", seed, diff)
	}
	restarts := sealed.opens - 1
	compareRest(t, seed, plain, sealed)
	fmt.Printf("restarts:%d\n", restarts)
}

// options draws the options of a seed: the same for both runs.
func options(rng *rand.Rand) *pebbletest.TestOptions {
	o := pebbletest.RandomOptions(rng, pebbletest.TestkeysKeyFormat, pebbletest.RandomOptionsCfg{
		AlwaysStrictFS: rng.IntN(2) == 0, NoRemoteStorage: true, NoWALFailover: true,
	})
	limit(o.Opts)
	return o
}

// opCount is Pebble's own range; smaller for the race detector.
func opCount(rng *rand.Rand) int {
	if testing.Short() {
		return 1_000 + rng.IntN(1_000)
	}
	return 1_000 + rng.IntN(9_000)
}

// execute runs the stream and returns the file system that is left.
func execute(t *testing.T, seed uint64, path string, sealed *layer) vfs.FS {
	t.Helper()
	rng := rand.New(rand.NewPCG(0, seed))
	count := uint64(opCount(rng))
	ops := pebbletest.GenerateOps(rng, count, pebbletest.TestkeysKeyFormat, pebbletest.DefaultOpConfig())
	o := options(rng)
	last := &watcher{}
	o.CustomOpts = append(o.CustomOpts, last)
	if sealed != nil {
		sealed.strict = isCrashable(o.Opts.FS)
		o.CustomOpts = append(o.CustomOpts, sealed)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	test, err := pebbletest.New(ops, o, root, f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if sealed != nil {
		if err := sealed.fs.Started(); err != nil {
			t.Fatal(err)
		}
	}
	if err := pebbletest.Execute(test); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return last.fs
}

// watcher is an option that only remembers the file system of the last start.
type watcher struct{ fs vfs.FS }

func (w *watcher) Name() string                  { return "watcher" }
func (w *watcher) Value() string                 { return "1" }
func (w *watcher) Open(o *pebble.Options) error  { w.fs = o.FS; return nil }
func (w *watcher) Close(o *pebble.Options) error { return nil }

func isCrashable(fs vfs.FS) (ok bool) {
	defer func() { ok = recover() == nil }()
	vfs.Root(fs).(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	return true
}

// compareRest opens what the runs left: both stores, which must hold the same, every
// checkpoint, and the copies of the live store. All files of the store must be sealed.
func compareRest(t *testing.T, seed uint64, plain vfs.FS, sealed *layer) {
	t.Helper()
	checkSealed(t, vfs.Root(sealed.plain))
	drawn := func() *pebble.Options {
		rng := rand.New(rand.NewPCG(0, seed))
		count := uint64(opCount(rng))
		pebbletest.GenerateOps(rng, count, pebbletest.TestkeysKeyFormat, pebbletest.DefaultOpConfig())
		o := options(rng).Opts
		o.Logger = quiet{}
		return o
	}
	o := drawn()
	o.FS = plain
	want, err := scan(root, o)
	if err != nil {
		t.Fatalf("-seed=%d: the plain store: %v", seed, err)
	}
	opened := func(fs vfs.FS) (string, error) {
		o := drawn()
		o.FS = fs
		l := &layer{keys: sealed.keys}
		if err := l.Open(o); err != nil {
			return "", err
		}
		return scan(root, o)
	}
	got, err := opened(sealed.plain)
	if err != nil || got != want && !o.DisableWAL {
		t.Fatalf("-seed=%d: the sealed store after its end: %v; the same as the plain one: %v", seed, err, got == want)
	}
	for i, c := range sealed.copies {
		if _, err := opened(c); err != nil {
			t.Fatalf("-seed=%d: copy %d of the live store: %v", seed, i, err)
		}
	}
	sets, _ := sealed.plain.List(root + "/checkpoints")
	n := 0
	for _, set := range sets {
		if _, err := sealed.plain.Stat(root + "/checkpoints/" + set + "/LOCK"); err == nil {
			continue
		}
		o := drawn()
		o.FS = sealed.fs
		o.ReadOnly = true
		if _, err := scan(root+"/checkpoints/"+set, o); err != nil && !halfMade(sealed.plain, set) {
			t.Fatalf("-seed=%d: checkpoint %s: %v", seed, set, err)
		}
		n++
	}
	fmt.Printf("copies:%d\ncheckpoints:%d\nreused:%d\nblobs:%d\n", len(sealed.copies), n, sealed.reused.Load(), sealed.blobs.Load())
}

// halfMade reports whether a restart cut a checkpoint off: it has no marker.
func halfMade(fs vfs.FS, set string) bool {
	names, _ := fs.List(root + "/checkpoints/" + set)
	for _, n := range names {
		if strings.HasPrefix(n, "marker.manifest") {
			return false
		}
	}
	return true
}

// scan opens a store and reads all of it.
func scan(dir string, o *pebble.Options) (string, error) {
	db, err := pebble.Open(dir, o)
	if err != nil {
		return "", err
	}
	defer db.Close()
	it, err := db.NewIter(&pebble.IterOptions{KeyTypes: pebble.IterKeyTypePointsAndRanges})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for ok := it.First(); ok; ok = it.Next() {
		point, span := it.HasPointAndRange()
		fmt.Fprintf(&b, "%q", it.Key())
		if point {
			fmt.Fprintf(&b, "=%q", it.Value())
		}
		if span {
			lo, hi := it.RangeBounds()
			fmt.Fprintf(&b, " [%q,%q)%v", lo, hi, it.RangeKeys())
		}
		b.WriteByte('\n')
	}
	if err := it.Error(); err != nil {
		_ = it.Close()
		return "", err
	}
	return b.String(), it.Close()
}

// checkSealed is the control: the store's files went through sealedfs.
func checkSealed(t *testing.T, fs vfs.FS) {
	t.Helper()
	names, err := fs.List(root + "/lsm")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		f, err := fs.Open(root + "/lsm/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var magic [4]byte
		k, _ := f.Read(magic[:])
		f.Close()
		if k > 0 && string(magic[:]) != "CFV1" {
			t.Fatalf("%s is not sealed: %q", name, magic[:])
		}
		if k > 0 {
			n++
		}
	}
	if n < 3 {
		t.Fatalf("only %d sealed files: %v", n, names)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
