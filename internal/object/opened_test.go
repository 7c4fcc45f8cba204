package object_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// TestOpenedAgain: ranges of a content in map rows are the same whether a header and a
// map row are read or were opened before, in any order, and after the content under the
// name was replaced.
func TestOpenedAgain(t *testing.T) {
	e := objecttest.New(t)
	rng := rand.New(rand.NewPCG(5, 1))
	for version := range 3 {
		stage(t, e, "x", version, 70+version*30)
		whole, err := read(e, "x", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			off := rng.Int64N(int64(len(whole)))
			n := min(1+rng.Int64N(100_000), int64(len(whole))-off)
			got, err := read(e, "x", off, n)
			if err != nil || !bytes.Equal(got, whole[off:off+n]) {
				t.Fatalf("version %d: range of %d at %d: %d bytes, %v", version, n, off, len(got), err)
			}
		}
	}
	rows, maps := object.OpenedMapRows(e.Store)
	if object.OpenedChunks(e.Store) < 100 || rows < 10 || maps != 3 {
		t.Errorf("%d chunks, %d map rows of %d maps stay opened, want most of them", object.OpenedChunks(e.Store), rows, maps)
	}
}

// TestOpenedEndsWithKey: what was derived from a data key is dropped with it.
func TestOpenedEndsWithKey(t *testing.T) {
	e := objecttest.New(t)
	stage(t, e, "x", 0, 20)
	if _, err := read(e, "x", 0, 100_000); err != nil {
		t.Fatal(err)
	}
	rd, err := open(e, "x", 0, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	if object.OpenedChunks(e.Store) == 0 {
		t.Fatal("no chunk stays opened")
	}
	e.DropKeys(e.Protector()) // the reader still has the key
	var b bytes.Buffer
	if _, err := rd.WriteTo(&b); err != nil {
		t.Errorf("a reader that was open: %v", err)
	}
	rd.Close()
	if n := object.OpenedChunks(e.Store); n != 0 {
		t.Errorf("%d chunks stay opened after their data key was dropped", n)
	}
}

// TestOpenedIsBounded reads more chunks and map rows than are kept.
func TestOpenedIsBounded(t *testing.T) {
	e := objecttest.New(t)
	const n = 33 << 10 // the smallest chunk in an extent
	for i := range object.OpenedSize + 10 {
		name := fmt.Sprint(i)
		put(t, e, name, n, noise(uint64(i), n))
		if _, err := read(e, name, 0, 1); err != nil {
			t.Fatal(err)
		}
	}
	if got := object.OpenedChunks(e.Store); got != object.OpenedSize {
		t.Errorf("%d chunks stay opened, want %d", got, object.OpenedSize)
	}
}

// TestOpenedSegmentsCount: a chunk whose header was read before is not given out when a
// segment of it was changed since.
func TestOpenedSegmentsCount(t *testing.T) {
	e := objecttest.New(t)
	put(t, e, "x", 200_000, noise(1, 200_000))
	if _, err := read(e, "x", 0, 1000); err != nil {
		t.Fatal(err)
	}
	flip(t, e.FS, extentFiles(t, e)[0], 64+20)
	if got, err := read(e, "x", 0, 1000); !fault.Is(err, fault.Corrupt) || len(got) > 0 {
		t.Errorf("read of a changed segment: %d bytes, %v", len(got), err)
	}
	if _, err := read(e, "x", 100_000, 1000); err != nil {
		t.Errorf("read of another segment: %v", err)
	}
}
