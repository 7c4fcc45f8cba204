package wire

import (
	"context"
	"strings"
)

// rawHeaderKey is the context key of the header names as they stood on the wire.
type rawHeaderKey struct{}

// WithRawHeader returns a context that carries the names of the x-ms-meta-* request
// headers in the spelling and order in which they arrived. net/http canonicalizes
// names before a handler sees them, and the protocol promises to give metadata names
// back as they came, so whoever reads the connection notes them here.
// names nil means: not known.
func WithRawHeader(ctx context.Context, names []string) context.Context {
	return context.WithValue(ctx, rawHeaderKey{}, names)
}

// RawHeaderNames returns what WithRawHeader stored, or nil.
func RawHeaderNames(ctx context.Context) []string {
	names, _ := ctx.Value(rawHeaderKey{}).([]string)
	return names
}

// Spelling returns the header name as it arrived, if anyone noted it, and otherwise
// the canonical name that net/http gives.
func Spelling(raw []string, canonical string) string {
	for _, n := range raw {
		if strings.EqualFold(n, canonical) {
			return n
		}
	}
	return canonical
}
