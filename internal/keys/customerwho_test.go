package keys_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
)

// who returns each record as its operation, outcome, actor and request, and forgets them.
func (a *trail) who() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, r := range a.recs {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s:%s %s %s", r.Operation, r.Outcome, r.Actor, r.RequestID)))
	}
	a.recs = nil
	return strings.Join(out, "; ")
}

func (a *trail) wantWho(t *testing.T, what, want string) {
	t.Helper()
	synctest.Wait()
	if got := a.who(); got != want {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

// A key that is opened is used by the request which needed it; what memory has is no use.
func TestTrailNamesTheRequest(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	p, _ := account(t, r)
	v, _ := r.Protector(p)
	r.Close()
	by := func(id string) context.Context {
		return audit.WithBy(t.Context(), audit.Origin{Actor: "account a", RequestID: id})
	}
	for _, way := range []struct {
		name string
		use  func(r *keys.Ring, ctx context.Context) error
	}{
		{"KEK", func(r *keys.Ring, ctx context.Context) error { _, _, err := r.KEK(ctx, p); return err }},
		{"KEKByRef", func(r *keys.Ring, ctx context.Context) error {
			_, _, err := r.KEKByRef(ctx, p, v.Active.Kref)
			return err
		}},
		{"in a commit", func(r *keys.Ring, ctx context.Context) error {
			h, err := r.Hold(p)
			if err != nil {
				return err
			}
			defer h.Release()
			_, _, err = h.KEKByRef(ctx, v.Active.Kref)
			return err
		}},
	} {
		r := w.open(t)
		a := &trail{}
		r.SetAudit(a)
		_ = a.who()
		must(t, way.use(r, by("r1")))
		must(t, way.use(r, by("r2")))
		if got, want := a.who(), "keys.kek.open:ok account a r1"; got != want {
			t.Errorf("%s: %q, want %q", way.name, got, want)
		}
		r.Close()
	}
}

// Of many requests that need the same answer of a vault, the trail names the one for which
// the vault was asked, also when that one did not wait for it.
func TestTrailNamesWhoAskedTheVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		defer r.Close()
		p, _ := account(t, r)
		ref := b.vault.Add("a", "k")
		must(t, r.SetVaultKey(t.Context(), p, ref, false))
		must(t, r.RevokeNow(t.Context(), p))
		synctest.Wait()
		a := &trail{}
		r.SetAudit(a)
		_ = a.who()
		b.vault.OnCall(func(string, keys.VaultRef) { time.Sleep(time.Second) })
		request := func(id string) (context.Context, context.CancelFunc) {
			return context.WithCancel(audit.WithBy(t.Context(), audit.Origin{Actor: "account a", RequestID: id}))
		}
		kek := func(ctx context.Context) error { _, _, err := r.KEK(ctx, p); return err }

		gone, cancel := request("r1")
		ended := make(chan error, 2)
		go func() { ended <- kek(gone) }()
		synctest.Wait() // r1 asks
		waits, done := request("r2")
		defer done()
		go func() { ended <- kek(waits) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err == nil {
			t.Error("a request that was broken off got its key")
		}
		must(t, <-ended)
		a.wantWho(t, "one asks, one waits", "keys.customer.unwrap:ok account a r1; keys.kek.open:ok account a r2")
		must(t, kek(waits))
		a.wantWho(t, "from memory", "")

		// A commit validates, and opens then without waiting.
		must(t, r.RevokeNow(t.Context(), p))
		synctest.Wait()
		_ = a.who()
		ctx, done := request("r3")
		defer done()
		must(t, r.Validate(ctx, p))
		a.wantWho(t, "a commit", "keys.customer.unwrap:ok account a r3")
		h, err := r.Hold(p)
		must(t, err)
		info, _ := r.Protector(p)
		_, _, err = h.KEKByRef(ctx, info.Active.Kref)
		must(t, err)
		h.Release()
		a.wantWho(t, "a commit", "keys.kek.open:ok account a r3")

		// Early renewal: the request has its key, and is why the vault is asked.
		time.Sleep(keys.DefaultKeyCache * 95 / 100)
		ctx, done = request("r4")
		defer done()
		must(t, kek(ctx))
		time.Sleep(2 * time.Second)
		a.wantWho(t, "renewal", "keys.customer.unwrap:ok account a r4")

		// Out of reach and refused.
		b.vault.SetMood(ref.URI, keystest.Unreachable)
		time.Sleep(keys.DefaultKeyCache)
		ctx, done = request("r5")
		defer done()
		must(t, kek(ctx))
		a.wantWho(t, "out of reach", "keys.customer.unwrap:unreachable: vault account a r5; keys.customer.degraded:vault account a r5")
		b.vault.SetMood(ref.URI, keystest.Well)
		b.vault.Edit(ref, func(k *keystest.Key) { k.Enabled = false })
		time.Sleep(keys.DefaultKeyCache)
		must(t, r.RevokeNow(t.Context(), p))
		synctest.Wait()
		_ = a.who()
		ctx, done = request("r6")
		defer done()
		suspended(t, kek(ctx), keys.ReasonKey)
		a.wantWho(t, "disabled", "keys.customer.unwrap:refused: key account a r6; keys.customer.suspend:key account a r6")

		// Nobody asks: what the server does by itself names no request.
		tend, stop := context.WithCancel(t.Context())
		defer stop()
		go r.Tend(tend, nil)
		time.Sleep(2*time.Minute + time.Second)
		if got := a.who(); got == "" || strings.ReplaceAll(got, "keys.customer.unwrap:refused: key server", "") != strings.Repeat("; ", strings.Count(got, "; ")) {
			t.Errorf("in the background:\n%s", got)
		}
		b.vault.Edit(ref, func(k *keystest.Key) { k.Enabled = true })
		time.Sleep(time.Minute + 2*time.Second)
		if got := a.who(); !strings.HasSuffix(got, "keys.customer.unwrap:ok server") || strings.Contains(got, "account a") {
			t.Errorf("in the background:\n%s", got)
		}
	})
}

// The end of a key's dates is met by a request, which has the vault asked whether it is so.
func TestTrailNamesWhoMeetsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		defer r.Close()
		p, _ := account(t, r)
		ref := b.vault.Add("a", "k")
		b.vault.Edit(ref, func(k *keystest.Key) { k.Expires = time.Now().Add(10 * time.Second) })
		must(t, r.SetVaultKey(t.Context(), p, ref, false))
		a := &trail{}
		r.SetAudit(a)
		_ = a.who()
		time.Sleep(10 * time.Second)
		ctx := audit.WithBy(t.Context(), audit.Origin{Actor: "account a", RequestID: "r1"})
		suspended(t, r.Usable(ctx, p), keys.ReasonKey)
		a.wantWho(t, "the end", "keys.customer.suspend:key account a r1; keys.customer.unwrap:ok account a r1")
	})
}
