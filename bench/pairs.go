package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pairs compares kinds of keys on one server: each workload runs under one kind after
// the other, in short turns, so that what disturbs the machine disturbs all alike.
type pairs struct {
	c      config
	others map[string]login // kinds that are an account of their own: double, cmk
	rounds int
	dur    time.Duration
	conc   []int
	pids   []int
}

// login is an account and its key.
type login struct{ account, key string }

// bench returns a bench whose blobs are under a kind of key.
func (p *pairs) bench(kind string) (*bench, error) {
	c := p.c
	c.container, c.scope = "keys-"+kind, ""
	switch kind {
	case "account":
	case "scope":
		if c.scope = p.c.scope; c.scope == "" {
			return nil, errors.New("kind scope needs -scope")
		}
	case "cpk":
		c.cpk = newBody()[:32]
	case "double", "cmk":
		o := p.others[kind]
		if o.account == "" {
			return nil, fmt.Errorf("kind %s needs -%[1]s", kind)
		}
		c.endpoint = strings.TrimSuffix(c.endpoint, "/"+c.account) + "/" + o.account
		c.account, c.key = o.account, o.key
	default:
		return nil, fmt.Errorf("unknown kind %q", kind)
	}
	b, err := newBench(kind, c, p.pids)
	if err != nil {
		return nil, err
	}
	b.dur = p.dur
	return b, nil
}

func (p *pairs) run(w io.Writer, kinds, works []string, barList string) error {
	limits, err := parseBars(barList)
	if err != nil {
		return err
	}
	ctx := context.Background()
	var benches []*bench
	for _, k := range kinds {
		b, err := p.bench(k)
		if err == nil {
			err = b.d.Setup(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		benches = append(benches, b)
	}
	fmt.Fprintf(w, "| workload | in flight | %s | against it | rate (lowest, highest) | server CPU | client CPU | bar | peak RSS MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n", kinds[0])
	for _, name := range works {
		load, ok := workloads[name]
		if !ok || load.whole {
			return fmt.Errorf("no workload %q for kinds", name)
		}
		if err := errors.Join(prepare(ctx, benches, load)...); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, conc := range p.conc {
			all, err := p.alternate(ctx, benches, name, load, conc)
			if err != nil {
				return err
			}
			for i, b := range benches[1:] {
				fmt.Fprintln(w, line(name, conc, all[0], all[i+1], b.label, limits.of(b.label, name)))
			}
		}
	}
	return nil
}

// alternate runs a workload under every kind in turn.
func (p *pairs) alternate(ctx context.Context, benches []*bench, name string, load workload, conc int) ([]turns, error) {
	all := make([]turns, len(benches))
	return all, alternate(p.rounds, len(benches), func(k, _ int) error {
		r, err := benches[k].one(ctx, name, load, conc)
		if err == nil && (r.Errors > 0 || r.Ops == 0) {
			err = fmt.Errorf("%d operations, %d failed", r.Ops, r.Errors)
		}
		if err != nil {
			return fmt.Errorf("%s under %s: %w", name, benches[k].label, err)
		}
		all[k] = append(all[k], r)
		return nil
	})
}

// line is a row of the table: the median of the rounds' ratios.
func line(name string, conc int, base, of turns, kind string, bar float64) string {
	c := &cell{runs: base}
	rate, unit := rateOf(c)
	cpu, _ := cpuOf(c)
	rates, cpus := ratios(base, of, rate), ratios(base, of, cpu)
	clients := ratios(base, of, func(r result) float64 { return r.CliCPU / float64(r.Ops) })
	judged := "-"
	if bar > 0 {
		judged = fmt.Sprintf("%.2f met", bar)
		if median(rates) < bar {
			judged = fmt.Sprintf("%.2f MISSED", bar)
		}
	}
	peak := (&cell{runs: append(slices.Clone(base), of...)}).max(func(r result) float64 { return r.RSSMiB })
	return fmt.Sprintf("| %s | %d | %s %s | %s | %.3f (%.2f, %.2f) | %.3f | %.3f | %s | %.0f |", name, conc, number(c.median(rate)), unit, kind,
		median(rates), slices.Min(rates), slices.Max(rates), median(cpus), median(clients), judged, peak)
}

// ratios divides round by round.
func ratios(base, of turns, f func(result) float64) []float64 {
	out := make([]float64, len(base))
	for i := range base {
		if b := f(base[i]); b > 0 {
			out[i] = f(of[i]) / b
		}
	}
	return out
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// bars are the least ratios that are asked for, by kind or by kind/workload.
type bars map[string]float64

func parseBars(s string) (bars, error) {
	out := bars{}
	for f := range strings.SplitSeq(s, ",") {
		if f == "" {
			continue
		}
		k, v, _ := strings.Cut(f, "=")
		x, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no bar", f)
		}
		out[k] = x
	}
	return out, nil
}

// of is the bar of a kind at a workload; 0: none.
func (b bars) of(kind, work string) float64 {
	if x, ok := b[kind+"/"+work]; ok {
		return x
	}
	return b[kind]
}
