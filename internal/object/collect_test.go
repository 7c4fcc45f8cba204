package object_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// drop deletes a content and its row.
func drop(t testing.TB, e *objecttest.Env, name string) {
	t.Helper()
	err := e.Update(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Blob, e.Account, blobKey(e.Account, name))
		if err != nil {
			return err
		}
		tx.Delete(object.Blob, blobKey(e.Account, name))
		return tx.Release(r, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func collect(t testing.TB, e *objecttest.Env) object.Collected {
	t.Helper()
	c, err := e.Collect(ctx)
	if err != nil {
		t.Fatalf("Collect error = %v", err)
	}
	return c
}

// count returns the number of rows of a table.
func count(t testing.TB, e *objecttest.Env, tab object.Table) (n int) {
	t.Helper()
	err := e.Meta.View(ctx, func(r meta.Reader) error {
		return r.Scan([]byte{tab.Prefix}, []byte{tab.Prefix + 1}, false, func(_, _ []byte) (bool, error) {
			n++
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func extents(t testing.TB, e *objecttest.Env) (n int, size int64) {
	t.Helper()
	err := e.Extents.List(func(i extent.Info) error {
		n++
		size += i.Size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, size
}

// empty fails if anything is left of contents that were all dropped.
func empty(t testing.TB, e *objecttest.Env) {
	t.Helper()
	for _, tab := range []object.Table{object.Chunk, object.Place, object.Garbage, object.Dead, object.Map, object.Blob} {
		if n := count(t, e, tab); n != 0 {
			t.Errorf("%d rows left in table %s", n, tab.Name)
		}
	}
	if n, size := extents(t, e); n != 0 {
		t.Errorf("%d extents of %d bytes left", n, size)
	}
}

func TestCollect(t *testing.T) {
	e := objecttest.New(t)
	sizes := []int64{0, 10, 32 << 10, 100 << 10, 900 << 10, 3 << 20}
	for i, n := range sizes {
		put(t, e, fmt.Sprint(i), n, noise(uint64(i), n))
	}
	if c := collect(t, e); c.Chunks != 0 || c.Extents != 0 {
		t.Errorf("Collect of live content = %+v", c)
	}
	put(t, e, "5", 10, noise(99, 10)) // overwrites 3 MiB
	if c := collect(t, e); c.Contents != 1 || c.Chunks != 1 || c.Extents != 1 {
		t.Errorf("Collect after an overwrite = %+v", c)
	}
	for i, n := range sizes[:5] {
		got, err := read(e, fmt.Sprint(i), 0, -1)
		if err != nil || !bytes.Equal(got, noiseBytes(uint64(i), n)) {
			t.Errorf("content %d differs after collection: %v", i, err)
		}
	}
	for i := range sizes {
		drop(t, e, fmt.Sprint(i))
	}
	e.Reopen() // closes the shared extent
	collect(t, e)
	empty(t, e)
}

// TestCollectTogether: what many clients overwrite is freed in few commits, or a collector
// that waits for the disk at each would never catch up with them.
func TestCollectTogether(t *testing.T) {
	e := objecttest.New(t)
	const each = 150
	for i := range each {
		put(t, e, fmt.Sprint("row", i), 10, noise(uint64(i), 10))
		put(t, e, fmt.Sprint("own", i), 1<<20, noise(uint64(i), 1<<20))
	}
	for i := range each {
		drop(t, e, fmt.Sprint("row", i))
		drop(t, e, fmt.Sprint("own", i))
	}
	before := e.Meta.Sequence()
	if c := collect(t, e); c.Contents != 2*each || c.Chunks != 2*each || c.Extents != each {
		t.Errorf("Collect = %+v", c)
	}
	if n := e.Meta.Sequence() - before; n > 5 {
		t.Errorf("%d contents were freed in %d commits", 2*each, n)
	}
	empty(t, e)
}

// TestCollectSparesReaders is the promise that a Reader keeps its content, whatever
// happens to the row, and that it delays nothing else.
func TestCollectSparesReaders(t *testing.T) {
	e := objecttest.New(t)
	for _, n := range []int64{100, 200 << 10, 5 << 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			put(t, e, "held", n, noise(1, n))
			put(t, e, "other", n, noise(2, n))
			rd, err := open(e, "held", 0, n)
			if err != nil {
				t.Fatal(err)
			}
			defer rd.Close()
			drop(t, e, "held")
			drop(t, e, "other")
			if c := collect(t, e); c.Contents != 1 || c.Deferred == 0 {
				t.Errorf("Collect = %+v, want one content freed, one deferred", c)
			}
			var b bytes.Buffer
			if _, err := rd.WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), noiseBytes(1, n)) {
				t.Errorf("reading a dropped content: %v", err)
			}
			rd.Close()
			if c := collect(t, e); c.Contents != 1 {
				t.Errorf("Collect after Close = %+v, want one content", c)
			}
		})
	}
}

// TestReadersDoNotStarveTheCollector: a Reader that began later does not need what had
// died before.
func TestReadersDoNotStarveTheCollector(t *testing.T) {
	e := objecttest.New(t)
	d := stage(t, e, "x", 0, 40)
	first, err := open(e, "x", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	replaceBlocks(t, e, "x", d, 0, 20) // drops 20 blocks under the same data key
	if c := collect(t, e); c.Deferred == 0 {
		t.Fatalf("Collect = %+v, want a deferral", c)
	}
	second, err := open(e, "x", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if c := collect(t, e); c.Contents == 0 || c.Chunks != 20 {
		t.Errorf("Collect = %+v, want the 20 chunks that only the first Reader needed", c)
	}
	if _, err := second.WriteTo(io.Discard); err != nil {
		t.Error(err)
	}
}

const blockSize = 40_000

// block writes block i of a content and returns it as a piece.
func block(t testing.TB, e *objecttest.Env, d *object.DEK, i, n int) (*object.Content, object.Piece) {
	t.Helper()
	c, err := e.Write(ctx, d, extent.Single, int64(n), noise(uint64(i), int64(n)))
	if err != nil {
		t.Fatal(err)
	}
	return c, object.Piece{Label: binary.BigEndian.AppendUint32(nil, uint32(i))}
}

// stage writes blocks from..to and makes them the content of a new row.
func stage(t testing.TB, e *objecttest.Env, name string, from, to int) object.DEKEntry {
	t.Helper()
	d, err := e.NewDEK(e.Account, e.Protector())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var cs []*object.Content
	var ps []object.Piece
	for i := from; i < to; i++ {
		c, p := block(t, e, d, i, blockSize)
		cs, ps = append(cs, c), append(ps, p)
	}
	var w object.DEKEntry
	err = e.Update(ctx, func(tx *object.Tx) error {
		for i, c := range cs {
			refs, err := tx.Attach(c)
			if err != nil {
				return err
			}
			ps[i].Refs = refs
		}
		if w, err = tx.Wrap(d); err != nil {
			return err
		}
		r := &object.Row{Owner: e.Account, DEKs: []object.DEKEntry{w}}
		if err := tx.SetPieces(r, ps); err != nil {
			return err
		}
		return tx.Put(object.Blob, blobKey(e.Account, name), r)
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// replaceBlocks makes the pieces from..to of a content the whole of it.
func replaceBlocks(t testing.TB, e *objecttest.Env, name string, w object.DEKEntry, from, to int) {
	t.Helper()
	err := e.Update(ctx, func(tx *object.Tx) error {
		key := blobKey(e.Account, name)
		old, err := tx.Get(object.Blob, e.Account, key)
		if err != nil {
			return err
		}
		keep := make(map[keys.ID]bool)
		var ps []object.Piece
		i := 0
		err = tx.Pieces(old, func(p object.Piece) (bool, error) {
			if i >= from && i < to {
				ps = append(ps, p)
				for _, r := range p.Refs {
					keep[r.Chunk] = true
				}
			}
			i++
			return true, nil
		})
		if err != nil {
			return err
		}
		if err := tx.Release(old, func(c keys.ID) bool { return keep[c] }); err != nil {
			return err
		}
		if err := tx.SetPieces(old, ps); err != nil {
			return err
		}
		return tx.Put(object.Blob, key, old)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestManyPieces is the long way: map rows, seeks into them, rounds that reuse blocks.
func TestManyPieces(t *testing.T) {
	e := objecttest.New(t)
	const n = 300 // 18 map rows and a bit
	w := stage(t, e, "x", 0, n)
	if got := count(t, e, object.Map); got != 19 {
		t.Errorf("%d map rows for %d pieces, want 19", got, n)
	}
	want := make([]byte, 0, n*blockSize)
	for i := range n {
		want = append(want, noiseBytes(uint64(i), blockSize)...)
	}
	check := func(want []byte) {
		t.Helper()
		got, err := read(e, "x", 0, -1)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("content of %d bytes differs from %d: %v", len(got), len(want), err)
		}
		for _, off := range []int{0, 1, blockSize - 1, blockSize, 15*blockSize + 5, 16 * blockSize, 128 * blockSize, len(want) - 1} {
			if off >= len(want) {
				continue
			}
			m := min(3*blockSize, len(want)-off)
			got, err := read(e, "x", int64(off), int64(m))
			if err != nil || !bytes.Equal(got, want[off:off+m]) {
				t.Errorf("read(%d, %d) is wrong: %v", off, m, err)
			}
		}
	}
	check(want)
	replaceBlocks(t, e, "x", w, 100, 290)
	collect(t, e)
	if got := count(t, e, object.Chunk); got != 190 {
		t.Errorf("%d chunks after keeping 190 blocks", got)
	}
	check(want[100*blockSize : 290*blockSize])
	replaceBlocks(t, e, "x", w, 3, 10)
	collect(t, e)
	if got := count(t, e, object.Map); got != 0 {
		t.Errorf("%d map rows for 7 pieces", got)
	}
	check(want[103*blockSize : 110*blockSize])
	drop(t, e, "x")
	e.Reopen()
	collect(t, e)
	empty(t, e)
}

func TestCompaction(t *testing.T) {
	e := objecttest.New(t)
	const n = 30
	for i := range n {
		put(t, e, fmt.Sprint(i), 500_000, noise(uint64(i), 500_000))
	}
	e.Reopen()
	_, before := extents(t, e)
	for i := range n {
		if i%5 != 0 {
			drop(t, e, fmt.Sprint(i))
		}
	}
	rd, err := open(e, "5", 0, 500_000)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	c := collect(t, e)
	if c.Moved != n/5 {
		t.Errorf("Collect = %+v, want %d chunks moved", c, n/5)
	}
	if c := collect(t, e); c.Extents != 1 {
		t.Errorf("Collect = %+v, want the old extent unlinked", c)
	}
	e.Reopen()
	if _, after := extents(t, e); after*4 > before {
		t.Errorf("extents take %d bytes after compaction, %d before", after, before)
	}
	for i := 0; i < n; i += 5 {
		got, err := read(e, fmt.Sprint(i), 0, -1)
		if err != nil || !bytes.Equal(got, noiseBytes(uint64(i), 500_000)) {
			t.Errorf("content %d differs after compaction: %v", i, err)
		}
	}
}

// TestOpenExtentIsSealed: what died in the extent that takes chunks comes back without
// a restart.
func TestOpenExtentIsSealed(t *testing.T) {
	e := objecttest.New(t)
	for i := range 5 {
		put(t, e, fmt.Sprint(i), 200_000, noise(uint64(i), 200_000))
	}
	for i := range 4 {
		drop(t, e, fmt.Sprint(i))
	}
	for range 3 {
		collect(t, e)
	}
	if n, size := extents(t, e); n != 1 || size > 250_000 {
		t.Errorf("%d extents of %d bytes for one content", n, size)
	}
	if got, err := read(e, "4", 0, -1); err != nil || !bytes.Equal(got, noiseBytes(4, 200_000)) {
		t.Errorf("the content that stayed: %v", err)
	}
	drop(t, e, "4")
	for range 3 {
		collect(t, e)
	}
	empty(t, e)
}

func TestOrphansAndDiscard(t *testing.T) {
	e := objecttest.New(t)
	d, _ := e.NewDEK(e.Account, e.Protector())
	defer d.Close()
	var cs []*object.Content
	for _, n := range []int64{100_000, 2 << 20} {
		c, err := e.Write(ctx, d, extent.Single, n, noise(1, n))
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	if n, err := e.FindOrphans(ctx); n != 0 || err != nil {
		t.Errorf("FindOrphans with contents under way = %d, %v", n, err)
	}
	collect(t, e)
	if n, _ := extents(t, e); n != 2 {
		t.Fatalf("%d extents, want those of the 2 contents under way", n)
	}
	cs[1].Discard()
	if n, _ := extents(t, e); n != 1 {
		t.Errorf("%d extents after a Discard, want 1", n)
	}
	e.Reopen() // as if the process had died before its commit
	if n, err := e.FindOrphans(ctx); n != 1 || err != nil {
		t.Errorf("FindOrphans = %d, %v, want 1", n, err)
	}
	collect(t, e)
	empty(t, e)
}

// TestDiscardAfterUnknownCommit: whoever does not know whether his commit happened must
// not lose what it named.
func TestDiscardAfterUnknownCommit(t *testing.T) {
	e := objecttest.New(t)
	d, _ := e.NewDEK(e.Account, e.Protector())
	defer d.Close()
	const n = 2 << 20
	c, err := e.Write(ctx, d, extent.Single, n, noise(1, n))
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("no answer")
	err = e.Update(ctx, func(tx *object.Tx) error {
		if err := commit(tx, e, "x", d, c); err != nil {
			return err
		}
		return lost
	})
	if err != lost {
		t.Fatal(err)
	}
	c.Discard()
	if k, _ := extents(t, e); k != 1 {
		t.Errorf("%d extents right after Discard, want 1", k)
	}
	collect(t, e)
	empty(t, e)
}

func TestFence(t *testing.T) {
	e := objecttest.New(t)
	put(t, e, "x", 2<<20, noise(1, 2<<20))
	f, err := e.Fence(ctx, "backup")
	if err != nil {
		t.Fatal(err)
	}
	drop(t, e, "x")
	if c := collect(t, e); c.Extents != 0 || c.Deferred == 0 {
		t.Errorf("Collect behind a fence = %+v", c)
	}
	e.Clock.Add(object.FenceLife - time.Second)
	if err := f.Renew(ctx); err != nil {
		t.Fatalf("Renew in time: %v", err)
	}
	e.Clock.Add(object.FenceLife - time.Second)
	if c := collect(t, e); c.Extents != 0 {
		t.Errorf("Collect behind a renewed fence = %+v", c)
	}
	e.Clock.Add(2 * time.Second)
	if err := f.Renew(ctx); !fault.Is(err, fault.NotAllowed) {
		t.Errorf("Renew of a fallen fence: error = %v, want NotAllowed", err)
	}
	if c := collect(t, e); c.Extents != 1 {
		t.Errorf("Collect after the fence fell = %+v", c)
	}
	if err := e.DropFences(ctx); err != nil {
		t.Fatal(err)
	}
	if n := count(t, e, object.Fences); n != 0 {
		t.Errorf("%d fence rows left", n)
	}
}
