package proof

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// life is what happens to keys, step by step. The power is cut before every event that
// changes the disk in it.
type life struct {
	begin func(st *store.Store) error
	steps []lifeStep
	// after checks a store that was found after a cut in the given step: those before it
	// were answered, it may have come to its end or not.
	after func(st *store.Store, step int) error
}

type lifeStep struct {
	name string
	do   func(st *store.Store, gone *shredded) error
}

// lifeCut is a cut, the step that was running, and what was destroyed before it.
type lifeCut struct {
	cut
	step int
	gone *shredded
}

// cutLives cuts runs lives at every event but those between.
func cutLives(t *testing.T, l life, runs, every int) {
	t.Helper()
	total := 0
	for range runs {
		points := l.run(t, every)
		total += len(points)
		parallel(points, func(p lifeCut) {
			if err := l.check(p); err != nil {
				t.Errorf("%s, %v: %v", l.at(p.step), p.cut, err)
			}
		})
	}
	t.Logf("%d cuts", total)
	if total < 8 {
		t.Errorf("only %d cuts", total)
	}
}

func (l life) at(step int) string {
	if step < len(l.steps) {
		return l.steps[step].name
	}
	return "the end"
}

// run lives once.
func (l life) run(t *testing.T, every int) (points []lifeCut) {
	t.Helper()
	disk, sec := vfs.NewCrashableMem(), newSecrets()
	var mu sync.Mutex
	step, i := -1, 0
	gone := new(shredded)
	rng := rand.New(rand.NewPCG(newSeed(t), 11))
	var fs *tapFS
	fs = &tapFS{FS: disk, before: func(e event, path string) error {
		if !changesDisk(disk, e, path) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if i++; step < 0 || i%every != 0 {
			return nil
		}
		level := levels[i/every%len(levels)]
		points = append(points, lifeCut{cut{
			disk:  fs.clone(vfs.CrashCloneCfg{UnsyncedDataPercent: level, RNG: rng}),
			sec:   sec.copy(),
			event: e, path: path, index: i, level: level,
		}, step, gone.copy()})
		return nil
	}}
	st := mustOpen(t, fs, sec)
	if err := l.begin(st); err != nil {
		t.Fatal(err)
	}
	to := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		step = n
	}
	for n, s := range l.steps {
		to(n)
		more := new(shredded)
		if err := s.do(st, more); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		mu.Lock() // only now is it answered
		gone.wraps = append(gone.wraps, more.wraps...)
		mu.Unlock()
	}
	to(len(l.steps))
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return points
}

// check opens what a cut left, as a start does.
func (l life) check(p lifeCut) (err error) {
	st, err := open(p.disk, p.sec)
	if err != nil {
		return fmt.Errorf("does not open: %w", err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.Blobs.FinishShred(ctx); err != nil {
		return fmt.Errorf("finishing a shred: %w", err)
	}
	if err := l.after(st, p.step); err != nil {
		return err
	}
	rep, err := st.Objects.Verify(ctx, object.VerifyOptions{})
	if err == nil && rep.Damaged > 0 {
		err = fmt.Errorf("%d damaged", rep.Damaged)
	}
	if err == nil {
		err = p.gone.stayGone(p.disk, p.sec)
	}
	return err
}

// named checks that every scope's key has a name. While a scope is created one may not:
// the key comes first. It protects nothing, and the name can be taken again.
func named(st *store.Store, creating bool) error {
	names := map[keys.ID]bool{}
	accounts, err := st.Accounts.List(ctx)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		list, _, err := st.Scopes.List(ctx, a.ID, scope.ListOptions{})
		if err != nil {
			return err
		}
		for _, s := range list {
			names[s.ID] = true
		}
	}
	unnamed := 0
	for _, p := range st.Ring.Protectors() {
		if p.Protector.Kind != keys.ProtectScope || names[p.Protector.ID] || p.Admin == keys.Shredded {
			continue
		}
		unnamed++
		err := st.Objects.Uses(ctx, p.Owner, func(e object.DEKEntry) bool { return e.Protector == p.Protector }, func(object.Holding) error {
			return fault.New("proof", p.Protector.String(), fault.Internal, errors.New("a scope without a name protects something"))
		})
		if err != nil {
			return err
		}
	}
	if unnamed > 1 || unnamed == 1 && !creating {
		return fmt.Errorf("%d scopes without a name", unnamed)
	}
	return nil
}
