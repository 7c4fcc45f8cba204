package proof

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/backup"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// set is one backup set of a store at work.
type set struct {
	dir  string
	made bool             // it was reported as done
	has  map[string]value // what did not change while it was made
}

// miss forgets what changes while the set is made: it may have it or not.
func (s set) miss(c change) {
	for thing := range c {
		delete(s.has, thing)
	}
}

// begin notes that a set is being made.
func (l *ledger) begin(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := set{dir: dir, has: maps.Clone(l.acked)}
	for _, c := range l.open {
		s.miss(c)
	}
	l.sets[dir] = s
}

// made notes that the set was reported as done.
func (l *ledger) made(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sets[dir]
	s.made = true
	l.sets[dir] = s
}

// drop forgets a set that is to be removed.
func (l *ledger) drop(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sets, dir)
}

// wholeBackup makes a set on the disk of the store, and removes the one before it.
func (l *ledger) wholeBackup(st *store.Store, worker, i int) error {
	parent := fmt.Sprintf("sets/%d", worker)
	dir := st.FS.PathJoin(parent, fmt.Sprint(i))
	if old, err := st.FS.List(parent); err == nil {
		for _, n := range old {
			l.drop(st.FS.PathJoin(parent, n))
			if err := st.FS.RemoveAll(st.FS.PathJoin(parent, n)); err != nil {
				return err
			}
		}
	}
	l.begin(dir)
	if _, err := backup.Create(ctx, st, dir, time.Now(), nil); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	l.made(dir)
	return nil
}

// setCount says what became of the sets that cuts left.
type setCount struct{ whole, unfinished, restored atomic.Int64 }

func (n *setCount) String() string {
	return fmt.Sprintf("%d whole sets, %d restored, %d unfinished and refused", n.whole.Load(), n.restored.Load(), n.unfinished.Load())
}

// Of the cuts that leave finished sets, one in checkSets looks at them, and one in
// restoreSets restores and opens them.
const (
	checkSets   = 4
	restoreSets = 16
)

// check looks at the sets that the nth cut left: one that was reported as done is whole,
// one that was not is whole or refused as unfinished.
func (n *setCount) check(c cut, nth int64) error {
	open := func(ctx context.Context, port keys.Port) (*keys.Ring, error) {
		return keys.Open(ctx, keys.Options{Store: port, Service: c.sec.service, Infra: c.sec.infra})
	}
	for i, s := range c.promise.sets {
		if s.made && nth%checkSets != 0 {
			continue
		}
		_, err := c.disk.Stat(c.disk.PathJoin(s.dir, backup.ManifestName))
		finished := err == nil
		_, err = backup.Verify(ctx, c.disk, s.dir, open, nil)
		switch {
		case !finished && !s.made:
			if !fault.Is(err, fault.Corrupt) {
				return fmt.Errorf("%s, which has no manifest: %v, want it refused", s.dir, err)
			}
			n.unfinished.Add(1)
			continue
		case err != nil:
			return fmt.Errorf("%s, reported as done %v, with a manifest %v: %w", s.dir, s.made, finished, err)
		}
		n.whole.Add(1)
		if s.made && nth%restoreSets != 0 {
			continue
		}
		to := fmt.Sprint("restored", i)
		if _, err := backup.Restore(ctx, c.disk, s.dir, to, open, nil); err != nil {
			return fmt.Errorf("%s: restore: %w", s.dir, err)
		}
		if err := s.opens(c, to); err != nil {
			return fmt.Errorf("%s, restored: %w", s.dir, err)
		}
		n.restored.Add(1)
		if err := c.disk.RemoveAll(to); err != nil {
			return err
		}
	}
	return nil
}

// opens checks what was restored: all of it is authentic, and what did not change while
// the set was made is in it.
func (s set) opens(c cut, dir string) error {
	o := c.sec.copy().options(c.disk)
	o.Dir, o.NoCreate = dir, true
	st, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	defer st.Close()
	damages := 0
	if _, err := st.Objects.Verify(ctx, object.VerifyOptions{Damage: func(object.Damage) { damages++ }}); err != nil || damages > 0 {
		return fmt.Errorf("verify: %d damages, %v", damages, err)
	}
	for thing, want := range s.has {
		got, err := look(st, thing)
		if err != nil {
			return fmt.Errorf("%s: %w", thing, err)
		}
		if !got.equal(want) {
			return fmt.Errorf("%s = %v, want %v", thing, got, want)
		}
	}
	return nil
}
