package object_test

import (
	"fmt"
	"testing"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// stageBlock leaves one staged block, with its data key in a staging row.
func stageBlock(t testing.TB, e *objecttest.Env, name string, n int64) {
	t.Helper()
	d, err := e.NewDEK(e.Account, e.Protector())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := e.Write(ctx, d, extent.Single, n, noise(3, n))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Discard()
	err = e.Update(ctx, func(tx *object.Tx) error {
		w, err := tx.Wrap(d)
		if err != nil {
			return err
		}
		refs, err := tx.Attach(c)
		if err != nil {
			return err
		}
		key := blobKey(e.Account, name)
		if err := tx.Put(object.Staging, key, &object.Row{Owner: e.Account, DEKs: []object.DEKEntry{w}}); err != nil {
			return err
		}
		b := &object.Row{Owner: e.Account}
		if err := tx.SetPieces(b, []object.Piece{{Refs: refs}}); err != nil {
			return err
		}
		return tx.Put(object.Block, append(key, "/1"...), b)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func verify(t testing.TB, e *objecttest.Env) (object.VerifyReport, []object.Damage) {
	t.Helper()
	var found []object.Damage
	rep, err := e.Verify(ctx, object.VerifyOptions{Damage: func(d object.Damage) { found = append(found, d) }})
	if err != nil {
		t.Fatalf("Verify error = %v", err)
	}
	if int(rep.Damaged) != len(found) {
		t.Errorf("Verify counts %d damaged and reports %d", rep.Damaged, len(found))
	}
	return rep, found
}

func TestVerify(t *testing.T) {
	e := objecttest.New(t)
	put(t, e, "small", 100, noise(1, 100))
	put(t, e, "large", 200_000, noise(2, 200_000))
	stage(t, e, "long", 0, 100)
	stageBlock(t, e, "staged", 50_000)
	put(t, e, "old", 60_000, noise(4, 60_000))
	drop(t, e, "old")
	rep, found := verify(t, e)
	if len(found) != 0 {
		t.Fatalf("damage in a sound store: %v", found)
	}
	// Contents: three blobs, the staging row and its block.
	if rep.Contents != 5 || rep.Chunks != 103 || rep.Garbage != 1 || rep.Locked != 0 {
		t.Errorf("Verify = %+v", rep)
	}
	if rep.Bytes == 0 || rep.TotalBytes == 0 || rep.Rows["blob"] != 3 || rep.Rows["block"] != 1 {
		t.Errorf("Verify = %+v", rep)
	}
	var wraps, rows int64
	for _, v := range rep.Versions {
		wraps += v.Wraps
		rows += v.Rows
		if v.Number == 0 {
			t.Errorf("a key version in use is not in the key store: %+v", v)
		}
	}
	if wraps != 4 || rows == 0 {
		t.Errorf("%d wraps and %d rows under key versions, want 4 wraps", wraps, rows)
	}
}

// TestVerifyFinds damages one byte of each kind of thing in turn.
func TestVerifyFinds(t *testing.T) {
	e := objecttest.New(t)
	put(t, e, "small", 100, noise(1, 100))
	put(t, e, "large", 200_000, noise(2, 200_000))
	stage(t, e, "long", 0, 100)
	stageBlock(t, e, "staged", 50_000)
	put(t, e, "old", 60_000, noise(4, 60_000))
	drop(t, e, "old")
	for _, tab := range []object.Table{object.Blob, object.Chunk, object.Map, object.Place, object.Garbage,
		object.Staging, object.Block, object.Protectors} {
		for key, value := range raw(t, e, tab) {
			bad := append([]byte(nil), value...)
			bad[len(bad)-1] ^= 1
			setRaw(t, e, key, bad)
			if _, found := verify(t, e); len(found) == 0 {
				t.Errorf("a row of table %s is damaged, and Verify found nothing", tab.Name)
			}
			setRaw(t, e, key, value)
			break
		}
	}
	for _, name := range extentFiles(t, e) {
		info, err := e.FS.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		for k := range 8 {
			off := info.Size() / 8 * int64(k)
			flip(t, e.FS, name, off)
			if _, found := verify(t, e); len(found) != 1 || found[0].Chunk.IsZero() {
				t.Errorf("byte %d of %d of an extent changed: Verify found %v", off, info.Size(), found)
			}
			flip(t, e.FS, name, off)
		}
	}
	if _, found := verify(t, e); len(found) != 0 {
		t.Errorf("all put back, and Verify found %v", found)
	}
}

func TestVerifyWhileWriting(t *testing.T) {
	e := objecttest.New(t)
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			put(t, e, fmt.Sprint(i%5), 40_000, noise(uint64(i), 40_000))
			collect(t, e)
		}
	}()
	for range 10 {
		if _, found := verify(t, e); len(found) != 0 {
			t.Errorf("damage in a sound store that is in use: %v", found)
			break
		}
	}
	close(stop)
	<-done
}

func TestScrub(t *testing.T) {
	var told int
	e := objecttest.New(t, func(o *object.Options) { o.OnCorrupt = func(object.Damage) { told++ } })
	for i := range 5 {
		put(t, e, fmt.Sprint(i), 100_000, noise(uint64(i), 100_000))
	}
	rounds, chunks := 0, 0
	for done := false; !done; rounds++ {
		did, err := e.Scrub(ctx, 150_000)
		if err != nil {
			t.Fatal(err)
		}
		if did.Damaged != 0 {
			t.Errorf("Scrub = %+v", did)
		}
		chunks += did.Chunks
		done = did.Wrapped
	}
	if chunks != 5 || rounds < 3 {
		t.Errorf("%d chunks in %d rounds, want 5 in at least 3", chunks, rounds)
	}
	flip(t, e.FS, extentFiles(t, e)[0], 250_000)
	did, err := e.Scrub(ctx, 1<<30)
	if err != nil || did.Damaged != 1 || told != 1 {
		t.Errorf("Scrub of a damaged chunk = %+v, %v, told %d times", did, err, told)
	}
	if did, err := e.Scrub(ctx, 1<<30); err != nil || did.Damaged != 0 {
		t.Errorf("Scrub again = %+v, %v, want the damage known", did, err)
	}
}

func TestDescribe(t *testing.T) {
	e := objecttest.New(t)
	stage(t, e, "long", 0, 100)
	rotate(t, e)
	var p object.Protection
	err := e.View(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Blob, e.Account, blobKey(e.Account, "long"))
		if err != nil {
			return err
		}
		p, err = e.Describe(ctx, r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.Length != 100*blockSize || p.Pieces != 100 || p.Count != 100 || len(p.Chunks) != 100 {
		t.Errorf("Describe = %+v", p)
	}
	k := p.Keys[0]
	if len(p.Keys) != 1 || k.Version != 1 || k.State != keys.Deactivated.String() || k.Managed != "service" ||
		k.Chunks != 100 || k.WrappedAt.IsZero() || k.Protector != e.Protector() {
		t.Errorf("Describe().Keys = %+v", p.Keys)
	}
	if p.System.Version != 1 || len(p.Extents) != 1 || !p.Extents[0].Shared {
		t.Errorf("Describe = %+v", p)
	}
}

func TestDrillKey(t *testing.T) {
	e := objecttest.New(t)
	if opened, err := e.DrillKey(ctx, e.Ring, e.Protector()); opened || err != nil {
		t.Errorf("DrillKey without data = %v, %v", opened, err)
	}
	put(t, e, "x", 1, noise(1, 1))
	if opened, err := e.DrillKey(ctx, e.Ring, e.Protector()); !opened || err != nil {
		t.Errorf("DrillKey = %v, %v", opened, err)
	}
	if opened, err := e.DrillKey(ctx, objecttest.NewRing(t, nil), e.Protector()); opened || err == nil {
		t.Errorf("DrillKey with the keys of another store = %v, %v", opened, err)
	}
}
