package object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/extent/fileextent"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// durable opens a store whose meta and extents lie on one file system.
func durable(t testing.TB, fs *vfs.MemFS, ring *keys.Ring, account keys.ID, create bool) *objecttest.Env {
	t.Helper()
	if create { // as the server does: the data directory is there for good
		if err := fs.MkdirAll("data", 0o700); err != nil {
			t.Fatal(err)
		}
		root, err := fs.OpenDir("/")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(root.Sync(), root.Close()); err != nil {
			t.Fatal(err)
		}
	}
	kv, err := pebblekv.Open(ctx, pebblekv.Options{
		FS: fs, Dir: "data", Keys: ring, Create: create, Reserve: -1,
		FreeSpace: func() (uint64, error) { return 1 << 40, nil },
		OnFatal:   func(err error) { t.Fatal(err) },
	})
	if err != nil {
		t.Fatalf("pebblekv.Open error = %v", err)
	}
	ext, err := fileextent.Open(fileextent.Options{FS: fs, Dir: "data/extents", Infra: ring.Infra()})
	if err != nil {
		t.Fatal(err)
	}
	e := &objecttest.Env{Meta: kv, FS: fs, Extents: ext, Ring: ring, Account: account}
	e.Store, err = object.New(ctx, object.Options{Meta: kv, Extents: ext, Ring: ring})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func shut(t testing.TB, e *objecttest.Env) {
	t.Helper()
	e.Store.Close()
	e.Extents.Close()
	if err := e.Meta.Close(); err != nil {
		t.Errorf("Close error = %v", err)
	}
}

// model is what was acknowledged: seed and size by name.
type model map[string]struct {
	seed uint64
	size int64
}

// check asks for everything that was acknowledged, and that nothing else is there.
func (m model) check(t testing.TB, e *objecttest.Env, when string) {
	t.Helper()
	for name, c := range m {
		got, err := read(e, name, 0, -1)
		if err != nil || !bytes.Equal(got, noiseBytes(c.seed, c.size)) {
			t.Errorf("%s: content %s of %d bytes: got %d, %v", when, name, c.size, len(got), err)
		}
	}
	if n := count(t, e, object.Blob); n != len(m) {
		t.Errorf("%s: %d contents, want %d", when, n, len(m))
	}
}

// afterPowerCut opens what the disk is bound to have kept and a random part of what it
// may have, checks it, cleans up and checks again.
func (m model) afterPowerCut(t testing.TB, e *objecttest.Env, rng *rand.Rand, when string) {
	t.Helper()
	clone := e.FS.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	c := durable(t, clone, e.Ring, e.Account, false)
	defer shut(t, c)
	m.check(t, c, when)
	for range 2 {
		if _, err := c.FindOrphans(ctx); err != nil {
			t.Errorf("%s: FindOrphans error = %v", when, err)
		}
		collect(t, c)
	}
	m.check(t, c, when+", after collection")
	rep, err := c.Verify(ctx, object.VerifyOptions{Damage: func(d object.Damage) { t.Errorf("%s: %v", when, d) }})
	if err != nil || rep.Contents != int64(len(m)) {
		t.Errorf("%s: Verify = %+v, %v", when, rep, err)
	}
	if n := count(t, c, object.Garbage) + count(t, c, object.Dead); n != 0 {
		t.Errorf("%s: %d rows of garbage left", when, n)
	}
	var chunks, large int
	for _, s := range m {
		if s.size > 0 {
			chunks++
		}
		if s.size > object.InlineMax {
			large++
		}
	}
	if n := count(t, c, object.Chunk); n != chunks {
		t.Errorf("%s: %d chunk rows, want %d", when, n, chunks)
	}
	if n, _ := extents(t, c); n > large {
		t.Errorf("%s: %d extents for %d contents", when, n, large)
	}
}

func TestPowerCuts(t *testing.T) {
	steps := 60
	if testing.Short() {
		steps = 20
	}
	rng := rand.New(rand.NewPCG(1, 2))
	fs := vfs.NewCrashableMem()
	ring := objecttest.NewRing(t, nil)
	account := keys.NewID()
	if err := ring.AddOwner(ctx, account); err != nil {
		t.Fatal(err)
	}
	e := durable(t, fs, ring, account, true)
	defer shut(t, e)
	m := make(model)
	sizes := []int64{0, 100, 32 << 10, 40_000, 300_000, 1<<20 + 5}
	for i := range steps {
		name := fmt.Sprint(rng.IntN(12))
		switch _, there := m[name]; {
		case there && rng.IntN(3) == 0:
			drop(t, e, name)
			delete(m, name)
		case rng.IntN(8) == 0:
			collect(t, e)
		case rng.IntN(10) == 0: // given up before the commit
			d, _ := e.NewDEK(account, e.Protector())
			c, err := e.Write(ctx, d, extent.Single, 50_000, noise(9, 50_000))
			if err != nil {
				t.Fatal(err)
			}
			if rng.IntN(2) == 0 {
				c.Discard()
			}
			d.Close()
		default:
			c := m[name]
			c.seed, c.size = uint64(i), sizes[rng.IntN(len(sizes))]
			put(t, e, name, c.size, noise(c.seed, c.size))
			m[name] = c
		}
		m.afterPowerCut(t, e, rng, fmt.Sprint("step ", i))
		if t.Failed() {
			t.FailNow()
		}
	}
}

// hooked calls a hook after every commit and every unlink.
type hooked struct {
	meta.Store
	after func()
}

func (h *hooked) Update(ctx context.Context, f func(meta.Tx) error) error {
	err := h.Store.Update(ctx, f)
	h.after()
	return err
}

type hookedExtents struct {
	extent.Store
	after func()
}

func (h *hookedExtents) Remove(id [16]byte) error {
	err := h.Store.Remove(id)
	h.after()
	return err
}

// TestPowerCutsWhileCollecting cuts the power after every step of a collection that has
// everything to do: short and long contents, extents to unlink and to compact.
func TestPowerCutsWhileCollecting(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	fs := vfs.NewCrashableMem()
	ring := objecttest.NewRing(t, nil)
	account := keys.NewID()
	if err := ring.AddOwner(ctx, account); err != nil {
		t.Fatal(err)
	}
	e := durable(t, fs, ring, account, true)
	m := make(model)
	for i, size := range []int64{100, 200_000, 1 << 20, 60_000, 70_000, 80_000, 90_000, 500_000, 400_000} {
		name := fmt.Sprint(i)
		put(t, e, name, size, noise(uint64(i), size))
		c := m[name]
		c.seed, c.size = uint64(i), size
		m[name] = c
	}
	stage(t, e, "long", 0, 70)
	drop(t, e, "long")
	for _, name := range []string{"0", "2", "7", "8", "3"} {
		drop(t, e, name)
		delete(m, name)
	}
	shut(t, e)
	e = durable(t, fs, ring, account, false)
	defer shut(t, e)
	steps := 0
	after := func() {
		steps++
		if testing.Short() && steps%3 != 0 {
			return
		}
		m.afterPowerCut(t, e, rng, fmt.Sprint("collection, step ", steps))
	}
	s, err := object.New(ctx, object.Options{
		Meta:    &hooked{e.Meta, after},
		Extents: &hookedExtents{e.Extents, after},
		Ring:    ring,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var total object.Collected
	for range 2 {
		did, err := s.Collect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		total.Add(did)
	}
	if total.Moved == 0 || total.Extents < 2 || total.Chunks < 70 || steps < 10 {
		t.Errorf("Collect = %+v in %d steps: not everything was tried", total, steps)
	}
	m.check(t, e, "at the end")
}
