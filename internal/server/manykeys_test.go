package server

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/scope"
)

// K7: what scopes with a customer's key each cost a start, from Open until it listens, in
// real seconds on a real file system. A start asks no vault: here there is none to ask.
func TestStartWithManyCustomerKeys(t *testing.T) {
	n := 30
	if os.Getenv("COFFER_LONG") != "" {
		n = 1000
	}
	p := newPlace(t)
	start := func() (took time.Duration) {
		took = time.Hour
		for range 3 { // the best of some: other tests run beside
			began := time.Now()
			r := p.serve(t)
			took = min(took, time.Since(began))
			r.stop()
		}
		return took
	}
	r := p.serve(t)
	made, err := r.store.Accounts.Create(t.Context(), "acme", [2][]byte{})
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	bare := start()

	r = p.serve(t)
	var vault keystest.Vault
	if err := r.store.Ring.SetVault(&vault, r.cfg.customerOptions()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i := range n {
		ref := vault.Add(fmt.Sprintf("v%d", i/3), fmt.Sprintf("k%d", i)) // calls to one vault are paced
		_, err := r.store.Scopes.Create(t.Context(), made.ID, name.Scope(fmt.Sprintf("scope-%d", i)), scope.Options{CustomerKey: &ref, FollowVersion: true})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d scopes made in %v", n, time.Since(began).Round(time.Millisecond))
	r.stop()
	full := start()

	r = p.serve(t)
	list, _, err := r.store.Scopes.List(t.Context(), made.ID, scope.ListOptions{})
	under := 0
	for _, s := range list {
		if k, ok := r.store.Ring.Protector(s.Protector()); ok && k.Managed == "customer" && s.State == keys.Enabled {
			under++
		}
	}
	if err != nil || under != n {
		t.Errorf("after the start %d of %d scopes are there, enabled and under a customer's key: %v", under, n, err)
	}
	t.Logf("start: %v without, %v with %d scopes under customers' keys", bare.Round(time.Millisecond), full.Round(time.Millisecond), n)
	if full-bare > 10*time.Second {
		t.Errorf("%d scopes make a start %v longer", n, full-bare)
	}
}
