package object_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// TestFiftyThousandBlocks commits the longest block list there can be, over a few
// chunks that it names again and again, reads ranges of it and drops it.
func TestFiftyThousandBlocks(t *testing.T) {
	e := objecttest.New(t)
	n := 50_000
	if testing.Short() {
		n = 5_000
	}
	d, err := e.NewDEK(e.Account, e.Protector())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const size, different = 1000, 10
	var cs []*object.Content
	var plain [][]byte
	for i := range different {
		c, err := e.Write(ctx, d, extent.Single, size, noise(uint64(i), size))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Discard()
		cs, plain = append(cs, c), append(plain, noiseBytes(uint64(i), size))
	}
	key := blobKey(e.Account, "x")
	err = e.Update(ctx, func(tx *object.Tx) error {
		w, err := tx.Wrap(d)
		if err != nil {
			return err
		}
		var refs [][]object.Ref
		for _, c := range cs {
			r, err := tx.Attach(c)
			if err != nil {
				return err
			}
			refs = append(refs, r)
		}
		ps := make([]object.Piece, n)
		for i := range ps {
			ps[i] = object.Piece{Label: []byte("label of a block"), Refs: refs[i%different]}
		}
		r := &object.Row{Owner: e.Account, DEKs: []object.DEKEntry{w}}
		if err := tx.SetPieces(r, ps); err != nil {
			return err
		}
		return tx.Put(object.Blob, key, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := raw(t, e, object.Blob)[string('b')+string(key)]; len(v) > 1000 {
		t.Errorf("content row of %d bytes: a listing would carry the blocks", len(v))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, at := range []int{0, 1, 127, 128, n / 2, n - 3} {
		got, err := read(e, "x", int64(at)*size+10, 2*size)
		want := append(append(append([]byte{}, plain[at%different][10:]...), plain[(at+1)%different]...), plain[(at+2)%different][:10]...)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("range at block %d is wrong: %v", at, err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 8<<20 {
		t.Errorf("6 reads of 2,000 bytes allocated %d bytes", grown)
	}
	drop(t, e, "x")
	if g := raw(t, e, object.Garbage); len(g) != 1 {
		t.Errorf("%d garbage rows, want one however long the content is", len(g))
	}
	collect(t, e)
	empty(t, e)
}

// TestReleaseKeepsSharedChunks: what another row of the same transaction goes on using
// is not freed, nor twice what was named twice.
func TestReleaseRefs(t *testing.T) {
	e := objecttest.New(t)
	put(t, e, "x", 100, noise(1, 100))
	var refs []object.Ref
	err := e.Update(ctx, func(tx *object.Tx) error {
		refs = nil
		r, err := tx.Get(object.Blob, e.Account, blobKey(e.Account, "x"))
		if err != nil {
			return err
		}
		err = tx.Pieces(r, func(p object.Piece) (bool, error) {
			refs = append(refs, p.Refs...)
			return true, nil
		})
		if err != nil {
			return err
		}
		if err := tx.ReleaseRefs(e.Account, append(refs, refs...)); err != nil {
			return err
		}
		if err := tx.Release(r, func(keys.ID) bool { return true }); err != nil {
			return err
		}
		if r.Length() != 0 || r.PieceCount() != 0 {
			t.Errorf("a released row has %d bytes", r.Length())
		}
		tx.Delete(object.Blob, blobKey(e.Account, "x"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := collect(t, e); c.Chunks != 1 {
		t.Errorf("Collect = %+v, want one chunk", c)
	}
	empty(t, e)
}

func TestSetPiecesRefuses(t *testing.T) {
	e := objecttest.New(t)
	ref := object.Ref{Chunk: keys.NewID(), DEKID: keys.NewID(), Length: 5}
	held := object.DEKEntry{ID: ref.DEKID}
	tests := []struct {
		name string
		row  object.Row
		ps   []object.Piece
	}{
		{"no references", object.Row{DEKs: []object.DEKEntry{held}}, []object.Piece{{}}},
		{"empty reference", object.Row{DEKs: []object.DEKEntry{held}}, []object.Piece{{Refs: []object.Ref{{Chunk: ref.Chunk, DEKID: ref.DEKID}}}}},
		{"another length", object.Row{DEKs: []object.DEKEntry{held}}, []object.Piece{{Length: 6, Refs: []object.Ref{ref}}}},
		{"a data key that is not held", object.Row{DEKs: []object.DEKEntry{{ID: keys.NewID()}}}, []object.Piece{{Refs: []object.Ref{ref}}}},
	}
	for _, tt := range tests {
		err := e.Update(ctx, func(tx *object.Tx) error { return tx.SetPieces(&tt.row, tt.ps) })
		if err == nil {
			t.Errorf("%s: SetPieces succeeded", tt.name)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, bb := range []struct {
		name string
		size int64
	}{{"4KiB", 4 << 10}, {"1MiB", 1 << 20}, {"64MiB", 64 << 20}} {
		b.Run(bb.name, func(b *testing.B) {
			e := objecttest.New(b)
			plain := noiseBytes(1, bb.size)
			b.SetBytes(bb.size)
			b.ReportAllocs()
			for b.Loop() {
				put(b, e, "x", bb.size, bytes.NewReader(plain))
				if bb.size > 1<<20 {
					collect(b, e)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, bb := range []struct {
		name string
		size int64
	}{{"4KiB", 4 << 10}, {"1MiB", 1 << 20}, {"64MiB", 64 << 20}} {
		b.Run(bb.name, func(b *testing.B) {
			e := objecttest.New(b)
			put(b, e, "x", bb.size, noise(1, bb.size))
			b.SetBytes(bb.size)
			b.ReportAllocs()
			for b.Loop() {
				rd, err := open(e, "x", 0, bb.size)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := rd.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				rd.Close()
			}
		})
	}
}
