package main

import (
	"fmt"
	"math"
)

// cell is one workload at one concurrency of one server, over all rounds.
type cell struct{ runs []result }

// median of a figure over the rounds.
func (c *cell) median(f func(result) float64) float64 {
	if c == nil || len(c.runs) == 0 {
		return 0
	}
	v := make([]float64, len(c.runs))
	for i, r := range c.runs {
		v[i] = f(r)
	}
	return median(v)
}

func (c *cell) min(f func(result) float64) float64 {
	m := math.Inf(1)
	for _, r := range c.runs {
		m = min(m, f(r))
	}
	return m
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

func number(f float64) string {
	switch {
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}
