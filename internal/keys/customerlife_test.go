package keys_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
)

// K4: fifty times round, under a watch of what is stored.
func TestConversions(t *testing.T) { synctest.Test(t, conversions) }

func conversions(t *testing.T) {
	b := newBank()
	r := b.create(t)
	defer r.Close()
	p, want := account(t, r)
	cycles := 50
	if testing.Short() {
		cycles = 5
	}
	for i := range cycles {
		a, z := b.vault.Add("a", "k"), b.vault.Add("z", fmt.Sprintf("k%d", i))
		for _, step := range []func() error{
			func() error { return r.SetVaultKey(t.Context(), p, a, i%2 == 0) },
			func() error { return r.SetVaultKey(t.Context(), p, z, false) },
			func() error { return r.SetServiceKey(t.Context(), p) },
		} {
			must(t, step())
			if got := kek(t, r, p); got != want {
				t.Fatalf("cycle %d: another KEK", i)
			}
		}
	}
	if v, _ := r.Protector(p); v.Active.Number != 1 {
		t.Errorf("version %d: a conversion made a new KEK", v.Active.Number)
	}
}

// A protector that begins under a customer's key never has a form that the service could
// open alone: the key store opens nothing without the vault.
func TestBornUnderCustomer(t *testing.T) {
	b := newBank()
	r := b.create(t)
	ref := b.vault.Add("a", "k")
	owner, scope := keys.NewID(), keys.NewID()
	must(t, r.AddOwnerUnder(t.Context(), owner, true, ref, true))
	must(t, r.AddScopeUnder(t.Context(), owner, scope, true, ref, false))
	for _, p := range []keys.Protector{keys.AccountProtector(owner), keys.ScopeProtector(scope)} {
		want := kek(t, r, p)
		if info, _ := r.Protector(p); info.Managed != "customer" || !info.Double {
			t.Errorf("%v: %+v", p, info)
		}
		q := b.open(t)
		if got := kek(t, q, p); got != want {
			t.Errorf("%v: another KEK", p)
		}
		q.Close()
		b.vault.SetMood(ref.URI, keystest.Gone)
		q = b.open(t)
		if _, _, err := q.KEK(t.Context(), p); !fault.Is(err, fault.KeyGone) {
			t.Errorf("%v: KEK without a vault = %v", p, err)
		}
		q.Close()
		b.vault.SetMood(ref.URI, keystest.Well)
	}
	if info, ok := r.CustomerKey(keys.AccountProtector(owner)); !ok || !info.Follow || info.State != keys.CustomerActive {
		t.Errorf("CustomerKey = %+v, %v", info, ok)
	}
	if err := r.AddOwnerUnder(t.Context(), owner, false, ref, true); !fault.Is(err, fault.Exists) {
		t.Errorf("AddOwnerUnder again = %v", err)
	}
	if err := r.AddScopeUnder(t.Context(), keys.NewID(), keys.NewID(), false, ref, true); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("AddScopeUnder of nobody = %v", err)
	}
	r.Close()
}

// After the switch to a customer's key no copy of the key store holds the old secret: an
// older file with today's unseal key does not open.
func TestOldSecretIsGone(t *testing.T) {
	b := newBank()
	r := b.create(t)
	defer r.Close()
	p, _ := account(t, r)
	old := bytes.Clone(r.Snapshot())
	g0, _ := r.Generation()
	must(t, r.SetVaultKey(t.Context(), p, b.vault.Add("a", "k"), false))
	if g, _ := r.Generation(); g != g0+3 || r.PurgePending() {
		t.Errorf("generation %d after %d, pending %v: want the pending wrapping and a purge write", g, g0, r.PurgePending())
	}
	now := r.Snapshot()
	if bytes.Equal(old[32:48], now[32:48]) {
		t.Error("the service root was not replaced")
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		b.timers.VersionCheck = 10 * time.Minute
		r := b.create(t)
		p, want := account(t, r)
		pinned, _ := account(t, r)
		ref := b.vault.Add("a", "k")
		must(t, r.SetVaultKey(t.Context(), p, ref, true))
		must(t, r.SetVaultKey(t.Context(), pinned, ref, false))
		ctx, stop := newContext(t)
		var wg sync.WaitGroup
		wg.Go(func() { r.Tend(ctx, func(err error) { t.Error(err) }) })
		time.Sleep(time.Minute)
		v2 := b.vault.Add("a", "k")
		began := time.Now()
		for under(r, p) != v2.String() {
			must(t, r.Usable(t.Context(), p))
			time.Sleep(10 * time.Second)
			if time.Since(began) > 12*time.Minute {
				t.Fatal("the new version was not taken")
			}
		}
		if got := under(r, pinned); got != ref.String() {
			t.Errorf("the pinned one is under %s", got)
		}
		if got := kek(t, r, p); got != want {
			t.Error("another KEK")
		}
		info, _ := r.CustomerKey(p)
		if info.Previous != ref.String() || time.Since(info.LastRotation) > time.Minute {
			t.Errorf("%+v", info)
		}
		time.Sleep(25 * time.Hour) // the old wrapping goes, the new version stays
		if info, _ = r.CustomerKey(p); info.Previous != "" || info.Ref.Version != v2.Version {
			t.Errorf("a day later: %+v", info)
		}
		stop()
		wg.Wait()
		r.Close()
	})
}

func TestRecoverPrevious(t *testing.T) {
	b := newBank()
	r := b.create(t)
	defer r.Close()
	p, want := account(t, r)
	if err := r.RecoverPrevious(t.Context(), p); !fault.Is(err, fault.NotAllowed) {
		t.Errorf("without a key before: %v", err)
	}
	a, z := b.vault.Add("a", "k"), b.vault.Add("z", "k")
	must(t, r.SetVaultKey(t.Context(), p, a, false))
	must(t, r.SetVaultKey(t.Context(), p, z, false))
	b.vault.Edit(z, func(k *keystest.Key) { k.Deleted = true })
	b.vault.Edit(a, func(k *keystest.Key) { k.Enabled = false })
	if err := r.RecoverPrevious(t.Context(), p); !errors.Is(err, keys.RefusedKey) {
		t.Errorf("with the old one disabled: %v", err)
	}
	b.vault.Edit(a, func(k *keystest.Key) { k.Enabled = true })
	must(t, r.RecoverPrevious(t.Context(), p))
	if got := under(r, p); got != a.String() {
		t.Errorf("under %s", got)
	}
	if got := kek(t, r, p); got != want {
		t.Error("another KEK")
	}
	info, _ := r.Protector(p)
	must(t, r.SetVaultKey(t.Context(), p, b.vault.Add("z", "k"), false))
	_, err := r.Rotate(t.Context(), info.Chain)
	must(t, err)
	if err := r.RecoverPrevious(t.Context(), p); !fault.Is(err, fault.NotAllowed) {
		t.Errorf("with a version that the old one never saw: %v", err)
	}
}

// A commit that holds keys keeps them; what comes after the drop waits for nobody and has
// to validate.
func TestHold(t *testing.T) {
	b := newBank()
	var late atomic.Int64
	b.now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	r := b.create(t)
	defer r.Close()
	p, _ := account(t, r)
	h, err := r.Hold(p)
	must(t, err)
	must(t, h.Check())
	h.Release()
	ref := b.vault.Add("a", "k")
	must(t, r.SetVaultKey(t.Context(), p, ref, false))
	v, _, err := r.KEK(t.Context(), p)
	must(t, err)
	h, err = r.Hold(p)
	must(t, err)
	_, k, err := h.KEKByRef(t.Context(), v.Kref)
	must(t, err)
	must(t, r.RevokeNow(t.Context(), p))
	time.Sleep(20 * time.Millisecond)
	must(t, k.Use(func([]byte) error { return nil })) // not wiped while it is held
	if err := h.Check(); !errors.Is(err, keys.ErrValidate) {
		t.Errorf("Check after the drop = %v", err)
	}
	if _, err := r.Hold(p); !errors.Is(err, keys.ErrValidate) {
		t.Errorf("Hold after the drop = %v", err)
	}
	h.Release()
	h.Release()
	for began := time.Now(); k.Use(func([]byte) error { return nil }) == nil; time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the KEK outlives the commit")
		}
	}
	must(t, r.Usable(t.Context(), p))
	h, err = r.Hold(p)
	must(t, err)
	defer h.Release()
	if _, _, err := h.KEKByRef(t.Context(), v.Kref); err != nil {
		t.Errorf("KEKByRef = %v", err)
	}
	b.vault.SetMood(ref.URI, keystest.Hanging)
	late.Store(int64(2 * time.Hour))
	at := time.Now()
	if err := h.Check(); !errors.Is(err, keys.ErrValidate) || time.Since(at) > time.Second {
		t.Errorf("Check after the deadline = %v", err)
	}
	h.Release()
}

// What is not used is wiped when its time is over, also without a next use.
func TestIdleIsWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		p, _ := account(t, r)
		must(t, r.SetVaultKey(t.Context(), p, b.vault.Add("a", "k"), false))
		_, k, err := r.KEK(t.Context(), p)
		must(t, err)
		ctx, stop := newContext(t)
		var wg sync.WaitGroup
		wg.Go(func() { r.Tend(ctx, nil) })
		time.Sleep(30 * time.Second)
		must(t, k.Use(func([]byte) error { return nil }))
		time.Sleep(70 * time.Second)
		if k.Use(func([]byte) error { return nil }) == nil {
			t.Error("the KEK is still there")
		}
		stop()
		wg.Wait()
		r.Close()
	})
}

// K7: a thousand scopes, in the long run ten thousand, each with a key of its own in one vault that throttles at times:
// the pace is kept, and none is suspended.
func TestManyKeys(t *testing.T) {
	scopes := 1000
	switch {
	case os.Getenv("COFFER_LONG") != "":
		scopes = 10_000
	case testing.Short():
		scopes = 200
	}
	b := newBank()
	synctest.Test(t, func(t *testing.T) {
		r := b.create(t)
		owner := keys.NewID()
		must(t, r.AddOwner(t.Context(), owner))
		var ps []keys.Protector
		refs := map[keys.ID]keys.VaultRef{}
		for i := range scopes {
			id := keys.NewID()
			refs[id] = b.vault.Add("a", fmt.Sprintf("k%d", i))
			ps = append(ps, keys.ScopeProtector(id))
		}
		must(t, r.AddScopesUnder(t.Context(), owner, refs, true))
		asked := b.vault.Calls("")
		r.Close()
		at := time.Now()
		r = b.open(t)
		if d := time.Since(at); d > 0 {
			t.Errorf("the start waited %v", d)
		}
		if n := b.vault.Calls("") - asked; n > 0 {
			t.Errorf("the start asked the vault %d times", n)
		}
		var mu sync.Mutex
		perSecond := map[int64]int{}
		calls := 0
		b.vault.OnCall(func(string, keys.VaultRef) {
			mu.Lock()
			defer mu.Unlock()
			perSecond[time.Now().Unix()]++
			if calls++; calls%100 == 0 {
				b.vault.SetMood(keystest.URI("a"), keystest.Throttling)
			} else if calls%100 == 5 {
				b.vault.SetMood(keystest.URI("a"), keystest.Well)
			}
		})
		began := time.Now()
		must(t, r.CheckVersions(t.Context()))
		poll := time.Since(began)
		for _, n := range perSecond {
			if n > 52 {
				t.Errorf("%d calls in one second", n)
			}
		}
		most := 0
		for _, n := range perSecond {
			most = max(most, n)
		}
		t.Logf("one look at %d keys: %v, %d calls, at most %d in a second", scopes, poll, calls, most)
		if poll > time.Hour*time.Duration(scopes)/10_000+time.Second {
			t.Errorf("the look took %v", poll)
		}
		b.vault.OnCall(nil)
		b.vault.SetMood(keystest.URI("a"), keystest.Well)
		for _, p := range ps {
			must(t, r.Usable(t.Context(), p))
		}
		storm := b.vault.Calls("")
		for range 3 { // a storm of 429: used on, until the stale time at most
			b.vault.SetMood(keystest.URI("a"), keystest.Throttling)
			time.Sleep(50 * time.Second)
			for _, p := range ps[:scopes/10] {
				must(t, r.Usable(t.Context(), p))
			}
			b.vault.SetMood(keystest.URI("a"), keystest.Well)
			time.Sleep(20 * time.Second)
			for _, p := range ps[:scopes/10] {
				must(t, r.Usable(t.Context(), p))
			}
		}
		t.Logf("%d calls in the storm", b.vault.Calls("")-storm)
		r.Close()
	})
	began := time.Now() // on the real clock
	r := b.open(t)
	t.Logf("the key store with %d keys opens in %v", scopes, time.Since(began).Round(time.Millisecond))
	r.Close()
}
