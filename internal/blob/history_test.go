package blob_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// history is a model over a whole store on a disk, which may be opened again.
type history struct {
	model
	t    *testing.T
	disk *vfs.MemFS
	o    store.Options
	open *store.Store
	ops  *int

	layouts map[object.Layout]int // starts by layout
}

// histories are how many random histories run, of how many operations each.
func histories() (n, steps int) {
	switch {
	case os.Getenv("COFFER_LONG") != "":
		return 2_200, 500
	case testing.Short():
		return 10, 50
	}
	return 67, 300
}

// TestHistories compares random histories with the model: every operation with its
// conditions, blocks and lists, on the real engine, with restarts, power cuts and small
// caches in between, each start with limits of its own for what lies in rows, for chunks
// and for segments. A failing history is made small; it replays by -rapid.seed or by
// the file that is named.
func TestHistories(t *testing.T) {
	n, steps := histories()
	defer setFlag(t, "rapid.checks", n)()
	defer setFlag(t, "rapid.steps", steps)()
	ops, restarts, cuts := 0, 0, 0
	layouts := map[object.Layout]int{}
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rt, &ops, layouts)
		defer func() { h.open.Close() }()
		counted := func(f func(*rapid.T)) func(*rapid.T) {
			return func(rt *rapid.T) { ops++; f(rt) }
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": counted(h.put), "put again": counted(h.put), "stage": counted(h.stage), "stage again": counted(h.stage),
			"stage more": counted(h.stage), "commit": counted(h.commit), "commit again": counted(h.commit),
			"metadata": counted(h.setMetadata), "headers": counted(h.setHeaders), "delete": counted(h.delete),
			"container": counted(h.deleteContainer), "janitor": counted(h.janitor),
			"restart": counted(func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "rarely") == 0 {
					restarts++
					h.restart(rt)
				}
			}),
			"power cut": counted(func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "rarely") == 0 {
					cuts++
					h.cut(rt)
				}
			}),
			// All of it is compared after some of the operations; the others must not differ
			// for that.
			"": func(rt *rapid.T) {
				if ops%3 == 0 {
					h.check(rt)
				}
			},
		})
		h.check(rt)
		if err := h.w.Blobs.DeleteContainer(h.w.ctx, h.w.who, acct, "box", blob.Conditions{}); err != nil {
			rt.Fatal(err)
		}
		h.w.collect()
		for prefix, rows := range h.w.rows() {
			if prefix == "b" || prefix == "s" || prefix == "t" || prefix == "m" || prefix == "k" || prefix == "p" {
				rt.Errorf("%d rows of table %q are left", rows, prefix)
			}
		}
	})
	t.Logf("%d operations in %d histories, %d restarts, %d power cuts, %d layouts", ops, n, restarts, cuts, len(layouts))
}

// setFlag sets a flag that the command line did not set, until the returned function.
func setFlag(t *testing.T, name string, n int) (restore func()) {
	t.Helper()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if given {
		return func() {}
	}
	old := flag.Lookup(name).Value.String()
	if err := flag.Set(name, strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	return func() { _ = flag.Set(name, old) }
}

func newHistory(t *testing.T, rt *rapid.T, ops *int, layouts map[object.Layout]int) *history {
	secrets := localkey.NewMemory()
	h := &history{t: t, disk: vfs.NewCrashableMem(), ops: ops, layouts: layouts}
	h.blobs = map[string]*modelBlob{}
	h.o = store.Options{
		Dir: "data", Service: secrets, Infra: secrets, Now: time.Now,
		MemTable:   rapid.SampledFrom([]int64{0, 64 << 10}).Draw(rt, "memtable"),
		BlockCache: rapid.SampledFrom([]int64{0, 64 << 10}).Draw(rt, "cache"),
		FreeSpace:  func() (uint64, error) { return 1 << 40, nil }, Reserve: -1,
		Fatal: func(err error) { panic(err) },
	}
	h.start(rt)
	h.w.Account(t, acct)
	h.w.box("box", "")
	return h
}

func (h *history) start(rt *rapid.T) {
	h.o.FS = h.disk
	h.o.Layout = object.Layout{
		Inline: rapid.SampledFrom([]int64{0, -1, 4, 50_000, 1 << 20}).Draw(rt, "inline"),
		Chunk:  rapid.SampledFrom([]int64{0, 0, 40_000, 1_100}).Draw(rt, "chunk"),
		Lg:     rapid.SampledFrom([]uint8{0, 9, 12}).Draw(rt, "segment"),
	}
	h.layouts[h.o.Layout]++
	st, err := store.Open(context.Background(), h.o)
	if err != nil {
		rt.Fatalf("opening: %v", err)
	}
	h.open = st
	h.w = &world{TB: h.t, ctx: context.Background(), who: blobtest.Owner(acct), Store: &blobtest.Store{
		Meta: st.Meta, Ring: st.Ring, Objects: st.Objects, Accounts: st.Accounts, Blobs: st.Blobs,
	}}
}

func (h *history) restart(rt *rapid.T) {
	if err := h.open.Close(); err != nil {
		rt.Fatalf("closing: %v", err)
	}
	h.start(rt)
}

// cut opens what a power cut leaves.
func (h *history) cut(rt *rapid.T) {
	percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(rt, "kept")
	clone := h.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, uint64(percent)))})
	if err := h.open.Close(); err != nil {
		rt.Fatalf("closing: %v", err)
	}
	h.disk = clone
	h.start(rt)
}
