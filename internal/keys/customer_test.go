package keys_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
)

// bank is a store whose keys customers may hold, on the clock of a synctest bubble.
type bank struct {
	port     keys.Port
	provider *localkey.Memory
	vault    *keystest.Vault
	timers   keys.CustomerOptions
	now      func() time.Time
}

func newBank() *bank {
	return &bank{port: &keys.Memory{}, provider: localkey.NewMemory(), vault: &keystest.Vault{}}
}

func (b *bank) options() keys.Options {
	return keys.Options{Store: b.port, Service: b.provider, Infra: b.provider, Vault: b.vault, Customer: b.timers, Now: b.now}
}

func (b *bank) create(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := keys.Create(t.Context(), b.options())
	if err == nil {
		err = r.Initialize(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// open opens what is stored as a start does.
func (b *bank) open(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := keys.Open(t.Context(), b.options())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return r.FinishPurge(t.Context()) },
		func() error { return r.FinishSwitches(t.Context()) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// account makes an account and returns its protector and the bytes of its KEK.
func account(t testing.TB, r *keys.Ring) (keys.Protector, string) {
	t.Helper()
	owner := keys.NewID()
	if err := r.AddOwner(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	p := keys.AccountProtector(owner)
	return p, kek(t, r, p)
}

func kek(t testing.TB, r *keys.Ring, p keys.Protector) string {
	t.Helper()
	_, k, err := r.KEK(t.Context(), p)
	return value(t, k, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// suspended checks that err is a suspension for a reason.
func suspended(t testing.TB, err error, reason keys.Reason) {
	t.Helper()
	s, ok := errors.AsType[*keys.Suspended](err)
	if !ok || !fault.Is(err, fault.KeyGone) || s.Reason != reason {
		t.Helper()
		t.Fatalf("error = %v, want a suspension because of %v", err, reason)
	}
}

func TestSwitches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		r := b.create(t)
		defer func() { r.Close() }()
		p, want := account(t, r)
		a, z := b.vault.Add("a", "k1"), b.vault.Add("z", "k2")
		check := func(what, uri string) {
			t.Helper()
			if got := kek(t, r, p); got != want {
				t.Fatalf("%s: another KEK", what)
			}
			info, ok := r.CustomerKey(p)
			if ok != (uri != "") || ok && info.Ref.String() != uri {
				t.Fatalf("%s: customer's key %v %v, want %q", what, ok, info.Ref, uri)
			}
			r.Close() // and again after a restart
			r = b.open(t)
			if got := kek(t, r, p); got != want {
				t.Fatalf("%s: another KEK after a restart", what)
			}
		}
		must(t, r.SetVaultKey(t.Context(), p, a, false))
		check("service to vault", a.String())
		must(t, r.SetVaultKey(t.Context(), p, z, false))
		check("vault to vault", z.String())
		v2 := b.vault.Add("z", "k2")
		must(t, r.SetVaultKey(t.Context(), p, keys.VaultRef{URI: z.URI, Key: z.Key}, true))
		check("new version", v2.String())
		must(t, r.SetServiceKey(t.Context(), p))
		check("vault to service", "")
		must(t, r.SetServiceKey(t.Context(), p)) // is so already
		must(t, r.SetVaultKey(t.Context(), p, a, true))
		check("service to vault again", a.String())

		// A KEK version that is made under a customer's key opens too.
		info, _ := r.Protector(p)
		_, err := r.Rotate(t.Context(), info.Chain)
		must(t, err)
		want = kek(t, r, p)
		check("rotated", a.String())
		must(t, r.SetServiceKey(t.Context(), p))
		check("and back", "")
	})
}

func TestConfigure(t *testing.T) {
	const id = "/subscriptions/s/identity"
	tests := []struct {
		name string
		edit func(*keystest.Vault, *keys.VaultRef)
		want error
	}{
		{"fits", func(*keystest.Vault, *keys.VaultRef) {}, nil},
		{"hardware key", func(v *keystest.Vault, r *keys.VaultRef) { v.Edit(*r, func(k *keystest.Key) { k.Type = "RSA-HSM" }) }, nil},
		{"no soft delete", func(v *keystest.Vault, r *keys.VaultRef) { v.Edit(*r, func(k *keystest.Key) { k.SoftDelete = false }) }, keys.RefusedPolicy},
		{"no purge protection", func(v *keystest.Vault, r *keys.VaultRef) {
			v.Edit(*r, func(k *keystest.Key) { k.PurgeProtection = false })
		}, keys.RefusedPolicy},
		{"elliptic curve", func(v *keystest.Vault, r *keys.VaultRef) { v.Edit(*r, func(k *keystest.Key) { k.Type = "EC" }) }, keys.RefusedType},
		{"short", func(v *keystest.Vault, r *keys.VaultRef) { v.Edit(*r, func(k *keystest.Key) { k.Bits = 1024 }) }, keys.RefusedType},
		{"only signs", func(v *keystest.Vault, r *keys.VaultRef) {
			v.Edit(*r, func(k *keystest.Key) { k.Ops = []string{"sign", "wrapKey"} })
		}, keys.RefusedType},
		{"disabled", func(v *keystest.Vault, r *keys.VaultRef) { v.Edit(*r, func(k *keystest.Key) { k.Enabled = false }) }, keys.RefusedKey},
		{"expired", func(v *keystest.Vault, r *keys.VaultRef) {
			v.Edit(*r, func(k *keystest.Key) { k.Expires = time.Now().Add(-time.Second) })
		}, keys.RefusedKey},
		{"not yet valid", func(v *keystest.Vault, r *keys.VaultRef) {
			v.Edit(*r, func(k *keystest.Key) { k.NotBefore = time.Now().Add(time.Hour) })
		}, keys.RefusedKey},
		{"deleted", func(v *keystest.Vault, r *keys.VaultRef) { v.Edit(*r, func(k *keystest.Key) { k.Deleted = true }) }, keys.RefusedKey},
		{"no permission", func(v *keystest.Vault, _ *keys.VaultRef) { v.Deny(id, true) }, keys.RefusedAccess},
		{"no identity", func(v *keystest.Vault, _ *keys.VaultRef) { v.NoToken(id, true) }, keys.RefusedIdentity},
		{"vault deleted", func(v *keystest.Vault, r *keys.VaultRef) { v.SetMood(r.URI, keystest.Gone) }, keys.RefusedVault},
		{"vault unreachable", func(v *keystest.Vault, r *keys.VaultRef) { v.SetMood(r.URI, keystest.Unreachable) }, keys.RefusedVault},
		{"vault hangs", func(v *keystest.Vault, r *keys.VaultRef) { v.SetMood(r.URI, keystest.Hanging) }, keys.RefusedVault},
		{"unwraps wrongly", func(v *keystest.Vault, r *keys.VaultRef) { v.Edit(*r, func(k *keystest.Key) { k.Wrong = true }) }, keys.RefusedKey},
		{"federated without identity", func(_ *keystest.Vault, r *keys.VaultRef) { r.FederatedClientID, r.Identity = "x", "" }, fault.New("", "", fault.InvalidInput, nil)},
		{"not an address", func(_ *keystest.Vault, r *keys.VaultRef) { r.URI = "http://a.vault.test" }, fault.New("", "", fault.InvalidInput, nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank()
				r := b.create(t)
				defer r.Close()
				p, want := account(t, r)
				ref := b.vault.Add("a", "k")
				ref.Identity = id
				tt.edit(b.vault, &ref)
				gen, _ := r.Generation()
				for what, err := range map[string]error{
					"SetVaultKey":   r.SetVaultKey(t.Context(), p, ref, false),
					"AddOwnerUnder": r.AddOwnerUnder(t.Context(), keys.NewID(), false, ref, false),
					"AddScopeUnder": r.AddScopeUnder(t.Context(), p.ID, keys.NewID(), false, ref, false),
				} {
					if e, ok := tt.want.(*fault.Error); ok {
						if !fault.Is(err, e.Kind) {
							t.Errorf("%s = %v, want %v", what, err, e.Kind)
						}
					} else if !errors.Is(err, tt.want) {
						t.Errorf("%s = %v, want %v", what, err, tt.want)
					}
				}
				if now, _ := r.Generation(); tt.want != nil && now != gen {
					t.Errorf("generation %d, was %d: a refused change wrote the key store", now, gen)
				}
				if got := kek(t, r, p); got != want {
					t.Error("another KEK")
				}
			})
		})
	}
}

// The ways to take a key away, and what they look like.
var revocations = []struct {
	name   string
	revoke func(*keystest.Vault, keys.VaultRef)
	undo   func(*keystest.Vault, keys.VaultRef)
	reason keys.Reason
	bound  time.Duration // 0: Tcache + 15 s
}{
	{"disabled", func(v *keystest.Vault, r keys.VaultRef) { v.Edit(r, func(k *keystest.Key) { k.Enabled = false }) },
		func(v *keystest.Vault, r keys.VaultRef) { v.Edit(r, func(k *keystest.Key) { k.Enabled = true }) }, keys.ReasonKey, 0},
	{"deleted", func(v *keystest.Vault, r keys.VaultRef) { v.Edit(r, func(k *keystest.Key) { k.Deleted = true }) },
		func(v *keystest.Vault, r keys.VaultRef) { v.Edit(r, func(k *keystest.Key) { k.Deleted = false }) }, keys.ReasonKey, 0},
	{"permission removed", func(v *keystest.Vault, r keys.VaultRef) { v.Deny(r.Identity, true) },
		func(v *keystest.Vault, r keys.VaultRef) { v.Deny(r.Identity, false) }, keys.ReasonKey, 0},
	{"identity removed", func(v *keystest.Vault, r keys.VaultRef) { v.NoToken(r.Identity, true) },
		func(v *keystest.Vault, r keys.VaultRef) { v.NoToken(r.Identity, false) }, keys.ReasonToken, 0},
	{"vault deleted", func(v *keystest.Vault, r keys.VaultRef) { v.SetMood(r.URI, keystest.Gone) },
		func(v *keystest.Vault, r keys.VaultRef) { v.SetMood(r.URI, keystest.Well) }, keys.ReasonVault, 0},
	{"wrong value", func(v *keystest.Vault, r keys.VaultRef) { v.Edit(r, func(k *keystest.Key) { k.Wrong = true }) },
		func(v *keystest.Vault, r keys.VaultRef) { v.Edit(r, func(k *keystest.Key) { k.Wrong = false }) }, keys.ReasonKey, 0},
	{"throttled", func(v *keystest.Vault, r keys.VaultRef) { v.SetMood(r.URI, keystest.Throttling) },
		func(v *keystest.Vault, r keys.VaultRef) { v.SetMood(r.URI, keystest.Well) }, keys.ReasonVault, keys.DefaultKeyStale},
	{"unreachable", func(v *keystest.Vault, r keys.VaultRef) { v.SetMood(r.URI, keystest.Unreachable) },
		func(v *keystest.Vault, r keys.VaultRef) { v.SetMood(r.URI, keystest.Well) }, keys.ReasonVault, keys.DefaultKeyStale},
	{"hanging", func(v *keystest.Vault, r keys.VaultRef) { v.SetMood(r.URI, keystest.Hanging) },
		func(v *keystest.Vault, r keys.VaultRef) { v.SetMood(r.URI, keystest.Well) }, keys.ReasonVault, keys.DefaultKeyStale},
}

// trials is how often each revocation is tried.
func trials() int {
	if testing.Short() {
		return 10
	}
	return 100
}

// K2, on a clock that is not real: the bound is kept however the key goes away, nobody
// gets through after it, and everything is back afterwards.
func TestRevocationBound(t *testing.T) {
	for _, tt := range revocations {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank()
				r := b.create(t)
				defer r.Close()
				p, want := account(t, r)
				ref := b.vault.Add("a", "k")
				ref.Identity = "/me"
				must(t, r.SetVaultKey(t.Context(), p, ref, false))
				bound := tt.bound
				if bound == 0 {
					bound = keys.DefaultKeyCache + 15*time.Second
				}
				var took []time.Duration
				for trial := range trials() {
					time.Sleep(time.Duration(trial%7) * 13 * time.Second)
					if got := kek(t, r, p); got != want {
						t.Fatal("another KEK")
					}
					tt.revoke(b.vault, ref)
					began := time.Now()
					var err error
					for err == nil {
						if since := time.Since(began); since > bound {
							t.Fatalf("still usable %v later", since)
						}
						time.Sleep(100 * time.Millisecond)
						err = r.Usable(t.Context(), p)
					}
					took = append(took, time.Since(began))
					suspended(t, err, tt.reason)
					for range 200 { // nothing gets through, and it is quick but for the probes
						at := time.Now()
						if _, _, err := r.KEK(t.Context(), p); err == nil {
							t.Fatalf("a KEK %v after the revocation", time.Since(began))
						}
						if d := time.Since(at); d > 21*time.Second {
							t.Fatalf("refused after %v", d)
						}
						time.Sleep(500 * time.Millisecond)
					}
					tt.undo(b.vault, ref)
					time.Sleep(11 * time.Second)
					if got := kek(t, r, p); got != want {
						t.Fatal("another KEK after the key is back")
					}
				}
				slices.Sort(took)
				t.Logf("%d trials: refused after p50 %v, p99 %v; bound %v", len(took),
					took[len(took)/2].Round(time.Second), took[len(took)*99/100].Round(time.Second), bound)
			})
		})
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		b.timers.VersionCheck = 10 * time.Minute
		r := b.create(t)
		defer r.Close()
		p, want := account(t, r)
		ref := b.vault.Add("a", "k")
		end := time.Now().Add(30 * time.Minute)
		b.vault.Edit(ref, func(k *keystest.Key) { k.Expires = end })
		must(t, r.SetVaultKey(t.Context(), p, ref, false))
		for time.Now().Before(end) {
			if err := r.Usable(t.Context(), p); err != nil {
				t.Fatalf("%v before the end: %v", time.Until(end), err)
			}
			time.Sleep(10 * time.Second)
		}
		suspended(t, r.Usable(t.Context(), p), keys.ReasonKey) // though the vault still unwraps
		b.vault.Edit(ref, func(k *keystest.Key) { k.Expires = end.Add(time.Hour) })
		time.Sleep(11 * time.Second)
		if got := kek(t, r, p); got != want {
			t.Error("another KEK")
		}
	})
}

func TestFailClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		b.timers = keys.CustomerOptions{Cache: 20 * time.Second, Stale: -1}
		r := b.create(t)
		defer r.Close()
		p, _ := account(t, r)
		ref := b.vault.Add("a", "k")
		must(t, r.SetVaultKey(t.Context(), p, ref, false))
		b.vault.SetMood(ref.URI, keystest.Unreachable)
		began := time.Now()
		for r.Usable(t.Context(), p) == nil {
			if d := time.Since(began); d > 20*time.Second {
				t.Fatalf("usable %v after the vault went away", d)
			}
			time.Sleep(time.Second)
		}
		if d := time.Since(began); d < 19*time.Second {
			t.Errorf("suspended after %v: before the time for which it was unwrapped", d)
		}
	})
}
