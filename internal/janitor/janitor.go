// Package janitor does the background work of a store: it frees what nothing names,
// rotates keys that are due, wraps data keys anew after a rotation, and reads stored
// bytes again before somebody needs them.
//
// Every step keeps what it has to do in rows, so that it may be cut off anywhere and
// goes on after a restart. What it must not remove, what Readers hold and what a backup
// has put a fence around, package object knows.
package janitor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// Collector frees what one service left behind, about budget rows of it, and reports
// whether there is more.
type Collector func(ctx context.Context, budget int) (more bool, err error)

// Options make a Janitor. Zero durations and sizes take the defaults.
type Options struct {
	Store      *object.Store
	Ring       *keys.Ring
	Collectors []Collector
	Now        func() time.Time // nil: time.Now
	Logger     *slog.Logger     // nil: none

	Every      time.Duration // between rounds of collection; 10 s
	KeysEvery  time.Duration // between looks at keys; 1 min
	OrphansAge time.Duration // between searches for extents that no row names; 1 h
	SweepRate  int           // wraps a second; object.SweepRate
	ScrubBytes int64         // read in each round; 16 MiB, negative: none
}

// collectBudget is how many rows a Collector may free before others have their turn.
const collectBudget = 1024

// Janitor works in the background between Start and Close.
type Janitor struct {
	o    Options
	kick chan struct{}

	stop context.CancelFunc
	wait sync.WaitGroup

	collecting sync.Mutex // one round at a time
	keying     sync.Mutex

	mu      sync.Mutex
	orphans time.Time // last search
	stats   Stats
}

// Stats are for metrics.
type Stats struct {
	Rounds          int64
	Failures        int64
	Collected       object.Collected // all rounds together
	Orphans         int64
	BacklogContents int // garbage rows that wait, counted up to backlogLimit
	BacklogExtents  int // extents that wait
	Rewrapped       int64
	Rotated         int64
	ScrubbedBytes   int64
	ScrubbedChunks  int64
	Damaged         int64
	LastRound       time.Time
}

const backlogLimit = 100_000

// New makes a Janitor that rests.
func New(o Options) *Janitor {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	orDuration := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	orDuration(&o.Every, 10*time.Second)
	orDuration(&o.KeysEvery, time.Minute)
	orDuration(&o.OrphansAge, time.Hour)
	if o.ScrubBytes == 0 {
		o.ScrubBytes = 16 << 20
	}
	return &Janitor{o: o, kick: make(chan struct{}, 1)}
}

// Start begins the work. Close ends it.
func (j *Janitor) Start() {
	ctx, stop := context.WithCancel(context.Background())
	j.stop = stop
	j.wait.Go(func() { j.loop(ctx, j.o.Every, j.kick, j.Collect) })
	j.wait.Go(func() { j.loop(ctx, j.o.KeysEvery, nil, j.Keys) })
	j.wait.Go(func() { j.o.Ring.Tend(ctx, j.customer) })
}

// customer notes what failed with customers' keys.
func (j *Janitor) customer(err error) {
	j.note(func(s *Stats) { s.Failures++ })
	j.o.Logger.Warn("a customer's key could not be tended; it will be tried again", "err", err)
}

// Close ends the work and waits for it. It may be called without Start.
func (j *Janitor) Close() {
	if j.stop != nil {
		j.stop()
	}
	j.wait.Wait()
}

// Kick asks for a round soon, as after a large delete. It does not wait.
func (j *Janitor) Kick() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

// loop calls work now and then until ctx ends. Errors are logged and do not end it.
func (j *Janitor) loop(ctx context.Context, every time.Duration, kick <-chan struct{}, work func(context.Context) error) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if err := work(ctx); err != nil && ctx.Err() == nil {
			j.note(func(s *Stats) { s.Failures++ })
			j.o.Logger.Warn("background work failed; it will be tried again", "err", err)
		}
		select {
		case <-t.C:
		case <-kick:
		case <-ctx.Done():
			return
		}
	}
}

// RunOnce does everything once, in order: for tests and commands.
func (j *Janitor) RunOnce(ctx context.Context) error {
	j.mu.Lock()
	j.orphans = time.Time{}
	j.mu.Unlock()
	return errors.Join(j.Collect(ctx), j.Keys(ctx))
}

// Stats returns the counters.
func (j *Janitor) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stats
}

func (j *Janitor) note(f func(*Stats)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.stats)
}

// Collect is one round: services first, since what they drop is freed next.
func (j *Janitor) Collect(ctx context.Context) error {
	j.collecting.Lock()
	defer j.collecting.Unlock()
	var errs []error
	for _, c := range j.o.Collectors {
		errs = append(errs, drain(ctx, c))
	}
	if j.orphansDue() {
		errs = append(errs, j.findOrphans(ctx))
	}
	did, err := j.o.Store.Collect(ctx)
	errs = append(errs, err, j.o.Store.DropFences(ctx))
	j.o.Store.DropExpired()
	contents, extents, err := j.o.Store.Backlog(ctx, backlogLimit)
	errs = append(errs, err, j.scrub(ctx))
	j.note(func(s *Stats) {
		s.Rounds++
		s.Collected.Add(did)
		s.BacklogContents, s.BacklogExtents = contents, extents
		s.LastRound = j.o.Now()
	})
	return errors.Join(errs...)
}

// drain calls c until it has nothing left.
func drain(ctx context.Context, c Collector) error {
	for more := true; more; {
		var err error
		if more, err = c(ctx, collectBudget); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// orphansDue reports whether it is time for a search, the first one at the start: after
// a crash there may be extents that no row names.
func (j *Janitor) orphansDue() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.o.Now()
	if !j.orphans.IsZero() && now.Sub(j.orphans) < j.o.OrphansAge {
		return false
	}
	j.orphans = now
	return true
}

func (j *Janitor) findOrphans(ctx context.Context) error {
	n, err := j.o.Store.FindOrphans(ctx)
	j.note(func(s *Stats) { s.Orphans += int64(n) })
	return err
}

func (j *Janitor) scrub(ctx context.Context) error {
	if j.o.ScrubBytes < 0 {
		return nil
	}
	did, err := j.o.Store.Scrub(ctx, j.o.ScrubBytes)
	j.note(func(s *Stats) {
		s.ScrubbedBytes += did.Bytes
		s.ScrubbedChunks += int64(did.Chunks)
		s.Damaged += int64(did.Damaged)
	})
	return err
}

// Keys rotates what is due and sweeps every protector whose KEK has old versions.
func (j *Janitor) Keys(ctx context.Context) error {
	j.keying.Lock()
	defer j.keying.Unlock()
	if err := j.rotate(ctx); err != nil {
		return err
	}
	var errs []error
	for _, p := range j.o.Store.Stale() {
		did, err := j.o.Store.Sweep(ctx, p, object.SweepOptions{Rate: j.o.SweepRate})
		j.note(func(s *Stats) { s.Rewrapped += did.Rewrapped })
		switch {
		case parked(err):
			j.o.Logger.Info("re-wrap is parked", "protector", p.String())
		case err != nil:
			errs = append(errs, err)
		case len(did.Unreferenced) > 0:
			j.o.Logger.Info("key versions are no longer referenced", "protector", p.String(), "versions", len(did.Unreferenced))
		}
	}
	return errors.Join(errs...)
}

// parked reports whether work with a protector's key has to wait, and has not failed: the
// protector may not be used now, or somebody is at it.
func parked(err error) bool {
	return fault.Is(err, fault.KeyGone) || fault.Is(err, fault.Busy) || fault.Is(err, fault.NotAllowed)
}

// rotate makes new versions of the keys whose time has come.
func (j *Janitor) rotate(ctx context.Context) error {
	due := j.o.Ring.Due(j.o.Now())
	for _, d := range due {
		v, err := j.o.Ring.Rotate(ctx, d.Chain)
		if parked(err) {
			j.o.Logger.Info("rotation is parked", "protector", d.Protector.String(), "err", err)
			continue
		}
		if err != nil {
			return err
		}
		j.note(func(s *Stats) { s.Rotated++ })
		j.o.Logger.Info("key rotated", "kind", d.Kind.String(), "chain", d.Chain.String(), "version", v.Number, "reason", d.Reason)
	}
	// Also without new versions: a command may have been cut off between the two.
	return j.o.Store.Mirror(ctx)
}
