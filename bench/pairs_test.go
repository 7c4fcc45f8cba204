package main

import (
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	turn := func(ops float64) result { return result{Ops: 1, OpsS: ops, PerOp: 10, CliCPU: 1} }
	base := turns{turn(100), turn(200), turn(50)}
	of := turns{turn(90), turn(100), turn(49)} // 0.9, 0.5, 0.98
	for bar, want := range map[float64]string{0: "| - |", 0.9: "0.90 met", 0.91: "0.91 MISSED"} {
		if got := line("put4k", 8, base, of, "cpk", bar); !strings.Contains(got, "| 0.900 (0.50, 0.98) | 1.000 |") || !strings.Contains(got, want) {
			t.Errorf("bar %v: %s", bar, got)
		}
	}
}

func TestBars(t *testing.T) {
	b, err := parseBars("double=0.8,double/get4m=0.85")
	if err != nil || b.of("double", "get4m") != 0.85 || b.of("double", "put4m") != 0.8 || b.of("scope", "put4m") != 0 {
		t.Errorf("bars %v, %v", b, err)
	}
	if _, err := parseBars("double"); err == nil {
		t.Error("a bar without a number is taken")
	}
}

func TestGoRates(t *testing.T) {
	out := "goos: linux\nBenchmarkXTS/seal/VAES   \t 10\t 5 ns/op\t 8000.00 MB/s\t 0 B/op\nBenchmarkOther 1 2 MB/s\nPASS\n"
	got := map[string]float64{}
	if n := goRates(out, "BenchmarkXTS/", func(name string, rate float64) { got[name] = rate }); n != 1 || got["seal/VAES"] != 8000e6 {
		t.Errorf("%d rates, %v", n, got)
	}
}
