package keys_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

func TestRotateEveryKind(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	if err := r.AddOwner(t.Context(), keys.NewID()); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Chains() {
		v, err := r.Rotate(t.Context(), c.ID)
		if c.Kind == keys.Identity {
			if !fault.Is(err, fault.NotAllowed) {
				t.Errorf("Rotate(identity) = %v, want NotAllowed", err)
			}
			continue
		}
		if err != nil || v.Number != 2 || v.State != keys.Active {
			t.Errorf("Rotate(%v) = %+v, %v", c.Kind, v, err)
		}
	}
	if _, err := r.Rotate(t.Context(), keys.NewID()); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("Rotate of nothing = %v", err)
	}
	for _, c := range w.open(t).Chains() {
		if c.Kind == keys.Identity {
			continue
		}
		if len(c.Versions) != 2 || c.Versions[0].State != keys.Deactivated || c.Versions[0].Deactivated.IsZero() || c.Versions[1].State != keys.Active {
			t.Errorf("%v has versions %+v", c.Kind, c.Versions)
		}
	}
}

func TestOldVersionsOpen(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	owner := keys.NewID()
	if err := r.AddOwner(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	p := keys.AccountProtector(owner)
	v1, k, err := r.KEK(context.Background(), p)
	want := value(t, k, err)
	if _, err := r.Rotate(t.Context(), v1.Chain); err != nil {
		t.Fatal(err)
	}
	if v2, _, err := r.KEK(context.Background(), p); err != nil || v2.Number != 2 || v2.Kref == v1.Kref {
		t.Errorf("KEK after Rotate = %+v, %v", v2, err)
	}
	for name, q := range map[string]*keys.Ring{"same": r, "reopened": w.open(t)} {
		_, k, err := q.KEKByRef(context.Background(), p, v1.Kref)
		if got := value(t, k, err); got != want {
			t.Errorf("%s: KEKByRef gives another key", name)
		}
		_, k, err = q.KEKByVersion(context.Background(), p, 1)
		if got := value(t, k, err); got != want {
			t.Errorf("%s: KEKByVersion gives another key", name)
		}
		if v, ok := q.Lookup(v1.Kref); !ok || v.Number != 1 || v.Protector != p || v.State != keys.Deactivated {
			t.Errorf("%s: Lookup = %+v, %v", name, v, ok)
		}
		if _, ok := q.Lookup(keys.NewID()); ok {
			t.Errorf("%s: Lookup of nothing succeeds", name)
		}
		for _, n := range []uint64{0, 3, 1 << 63} {
			if _, _, err := q.KEKByVersion(context.Background(), p, n); !fault.Is(err, fault.Corrupt) {
				t.Errorf("%s: KEKByVersion(%d) = %v, want Corrupt", name, n, err)
			}
		}
		if _, _, err := q.KEKByRef(context.Background(), keys.Protector{Kind: keys.ProtectStore, ID: q.StoreID()}, v1.Kref); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: KEKByRef under another protector = %v, want Corrupt", name, err)
		}
	}
}

func TestRotateRoot(t *testing.T) {
	for _, root := range []keys.Root{keys.SRK, keys.IRK} {
		for _, opts := range [][]keys.RootOption{nil, {keys.NewSecret()}} {
			w := newWorld(&keys.Memory{})
			r := w.create(t)
			owner := keys.NewID()
			if err := r.AddDoubleOwner(t.Context(), owner); err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(r.Snapshot())
			_, k, err := r.KEK(context.Background(), keys.AccountProtector(owner))
			kek := value(t, k, err)
			_, k, err = r.SealInfra()
			idk := value(t, k, err)
			if err := r.RotateRoot(t.Context(), root, opts...); err != nil {
				t.Fatal(err)
			}
			if r.PurgePending() {
				t.Error("the purge is not finished")
			}
			old, err := cfks.Parse(before)
			if err != nil {
				t.Fatal(err)
			}
			now, err := cfks.Parse(r.Snapshot())
			if err != nil {
				t.Fatal(err)
			}
			if (old.SRKRef == now.SRKRef) == (root == keys.SRK) || (old.IRKRef == now.IRKRef) == (root == keys.IRK) {
				t.Errorf("%v: refs did not change as they should", root)
			}
			if now.Generation != old.Generation+2 {
				t.Errorf("%v: %d Swaps, want 2", root, now.Generation-old.Generation)
			}
			for _, q := range []*keys.Ring{r, w.open(t)} {
				_, k, err := q.KEK(context.Background(), keys.AccountProtector(owner))
				if value(t, k, err) != kek {
					t.Errorf("%v: KEK changed", root)
				}
				_, k, err = q.SealInfra()
				if value(t, k, err) != idk {
					t.Errorf("%v: IDK changed", root)
				}
				if err := q.AddOwner(t.Context(), keys.NewID()); q == r && err != nil {
					t.Errorf("%v: change afterwards = %v", root, err)
				}
				if info, ok := q.Protector(keys.AccountProtector(owner)); !ok || !info.Double {
					t.Errorf("%v: double flag lost", root)
				}
			}
			// A thief with the old disk image and today's unseal key.
			_, err = w.openCopies(t, copyOf("old", before))
			if opened := err == nil; opened == (len(opts) > 0) {
				t.Errorf("%v new secret %v: the old image opens: %v", root, len(opts) > 0, opened)
			}
		}
	}
}

// Crash at each step of a purge write.
func TestPurgeSteps(t *testing.T) {
	for _, step := range []string{"first before", "first after", "settle", "second before", "second after"} {
		t.Run(step, func(t *testing.T) {
			p := &failingPort{}
			w := newWorld(p)
			r := w.create(t)
			old := bytes.Clone(r.Snapshot())
			p.set(func() {
				n := p.swaps
				switch step {
				case "first before":
					p.before = map[int]error{n + 1: errPort}
				case "first after":
					p.after = map[int]error{n + 1: errPort}
				case "settle":
					p.settle = errPort
				case "second before":
					p.before = map[int]error{n + 2: errPort}
				case "second after":
					p.after = map[int]error{n + 2: errPort}
				}
			})
			if err := r.RotateRoot(t.Context(), keys.SRK); err == nil {
				t.Fatal("RotateRoot succeeds")
			}
			p.set(func() { p.settle = nil })
			q := w.open(t)
			pending := map[string]bool{"first after": true, "settle": true, "second before": true}[step]
			if q.PurgePending() != pending {
				t.Errorf("PurgePending() = %v, want %v", q.PurgePending(), pending)
			}
			if err := q.FinishPurge(t.Context()); err != nil || q.PurgePending() {
				t.Errorf("FinishPurge = %v, pending %v", err, q.PurgePending())
			}
			if step == "first before" != bytes.Equal(q.Snapshot(), old) {
				t.Error("the store is not as it should be")
			}
			if err := q.RotateRoot(t.Context(), keys.SRK); err != nil {
				t.Errorf("RotateRoot after the restart = %v", err)
			}
		})
	}
}

func TestDestroy(t *testing.T) {
	w := newWorld(&keys.Memory{})
	o := w.options()
	o.Retention = 30 * 24 * time.Hour
	r, err := keys.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	owner := keys.NewID()
	if err := r.AddOwner(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	p := keys.AccountProtector(owner)
	v, _, err := r.KEK(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(why string) {
		t.Helper()
		if err := r.Destroy(t.Context(), v.Chain, 1, "op"); !fault.Is(err, fault.NotAllowed) {
			t.Errorf("%s: Destroy = %v, want NotAllowed", why, err)
		}
	}
	refused("active")
	if err := r.SetUnreferenced(t.Context(), v.Chain, 1, w.now); !fault.Is(err, fault.NotAllowed) {
		t.Errorf("SetUnreferenced of an active version = %v", err)
	}
	if _, err := r.Rotate(t.Context(), v.Chain); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(31 * 24 * time.Hour)
	refused("referenced")
	if err := r.SetUnreferenced(t.Context(), v.Chain, 1, w.now); err != nil {
		t.Fatal(err)
	}
	if err := r.ClearUnreferenced(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused("marks cleared by a restore")
	if err := r.SetUnreferenced(t.Context(), v.Chain, 1, w.now); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(-2 * 24 * time.Hour)
	refused("backups are younger")
	w.now = w.now.Add(2 * 24 * time.Hour)
	if err := r.Destroy(t.Context(), v.Chain, 1, "op"); err != nil {
		t.Fatal(err)
	}
	for _, q := range []*keys.Ring{r, w.open(t)} {
		_, _, err := q.KEKByVersion(context.Background(), p, 1)
		if !fault.Is(err, fault.KeyGone) || !strings.Contains(err.Error(), "destroyed on 2026-02-02") || !strings.Contains(err.Error(), "by op") {
			t.Errorf("KEKByVersion = %v, want the tombstone", err)
		}
		if v2, _, err := q.KEK(context.Background(), p); err != nil || v2.Number != 2 {
			t.Errorf("KEK = %v, %v", v2.Number, err)
		}
	}
	refused("destroyed already")
	if err := r.Destroy(t.Context(), v.Chain, 9, "op"); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("Destroy of no version = %v", err)
	}
}

func TestShred(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	owner, other := keys.NewID(), keys.NewID()
	for _, o := range []keys.ID{owner, other} {
		if err := r.AddOwner(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Shred(t.Context(), owner, "op"); err != nil {
		t.Fatal(err)
	}
	for _, q := range []*keys.Ring{r, w.open(t)} {
		if _, _, err := q.KEK(context.Background(), keys.AccountProtector(owner)); !fault.Is(err, fault.KeyGone) {
			t.Errorf("KEK = %v, want KeyGone", err)
		}
		if _, _, err := q.System(owner); !fault.Is(err, fault.KeyGone) {
			t.Errorf("System = %v, want KeyGone", err)
		}
		if _, _, err := q.KEK(context.Background(), keys.AccountProtector(other)); err != nil {
			t.Errorf("KEK of another account = %v", err)
		}
		if info, _ := q.Protector(keys.AccountProtector(owner)); info.Admin != keys.Shredded || info.Epoch != 2 {
			t.Errorf("protector %+v", info)
		}
	}
	if err := r.Shred(t.Context(), r.StoreID(), "op"); !fault.Is(err, fault.NotAllowed) {
		t.Errorf("Shred of the store = %v, want NotAllowed", err)
	}
	if err := r.Shred(t.Context(), keys.NewID(), "op"); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("Shred of nobody = %v", err)
	}
}

func TestDue(t *testing.T) {
	w := newWorld(&keys.Memory{})
	var sealed uint64
	r := w.create(t)
	r.SetUsage(func(keys.ID) uint64 { return sealed })
	kinds := func(after time.Duration) map[keys.Kind]int {
		m := map[keys.Kind]int{}
		for _, d := range r.Due(w.now.Add(after)) {
			m[d.Kind]++
			if d.Reason == "" || d.Chain.IsZero() {
				t.Errorf("due %+v", d)
			}
		}
		return m
	}
	const day = 24 * time.Hour
	if got := kinds(7*day - time.Second); len(got) != 0 {
		t.Errorf("due within a week: %v", got)
	}
	if got := kinds(7 * day); len(got) != 1 || got[keys.VFSK] != 1 {
		t.Errorf("due after a week: %v", got)
	}
	if got := kinds(365 * day); len(got) != 5 || got[keys.Identity] != 0 {
		t.Errorf("due after a year: %v", got)
	}
	sealed = 1 << 40
	if got := kinds(0); len(got) != 1 || got[keys.VFSK] != 1 {
		t.Errorf("due after 1 TiB: %v", got)
	}
	sealed = 16 << 40
	if got := kinds(0); len(got) != 2 || got[keys.IDK] != 1 {
		t.Errorf("due after 16 TiB: %v", got)
	}
}
