package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/server/store"
)

// failure is one kind of failure that a disk may have.
type failure struct {
	name  string
	event event
	err   error
	stays bool // from the n-th on all fail, until the fault is lifted
}

var failures = []failure{
	{"EIO on create", evCreate, syscall.EIO, false},
	{"ENOSPC on create", evCreate, syscall.ENOSPC, false},
	{"EIO on write", evWrite, syscall.EIO, false},
	{"half a write", evWrite, &partial{syscall.EIO}, false},
	{"ENOSPC on write", evWrite, &partial{syscall.ENOSPC}, false},
	{"disk full from a write on", evWrite, &partial{syscall.ENOSPC}, true},
	{"EIO on fsync", evSync, syscall.EIO, false},
	{"ENOSPC on fsync", evSync, syscall.ENOSPC, false},
	{"EIO on every fsync", evSync, syscall.EIO, true},
	{"EIO on fsync of a directory", evDirSync, syscall.EIO, false},
	{"EIO on rename", evRename, syscall.EIO, false},
	{"EIO on remove", evRemove, syscall.EIO, false},
	{"EIO on link", evLink, syscall.EIO, false},
	{"ENOSPC on mkdir", evMkdir, syscall.ENOSPC, false},
	{"EMFILE on open", evOpen, syscall.EMFILE, false},
	{"EIO on read", evRead, syscall.EIO, false},
	{"short read", evRead, &partial{io.ErrUnexpectedEOF}, false},
	{"file ends early", evRead, &partial{io.EOF}, false},
	{"EIO on list", evList, syscall.EIO, false},
	{"EIO on stat", evStat, syscall.EIO, false},
	{"EIO on close", evClose, syscall.EIO, false},
}

// faulty is a disk on which the n-th event of a kind fails, until lift. After die nothing
// happens on it any more: the process has ended.
type faulty struct {
	*tapFS
	f      failure
	n      int64
	count  atomic.Int64
	fired  atomic.Bool
	lifted atomic.Bool
	dead   atomic.Bool
}

var errDead = errors.New("the process has ended")

func newFaulty(disk *vfs.MemFS, f failure, n int) *faulty {
	d := &faulty{f: f, n: int64(n)}
	d.tapFS = &tapFS{FS: disk, before: func(e event, path string) error {
		if d.dead.Load() {
			return errDead
		}
		if e != f.event || d.lifted.Load() || e == evMkdir && !changesDisk(disk, e, path) {
			return nil
		}
		i := d.count.Add(1) - 1
		if i == d.n || f.stays && i > d.n {
			d.fired.Store(true)
			return f.err
		}
		return nil
	}}
	return d
}

// trial is one life of a store on a faulty disk.
type trial struct {
	disk  *vfs.MemFS
	fs    *faulty
	sec   *secrets
	l     *ledger
	fatal chan error
	fresh bool // the store is made
	t     testing.TB
}

// result of a trial.
type result struct {
	fired  bool
	fatal  error // what ended the process
	opened bool
	closed bool // without an error
	failed int  // operations refused
}

// live opens the store, works with it, and closes it. It returns what is wrong.
func (tr *trial) live() (res result, err error) {
	o := tr.sec.options(tr.fs)
	o.NoCreate = !tr.fresh
	o.MemTable, o.BlockCache = 64<<10, 64<<10
	o.Fatal = func(err error) {
		tr.fs.dead.Store(true)
		tr.fatal <- err
	}
	st, err := store.Open(ctx, o)
	if err != nil {
		if !tr.fs.fired.Load() {
			return res, fmt.Errorf("opening without a fault: %w", err)
		}
		return res, nil
	}
	res.opened = true
	for _, op := range tr.operations(st) {
		if err := op(); err != nil {
			if !tr.fs.fired.Load() {
				return res, fmt.Errorf("without a fault: %w", err)
			}
			res.failed++
		}
	}
	if tr.fs.dead.Load() {
		return res, nil
	}
	// A fault that comes now hits the reads; after it all must be right.
	if err := tr.l.snapshot().kept(st); err != nil && !tr.fs.fired.Load() {
		return res, err
	}
	if tr.fs.fired.Load() {
		tr.fs.lifted.Store(true)
	}
	if err := tr.l.snapshot().kept(st); err != nil && !tr.fs.dead.Load() && !tr.fs.fired.Load() {
		return res, fmt.Errorf("while it serves, after the fault: %w", err)
	}
	err = st.Close()
	if err != nil && !tr.fs.fired.Load() {
		return res, fmt.Errorf("closing without a fault: %w", err)
	}
	res.closed = err == nil
	return res, nil
}

// operations are a small mixture of everything.
func (tr *trial) operations(st *store.Store) []func() error {
	w := &load{t: tr.t, st: st, l: tr.l}
	thing := func(n string) string { return string(box) + "/" + n }
	// Where an operation failed, nobody knows what a thing holds: it is left alone.
	on := func(thing string, f func() error) func() error {
		return func() error {
			if tr.l.pending(thing) {
				return nil
			}
			return f()
		}
	}
	put := func(n string, size int) func() error {
		return on(thing(n), func() error { return w.put(thing(n), content(n, size), "m-"+n) })
	}
	ops := []func() error{
		func() error { return furnish(st) },
		put("a", 100), put("b", 40_000), put("c", 1_100_000), put("e", 4_000), // e goes into a blob file
		on(thing("d"), func() error { return w.blocks(thing("d"), content("d", 150_000)) }),
		on(thing("old1"), func() error { return w.metadata(thing("old1"), "changed") }),
		on(thing("old2"), func() error { return w.remove(thing("old2")) }),
		on(thing("old3"), func() error { return w.put(thing("old3"), content("new3", 35_000), "new") }),
		on("bin/", func() error { return w.container("bin") }),
		on("bin/", func() error { return w.put("bin/x", content("x", 200), "x") }),
		on("bin/", func() error { return w.container("bin") }),
		w.collect,
		func() error { return w.rotate(0) },
		func() error { return w.rotate(1) },
		func() error { return w.rotate(3) },
		func() error { return st.Meta.CompactAll(ctx) },
		func() error { return miniBackup(tr.fs, st, 0) },
		w.collect,
		put("z", 100),
	}
	if tr.fresh {
		return []func() error{ops[0], put("a", 100), put("b", 40_000), put("e", 4_000)}
	}
	return ops
}

// miniBackup does what a backup does to the live store: fence, checkpoint, fence down.
func miniBackup(fs vfs.FS, st *store.Store, i int) error {
	fence, err := st.Objects.Fence(ctx, "test")
	if err != nil {
		return err
	}
	dir := fmt.Sprintf("set-%d", i)
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := st.Meta.Checkpoint(fs.PathJoin(dir, "lsm")); err != nil {
		return err
	}
	if err := fence.Renew(ctx); err != nil {
		return err
	}
	if err := fs.RemoveAll(dir); err != nil {
		return err
	}
	return fence.Close(ctx)
}

// pending reports whether an operation on a thing failed, or is under way.
func (l *ledger) pending(thing string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		for k := range c {
			if k == thing || strings.HasSuffix(thing, "/") && strings.HasPrefix(k, thing) {
				return true
			}
		}
	}
	return false
}

// run lives once, and afterwards opens what is left on a sound disk: as it is, and as a
// power cut leaves it, for what an fsync failed to write may be gone.
func (tr *trial) run(label string) (res result, err error) {
	type life struct {
		res result
		err error
	}
	// A life that the fatal hook cut off may still end later: its result is its own.
	done := make(chan life, 1)
	go pprof.Do(ctx, pprof.Labels("trial", label), func(context.Context) {
		res, err := tr.live()
		done <- life{res, err}
	})
	var lifeErr error
	var fatal error
	select {
	case l := <-done:
		res, lifeErr = l.res, l.err
		if tr.fs.dead.Load() {
			fatal = <-tr.fatal // dead is set first, and the reason follows
		}
	case fatal = <-tr.fatal:
	case <-time.After(60 * time.Second):
		return result{}, fmt.Errorf("hangs\n%s", stacks(label, false))
	}
	if fatal != nil {
		// Whoever met the failure stands still; the process would be gone.
		res = result{fired: tr.fs.fired.Load(), fatal: fatal, opened: true}
		if !res.fired {
			return res, fmt.Errorf("the store ended itself without a fault: %w", fatal)
		}
	} else {
		if lifeErr != nil {
			return res, lifeErr
		}
		res.fired = tr.fs.fired.Load()
		if err := tr.leaks(label, res); err != nil {
			return res, err
		}
	}
	return res, tr.reopen()
}

// leaks looks for files and goroutines that outlive the store.
func (tr *trial) leaks(label string, res result) error {
	// Pebble forgets the directory of a checkpoint whose marker cannot be made, and its
	// own when the MANIFEST does not close; then the process ends.
	forgotten := func(s string) bool {
		return strings.HasPrefix(s, "set-") || res.opened && !res.closed && s == "data/lsm (1)"
	}
	var left string
	var open []string
	for range 100 {
		open = slices.DeleteFunc(tr.fs.leaked(), forgotten)
		if left = stacks(label, !res.opened); left == "" && len(open) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(open) != 0 {
		return fmt.Errorf("files stay open: %v", open)
	}
	return fmt.Errorf("goroutines stay:\n%s", left)
}

// enginesOwn are goroutines that Pebble leaves behind when its Open fails, or waits for
// ever in it, whatever one does. They hold no file, and the process ends after a refused
// start.
var enginesOwn = []string{
	"ConcurrencyLimitScheduler).periodicGranter", "genericcache.(*shard[...]).releaseLoop", "pebblekv.(*Store).startEngine",
}

// stacks returns the goroutines of one trial; of a refused start without the engine's own.
func stacks(label string, refused bool) string {
	var b bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&b, 1)
	var out []string
	for _, part := range strings.Split(b.String(), "\n\n") {
		if strings.Contains(part, "md5-simd.(*md5Server)") { // the process's, whoever started it
			continue
		}
		own := slices.ContainsFunc(enginesOwn, func(s string) bool { return strings.Contains(part, s) })
		if refused && own {
			continue
		}
		if strings.Contains(part, fmt.Sprintf("%q:%q", "trial", label)) {
			out = append(out, part)
		}
	}
	return strings.Join(out, "\n\n")
}

func (tr *trial) reopen() error {
	p := tr.l.snapshot()
	// In turn: what an fsync failed to write is gone, or it is there nevertheless.
	for _, level := range []int{int(tr.fs.n) % 2 * 100} {
		disk := tr.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: level, RNG: rand.New(rand.NewPCG(1, 1))})
		o := tr.sec.options(disk)
		o.NoCreate = !tr.fresh
		st, err := store.Open(ctx, o)
		if err != nil {
			return fmt.Errorf("reopening, %d%% of unsynced data kept: %w", level, err)
		}
		if tr.fresh {
			err = furnish(st)
		}
		if err == nil {
			err = afterRecovery(st, p)
		}
		if err = errors.Join(err, st.Close()); err != nil {
			return fmt.Errorf("reopened, %d%% of unsynced data kept: %w", level, err)
		}
	}
	return nil
}

// faultBase is a small store that was closed cleanly.
func faultBase(t testing.TB) (*vfs.MemFS, *secrets, *ledger) {
	disk, sec, l := vfs.NewCrashableMem(), newSecrets(), newLedger()
	st := mustOpen(t, disk, sec)
	w := &load{t: t, st: st, l: l}
	for i, size := range []int{300, 45_000, 70_000} {
		n := fmt.Sprintf("%s/old%d", box, i+1)
		if err := w.put(n, content(n, size), "old"); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return disk, sec, l
}

// TestEveryFailureOfTheDisk lets the n-th read, write, sync, open, rename and so on fail,
// for every n until the fault is not met any more, in the life of a small store and in
// the making of one. What was acknowledged is there after the next start; nothing else
// is half there; no goroutine and no file is left over.
func TestEveryFailureOfTheDisk(t *testing.T) {
	t.Parallel()
	for _, fresh := range []bool{false, true} {
		for _, f := range failures {
			t.Run(fmt.Sprintf("%s, new %v", f.name, fresh), func(t *testing.T) {
				t.Parallel()
				failEverywhere(t, f, fresh)
			})
		}
	}
}

func failEverywhere(t *testing.T, f failure, fresh bool) {
	base, sec, l := faultBase(t)
	clone := func() *trial {
		tr := &trial{t: t, fresh: fresh, fatal: make(chan error, 1)}
		if fresh {
			tr.disk, tr.sec, tr.l = vfs.NewCrashableMem(), newSecrets(), newLedger()
			return tr
		}
		tr.disk = base.CrashClone(wholeDisk())
		tr.sec, tr.l = sec.copy(), newLedger()
		tr.l.acked = l.snapshot().acked
		return tr
	}
	fired, fatal, refused, failed := 0, 0, 0, 0
	for n := 0; ; {
		tr := clone()
		tr.fs = newFaulty(tr.disk, f, n)
		res, err := tr.run(fmt.Sprintf("%s %d", t.Name(), n))
		if err != nil {
			t.Errorf("n = %d: %v", n, err)
		}
		if !res.fired {
			break
		}
		fired++
		switch {
		case res.fatal != nil:
			fatal++
		case !res.opened:
			refused++
		}
		failed += res.failed
		n += step(f.event, fresh)
	}
	t.Logf("%d faults: %d ended the process, %d refused the start, %d operations failed", fired, fatal, refused, failed)
	if fired == 0 && !(f.event == evLink && fresh) && !(f.event == evMkdir && !fresh) {
		t.Error("the fault was never met")
	}
}

// step leaves out most of what is a loop of the same call.
func step(e event, fresh bool) int {
	switch {
	case long:
		return 1
	case testing.Short():
		return 61
	case e == evMkdir && fresh, e == evList, e == evStat:
		return 31
	case e == evRead, e == evOpen, e == evClose:
		return 11
	}
	return 1
}

// wholeDisk keeps everything at a crash.
func wholeDisk() vfs.CrashCloneCfg {
	return vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}
}
