package keys_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
)

// After a restart nothing is cached: the vault decides at the first use.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		p, want := account(t, r)
		ref := b.vault.Add("a", "k")
		must(t, r.SetVaultKey(t.Context(), p, ref, false))
		r.Close()
		calls := b.vault.Calls("")
		r = b.open(t)
		if n := b.vault.Calls(""); n != calls {
			t.Errorf("%d calls at start", n-calls)
		}
		info, _ := r.CustomerKey(p)
		if info.State != keys.CustomerUnused {
			t.Errorf("state %v", info.State)
		}
		b.vault.SetMood(ref.URI, keystest.Unreachable)
		suspended(t, r.Usable(t.Context(), p), keys.ReasonVault)
		b.vault.SetMood(ref.URI, keystest.Well)
		time.Sleep(11 * time.Second)
		if got := kek(t, r, p); got != want {
			t.Error("another KEK")
		}
		r.Close()
	})
}

// Each use of a customer's key that its vault was asked for is in the trail, with the version
// that was used; what the cache answered is not. So is each refusal, once.
func TestCustomerTrail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		defer r.Close()
		a := &trail{}
		r.SetAudit(a)
		p, _ := account(t, r)
		ref := b.vault.Add("a", "k")
		_ = a.ops()
		must(t, r.SetVaultKey(audit.WithBy(t.Context(), audit.Origin{Actor: "operator", RequestID: "r1"}), p, ref, false))
		info, _ := r.CustomerKey(p)
		for _, rec := range a.recs {
			if rec.Actor != "operator" || rec.RequestID != "r1" || strings.HasSuffix(rec.Operation, "wrap") && rec.What != p.String()+" "+info.Ref.String() {
				t.Errorf("put in force: record %+v", rec)
			}
		}
		if got, want := a.ops(), "keys.customer.set:begin keys.customer.wrap:ok keys.customer.unwrap:ok keys.customer.unwrap:ok keys.customer.set:ok"; got != want {
			t.Errorf("put in force: %q, want %q", got, want)
		}
		// use waits for what a use begins in the background.
		use := func(what, want string) {
			t.Helper()
			_ = r.Usable(t.Context(), p)
			synctest.Wait()
			a.mu.Lock()
			for _, rec := range a.recs {
				if rec.Operation == "keys.customer.unwrap" && (rec.What != p.String()+" "+info.Ref.String() || rec.Kref == (keys.ID{})) {
					t.Errorf("%s: record of %q, kref %v, want %q", what, rec.What, rec.Kref, p.String()+" "+info.Ref.String())
				}
				if !strings.HasPrefix(rec.What, p.String()) {
					t.Errorf("%s: record of %q", what, rec.What)
				}
			}
			a.mu.Unlock()
			if got := a.ops(); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		use("cached", "")
		time.Sleep(keys.DefaultKeyCache)
		use("asked again", "keys.customer.unwrap:ok")
		use("cached again", "")
		b.vault.SetMood(ref.URI, keystest.Unreachable)
		time.Sleep(keys.DefaultKeyCache)
		use("out of reach", "keys.customer.unwrap:unreachable: vault keys.customer.degraded:vault")
		b.vault.SetMood(ref.URI, keystest.Well)
		b.vault.Edit(ref, func(k *keystest.Key) { k.Enabled = false })
		time.Sleep(keys.DefaultKeyCache)
		use("disabled", "keys.customer.unwrap:refused: key keys.customer.suspend:key")
		use("not asked again at once", "")
		time.Sleep(11 * time.Second)
		use("still disabled", "keys.customer.unwrap:refused: key")
		b.vault.Edit(ref, func(k *keystest.Key) { k.Enabled = true })
		time.Sleep(11 * time.Second)
		use("enabled", "keys.customer.unwrap:ok")
		must(t, r.RevokeNow(t.Context(), p))
		if got := a.ops(); !strings.Contains(got, "keys.customer.revoke:ok") {
			t.Errorf("RevokeNow: %q", got)
		}
	})
}

func TestRevokeNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		defer r.Close()
		p, want := account(t, r)
		other, _ := account(t, r)
		if err := r.RevokeNow(t.Context(), p); !fault.Is(err, fault.NotAllowed) {
			t.Errorf("RevokeNow of a service's key = %v", err)
		}
		ref := b.vault.Add("a", "k")
		must(t, r.SetVaultKey(t.Context(), p, ref, false))
		must(t, r.SetVaultKey(t.Context(), other, ref, false))
		_, k, err := r.KEK(t.Context(), p)
		must(t, err)
		before, _ := r.Protector(p)
		b.vault.Edit(ref, func(k *keystest.Key) { k.Enabled = false })
		must(t, r.Usable(t.Context(), p)) // cached
		must(t, r.RevokeNow(t.Context(), p))
		suspended(t, r.Usable(t.Context(), p), keys.ReasonKey)
		must(t, r.Usable(t.Context(), other))
		synctest.Wait()
		if err := k.Use(func([]byte) error { return nil }); err == nil {
			t.Error("the KEK was not wiped")
		}
		if after, _ := r.Protector(p); after.Epoch <= before.Epoch {
			t.Errorf("epoch %d, was %d", after.Epoch, before.Epoch)
		}
		b.vault.Edit(ref, func(k *keystest.Key) { k.Enabled = true })
		time.Sleep(11 * time.Second)
		if got := kek(t, r, p); got != want {
			t.Error("another KEK")
		}
	})
}

// However many use a key at once, its vault is asked once, and at most twice in the time
// for which it is cached.
func TestCallsPerPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		p, _ := account(t, r)
		ref := b.vault.Add("a", "k")
		must(t, r.SetVaultKey(t.Context(), p, ref, false))
		r.Close()
		r = b.open(t)
		defer r.Close()
		var calls []time.Time
		var mu sync.Mutex
		b.vault.OnCall(func(string, keys.VaultRef) { mu.Lock(); calls = append(calls, time.Now()); mu.Unlock() })
		var failed atomic.Int64
		for range 600 {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if r.Usable(context.Background(), p) != nil {
						failed.Add(1)
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Second)
		}
		if n := failed.Load(); n > 0 {
			t.Errorf("%d uses failed", n)
		}
		for i := 2; i < len(calls); i++ {
			if d := calls[i].Sub(calls[i-2]); d < keys.DefaultKeyCache {
				t.Errorf("three calls within %v", d)
			}
		}
		t.Logf("%d calls in 10 minutes, 12,000 uses", len(calls))
		if len(calls) < 9 || len(calls) > 20 {
			t.Errorf("%d calls in ten periods", len(calls))
		}
	})
}

// A vault that hangs keeps up nobody but those who use it.
func TestHangingVaultHarmsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		defer r.Close()
		bad, good, service := keys.Protector{}, keys.Protector{}, keys.Protector{}
		for _, p := range []*keys.Protector{&bad, &good, &service} {
			*p, _ = account(t, r)
		}
		hangs, well := b.vault.Add("hangs", "k"), b.vault.Add("well", "k")
		must(t, r.SetVaultKey(t.Context(), bad, hangs, false))
		must(t, r.SetVaultKey(t.Context(), good, well, false))
		b.vault.SetMood(hangs.URI, keystest.Hanging)
		time.Sleep(time.Hour)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_ = r.Usable(context.Background(), bad)
						time.Sleep(50 * time.Millisecond)
					}
				}
			})
		}
		for range 1000 {
			for _, p := range []keys.Protector{good, service} {
				at := time.Now()
				if err := r.Usable(t.Context(), p); err != nil {
					t.Fatalf("%v: %v", p, err)
				}
				if d := time.Since(at); d > 100*time.Millisecond {
					t.Fatalf("%v waited %v", p, d)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		at := time.Now()
		must(t, r.AddOwner(t.Context(), keys.NewID())) // changes of other keys go on
		must(t, r.SetAdmin(t.Context(), bad, keys.Disabled))
		if d := time.Since(at); d > 0 {
			t.Errorf("changes waited %v", d)
		}
		close(stop)
		wg.Wait()
	})
}

func TestDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		defer r.Close()
		p, want := account(t, r)
		must(t, r.SetVaultKey(t.Context(), p, b.vault.Add("a", "k"), false))
		must(t, r.SetAdmin(t.Context(), p, keys.Disabled))
		calls := b.vault.Calls("")
		if err := r.Usable(t.Context(), p); !errors.Is(err, keys.ErrDisabled) {
			t.Errorf("Usable = %v", err)
		}
		if _, _, err := r.KEK(t.Context(), p); !errors.Is(err, keys.ErrDisabled) {
			t.Errorf("KEK = %v", err)
		}
		if err := r.SetServiceKey(t.Context(), p); !errors.Is(err, keys.ErrDisabled) {
			t.Errorf("SetServiceKey = %v", err)
		}
		if n := b.vault.Calls(""); n != calls {
			t.Error("the vault was asked for a disabled protector")
		}
		must(t, r.SetAdmin(t.Context(), p, keys.Enabled))
		if got := kek(t, r, p); got != want {
			t.Error("another KEK")
		}
	})
}

func newContext(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}
