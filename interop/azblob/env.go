package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// field is a field of the connection string.
func (r *run) field(name string) string {
	for f := range strings.SplitSeq(r.conn, ";") {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			return v
		}
	}
	return ""
}

// doubleAccount does the rounds of keys in an account with infrastructure encryption, which
// COFFER_DOUBLE_CONNECTION_STRING names.
func doubleAccount(ctx context.Context) error {
	r, err := newRun(os.Getenv("COFFER_DOUBLE_CONNECTION_STRING"))
	if err != nil {
		return err
	}
	return inTurn(ctx, []part{
		{"container", r.container}, {"customer key", r.customerKey}, {"scope", r.scope}, {"ranges", r.ranges}, {"blocks", r.blocks},
	})
}

// part is a named part of a step.
type part struct {
	name string
	do   func(context.Context) error
}

// inTurn runs the parts of a step until one fails.
func inTurn(ctx context.Context, parts []part) error {
	for _, p := range parts {
		if err := p.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// withoutURL drops the URL from an HTTP client's error: it carries a signature.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
