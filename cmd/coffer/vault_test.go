package main

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// Who makes a vault is told when its name leads nowhere on this machine, and only then.
func TestNameHint(t *testing.T) {
	knows := func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	fails := func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }
	hangs := func(ctx context.Context, _ string) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() }
	for _, tt := range []struct {
		name, uri string
		lookup    func(context.Context, string) ([]string, error)
		want      string // of the hint; "" is none
	}{
		{"found", "https://box.vault.localhost:10005", knows, ""},
		{"not found", "https://box.vault.localhost:10005", fails, "'127.0.0.1 box.vault.localhost'"},
		{"a resolver that hangs", "https://h.managedhsm.localhost", hangs, "'127.0.0.1 h.managedhsm.localhost'"},
		{"a name for DNS", "https://box.vault.example.com", fails, ""},
		{"no address", "", fails, ""},
	} {
		if got := nameHint(tt.uri, tt.lookup); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q in it", tt.name, got, tt.want)
		}
	}
}
