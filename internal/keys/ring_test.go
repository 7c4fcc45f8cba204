package keys_test

import (
	"context"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/secret"
)

// world is a key store that can be opened again and again, with a clock of its own.
type world struct {
	port     keys.Port
	provider *localkey.Memory
	now      time.Time
}

func newWorld(port keys.Port) *world {
	return &world{port: port, provider: localkey.NewMemory(), now: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
}

func (w *world) options() keys.Options {
	return keys.Options{Store: w.port, Service: w.provider, Infra: w.provider, Now: func() time.Time { return w.now }}
}

func (w *world) create(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := keys.Create(t.Context(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if err := r.Initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) open(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := keys.Open(t.Context(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// value is the key's bytes, to compare.
func value(t testing.TB, k secret.Key, err error) string {
	t.Helper()
	var s string
	if err == nil {
		err = k.Use(func(b []byte) error { s = string(b); return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeysComeBack(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	owner := keys.NewID()
	if err := r.AddOwner(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if err := r.AddOwner(t.Context(), owner); !fault.Is(err, fault.Exists) {
		t.Errorf("second AddOwner = %v, want Exists", err)
	}
	p := keys.AccountProtector(owner)
	kref, k, err := r.System(owner)
	sys := value(t, k, err)
	v, k, err := r.KEK(context.Background(), p)
	kek := value(t, k, err)
	vfsRef, k, err := r.SealVFS()
	vfs := value(t, k, err)

	q := w.open(t)
	k, err = q.SystemByRef(owner, kref)
	if got := value(t, k, err); got != sys {
		t.Error("SYSK changed")
	}
	again, k, err := q.KEK(context.Background(), p)
	if got := value(t, k, err); got != kek || again.Kref != v.Kref || again.Number != 1 {
		t.Error("KEK changed")
	}
	k, err = q.OpenVFS(vfsRef)
	if got := value(t, k, err); got != vfs {
		t.Error("VFSK changed")
	}
	if q.StoreID() != r.StoreID() || !q.Initialized() || q.Dev() || q.PurgePending() {
		t.Error("the head changed")
	}
	if g, _ := q.Generation(); g != 3 {
		t.Errorf("generation %d, want 3", g)
	}
	if _, err := q.SystemByRef(owner, vfsRef); !fault.Is(err, fault.Corrupt) {
		t.Errorf("SystemByRef(kref of another chain) = %v, want Corrupt", err)
	}
}
