package main

import (
	"io"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	const good = "version\tx 1\nchatter\nstep\ta\tpass\t12\t\nstep\tb\tpass\t3\t\ndone\t2\n"
	tests := []struct {
		name, report string
		want         bool
		text         string // must appear
	}{
		{"complete", good, true, "12 ms"},
		{"failed step", strings.Replace(good, "b\tpass\t3\t", "b\tfail\t3\twhy", 1), false, "FAIL c b: why"},
		{"cut short", strings.TrimSuffix(good, "done\t2\n"), false, "the client died"},
		{"a step is missing", strings.Replace(good, "step\tb\tpass\t3\t\n", "", 1), false, "has 1 steps"},
		{"nothing", "", false, "the client died"},
		{"no steps", "done\t0\n", false, "has 0 steps"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if got := write(&b, []column{parse("c", strings.NewReader(tt.report))}); got != tt.want {
				t.Errorf("write = %v, want %v\n%s", got, tt.want, b.String())
			}
			if !strings.Contains(b.String(), tt.text) {
				t.Errorf("%q is not in\n%s", tt.text, b.String())
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	if write(io.Discard, []column{load("c", "/nonexistent/report")}) {
		t.Error("a missing report passed")
	}
}
