// Package report is what every client program of the interop suite prints: one
// line a step, tab separated, so that one matrix can be made of programs in
// three languages.
//
//	version  <client library and its version>
//	step     <name>  pass|fail  <milliseconds>  <detail>
//	done     <number of steps>
//
// A file without its done line, or with a done line that counts other steps
// than it holds, is a program that did not finish: the matrix counts it as a
// failure.
package report

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Suite runs steps in order and writes their lines.
type Suite struct {
	Out     io.Writer
	Timeout time.Duration // of one step; 0 is five minutes
	steps   int
	failed  int
}

// Version writes which client this is.
func (s *Suite) Version(v string) { fmt.Fprintf(s.Out, "version\t%s\n", clean(v)) }

// Step runs f and writes its line. A failed step does not stop the suite: the
// matrix shows all that does not work, not only the first.
func (s *Suite) Step(name string, f func(ctx context.Context) error) {
	limit := s.Timeout
	if limit == 0 {
		limit = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := time.Now()
	err := f(ctx)
	s.steps++
	result, detail := "pass", ""
	if err != nil {
		s.failed++
		result, detail = "fail", clean(err.Error())
	}
	fmt.Fprintf(s.Out, "step\t%s\t%s\t%d\t%s\n", name, result, time.Since(start).Milliseconds(), detail)
}

// Done writes the closing line and gives the exit status of the program.
func (s *Suite) Done() int {
	fmt.Fprintf(s.Out, "done\t%d\n", s.steps)
	if s.failed > 0 || s.steps == 0 {
		return 1
	}
	return 0
}

// clean makes one short field of a text: no tabs, no line ends.
func clean(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 400 {
		s = s[:400] + "..."
	}
	return s
}
