package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Rows of the table, as it calls them.
const (
	rowGet4k       = "GET 4 KiB"
	rowGet4kPlain  = "GET 4 KiB, anonymous, plain client"
	rowRange       = "range of 64 KiB of 1 GiB"
	rowRangePlain  = "range of 64 KiB, anonymous, plain client"
	rowPut4k       = "PUT 4 KiB"
	rowGet4m       = "GET 4 MiB"
	rowGet4mPlain  = "GET 4 MiB, anonymous, plain client"
	rowGet1g       = "GET 1 GiB"
	rowGet1gPlain  = "GET 1 GiB, anonymous, plain client"
	rowPut4m       = "PUT 4 MiB"
	rowPut1g       = "PUT 1 GiB by blocks"
	rowGet4mTLS    = "GET 4 MiB over TLS"
	rowGet1gTLS    = "GET 1 GiB over TLS"
	rowPut4mTLS    = "PUT 4 MiB over TLS"
	rowList64      = "list 10,000 of 64 B"
	rowList32k     = "list 10,000 of 32 KiB"
	rowSeal        = "seal segments of 64 KiB, one core"
	rowOpen        = "open segments of 64 KiB, one core"
	rowVerify      = "verify, cache dropped"
	rowGrowFill    = "PUT 4 KiB, filling"
	rowGrowGet     = "GET 4 KiB"
	rowGrowPut     = "PUT 4 KiB"
	rowGrowList    = "list two pages of 5,000"
	rowGrowDisk    = "bytes on disk for a blob of 4 KiB"
	rowRestart     = "start after SIGTERM, to the first GET"
	rowRestartKill = "start after SIGKILL under writes, to the first GET"
	fipsBuild      = ", FIPS build"

	labelHTTP     = "itself over HTTP"
	labelOrdinary = "the ordinary build"
	labelRaw      = "raw GCM"
	labelFio      = "fio"
	labelFirst    = "the first stage"
)

// among is a row of growth.
func among(row string, n int) string { return fmt.Sprintf("%s, %d blobs", row, n) }

// measure is what a goal is about.
type measure int

const (
	byRate   measure = iota // rate divided by the other's
	byTime                  // time divided by the other's
	byParts                 // server CPU s/GiB over the sum of its parts
	byClient                // server CPU divided by the client's
	byValue                 // the figure itself
)

// goal is one target: of a row, against a peer.
type goal struct {
	row     string
	conc    int
	against string
	by      measure
	parts   []string // byParts: what is added up
	bar     float64  // least for byRate, most for the rest; 0: none, a row for information
}

// goals in the order of the table. Those of growth follow from the results.
var goals = []goal{
	{row: rowGet4k, conc: 8, against: "null", bar: 0.6},
	{row: rowGet4k, conc: 8, against: "minio", bar: 4},
	{row: rowGet4k, conc: 8, against: "azurite"},
	{row: rowGet4kPlain, conc: 8, against: "nginx"},
	{row: rowRange, conc: 8, against: "null", bar: 0.6},
	{row: rowRange, conc: 8, against: "minio", bar: 4},
	{row: rowRange, conc: 8, against: "azurite"},
	{row: rowRangePlain, conc: 8, against: "nginx"},
	{row: rowPut4k, conc: 8, against: "null", bar: 0.35},
	{row: rowPut4k, conc: 8, against: "minio", bar: 5},
	{row: rowPut4k, conc: 8, against: "azurite", bar: 5},
	{row: rowPut4k, conc: 32, against: "null"},
	{row: rowPut4k, conc: 32, against: "minio", bar: 6},
	{row: rowPut4k, conc: 32, against: "azurite", bar: 6},
	{row: rowGet4m, conc: 8, against: "null"},
	{row: rowGet4m, conc: 8, against: "minio", bar: 1.2},
	{row: rowGet4m, conc: 8, against: "azurite", bar: 2},
	{row: rowGet4m, conc: 8, by: byParts, parts: []string{"null", partOpen}, bar: 0.3},
	{row: rowGet4mPlain, conc: 8, against: "nginx", bar: 0.65},
	{row: rowGet1g, conc: 8, against: "null"},
	{row: rowGet1g, conc: 8, against: "minio", bar: 1.2},
	{row: rowGet1g, conc: 8, against: "azurite", bar: 2},
	{row: rowGet1gPlain, conc: 8, against: "nginx", bar: 0.70},
	{row: rowPut4m, conc: 8, against: "null"},
	{row: rowPut4m, conc: 8, against: "minio", bar: 1},
	{row: rowPut4m, conc: 8, against: "azurite", bar: 2},
	{row: rowPut4m, conc: 8, against: partWrite},
	{row: rowPut4m, conc: 8, by: byParts, parts: []string{"null", partSeal, partMD5, partWrite}, bar: 0.3},
	{row: rowPut1g, conc: 8, against: "null"},
	{row: rowPut1g, conc: 8, against: "minio", bar: 1.2},
	{row: rowPut1g, conc: 8, against: partWrite, bar: 0.75},
	{row: rowPut1g, conc: 8, by: byParts, parts: []string{"null", partSeal, partWrite}, bar: 0.3},
	{row: rowGet4mTLS, conc: 8, against: "nginx", bar: 1},
	{row: rowGet1gTLS, conc: 8, against: "nginx", bar: 1},
	{row: rowPut4mTLS, conc: 8, against: labelHTTP, bar: 0.8},
	{row: rowList64, conc: 1, against: "minio", by: byTime, bar: 0.6},
	{row: rowList64, conc: 1, by: byClient, bar: 0.35},
	{row: rowList32k, conc: 1, against: "minio", by: byTime, bar: 0.6},
	{row: rowList32k, conc: 1, by: byClient, bar: 0.35},
	{row: rowSeal, conc: 1, against: labelRaw, bar: 0.85},
	{row: rowOpen, conc: 1, against: labelRaw, bar: 0.85},
	{row: rowVerify, conc: 1, against: labelFio, bar: 0.5},
	{row: rowGet4k + fipsBuild, conc: 8, against: labelOrdinary, bar: 0.95},
	{row: rowPut4k + fipsBuild, conc: 8, against: labelOrdinary, bar: 0.95},
	{row: rowGet4m + fipsBuild, conc: 8, against: labelOrdinary, bar: 0.95},
	{row: rowPut4m + fipsBuild, conc: 8, against: labelOrdinary, bar: 0.95},
}

// most of the memory that any row may take.
const mostRSS = 128

// growthGoals: the rows of growth that there are, with what is asked of them.
func growthGoals(order []spot) (out []goal) {
	first := ""
	for _, s := range order {
		head, tail, ok := strings.Cut(s.work, ", ")
		g := goal{row: s.work, conc: s.conc, by: byValue}
		switch {
		case s.work == rowRestart:
			g.bar = 2
		case s.work == rowRestartKill:
			g.bar = 5
		case !ok || !strings.HasSuffix(tail, " blobs"):
			continue
		case head == rowGrowDisk:
		case strings.HasPrefix(s.work, rowGrowFill):
			g.by = byRate
		case first == "" || first == tail:
			first, g.by = tail, byRate
		case head == rowGrowList:
			g.by, g.against, g.bar = byTime, labelFirst, 1.3
		default:
			g.by, g.against, g.bar = byRate, labelFirst, 1/1.3
		}
		out = append(out, g)
	}
	return out
}

// report writes the table of a results file: where it was run, then a row for each goal.
func report(w io.Writer, file io.Reader) error {
	cells, order, envs, err := readRecords(file)
	if err != nil {
		return err
	}
	if len(envs) == 0 {
		return errors.New("no part has been run to its end")
	}
	writeEnv(w, envs)
	fmt.Fprint(w, "\n| workload | in flight | Coffer (lowest, highest) | server CPU | peak RSS MiB | against | its figure | its server CPU | ratio (lowest, highest) | rounds | target | |\n"+
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	count := map[string]int{}
	for _, g := range append(slices.Clone(goals), growthGoals(order)...) {
		line, verdict := g.line(cells)
		fmt.Fprintln(w, line)
		count[verdict]++
	}
	line, verdict := memory(cells)
	fmt.Fprintln(w, line)
	count[verdict]++
	fmt.Fprintf(w, "\n%d targets met, %d missed, %d not measured.\n", count["met"], count["MISSED"], count["-"])
	return nil
}

// line is a row of the table and what became of its goal: "met", "MISSED", "-" when it was
// not measured, "" when there is none.
func (g goal) line(cells map[string]map[spot]*cell) (string, string) {
	s := spot{g.row, g.conc}
	ours, theirs := cells["coffer"][s], cells[g.against][s]
	if ours == nil {
		verdict := "-"
		if g.bar == 0 {
			verdict = ""
		}
		return fmt.Sprintf("| %s | %d | - | - | - | %s | - | - | - | - | %s | - |", g.row, g.conc, g.peer(), g.target()), verdict
	}
	f, unit := figure(ours)
	cpu, cpuUnit := cpuOf(ours)
	head := fmt.Sprintf("| %s | %d | %s (%s, %s) %s | %s | %s |", g.row, g.conc, number(ours.median(f)), number(ours.min(f)), number(ours.max(f)), unit,
		orDash(ours.median(cpu), cpuUnit), orDash(ours.max(func(r result) float64 { return r.RSSMiB }), ""))
	var v []float64 // what the goal is about, round by round
	their, theirCPU := "-", "-"
	switch g.by {
	case byRate, byTime:
		if theirs != nil {
			their, theirCPU = number(theirs.median(f))+" "+unit, orDash(theirs.median(cpu), cpuUnit)
			v = ratios(theirs.runs, ours.runs, f)
		}
	case byParts:
		v, their = g.excess(cells, ours)
	case byClient:
		for _, r := range ours.runs {
			v = append(v, r.PerOp*float64(r.Ops)/1e6/r.CliCPU)
		}
		their = fmt.Sprintf("%.2f s", ours.median(func(r result) float64 { return r.CliCPU / float64(r.Ops) }))
	case byValue:
		for _, r := range ours.runs {
			v = append(v, r.Value)
		}
	}
	if len(v) == 0 {
		verdict := ""
		if g.bar > 0 {
			verdict = "-"
		}
		return head + fmt.Sprintf(" %s | - | - | - | %d | %s | %s |", g.peer(), len(ours.runs), g.target(), verdict), verdict
	}
	verdict := g.judge(median(v))
	spread := fmt.Sprintf("%.2f (%.2f, %.2f)", median(v), slices.Min(v), slices.Max(v))
	switch g.by {
	case byParts:
		spread = fmt.Sprintf("%+.2f (%+.2f, %+.2f) s/GiB", median(v), slices.Min(v), slices.Max(v))
	case byValue:
		spread = "-"
	}
	return head + fmt.Sprintf(" %s | %s | %s | %s | %d | %s | %s |", g.peer(), their, theirCPU, spread, len(v), g.target(), verdict), verdict
}

// excess is the server's CPU time for a GiB over the sum of its parts, by round, and that
// sum. Without one of the parts there is none.
func (g goal) excess(cells map[string]map[spot]*cell, ours *cell) (v []float64, sum string) {
	total := make([]float64, len(ours.runs))
	for _, p := range g.parts {
		c := cells[p][spot{g.row, g.conc}]
		if c == nil || len(c.runs) != len(total) {
			return nil, "-"
		}
		for i, r := range c.runs {
			total[i] += r.PerGiB
		}
	}
	for i, r := range ours.runs {
		v = append(v, r.PerGiB-total[i])
	}
	return v, number(median(total)) + " s/GiB"
}

func (g goal) judge(v float64) string {
	switch {
	case g.bar == 0:
		return ""
	case g.by == byRate && v >= g.bar, g.by != byRate && v <= g.bar:
		return "met"
	}
	return "MISSED"
}

func (g goal) target() string {
	switch {
	case g.bar == 0:
		return "-"
	case g.by == byRate:
		return "≥ " + trim(g.bar)
	case g.by == byParts:
		return "≤ +" + trim(g.bar) + " s/GiB"
	case g.by == byValue:
		return "≤ " + trim(g.bar) + " s"
	}
	return "≤ " + trim(g.bar)
}

// trim is a number without zeros at its end, of two digits behind the point at most.
func trim(x float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", x), "0"), ".")
}

func (g goal) peer() string {
	switch {
	case g.by == byParts:
		return "server CPU of its parts: " + strings.Join(g.parts, " + ")
	case g.by == byClient:
		return "CPU of the client"
	case g.against == "":
		return "-"
	case g.against == "minio":
		return "MinIO SSE"
	case g.against == "azurite":
		return "Azurite"
	case g.by == byTime:
		return g.against + " (time)"
	}
	return g.against
}

// memory is the row of the greatest high-water mark of all rows.
func memory(cells map[string]map[spot]*cell) (string, string) {
	most, where := 0.0, ""
	for s, c := range cells["coffer"] {
		if x := c.max(func(r result) float64 { return r.RSSMiB }); x > most || x == most && s.work < where {
			most, where = x, s.work
		}
	}
	g := goal{by: byValue, bar: mostRSS}
	verdict := g.judge(most)
	return fmt.Sprintf("| peak RSS in every row | - | most in: %s | - | %.0f | - | - | - | - | - | ≤ %d MiB | %s |", where, most, mostRSS, verdict), verdict
}

func writeEnv(w io.Writer, envs map[string]*env) {
	line := func(name string, f func(*env) string) {
		var all []string
		for _, p := range parts {
			if e := envs[p.name]; e != nil && f(e) != "" && !slices.Contains(all, f(e)) {
				all = append(all, f(e))
			}
		}
		fmt.Fprintf(w, "| %s | %s |\n", name, strings.Join(all, "; "))
	}
	fmt.Fprint(w, "| | |\n| --- | --- |\n")
	line("processor", func(e *env) string { return fmt.Sprintf("%s, %d cores", e.CPU, e.Cores) })
	line("memory, kernel", func(e *env) string { return fmt.Sprintf("%d GiB, %s", e.MemGiB, e.Kernel) })
	line("Go, commit", func(e *env) string { return e.Go + ", " + e.Commit })
	line("peers", func(e *env) string { return e.Peers })
	missing := map[string]string{}
	for _, e := range envs {
		maps.Copy(missing, e.Missing)
	}
	for _, n := range slices.Sorted(maps.Keys(missing)) {
		fmt.Fprintf(w, "| not there | %s: %s |\n", n, strings.ReplaceAll(missing[n], "\n", " "))
	}
	for _, p := range parts {
		if e := envs[p.name]; e != nil {
			fmt.Fprintf(w, "| part %s | %s, %.1f minutes, load average before it %s |\n", p.name, e.Date, e.Minutes, e.Load)
		} else {
			fmt.Fprintf(w, "| part %s | not run |\n", p.name)
		}
	}
}

// readRecords groups the results by server and row; order is that of first appearance. Of
// a part that was run more than once the last whole run counts.
func readRecords(r io.Reader) (cells map[string]map[spot]*cell, order []spot, envs map[string]*env, err error) {
	pending, whole := map[string][]result{}, map[string][]result{}
	envs = map[string]*env{}
	dec := json.NewDecoder(r)
	for {
		var x record
		if err := dec.Decode(&x); err == io.EOF {
			break
		} else if err != nil {
			return nil, nil, nil, err
		}
		switch {
		case x.Result != nil:
			pending[x.Part] = append(pending[x.Part], *x.Result)
		case x.Env == nil: // the part begins; what was there is of a run that did not end
			pending[x.Part] = nil
		default:
			whole[x.Part], envs[x.Part], pending[x.Part] = pending[x.Part], x.Env, nil
		}
	}
	cells = map[string]map[spot]*cell{}
	for _, p := range parts {
		for _, x := range whole[p.name] {
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
	return cells, order, envs, nil
}

// figure of a row: what it is measured in. What moves no content is measured in time.
func figure(c *cell) (func(result) float64, string) {
	switch r := c.runs[0]; {
	case r.Unit != "":
		return func(r result) float64 { return r.Value }, r.Unit
	case r.MiBS == 0:
		return func(r result) float64 { return 1000 * r.Seconds / float64(r.Ops) }, "ms"
	}
	return rateOf(c)
}

func orDash(x float64, unit string) string {
	if x == 0 {
		return "-"
	}
	return strings.TrimSpace(number(x) + " " + unit)
}
