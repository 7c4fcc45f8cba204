package wire

import (
	"net/http"
	"strings"
	"testing"
)

func TestCanonicalAndLower(t *testing.T) {
	for n, c := range canonicalNames {
		if c != http.CanonicalHeaderKey(n) {
			t.Errorf("canonicalNames[%q] = %q", n, c)
		}
		if got := LowerName(c); got != strings.ToLower(n) {
			t.Errorf("LowerName(%q) = %q", c, got)
		}
	}
	for _, n := range []string{"x-ms-meta-Camel", "X-Unknown", "x y", ""} {
		if got := Canonical(n); got != http.CanonicalHeaderKey(n) {
			t.Errorf("Canonical(%q) = %q", n, got)
		}
		if got := LowerName(n); got != strings.ToLower(n) {
			t.Errorf("LowerName(%q) = %q", n, got)
		}
	}
}
