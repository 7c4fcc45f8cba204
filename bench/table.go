package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// cell is one workload at one concurrency of one server, over all passes.
type cell struct{ runs []result }

// median of a figure over the passes.
func (c *cell) median(f func(result) float64) float64 {
	if c == nil || len(c.runs) == 0 {
		return 0
	}
	v := make([]float64, len(c.runs))
	for i, r := range c.runs {
		v[i] = f(r)
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func (c *cell) max(f func(result) float64) float64 {
	m := 0.0
	if c != nil {
		for _, r := range c.runs {
			m = max(m, f(r))
		}
	}
	return m
}

type spot struct {
	work string
	conc int
}

// printTable reads results and prints a Markdown table: the figures of one
// server, and their ratio to the same figure of each base that has it.
func printTable(w io.Writer, file string, bases []string, of string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	cells, order, err := readResults(f)
	if err != nil {
		return err
	}
	if len(order) == 0 {
		return errors.New("no results")
	}
	fmt.Fprintf(w, "| workload | in flight | %s | p50 / p99 ms | server CPU | peak RSS MiB |", of)
	rule := "| --- | --- | --- | --- | --- | --- |"
	for _, b := range bases {
		fmt.Fprintf(w, " rate / %s | CPU / %s |", b, b)
		rule += " --- | --- |"
	}
	fmt.Fprintf(w, "\n%s\n", rule)
	for _, s := range order {
		c := cells[of][s]
		if c == nil {
			continue
		}
		rate, unit := rateOf(c)
		cpu, cpuUnit := cpuOf(c)
		fmt.Fprintf(w, "| %s | %d | %s %s | %.1f / %.1f | %s | %.0f |", s.work, s.conc, number(c.median(rate)), unit,
			c.median(func(r result) float64 { return r.P50ms }), c.median(func(r result) float64 { return r.P99ms }),
			number(c.median(cpu))+" "+cpuUnit, c.max(func(r result) float64 { return r.RSSMiB }))
		for _, b := range bases {
			fmt.Fprintf(w, " %s | %s |", ratio(c, cells[b][s], rate), ratio(c, cells[b][s], cpu))
		}
		fmt.Fprintln(w)
	}
	return nil
}

// readResults groups the lines of a results file; order is that of first appearance.
func readResults(r io.Reader) (map[string]map[spot]*cell, []spot, error) {
	cells := map[string]map[spot]*cell{}
	var order []spot
	dec := json.NewDecoder(r)
	for {
		var x result
		if err := dec.Decode(&x); err == io.EOF {
			return cells, order, nil
		} else if err != nil {
			return nil, nil, err
		}
		s := spot{x.Work, x.Conc}
		if !slices.Contains(order, s) {
			order = append(order, s)
		}
		if cells[x.Label] == nil {
			cells[x.Label] = map[spot]*cell{}
		}
		if cells[x.Label][s] == nil {
			cells[x.Label][s] = &cell{}
		}
		cells[x.Label][s].runs = append(cells[x.Label][s].runs, x)
	}
}

// rateOf: bytes for what moves many, operations for what does not.
func rateOf(c *cell) (func(result) float64, string) {
	if r := c.runs[0]; r.Ops > 0 && r.MiBS*r.Seconds/float64(r.Ops) >= 1 {
		return func(r result) float64 { return r.MiBS }, "MiB/s"
	}
	return func(r result) float64 { return r.OpsS }, "op/s"
}

func cpuOf(c *cell) (func(result) float64, string) {
	if _, unit := rateOf(c); unit == "MiB/s" {
		return func(r result) float64 { return r.PerGiB }, "s/GiB"
	}
	return func(r result) float64 { return r.PerOp }, "us/op"
}

func ratio(a, b *cell, f func(result) float64) string {
	if b == nil || b.median(f) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a.median(f)/b.median(f))
}

func number(f float64) string {
	switch {
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}
