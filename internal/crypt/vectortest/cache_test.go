package vectortest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/secret"
)

// TestCacheChangesNothing opens the vectors of both layers again and again through one
// cache, in any order: keys of the same name, the same key under other names, good cases
// between bad ones. What was opened before never lets a bad case pass.
func TestCacheChangesNothing(t *testing.T) {
	var cache envelope.Cache
	handles := map[string]secret.Key{} // a cached key counts for the same handle only
	var cases []Case
	for _, c := range Load(t, "envelope") {
		if f := c.Text("format"); f == "VALUE-1" || f == "INFRA-1" {
			cases = append(cases, c)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		rng.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
		for _, c := range cases {
			b := c.Bytes(t, "key")
			k, ok := handles[string(b)]
			if !ok {
				k = secret.New(bytes.Clone(b))
				handles[string(b)] = k
			}
			open, want := envelope.OpenValue, "plaintext"
			if c.Text("format") == "INFRA-1" {
				open, want = envelope.OpenInfra, "inner"
			}
			got, err := open(k, c.ID(t, "keyref"), &cache, c.Bytes(t, "aad"), c.Bytes(t, "sealed"))
			if class(err) != c.Text("expect") || err == nil && !bytes.Equal(got, c.Bytes(t, want)) {
				t.Errorf("%s: %s, want %s", c.Name, class(err), c.Text("expect"))
			}
			// The same bytes asked for as the other layer.
			other := envelope.OpenInfra
			if want == "inner" {
				other = envelope.OpenValue
			}
			if _, err := other(k, c.ID(t, "keyref"), &cache, c.Bytes(t, "aad"), c.Bytes(t, "sealed")); err == nil {
				t.Errorf("%s: opens as the other layer", c.Name)
			}
		}
	}
}
