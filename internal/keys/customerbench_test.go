package keys_test

import (
	"testing"

	"github.com/coffer-storage/coffer/internal/keys"
)

// BenchmarkUse is what a request asks of the ring, for a key of the service and for a
// customer's key that is cached: may it be used, the KEK, and the hold of a commit.
func BenchmarkUse(b *testing.B) {
	w := newBank()
	r := w.create(b)
	defer r.Close()
	service, _ := account(b, r)
	customer, _ := account(b, r)
	must(b, r.SetVaultKey(b.Context(), customer, w.vault.Add("a", "k"), false))
	for name, p := range map[string]keys.Protector{"service": service, "customer": customer} {
		b.Run(name, func(b *testing.B) {
			v, _, err := r.KEK(b.Context(), p)
			must(b, err)
			b.ReportAllocs()
			for b.Loop() {
				must(b, r.Usable(b.Context(), p))
				_, _, err := r.KEKByRef(b.Context(), p, v.Kref)
				must(b, err)
				h, err := r.Hold(p)
				must(b, err)
				must(b, h.Check())
				h.Release()
			}
		})
	}
}
