package object_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// chunksOf lists the chunks of a content in order.
func chunksOf(t testing.TB, e *objecttest.Env, name string) (ids []keys.ID) {
	t.Helper()
	err := e.View(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Blob, e.Account, blobKey(e.Account, name))
		if err != nil {
			return err
		}
		p, err := e.Describe(ctx, r)
		for _, c := range p.Chunks {
			if !c.Inline {
				ids = append(ids, c.ID)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// Chunks are checked side by side; what is found is told in the order of the rows.
func TestVerifyOrder(t *testing.T) {
	e := objecttest.New(t)
	for i, n := range []int64{3 << 20, 40_000, 10, 2 << 20, 50_000, 60_000, 1 << 20, 40_000} {
		put(t, e, fmt.Sprint("a", i), n, noise(uint64(i), n))
	}
	stage(t, e, "b", 0, 60)
	put(t, e, "c", 50_000, noise(9, 50_000))
	var want []string
	for i := range 8 {
		for _, id := range chunksOf(t, e, fmt.Sprint("a", i)) {
			want = append(want, fmt.Sprintf("a%d %x", i, id))
		}
	}
	for _, name := range []string{"b", "c"} {
		for _, id := range chunksOf(t, e, name) {
			want = append(want, fmt.Sprintf("%s %x", name, id))
		}
	}
	for _, name := range extentFiles(t, e) {
		info, err := e.FS.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		for off := int64(0); off < info.Size(); off += 1000 { // some of every chunk
			flip(t, e.FS, name, off)
		}
	}
	for range 3 {
		rep, found := verify(t, e)
		var got []string
		for _, d := range found {
			got = append(got, fmt.Sprintf("%s %x", d.Key[16:], d.Chunk))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("found\n%q, want\n%q", got, want)
		}
		if rep.Chunks != 1 || rep.Contents != 10 { // the one in its row
			t.Errorf("Verify = %+v", rep)
		}
	}
}

// A verification that is cut off, or meets a disk that does not read, ends and lets go of
// all that it held.
func TestVerifyEnds(t *testing.T) {
	e := objecttest.New(t)
	disk := &watchedExtents{}
	e.Options.Extents = disk
	e.Reopen()
	disk.Store = e.Extents
	for i := range 12 {
		put(t, e, fmt.Sprint("x", i), 1<<20, noise(uint64(i), 1<<20))
	}
	broken := errors.New("the disk does not answer")
	disk.watch(20, func() error { return broken })
	if rep, err := e.Verify(ctx, object.VerifyOptions{}); !errors.Is(err, broken) || rep.Damaged != 0 {
		t.Errorf("Verify over a disk that does not read = %+v, %v", rep, err)
	}
	cut, cancel := context.WithCancel(ctx)
	defer cancel()
	disk.watch(20, func() error { cancel(); return nil })
	if rep, err := e.Verify(cut, object.VerifyOptions{}); !errors.Is(err, context.Canceled) || rep.Damaged != 0 || rep.Chunks == 12 {
		t.Errorf("Verify cut off = %+v, %v", rep, err)
	}
	for i := range 12 {
		drop(t, e, fmt.Sprint("x", i))
	}
	collect(t, e)
	collect(t, e)
	empty(t, e)
}

// watchedExtents calls a function at every read but the first ones.
type watchedExtents struct {
	extent.Store
	first atomic.Int64
	f     func() error
}

func (w *watchedExtents) watch(first int64, f func() error) {
	w.first.Store(first)
	w.f = f
}

func (w *watchedExtents) ReadAt(p extent.Place, b []byte, off int64) error {
	if w.first.Add(-1) < 0 && w.f != nil {
		if err := w.f(); err != nil {
			return err
		}
	}
	return w.Store.ReadAt(p, b, off)
}

// Damage below the second layer is found though the data key is the customer's, and does
// not end the verification.
func TestVerifyCustomerContentDouble(t *testing.T) {
	e := objecttest.NewDouble(t)
	putCustomer(t, e, "x", noiseBytes(7, 200_000), customerKey(t, 1))
	var path string
	if err := e.Extents.List(func(i extent.Info) error { path = e.Extents.Path(i); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{0, 20, 100_000} { // its header, and what the checksum is of
		flip(t, e.FS, path, off)
		e.Reopen()
		rep, found := verify(t, e)
		if rep.Locked != 1 || len(found) != 1 || found[0].Chunk.IsZero() {
			t.Errorf("byte %d changed: Verify: locked %d, found %v", off, rep.Locked, found)
		}
		flip(t, e.FS, path, off)
	}
}
