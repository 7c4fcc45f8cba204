// Command matrix makes one table of the reports that the interop programs
// wrote, and fails if any step of any of them did.
//
//	matrix NAME=FILE ...
//
// Every NAME is a column. A file that is missing, cut short or empty is a
// failure of its own: a client that died must not look like one that passed.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("matrix: ")
	if len(os.Args) < 2 {
		log.Fatal("usage: matrix NAME=FILE ...")
	}
	var cols []column
	for _, a := range os.Args[1:] {
		name, file, ok := strings.Cut(a, "=")
		if !ok {
			log.Fatalf("%q is not NAME=FILE", a)
		}
		cols = append(cols, load(name, file))
	}
	if !write(os.Stdout, cols) {
		os.Exit(1)
	}
}

// step is one line of a report.
type step struct {
	name   string
	passed bool
	ms     int
	detail string
}

// column is one client over one scheme.
type column struct {
	name, version string
	steps         []step
	problem       string // why the report as a whole is no good; empty: it is complete
}

func load(name, file string) column {
	f, err := os.Open(file)
	if err != nil {
		return column{name: name, problem: "no report: the client did not run"}
	}
	defer f.Close()
	return parse(name, f)
}

// parse reads a report. Lines that are not of the format are a client's own
// chatter and are skipped; the done line says how many steps there must be.
func parse(name string, r io.Reader) column {
	c := column{name: name, problem: "the report has no end: the client died"}
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Split(sc.Text(), "\t")
		switch {
		case f[0] == "version" && len(f) == 2:
			c.version = f[1]
		case f[0] == "step" && len(f) == 5:
			ms, err := strconv.Atoi(f[3])
			if err != nil {
				ms = -1
			}
			c.steps = append(c.steps, step{f[1], f[2] == "pass", ms, f[4]})
		case f[0] == "done" && len(f) == 2:
			c.problem = ""
			if n, err := strconv.Atoi(f[1]); err != nil || n != len(c.steps) || n == 0 {
				c.problem = fmt.Sprintf("the report ends with %q but has %d steps", sc.Text(), len(c.steps))
			}
		}
	}
	if err := sc.Err(); err != nil {
		c.problem = err.Error()
	}
	return c
}

func (c column) find(name string) (step, bool) {
	for _, s := range c.steps {
		if s.name == name {
			return s, true
		}
	}
	return step{}, false
}

// write prints table, versions and failures, and says whether all is well.
func write(w io.Writer, cols []column) bool {
	names := order(cols)
	width := 8
	for _, c := range cols {
		width = max(width, len(c.name))
	}
	first := len("client")
	for _, n := range names {
		first = max(first, len(n))
	}
	line := func(head string, cell func(column) string) {
		fmt.Fprintf(w, "%-*s", first, head)
		for _, c := range cols {
			fmt.Fprintf(w, "  %*s", width, cell(c))
		}
		fmt.Fprintln(w)
	}
	line("step", func(c column) string { return c.name })
	for _, n := range names {
		line(n, func(c column) string {
			s, ok := c.find(n)
			switch {
			case !ok:
				return "-"
			case !s.passed:
				return "FAIL"
			}
			return fmt.Sprintf("%d ms", s.ms)
		})
	}
	passed, failed := 0, 0
	for _, c := range cols {
		for _, s := range c.steps {
			if s.passed {
				passed++
			} else {
				failed++
			}
		}
	}
	fmt.Fprintln(w)
	for _, c := range cols {
		fmt.Fprintf(w, "%-*s  %s\n", width, c.name, c.version)
	}
	fmt.Fprintln(w)
	broken := 0
	for _, c := range cols {
		if c.problem != "" {
			broken++
			fmt.Fprintf(w, "FAIL %s: %s\n", c.name, c.problem)
		}
		for _, s := range c.steps {
			if !s.passed {
				fmt.Fprintf(w, "FAIL %s %s: %s\n", c.name, s.name, s.detail)
			}
		}
	}
	fmt.Fprintf(w, "interop: %d passed, %d failed\n", passed, failed+broken)
	return failed+broken == 0 && passed > 0
}

// order is every step name in the order in which it first appears.
func order(cols []column) []string {
	var names []string
	seen := map[string]bool{}
	for _, c := range cols {
		for _, s := range c.steps {
			if !seen[s.name] {
				seen[s.name] = true
				names = append(names, s.name)
			}
		}
	}
	return names
}
