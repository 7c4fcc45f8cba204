package audit

import (
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// place is where an entry lies.
type place struct {
	file uint64
	at   int // frame
}

// figures is a signed trail over several files.
type figures struct {
	n        *notary
	files    *fakeFiles
	anchored []Checkpoint
	at       []place // of entry i+1
}

func newFigures(t testing.TB, records int) *figures {
	t.Helper()
	g := &figures{n: newNotary(t), files: &fakeFiles{}}
	l, err := Open(g.files, Options{
		MaxFile: int64(records) * 20, Sign: g.n.sign, Anchor: func(c Checkpoint) error { g.anchored = append(g.anchored, c); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		err := l.Before(t.Context(), Record{Actor: "operator", Operation: "keys.rotate", What: string(rune('a' + i%26)), Outcome: OK})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	numbers, err := g.files.Audits()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range numbers {
		for i, p := range g.files.m[n].frames {
			if i > 0 && !isCheckpoint(p) {
				g.at = append(g.at, place{n, i})
			}
		}
	}
	if len(g.at) != records || len(numbers) < 3 || len(g.anchored) == 0 {
		t.Fatalf("%d entries in %d files with %d checkpoints", len(g.at), len(numbers), len(g.anchored))
	}
	rep, err := g.n.check().Files(g.files)
	if err != nil || rep.Records != uint64(records) || rep.Signed != uint64(records) {
		t.Fatalf("control: %+v, %v", rep, err)
	}
	return g
}

// with is the trail with one file's frames changed; edit may keep and cut the slice, but must
// not write into frames.
func (g *figures) with(file uint64, edit func(frames [][]byte) [][]byte) *fakeFiles {
	f := &fakeFiles{m: map[uint64]*fakeFile{}}
	for n, x := range g.files.m {
		f.m[n] = &fakeFile{fs: f, frames: x.frames}
	}
	f.m[file].frames = edit(slices.Clone(f.m[file].frames))
	return f
}

// cut is the trail up to an entry, as who sets back log and HEAD would leave it.
func (g *figures) cut(last int) *fakeFiles {
	p := g.at[last]
	f := g.with(p.file, func(x [][]byte) [][]byte { return x[:p.at+1] })
	for n := range f.m {
		if n > p.file {
			delete(f.m, n)
		}
	}
	return f
}

// rewritten is the trail with an entry changed, and every link after it computed anew.
func (g *figures) rewritten(i int) *fakeFiles {
	f := &fakeFiles{m: map[uint64]*fakeFile{}}
	last := Hash{}
	numbers, _ := g.files.Audits()
	entry := 0
	for _, n := range numbers {
		x := &fakeFile{fs: f, frames: slices.Clone(g.files.m[n].frames)}
		f.m[n] = x
		for j, p := range x.frames {
			switch {
			case j == 0:
				p = slices.Clone(p)
				copy(p[len(p)-hashSize:], last[:])
				x.frames[j] = p
			case !isCheckpoint(p):
				body := slices.Clone(p[:len(p)-hashSize])
				if entry == i {
					body[len(body)-1-len(OK)-4-4] ^= 1 // the last letter of what
				}
				last = link(last, body)
				x.frames[j] = append(body, last[:]...)
				entry++
			}
		}
	}
	return f
}

// TestTrailFigures (K10) edits, deletes, doubles, swaps and rewrites every single entry of a
// trail, forges one after it, and cuts the trail behind it. All is found; a cut is found with
// an anchor, and without one it is not, which the report says by having none.
func TestTrailFigures(t *testing.T) {
	records := 250
	if os.Getenv("COFFER_LONG") == "1" {
		records = 10_000
	}
	g := newFigures(t, records)
	swap := func(i int) *fakeFiles {
		a, b := g.at[i], g.at[(i+1)%records]
		x, y := g.files.m[a.file].frames[a.at], g.files.m[b.file].frames[b.at]
		f := g.with(a.file, func(s [][]byte) [][]byte { s[a.at] = y; return s })
		s := slices.Clone(f.m[b.file].frames)
		s[b.at] = x
		f.m[b.file].frames = s
		return f
	}
	frame := func(i int) []byte { return g.files.m[g.at[i].file].frames[g.at[i].at] }
	insert := func(i int, p []byte) *fakeFiles {
		return g.with(g.at[i].file, func(s [][]byte) [][]byte { return slices.Insert(s, g.at[i].at+1, p) })
	}
	attacks := []struct {
		name string
		do   func(i int) *fakeFiles
	}{
		{"edited", func(i int) *fakeFiles {
			return g.with(g.at[i].file, func(s [][]byte) [][]byte {
				p := slices.Clone(frame(i))
				bit := rand.IntN(8 * len(p))
				p[bit/8] ^= 1 << (bit % 8)
				s[g.at[i].at] = p
				return s
			})
		}},
		{"deleted", func(i int) *fakeFiles {
			return g.with(g.at[i].file, func(s [][]byte) [][]byte { return slices.Delete(s, g.at[i].at, g.at[i].at+1) })
		}},
		{"doubled", func(i int) *fakeFiles { return insert(i, frame(i)) }},
		{"forged after it", func(i int) *fakeFiles {
			p := frame(i)
			rec, err := decodeRecord(p[:len(p)-hashSize])
			if err != nil {
				panic(err)
			}
			rec.Seq, rec.What = rec.Seq+1, "forged"
			body := rec.encode()
			h := link(Hash(p[len(p)-hashSize:]), body)
			return insert(i, append(body, h[:]...))
		}},
		{"swapped with the next", swap},
		{"rewritten with all after it", g.rewritten},
	}
	for _, a := range attacks {
		found := g.every(records, func(i int) bool {
			rep, err := g.n.check().Files(a.do(i))
			// What a file has behind the entry that the next one follows was never acknowledged: it is
			// told apart, and is no part of the trail.
			apart := a.name == "forged after it" && rep.Superseded == 1 && rep.Records == uint64(records)
			return err != nil || apart
		})
		t.Logf("K10: %d of %d %s are found", found, records, a.name)
		if found != records {
			t.Errorf("%d of %d %s go unnoticed", records-found, records, a.name)
		}
	}

	// The tail. The last entry is there in the last trial: the control.
	silent := g.every(records, func(i int) bool {
		rep, err := g.n.check().Files(g.cut(i))
		return err == nil && rep.End.Seq == uint64(i+1) && rep.Anchors == 0
	})
	found := g.every(records, func(i int) bool {
		c := g.n.check()
		c.Anchors = g.anchored
		rep, err := c.Files(g.cut(i))
		if i == records-1 {
			return err == nil && rep.Anchors == uint64(len(g.anchored))
		}
		return err != nil
	})
	t.Logf("K10: %d of %d cuts behind an entry are not detectable without an anchor, %d of %d are found with one",
		silent-1, records-1, found-1, records-1)
	if silent != records || found != records {
		t.Errorf("cuts: %d and %d of %d", silent, found, records)
	}
}

// every counts for how many entries f holds, on all processors.
func (g *figures) every(records int, f func(i int) bool) int {
	var next, count atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(records); i = next.Add(1) - 1 {
				if f(int(i)) {
					count.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return int(count.Load())
}
