package keywrap_test

import (
	"bytes"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
	"github.com/coffer-storage/coffer/internal/secret"
)

// FuzzOpen opens whatever comes under a fixed key. What opens is only what was sealed:
// one of the seeds. Everything else fails, without a byte of plaintext.
func FuzzOpen(f *testing.F) {
	var own, aad []byte
	var keyref [16]byte
	var k secret.Key
	for _, c := range vectortest.Load(f, "keywrap") {
		if c.Has("sealed") {
			f.Add(c.Bytes(f, "sealed"))
		}
		if c.Has("wrap") {
			f.Add(c.Bytes(f, "wrap"))
		}
		if c.Name == "wrap-ok-data-key" {
			own, aad, keyref = c.Bytes(f, "wrap"), c.Bytes(f, "aad"), c.ID(f, "keyref")
			k = secret.New(c.Bytes(f, "kek"))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ref, refErr := keywrap.Keyref(b)
		got, err := keywrap.Open(k, keyref, aad, b)
		switch {
		case err == nil && !bytes.Equal(b, own):
			t.Fatalf("a forged seal opens: %x", b)
		case err != nil && got != nil:
			t.Fatalf("failure with plaintext %x", got)
		case refErr != nil && ref != [16]byte{}:
			t.Fatalf("failure with keyref %x", ref)
		case refErr != nil && err == nil:
			t.Fatal("opens without the form of a seal")
		}
		if w, err := keywrap.Unwrap(k, keyref, aad, b); (err == nil) != (bytes.Equal(b, own)) || (err != nil && !w.IsZero()) {
			t.Fatalf("Unwrap(%x) = %v", b, err)
		}
	})
}
