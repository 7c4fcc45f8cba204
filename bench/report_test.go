package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
)

// results writes a part of a results file: every label with its figures, a round each.
func results(t *testing.T, b *bytes.Buffer, part string, end bool, rs ...result) {
	t.Helper()
	enc := json.NewEncoder(b)
	lines := []record{{Part: part}}
	for i := range rs {
		lines = append(lines, record{Part: part, Result: &rs[i]})
	}
	if end {
		lines = append(lines, record{Part: part, Env: &env{CPU: "some CPU", Cores: 2, Date: "today", Missing: map[string]string{"minio": "not\ninstalled"}}})
	}
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
}

func small4k(label string, rates ...float64) (out []result) {
	for i, r := range rates {
		out = append(out, result{Label: label, Work: rowGet4k, Conc: 8, Round: i, Ops: 10, Seconds: 1, OpsS: r, MiBS: r / 256, PerOp: 100, RSSMiB: 50})
	}
	return out
}

func TestReport(t *testing.T) {
	var b bytes.Buffer
	results(t, &b, "small", true, small4k("coffer", 1, 1, 1)...) // an older run
	results(t, &b, "small", true, append(small4k("coffer", 500, 700, 600), small4k("null", 1000, 1000, 1200)...)...)
	results(t, &b, "small", false, small4k("coffer", 9, 9, 9)...) // a run that did not end
	results(t, &b, "growth", true, result{Label: "coffer", Work: rowRestart, Conc: 1, Value: 2.5, Unit: "s", RSSMiB: 130})
	var out strings.Builder
	if err := report(&out, &b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| processor | some CPU, 2 cores |",
		"| not there | minio: not installed |",
		"| part verify | not run |",
		"| GET 4 KiB | 8 | 600 (500, 700) op/s | 100 us/op | 50.0 | null | 1000 op/s | 100 us/op | 0.50 (0.50, 0.70) | 3 | ≥ 0.6 | MISSED |",
		"| GET 4 KiB | 8 | 600 (500, 700) op/s | 100 us/op | 50.0 | MinIO SSE | - | - | - | 3 | ≥ 4 | - |",
		"| verify, cache dropped | 1 | - | - | - | fio | - | - | - | - | ≥ 0.5 | - |",
		"| start after SIGTERM, to the first GET | 1 | 2.50 (2.50, 2.50) s | - | 130 | - | - | - | - | 1 | ≤ 2 s | MISSED |",
		"| peak RSS in every row | - | most in: start after SIGTERM, to the first GET | - | 130 | - | - | - | - | - | ≤ 128 MiB | MISSED |",
		"0 targets met, 3 missed,",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if err := report(io.Discard, strings.NewReader("")); err == nil {
		t.Error("an empty file made a table")
	}
}

// The CPU of a server is held against the sum of its parts, round by round.
func TestParts(t *testing.T) {
	g := goal{row: rowPut1g, conc: 8, by: byParts, parts: []string{"null", partSeal}, bar: 0.3}
	cells := map[string]map[spot]*cell{}
	add := func(label string, cpus ...float64) {
		c := &cell{}
		for _, x := range cpus {
			c.runs = append(c.runs, result{Ops: 1, Seconds: 1, MiBS: 1024, PerGiB: x})
		}
		cells[label] = map[spot]*cell{{rowPut1g, 8}: c}
	}
	add("coffer", 1.0, 1.2, 1.1)
	add("null", 0.5, 0.5, 0.5)
	if line, verdict := g.line(cells); verdict != "-" {
		t.Errorf("without a part: %s", line)
	}
	add(partSeal, 0.2, 0.2, 0.2) // over by 0.3, 0.5, 0.4
	for bar, want := range map[float64]string{0.41: "met", 0.39: "MISSED"} {
		g.bar = bar
		line, verdict := g.line(cells)
		if verdict != want || !strings.Contains(line, "| 0.70 s/GiB | - | +0.40 (+0.30, +0.50) s/GiB | 3 |") {
			t.Errorf("bar %v: %s", bar, line)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		by     measure
		v, bar float64
		want   string
	}{
		{byRate, 0.6, 0.6, "met"}, {byRate, 0.59, 0.6, "MISSED"}, {byTime, 0.6, 0.6, "met"}, {byTime, 0.61, 0.6, "MISSED"},
		{byClient, 0.34, 0.35, "met"}, {byValue, 5.1, 5, "MISSED"}, {byRate, 0.1, 0, ""},
	} {
		if got := (goal{by: c.by, bar: c.bar}).judge(c.v); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// Rates may fall, and times rise, by 1.3 from the first stage on.
func TestGrowthGoals(t *testing.T) {
	var order []spot
	for _, n := range []int{10, 100} {
		order = append(order, spot{among(rowGrowFill, n), 64}, spot{among(rowGrowGet, n), 8}, spot{among(rowGrowList, n), 1}, spot{among(rowGrowDisk, n), 1})
	}
	order = append(order, spot{rowRestart, 1}, spot{rowRestartKill, 1}, spot{rowGet4k, 8})
	var got []string
	for _, g := range growthGoals(order) {
		got = append(got, fmt.Sprintf("%s%s", g.against, g.target()))
	}
	if want := "- - - - - the first stage≥ 0.77 the first stage≤ 1.3 - ≤ 2 s ≤ 5 s"; strings.Join(got, " ") != want {
		t.Errorf("goals %q, want %q", strings.Join(got, " "), want)
	}
}

func TestListeners(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2710 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:2710 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 0100007F:2711 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
`
	if got := strings.Join(listeners(table, 10000), " "); got != "socket:[4711]" {
		t.Errorf("listeners %q", got)
	}
}

func TestFioRead(t *testing.T) {
	n, ms, err := fioRead([]byte("note\n" + `{"jobs":[{"error":0,"read":{"io_bytes":1048576,"runtime":7}}]}`))
	if err != nil || n != 1<<20 || ms != 7 {
		t.Errorf("%d bytes in %d ms, %v", n, ms, err)
	}
	for _, bad := range []string{"", "{}", `{"jobs":[{"error":5,"read":{"io_bytes":1,"runtime":7}}]}`} {
		if _, _, err := fioRead([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestCPUModel(t *testing.T) {
	info := "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\nflags\t\t: fpu aes vaes\n\nmodel name\t: another\n"
	if got := cpuModel(info); got != "AMD EPYC (AuthenticAMD family 25 model 1, aes, vaes)" {
		t.Error(got)
	}
}

// Each round begins with another side, and every side has its turn in each.
func TestAlternate(t *testing.T) {
	var got []string
	err := alternate(3, 3, func(side, round int) error {
		got = append(got, fmt.Sprint(side, round))
		return nil
	})
	if want := "0 0,1 0,2 0,1 1,2 1,0 1,2 2,0 2,1 2"; err != nil || strings.Join(got, ",") != want {
		t.Errorf("turns %v, %v", got, err)
	}
}
