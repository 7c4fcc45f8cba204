package object_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// rotate makes a new version of the account's KEK, as the command does.
func rotate(t testing.TB, e *objecttest.Env) keys.Version {
	t.Helper()
	info, ok := e.Ring.Protector(e.Protector())
	if !ok {
		t.Fatal("no protector")
	}
	v, err := e.Ring.Rotate(ctx, info.Chain)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Mirror(ctx); err != nil {
		t.Fatal(err)
	}
	return v
}

// krefs returns how many wraps there are under each version number.
func krefs(t testing.TB, e *objecttest.Env) map[uint64]int64 {
	t.Helper()
	rep, err := e.Verify(ctx, object.VerifyOptions{Damage: func(d object.Damage) { t.Error(d) }})
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[uint64]int64)
	for _, v := range rep.Versions {
		if v.Wraps > 0 {
			m[v.Number] = v.Wraps
		}
	}
	return m
}

func TestSweep(t *testing.T) {
	e := objecttest.New(t)
	const n = 150
	for i := range n {
		put(t, e, fmt.Sprint(i), 100, noise(uint64(i), 100))
	}
	put(t, e, "large", 1<<20, noise(1, 1<<20))
	before := e.Stats()
	chunks := raw(t, e, object.Chunk)
	rotate(t, e)
	rotate(t, e)
	put(t, e, "new", 100, noise(1, 100))
	if got := krefs(t, e); got[1] != n+1 || got[3] != 1 {
		t.Errorf("wraps by version before the sweep = %v", got)
	}
	did, err := e.Sweep(ctx, e.Protector(), object.SweepOptions{Rate: 1 << 20})
	if err != nil {
		t.Fatalf("Sweep error = %v", err)
	}
	if did.Rewrapped != n+1 || len(did.Unreferenced) != 2 {
		t.Errorf("Sweep = %+v, want %d wraps and 2 versions unreferenced", did, n+1)
	}
	if got := krefs(t, e); len(got) != 1 || got[3] != n+2 {
		t.Errorf("wraps by version after the sweep = %v", got)
	}
	after := e.Stats()
	if after.ChunkBytes != before.ChunkBytes || after.InlineRows != before.InlineRows+1 {
		t.Errorf("the sweep wrote content: %+v, before %+v", after, before)
	}
	for k, v := range raw(t, e, object.Chunk) {
		if old, ok := chunks[k]; ok && !bytes.Equal(old, v) {
			t.Errorf("the sweep changed a chunk row")
		}
	}
	for i := range n {
		got, err := read(e, fmt.Sprint(i), 0, -1)
		if err != nil || !bytes.Equal(got, noiseBytes(uint64(i), 100)) {
			t.Fatalf("content %d after the sweep: %v", i, err)
		}
	}
	if did, err := e.Sweep(ctx, e.Protector(), object.SweepOptions{}); err != nil || did.Passes != 0 {
		t.Errorf("another Sweep = %+v, %v, want nothing to do", did, err)
	}
}

// TestSweepSeesCopies: a wrap of an old version that is copied behind the sweep keeps
// that version referenced.
func TestSweepSeesCopies(t *testing.T) {
	e := objecttest.New(t)
	for i := range 1100 {
		put(t, e, fmt.Sprintf("m%04d", i), 1, noise(1, 1))
	}
	rotate(t, e)
	copied := false
	did, err := e.Sweep(ctx, e.Protector(), object.SweepOptions{Rate: 1 << 20, Progress: func(object.Swept) {
		if copied {
			return
		}
		copied = true
		// The last row, not swept yet, is copied to a name before all others.
		err := e.Update(ctx, func(tx *object.Tx) error {
			r, err := tx.Get(object.Blob, e.Account, blobKey(e.Account, "m1099"))
			if err != nil {
				return err
			}
			return tx.Put(object.Blob, blobKey(e.Account, "a"), &object.Row{Owner: e.Account, DEKs: r.DEKs})
		})
		if err != nil {
			t.Error(err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if did.Rewrapped != 1101 || len(did.Unreferenced) != 1 || did.Passes < 3 {
		t.Errorf("Sweep = %+v, want the copy found by another pass", did)
	}
	if got := krefs(t, e); got[1] != 0 {
		t.Errorf("wraps by version = %v", got)
	}
}

// TestSweepResumes: cut off at any commit, it goes on, and does not take the rest of a
// pass for a whole one.
func TestSweepResumes(t *testing.T) {
	e := objecttest.New(t)
	const n = 200
	for i := range n {
		put(t, e, fmt.Sprintf("m%04d", i), 1, noise(1, 1))
	}
	rotate(t, e)
	failing := &failAfter{Store: e.Meta}
	e.Meta = failing
	e.Reopen()
	total := int64(0)
	for k := 0; ; k++ {
		failing.arm(k)
		did, err := e.Sweep(ctx, e.Protector(), object.SweepOptions{Rate: 1 << 20})
		total += did.Rewrapped
		failing.disarm()
		e.Reopen()
		if err == nil {
			if len(did.Unreferenced) != 1 {
				t.Errorf("Sweep = %+v, want the old version unreferenced", did)
			}
			break
		}
		if !fault.Is(err, fault.Full) {
			t.Fatal(err)
		}
		if k > 100 {
			t.Fatal("the sweep does not end")
		}
	}
	if total != n {
		t.Errorf("%d wraps made anew in all, want %d", total, n)
	}
	if got := krefs(t, e); len(got) != 1 || got[2] != n {
		t.Errorf("wraps by version = %v", got)
	}
	if c := count(t, e, object.Cursor); c != 0 {
		t.Errorf("%d cursor rows left", c)
	}
}

func TestWrapFollowsTheRow(t *testing.T) {
	e := objecttest.New(t)
	d, _ := e.NewDEK(e.Account, e.Protector())
	defer d.Close()
	info, _ := e.Ring.Protector(e.Protector())
	if _, err := e.Ring.Rotate(ctx, info.Chain); err != nil {
		t.Fatal(err)
	}
	wrapped := func() (kref keys.ID) {
		err := e.Update(ctx, func(tx *object.Tx) error {
			w, err := tx.Wrap(d)
			kref = w.Kref()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return kref
	}
	if got := wrapped(); got != info.Active.Kref {
		t.Error("the key store is ahead of the row, and the wrap did not follow the row")
	}
	if err := e.Mirror(ctx); err != nil {
		t.Fatal(err)
	}
	if got := wrapped(); got == info.Active.Kref {
		t.Error("the row was changed, and the wrap did not follow it")
	}
}
