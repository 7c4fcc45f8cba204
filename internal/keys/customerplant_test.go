package keys_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
)

// K3: what is planted in the key store beside the vault opens nothing: a value wrapped
// with the public key, an old wrapping, the wrapping of another account, an address or an
// owner that is exchanged.
func TestPlantedWrappings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		victim, want := account(t, r)
		other, _ := account(t, r)
		ref := b.vault.Add("a", "k")
		must(t, r.SetVaultKey(t.Context(), victim, ref, false))
		must(t, r.SetVaultKey(t.Context(), other, ref, false))
		var first cfks.Wrapping
		record := func(body *cfks.Body, p keys.Protector) *cfks.ProtectorRecord {
			i := slices.IndexFunc(body.Protectors, func(x cfks.ProtectorRecord) bool { return x.Protector == p })
			return &body.Protectors[i]
		}
		must(t, r.Plant(t.Context(), func(body *cfks.Body) { first = *record(body, victim).Current() }))
		// A second round, so that an old wrapping exists.
		must(t, r.SetServiceKey(t.Context(), victim))
		must(t, r.SetVaultKey(t.Context(), victim, ref, false))
		good := keys.NewMemory(r.Snapshot())
		r.Close()

		plants := map[string]func(*cfks.Body){
			"control: nothing": func(*cfks.Body) {},
			"value of an attacker": func(body *cfks.Body) {
				record(body, victim).Current().Blob = b.vault.Replace(ref)
			},
			"old blob": func(body *cfks.Body) { record(body, victim).Current().Blob = first.Blob },
			"old R":    func(body *cfks.Body) { record(body, victim).Current().R = first.R },
			"old wrapping under the name of the new one": func(body *cfks.Body) {
				w := record(body, victim).Current()
				w.R, w.Blob = first.R, first.Blob
			},
			"blob of another account": func(body *cfks.Body) {
				record(body, victim).Current().Blob = record(body, other).Current().Blob
			},
			"blob and R of another account": func(body *cfks.Body) {
				w, o := record(body, victim).Current(), record(body, other).Current()
				w.R, w.Blob = o.R, o.Blob
			},
			"secrets of another account": func(body *cfks.Body) {
				v, o := kekChain(body, victim), kekChain(body, other)
				w := v.Keys[0].Secrets[0].W
				v.Keys[0].Secrets = []cfks.Secret{o.Keys[0].Secrets[0]}
				v.Keys[0].Secrets[0].W = w
			},
			"another key version": func(body *cfks.Body) {
				record(body, victim).Current().KeyURI = b.vault.Add("a", "k").String()
			},
			"another vault": func(body *cfks.Body) {
				record(body, victim).Current().KeyURI = b.vault.Add("evil", "k").String()
			},
			"short blob": func(body *cfks.Body) { record(body, victim).Current().Blob = []byte{1} },
			"no address": func(body *cfks.Body) { record(body, victim).Current().KeyURI = "https://a.vault.test/secrets/k/v" },
		}
		for name, plant := range plants {
			b.port = keys.NewMemory(copyBytes(t, good))
			q := b.open(t)
			must(t, q.Plant(t.Context(), plant))
			q.Close()
			q = b.open(t)
			_, k, err := q.KEK(t.Context(), victim)
			if name == "control: nothing" {
				if got := value(t, k, err); got != want {
					t.Errorf("%s: another KEK", name)
				}
			} else if err == nil {
				t.Errorf("%s: a KEK comes out", name)
			} else {
				suspended(t, err, keys.ReasonKey)
			}
			q.Close()
		}
	})
}

func kekChain(body *cfks.Body, p keys.Protector) *cfks.Chain {
	i := slices.IndexFunc(body.Chains, func(c cfks.Chain) bool { return c.Kind == cfks.KEK && c.Protector == p })
	return &body.Chains[i]
}

func copyBytes(t *testing.T, m *keys.Memory) []byte {
	t.Helper()
	c, err := m.Load(t.Context())
	must(t, err)
	return c[0].Bytes
}

// The age of a validation is what the clock says that went further: setting a clock back,
// or sleeping, buys no time.
func TestClocks(t *testing.T) {
	tests := []struct {
		name       string
		mono, wall time.Duration
		live       bool
	}{
		{"both a little", time.Second, time.Second, true},
		{"both too far", 2 * time.Minute, 2 * time.Minute, false},
		{"wall clock set back", 2 * time.Minute, -time.Hour, false},
		{"wall clock set forward", time.Second, time.Hour, false},
		{"the machine slept", time.Second, 2 * time.Minute, false},
		{"wall clock set back a little", time.Second, -time.Hour, true},
	}
	for _, tt := range tests {
		b := newBank()
		b.timers.Stale = -1
		r := b.create(t)
		var mono, wall atomic.Int64
		base := time.Unix(1_800_000_000, 0)
		r.SetClock(func() time.Time { return base.Add(time.Duration(mono.Load())) },
			func() time.Time { return base.Add(time.Duration(wall.Load())) })
		p, _ := account(t, r)
		ref := b.vault.Add("a", "k")
		must(t, r.SetVaultKey(t.Context(), p, ref, false))
		b.vault.SetMood(ref.URI, keystest.Unreachable)
		mono.Store(int64(tt.mono))
		wall.Store(int64(tt.wall))
		if err := r.Usable(t.Context(), p); (err == nil) != tt.live {
			t.Errorf("%s: Usable = %v, want usable %v", tt.name, err, tt.live)
		}
		r.Close()
	}
}
