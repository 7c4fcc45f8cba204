package keys_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/filestore"
	"github.com/coffer-storage/coffer/internal/keys/keystest"
)

// change is one step in the life of a protector's key, and the addresses that the key
// may be under once it is done; "" is the service's.
type change struct {
	name string
	do   func(context.Context, *keys.Ring) error
	to   string
}

// changes are all switches: service to vault, vault to vault, a new version, a rotation
// under a customer's key, back to the service, and the administrator's switch.
func changes(b *bank, p keys.Protector) []change {
	a, z := b.vault.Add("a", "k1"), b.vault.Add("z", "k2")
	z2 := b.vault.Add("z", "k2")
	set := func(ref keys.VaultRef) func(context.Context, *keys.Ring) error {
		return func(ctx context.Context, r *keys.Ring) error { return r.SetVaultKey(ctx, p, ref, false) }
	}
	rotate := func(ctx context.Context, r *keys.Ring) error {
		info, _ := r.Protector(p)
		_, err := r.Rotate(ctx, info.Chain)
		return err
	}
	admin := func(to keys.AdminState) func(context.Context, *keys.Ring) error {
		return func(ctx context.Context, r *keys.Ring) error { return r.SetAdmin(ctx, p, to) }
	}
	return []change{
		{"enable", set(a), a.String()},
		{"rotate the KEK", rotate, a.String()},
		{"switch", set(z), z.String()},
		{"new version", set(z2), z2.String()},
		{"disable", admin(keys.Disabled), z2.String()},
		{"restore", admin(keys.Enabled), z2.String()},
		{"revoke now", func(ctx context.Context, r *keys.Ring) error { return r.RevokeNow(ctx, p) }, z2.String()},
		{"back to the service", func(ctx context.Context, r *keys.Ring) error { return r.SetServiceKey(ctx, p) }, ""},
		{"rotate the root", func(ctx context.Context, r *keys.Ring) error { return r.RotateRoot(ctx, keys.SRK) }, ""},
		{"enable again", set(z2), z2.String()},
	}
}

// under is the address that a protector's key is under.
func under(r *keys.Ring, p keys.Protector) string {
	info, ok := r.CustomerKey(p)
	if !ok {
		return ""
	}
	return info.Ref.String()
}

// afterCrash opens what is left as a start does, without a vault; then, with it, asks for
// the first KEK, which every state has to open.
func (b *bank) afterCrash(t *testing.T, port keys.Port, p keys.Protector, want, from, to, what string) {
	t.Helper()
	o := b.options()
	o.Store = port
	calls := b.vault.Calls("")
	r, err := keys.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("%s: Open = %v", what, err)
	}
	defer r.Close()
	for _, step := range []func(context.Context) error{r.Repair, r.FinishPurge, r.FinishSwitches} {
		if err := step(t.Context()); err != nil {
			t.Fatalf("%s: start: %v", what, err)
		}
	}
	if n := b.vault.Calls(""); n != calls {
		t.Fatalf("%s: the start asked a vault", what)
	}
	if got := under(r, p); got != from && got != to {
		t.Fatalf("%s: under %q, want %q or %q", what, got, from, to)
	}
	if info, _ := r.Protector(p); info.Admin == keys.Disabled {
		must(t, r.SetAdmin(t.Context(), p, keys.Enabled))
	}
	v, k, err := r.KEKByVersion(t.Context(), p, 1)
	if err != nil {
		t.Fatalf("%s: the KEK does not open: %v", what, err)
	}
	if got := value(t, k, err); got != want || v.Number != 1 {
		t.Fatalf("%s: another KEK", what)
	}
	// And the next change goes through: nothing is left in the way.
	next := b.vault.Add("n", "k")
	if err := r.SetVaultKey(t.Context(), p, next, false); err != nil {
		t.Fatalf("%s: the next change: %v", what, err)
	}
}

var errCut = errors.New("cut off")

// cutPort loses the power at the n-th Swap: before it, or after it without an answer.
type cutPort struct {
	*keys.Memory
	n, at int
	after bool
}

func (c *cutPort) Swap(ctx context.Context, old uint64, next []byte) error {
	c.n++
	if c.n < c.at || c.at == 0 {
		return c.Memory.Swap(ctx, old, next)
	}
	if c.n == c.at && c.after {
		if err := c.Memory.Swap(ctx, old, next); err != nil {
			return err
		}
	}
	return errCut
}

// Every Swap of every change, cut off before and after it.
func TestCutAtEverySwap(t *testing.T) { synctest.Test(t, cutAtEverySwap) }

func cutAtEverySwap(t *testing.T) {
	points := 0
	for i := range 10 {
		for _, after := range []bool{false, true} {
			for at := 1; ; at++ {
				b := newBank()
				r := b.create(t)
				p, want := account(t, r)
				cs := changes(b, p)
				from := ""
				for _, c := range cs[:i] {
					must(t, c.do(t.Context(), r))
					from = c.to
				}
				mem := keys.NewMemory(r.Snapshot())
				r.Close()
				o := b.options()
				o.Store = &cutPort{Memory: mem, at: at, after: after}
				q, err := keys.Open(t.Context(), o)
				must(t, err)
				err = cs[i].do(t.Context(), q)
				q.Close()
				if err == nil {
					if at == 1 {
						t.Fatalf("%s: no Swap", cs[i].name)
					}
					break
				}
				points++
				b.afterCrash(t, mem, p, want, from, cs[i].to, fmt.Sprintf("%s, Swap %d, after %v", cs[i].name, at, after))
			}
		}
	}
	t.Logf("%d points", points)
	if points < 25 {
		t.Errorf("only %d points", points)
	}
}

// Power cuts at every sync of every change, on a disk that keeps what it likes of what
// was not synced.
func TestCustomerPowerCut(t *testing.T) { synctest.Test(t, customerPowerCut) }

func customerPowerCut(t *testing.T) {
	percents, seeds := []int{0, 50, 100}, uint64(2)
	if os.Getenv("COFFER_LONG") != "" {
		percents, seeds = []int{0, 30, 60, 100}, 10
	} else if testing.Short() {
		percents, seeds = percents[:1], 1
	}
	points := 0
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 7))
		disk := vfs.NewCrashableMem()
		mkdir(t, disk, "d")
		b := newBank()
		var p keys.Protector
		var want, from, to, step string
		cut := func() {
			if p.IsZero() {
				return
			}
			points++
			for _, percent := range percents {
				clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
				port, err := filestore.New(clone, "d")
				must(t, err)
				b.afterCrash(t, port, p, want, from, to, fmt.Sprintf("seed %d, %s, point %d, %d %%", seed, step, points, percent))
			}
		}
		fsys := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSync {
				cut()
			}
			return nil
		}))
		port, err := filestore.New(fsys, "d")
		must(t, err)
		b.port = port
		r := b.create(t)
		q, w := account(t, r)
		p, want = q, w
		for _, c := range changes(b, p) {
			step, from, to = c.name, under(r, p), c.to
			must(t, c.do(t.Context(), r))
			from = to // acknowledged: it has to be there from now on
			cut()
		}
		r.Close()
	}
	t.Logf("%d points, %d states of the disk", points, points*len(percents))
	if points < 60 {
		t.Errorf("only %d points", points)
	}
}

func mkdir(t *testing.T, disk vfs.FS, name string) {
	t.Helper()
	must(t, disk.MkdirAll(name, 0o700))
	root, err := disk.OpenDir("")
	must(t, err)
	defer root.Close()
	must(t, root.Sync())
}

// The vault fails at the n-th call of a change: the change is refused, and everything is
// as before.
func TestVaultFailsAtEveryCall(t *testing.T) { synctest.Test(t, vaultFailsAtEveryCall) }

func vaultFailsAtEveryCall(t *testing.T) {
	for i := range 10 {
		for at := 1; ; at++ {
			b := newBank()
			r := b.create(t)
			p, want := account(t, r)
			cs := changes(b, p)
			from := ""
			for _, c := range cs[:i] {
				must(t, c.do(t.Context(), r))
				from = c.to
			}
			n := 0
			b.vault.OnCall(func(_ string, ref keys.VaultRef) {
				if n++; n == at {
					b.vault.SetMood(ref.URI, keystest.Unreachable)
				} else if n == at+1 {
					b.vault.SetMood(ref.URI, keystest.Well)
				}
			})
			err := cs[i].do(t.Context(), r)
			b.vault.OnCall(nil)
			for _, uri := range []string{"a", "z"} {
				b.vault.SetMood(keystest.URI(uri), keystest.Well)
			}
			snapshot := keys.NewMemory(r.Snapshot())
			if err != nil {
				if got := under(r, p); got != from {
					t.Errorf("%s, call %d: under %q after a refusal, was %q", cs[i].name, at, got, from)
				}
			}
			r.Close()
			b.afterCrash(t, snapshot, p, want, from, cs[i].to, fmt.Sprintf("%s, call %d", cs[i].name, at))
			if n < at {
				break
			}
		}
	}
}
