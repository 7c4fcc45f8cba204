package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"
	"sync"
	"time"
)

// side is what takes turns with others: a server under a workload, or a piece of work
// in this process.
type side struct {
	label  string
	b      *bench                                 // a server, or
	local  func() (bytes int64, ops int, e error) // work of this process
	before func() error                           // for local: what is not timed
}

// comparison is one row of the table: a workload under every side in turn.
type comparison struct {
	row    string // as the table calls it
	work   string // as workloads calls it
	conc   int
	dur    time.Duration
	reps   int
	sides  []side
	rounds int
}

// turns are the results of one side, a round each.
type turns []result

// alternate calls turn for every side in every round; each round begins with another
// side, so that what disturbs the machine disturbs all alike.
func alternate(rounds, sides int, turn func(side, round int) error) error {
	for round := range rounds {
		for i := range sides {
			if err := turn((i+round)%sides, round); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare fills for all sides at once: what was stored last is the quickest to read.
func prepare(ctx context.Context, benches []*bench, load workload) []error {
	errs := make([]error, len(benches))
	var wg sync.WaitGroup
	for i, b := range benches {
		wg.Go(func() { errs[i] = load.prepare(ctx, b) })
	}
	wg.Wait()
	return errs
}

// errFirst is a failure of the first side: it is what is measured, so there is no row.
var errFirst = errors.New("the measured side failed")

// run gives the results of all sides; a side other than the first that fails is named
// and left out.
func (c *comparison) run(ctx context.Context, emit func(result) error) error {
	load := workloads[c.work]
	var benches []*bench
	for i := range c.sides {
		if b := c.sides[i].b; b != nil {
			b.dur, b.reps = c.dur, max(1, c.reps)
			benches = append(benches, b)
		}
	}
	gone := map[string]bool{}
	fail := func(s side, err error) error {
		if s.label == c.sides[0].label || ctx.Err() != nil {
			return fmt.Errorf("%s: %s: %w: %w", c.row, s.label, errFirst, err)
		}
		log.Printf("%s: %s is left out: %v", c.row, s.label, err)
		gone[s.label] = true
		return nil
	}
	for i, err := range prepare(ctx, benches, load) {
		if err != nil {
			if err := fail(side{label: benches[i].label}, err); err != nil {
				return err
			}
		}
	}
	all := make(map[string]turns)
	err := alternate(c.rounds, len(c.sides), func(i, round int) error {
		s := c.sides[i]
		if gone[s.label] {
			return nil
		}
		var r result
		var err error
		if s.b != nil {
			r, err = s.b.one(ctx, c.work, load, c.conc)
		} else {
			if s.before != nil {
				err = s.before()
			}
			if err == nil {
				r, err = timed(s.local)
			}
		}
		if err == nil && (r.Errors > 0 || r.Ops == 0) {
			err = fmt.Errorf("%d operations, %d failed", r.Ops, r.Errors)
		}
		if err != nil {
			return fail(s, err)
		}
		r.Label, r.Work, r.Conc, r.Round = s.label, c.row, c.conc, round
		all[s.label] = append(all[s.label], r)
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range c.sides {
		if gone[s.label] {
			continue
		}
		for _, r := range all[s.label] {
			if err := emit(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// timed measures work of this process as if it were a server: its CPU time is ours.
func timed(f func() (int64, int, error)) (result, error) {
	c0, t := ownCPU(), time.Now()
	n, ops, err := f()
	sec, cpu := time.Since(t).Seconds(), ownCPU()-c0
	return result{Ops: ops, Seconds: sec, OpsS: float64(ops) / sec, MiBS: float64(n) / sec / (1 << 20),
		PerGiB: cpu / (float64(n) / (1 << 30)), PerOp: cpu / float64(ops) * 1e6}, err
}

// newBench makes a bench of a driver; what it writes has names of its own.
func newBench(label string, c config, pids []int) (*bench, error) {
	d, err := newDriver(c)
	if err != nil {
		return nil, err
	}
	return &bench{d: d, label: label, reps: 1, run: strconv.FormatInt(time.Now().UnixNano(), 36), body: newBody(), pids: pids}, nil
}
