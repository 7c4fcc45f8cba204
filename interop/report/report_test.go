package report

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestSuite(t *testing.T) {
	var b strings.Builder
	s := &Suite{Out: &b}
	s.Version("client\t1\n")
	s.Step("good", func(context.Context) error { return nil })
	if got := s.Done(); got != 0 {
		t.Errorf("Done after a good step = %d, want 0", got)
	}
	s.Step("bad", func(context.Context) error { return errors.New("two\nlines\tand a tab") })
	if got := s.Done(); got != 1 {
		t.Errorf("Done after a bad step = %d, want 1", got)
	}
	for _, want := range []string{"version\tclient 1\n", "step\tgood\tpass\t", "step\tbad\tfail\t", "\ttwo lines and a tab\n", "done\t2\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if got := (&Suite{Out: &b}).Done(); got != 1 {
		t.Errorf("Done without a step = %d, want 1", got)
	}
}
