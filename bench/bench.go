package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// bench is one run of workloads against one server.
type bench struct {
	d     driver
	label string
	dur   time.Duration
	reps  int
	pids  []int
	bigN  int64
	listN int
	tmp   string
	run   string // part of every written name: no run meets the blobs of another
	body  []byte

	profile bool // signal the server around each timed part

	bigReady bool // the blob that big reads share has been put and checked
	seq      atomic.Int64
}

// result is one line of output: one workload at one concurrency.
type result struct {
	Label   string  `json:"label"`
	Work    string  `json:"work"`
	Conc    int     `json:"conc"`
	Round   int     `json:"round"`
	Ops     int     `json:"ops"`
	Errors  int     `json:"errors"`
	Seconds float64 `json:"seconds"`
	OpsS    float64 `json:"ops_s"`
	MiBS    float64 `json:"mib_s"`
	P50ms   float64 `json:"p50_ms"`
	P99ms   float64 `json:"p99_ms"`
	PerGiB  float64 `json:"server_cpu_s_per_gib"`
	PerOp   float64 `json:"server_cpu_us_per_op"`
	CliCPU  float64 `json:"client_cpu_s"`
	RSSMiB  float64 `json:"server_peak_rss_mib"`
	DiskMiB float64 `json:"server_written_mib"`
	Value   float64 `json:"value,omitempty"` // what is neither a rate nor CPU time
	Unit    string  `json:"unit,omitempty"`
}

const header = "label    work       conc      ops      ops/s      MiB/s    p50 ms    p99 ms  srv s/GiB  srv us/op  rss MiB  errors"

func (r result) String() string {
	return fmt.Sprintf("%-8s %-9s %5d %8d %10.1f %10.1f %9.3f %9.3f %10.3f %10.0f %8.1f %7d",
		r.Label, r.Work, r.Conc, r.Ops, r.OpsS, r.MiBS, r.P50ms, r.P99ms, r.PerGiB, r.PerOp, r.RSSMiB, r.Errors)
}

// opTimeout only guards against hangs.
const opTimeout = 2 * time.Minute

// all runs every workload at every concurrency that makes sense for it and
// gives the number of failed operations.
func (b *bench) all(ctx context.Context, works []string, concs []int) (failed int) {
	for _, name := range works {
		w, ok := workloads[name]
		if !ok {
			log.Fatalf("unknown workload %q", name)
		}
		if err := w.prepare(ctx, b); err != nil {
			if !errors.Is(err, errSkip) {
				log.Printf("%s: prepare: %v", name, err)
				failed++
			}
			continue
		}
		for _, n := range concs {
			if n > w.maxConc {
				continue
			}
			r, err := b.one(ctx, name, w, n)
			if err != nil {
				log.Printf("%s: %v", name, err)
				failed++
				continue
			}
			failed += r.Errors
			fmt.Println(r)
		}
	}
	return failed
}

// one runs one workload at one concurrency.
func (b *bench) one(ctx context.Context, name string, w workload, conc int) (result, error) {
	op, after, err := w.op(b, conc)
	if err != nil {
		return result{}, err
	}
	defer after()
	workers := conc
	if w.whole {
		workers = 1 // the concurrency is inside the transfer
	} else { // a short warm-up opens the connections
		b.parallel(conc*4, conc, func(i int) error {
			_, err := op(ctx, rand.New(rand.NewPCG(9, uint64(i))))
			return err
		})
	}
	syscall.Sync() // dirty pages of the workload before are not this one's
	resetPeak(b.pids)
	s0, c0 := readProcs(b.pids), ownCPU()
	b.signal(syscall.SIGUSR1)
	l := b.loop(ctx, w, conc, workers, op)
	b.signal(syscall.SIGUSR2)
	s1, c1 := readProcs(b.pids), ownCPU()
	r := result{Label: b.label, Work: name, Conc: conc, Ops: len(l.lats), Errors: l.errors, Seconds: l.seconds,
		OpsS: float64(len(l.lats)) / l.seconds, MiBS: float64(l.moved) / l.seconds / (1 << 20),
		P50ms: percentile(l.lats, .5), P99ms: percentile(l.lats, .99), CliCPU: c1 - c0,
		RSSMiB: float64(s1.PeakRSS) / (1 << 20), DiskMiB: float64(s1.WriteB-s0.WriteB) / (1 << 20)}
	if l.moved > 0 {
		r.PerGiB = (s1.CPU - s0.CPU) / (float64(l.moved) / (1 << 30))
	}
	if r.Ops > 0 {
		r.PerOp = (s1.CPU - s0.CPU) / float64(r.Ops) * 1e6
	}
	return r, nil
}

// signal begins and ends the server's profile.
func (b *bench) signal(s syscall.Signal) {
	if b.profile && len(b.pids) > 0 {
		if err := syscall.Kill(b.pids[0], s); err != nil {
			log.Printf("profile: %v", err)
		}
	}
}

// tally is what a loop did.
type tally struct {
	lats    []time.Duration // sorted
	moved   int64
	errors  int
	seconds float64
}

const maxErrors = 50 // a loop that fails this often is given up

func (b *bench) loop(ctx context.Context, w workload, conc, workers int, op operation) tally {
	lats := make([][]time.Duration, workers)
	var moved, errs atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for i := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), uint64(start.UnixNano())))
			for k := 0; w.more(b, k, start) && errs.Load() < maxErrors; k++ {
				opctx, cancel := context.WithTimeout(ctx, opTimeout)
				t := time.Now()
				n, err := op(opctx, r)
				d := time.Since(t)
				cancel()
				if err != nil {
					if errs.Add(1) == 1 {
						log.Printf("x%d: %v", conc, err)
					}
					continue
				}
				moved.Add(n)
				lats[i] = append(lats[i], d)
			}
		})
	}
	wg.Wait()
	all := slices.Concat(lats...)
	slices.Sort(all)
	return tally{all, moved.Load(), int(errs.Load()), time.Since(start).Seconds()}
}

// percentile of sorted latencies, in ms.
func percentile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(p*float64(len(sorted))))].Nanoseconds()) / 1e6
}

// parallel runs f for 0..n-1, par at a time, and gives the first error.
func (b *bench) parallel(n, par int, f func(int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for range par {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					once.Do(func() { first = err })
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

// fill puts n blobs of a size and checks once that one comes back whole.
func (b *bench) fill(ctx context.Context, prefix string, n, size, par int) error {
	if err := b.parallel(n, par, func(i int) error {
		return b.d.Put(ctx, fmt.Sprintf("%s%05d", prefix, i), b.body[:size])
	}); err != nil {
		return err
	}
	var got bytes.Buffer
	if _, err := b.d.Get(ctx, prefix+"00000", 0, 0, &got); err != nil {
		return err
	}
	if !bytes.Equal(got.Bytes(), b.body[:size]) {
		return fmt.Errorf("%s00000 came back different", prefix)
	}
	return nil
}
