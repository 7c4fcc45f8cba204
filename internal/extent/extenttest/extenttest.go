// Package extenttest is the suite that every driver of port extent must pass.
package extenttest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/extent"
)

// layerMost is the most that the second layer adds to 2 MiB.
const layerMost = 4096 + 512*64

// Harness opens the driver under test.
type Harness interface {
	// Open opens the store anew over what it kept, as after a clean stop.
	Open(t testing.TB) extent.Store
	// Crash opens it over what a power cut is bound to leave, and nothing else. Drivers
	// without power cuts return false.
	Crash(t testing.TB) (extent.Store, bool)
}

// sizes are those around the border between shared extents and own ones.
var sizes = []int64{1, 100, 4096, 65_536 + 92, extent.OwnSize - 1, extent.OwnSize, extent.OwnSize + 1, 3 << 20}

// Run runs the suite with chunks of one class. newHarness makes an empty driver for each
// test.
func Run(t *testing.T, class extent.Class, newHarness func(t testing.TB) Harness) {
	tests := []struct {
		name string
		f    func(*testing.T, Harness)
	}{
		{"RoundTrip", roundTrip},
		{"Lengths", lengths},
		{"Abort", abort},
		{"Remove", remove},
		{"List", list},
		{"Seal", seal},
		{"Reopen", reopen},
		{"Crash", crash},
		{"Parallel", parallel},
		{"Canceled", canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.f(t, classHarness{newHarness(t), class}) })
	}
}

// classHarness opens stores that know the class of the run.
type classHarness struct {
	h     Harness
	class extent.Class
}

func (c classHarness) Open(t testing.TB) extent.Store { return classStore{c.h.Open(t), c.class} }

func (c classHarness) Crash(t testing.TB) (extent.Store, bool) {
	s, ok := c.h.Crash(t)
	return classStore{s, c.class}, ok
}

type classStore struct {
	extent.Store
	class extent.Class
}

// classOf is the class of the run, or Single.
func classOf(s extent.Store) extent.Class {
	if c, ok := s.(classStore); ok {
		return c.class
	}
	return extent.Single
}

// Fill returns n bytes that depend on seed and on where they stand.
func Fill(seed byte, n int64) []byte {
	b := make([]byte, n)
	const period = 4093 // a prime: no power of two is a multiple
	for i := range min(n, period) {
		b[i] = seed + byte(i) + byte(i>>8)
	}
	for done := int64(period); done < n; done *= 2 {
		copy(b[done:], b[:done])
	}
	return b
}

// Put writes b as one chunk, in pieces.
func Put(ctx context.Context, s extent.Store, b []byte) (extent.Place, error) {
	w, err := s.Create(ctx, classOf(s), int64(len(b)))
	if err != nil {
		return extent.Place{}, err
	}
	for piece := range slices.Chunk(b, 70_000) {
		buf := slices.Clone(piece)
		if err := w.Write(crypttest.Sealed(buf)); err != nil {
			w.Abort()
			return extent.Place{}, err
		}
		clear(buf) // it belongs to the caller again
	}
	return w.Commit()
}

func put(t testing.TB, s extent.Store, b []byte) extent.Place {
	t.Helper()
	p, err := Put(context.Background(), s, b)
	if err != nil {
		t.Fatalf("writing a chunk of %d bytes: %v", len(b), err)
	}
	return p
}

// Check reads the chunk at p and compares it with want.
func Check(t testing.TB, s extent.Store, p extent.Place, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if err := s.ReadAt(p, got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("ReadAt of a chunk of %d bytes: wrong bytes or error %v", len(want), err)
	}
}

func roundTrip(t *testing.T, h Harness) {
	s := h.Open(t)
	places := make(map[int64]extent.Place)
	for i, n := range sizes {
		places[n] = put(t, s, Fill(byte(i), n))
		if got := places[n].Length; got != uint64(n) {
			t.Errorf("place of a chunk of %d bytes has length %d", n, got)
		}
		if got, want := places[n].Double, classOf(s) == extent.Double; got != want {
			t.Errorf("place of a chunk of class %d: double is %v", classOf(s), got)
		}
	}
	for i, n := range sizes {
		want := Fill(byte(i), n)
		Check(t, s, places[n], want)
		for _, off := range []int64{0, n / 3, n - 1} {
			got := make([]byte, min(50, n-off))
			if err := s.ReadAt(places[n], got, off); err != nil || !bytes.Equal(got, want[off:off+int64(len(got))]) {
				t.Errorf("ReadAt(%d) of a chunk of %d bytes: wrong bytes or error %v", off, n, err)
			}
		}
		if err := s.ReadAt(places[n], make([]byte, 2), n-1); err == nil {
			t.Errorf("ReadAt behind the end of a chunk of %d bytes succeeded", n)
		}
		if err := s.ReadAt(places[n], make([]byte, 1), -1); err == nil {
			t.Errorf("ReadAt before a chunk of %d bytes succeeded", n)
		}
	}
}

func lengths(t *testing.T, h Harness) {
	s := h.Open(t)
	ctx := context.Background()
	for _, n := range []int64{10, 2 << 20} {
		w, err := s.Create(ctx, classOf(s), n)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(crypttest.Sealed(make([]byte, n-1))); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(); err == nil {
			t.Errorf("Commit of a chunk of %d bytes without the last succeeded", n)
		}
		w, err = s.Create(ctx, classOf(s), n)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(crypttest.Sealed(make([]byte, n+1))); err == nil {
			t.Errorf("Write of one byte more than %d succeeded", n)
		}
		w.Abort()
		if _, err := w.Commit(); err == nil {
			t.Error("Commit after Abort succeeded")
		}
	}
	if _, err := s.Create(ctx, classOf(s), 0); err == nil {
		t.Error("Create of an empty chunk succeeded")
	}
}

func abort(t *testing.T, h Harness) {
	s := h.Open(t)
	first := put(t, s, Fill(1, 500))
	for _, n := range []int64{500, 2 << 20} {
		w, err := s.Create(context.Background(), classOf(s), n)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(crypttest.Sealed(Fill(2, n/2))); err != nil {
			t.Fatal(err)
		}
		w.Abort()
		w.Abort()
	}
	third := put(t, s, Fill(3, 500))
	Check(t, s, first, Fill(1, 500))
	Check(t, s, third, Fill(3, 500))
	infos(t, s, func(i extent.Info) {
		if i.ID != first.Extent && i.ID != third.Extent {
			t.Errorf("an extent is left after Abort: %+v", i)
		}
	})
}

func infos(t testing.TB, s extent.Store, f func(extent.Info)) {
	t.Helper()
	if err := s.List(func(i extent.Info) error { f(i); return nil }); err != nil {
		t.Fatalf("List error = %v", err)
	}
}

func remove(t *testing.T, h Harness) {
	s := h.Open(t)
	var places []extent.Place
	for i, n := range []int64{100, 2 << 20, 3 << 20} {
		places = append(places, put(t, s, Fill(byte(i), n)))
	}
	Check(t, s, places[1], Fill(1, 2<<20)) // a handle is open
	if err := s.Remove(places[1].Extent); err != nil {
		t.Fatalf("Remove error = %v", err)
	}
	if err := s.ReadAt(places[1], make([]byte, 1), 0); !errors.Is(err, extent.ErrNotFound) {
		t.Errorf("ReadAt of a removed extent: error = %v, want ErrNotFound", err)
	}
	if err := s.Remove(places[1].Extent); !errors.Is(err, extent.ErrNotFound) {
		t.Errorf("Remove again: error = %v, want ErrNotFound", err)
	}
	if _, err := s.Stat(places[1].Extent); !errors.Is(err, extent.ErrNotFound) {
		t.Errorf("Stat of a removed extent: error = %v, want ErrNotFound", err)
	}
	Check(t, s, places[2], Fill(2, 3<<20))
	if err := s.Remove(places[0].Extent); err == nil {
		t.Error("Remove of the open shared extent succeeded")
	}
	Check(t, s, places[0], Fill(0, 100))
	s = h.Open(t)
	if err := s.Remove(places[0].Extent); err != nil {
		t.Errorf("Remove of a shared extent after a restart: %v", err)
	}
}

func list(t *testing.T, h Harness) {
	s := h.Open(t)
	w, err := s.Create(context.Background(), classOf(s), 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if i, err := s.Stat(w.Extent()); err != nil || !i.Open {
		t.Errorf("Stat of an extent that is being written = %+v, %v, want Open", i, err)
	}
	small, large := put(t, s, Fill(1, 100)), put(t, s, Fill(2, 2<<20))
	seen := make(map[[16]byte]extent.Info)
	infos(t, s, func(i extent.Info) { seen[i.ID] = i })
	if i := seen[small.Extent]; !i.Shared || !i.Open || i.Class != classOf(s) {
		t.Errorf("shared extent = %+v", i)
	}
	if i := seen[large.Extent]; i.Shared || i.Open || i.Size < 2<<20 || i.Size > 2<<20+layerMost || i.Class == extent.Single && i.Size != 2<<20 {
		t.Errorf("own extent = %+v", i)
	}
}

func seal(t *testing.T, h Harness) {
	s := h.Open(t)
	first := put(t, s, Fill(1, 100))
	w, err := s.Create(context.Background(), classOf(s), 200)
	if err != nil {
		t.Fatal(err)
	}
	s.Seal(first.Extent)
	second := put(t, s, Fill(2, 100))
	if second.Extent == first.Extent {
		t.Error("a sealed extent took another chunk")
	}
	if err := w.Write(crypttest.Sealed(Fill(3, 200))); err != nil {
		t.Fatal(err)
	}
	late, err := w.Commit()
	if err != nil {
		t.Fatalf("Commit of a chunk that was on its way: %v", err)
	}
	Check(t, s, first, Fill(1, 100))
	Check(t, s, late, Fill(3, 200))
	if i, err := s.Stat(first.Extent); err != nil || i.Open {
		t.Errorf("Stat of a sealed extent = %+v, %v", i, err)
	}
	s.Seal(second.Extent)
	s.Seal([16]byte{1})
}

func reopen(t *testing.T, h Harness) {
	s := h.Open(t)
	places := make([]extent.Place, len(sizes))
	for i, n := range sizes {
		places[i] = put(t, s, Fill(byte(i), n))
	}
	s = h.Open(t)
	for i, n := range sizes {
		Check(t, s, places[i], Fill(byte(i), n))
	}
	again := put(t, s, Fill(9, 100))
	if again.Extent == places[0].Extent {
		t.Error("a shared extent was appended to after a restart")
	}
	infos(t, s, func(i extent.Info) {
		if i.Open && i.ID != again.Extent {
			t.Errorf("extent of the last run is open: %+v", i)
		}
	})
}

func crash(t *testing.T, h Harness) {
	s := h.Open(t)
	places := make([]extent.Place, len(sizes))
	for i, n := range sizes {
		places[i] = put(t, s, Fill(byte(i), n))
	}
	for _, n := range []int64{100, 2 << 20} { // under way when the power goes
		w, err := s.Create(context.Background(), classOf(s), n)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(crypttest.Sealed(Fill(1, n/2))); err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
	}
	c, ok := h.Crash(t)
	if !ok {
		t.Skip("the driver has no power cuts")
	}
	for i, n := range sizes {
		Check(t, c, places[i], Fill(byte(i), n))
	}
	infos(t, c, func(i extent.Info) {
		if i.Open {
			t.Errorf("extent is open after a power cut: %+v", i)
		}
		if !slices.ContainsFunc(places, func(p extent.Place) bool { return p.Extent == i.ID }) {
			t.Errorf("unfinished extent is left: %+v", i)
		}
	})
}

func parallel(t *testing.T, h Harness) {
	s := h.Open(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 12 {
				n := int64(1000 + 30_000*i)
				if i == 11 {
					n = extent.OwnSize + int64(g)
				}
				want := Fill(byte(g*16+i), n)
				p, err := Put(context.Background(), s, want)
				if err != nil {
					t.Errorf("writing in parallel: %v", err)
					return
				}
				Check(t, s, p, want)
			}
		})
	}
	wg.Wait()
}

func canceled(t *testing.T, h Harness) {
	s := h.Open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Create(ctx, classOf(s), 10); !errors.Is(err, context.Canceled) {
		t.Errorf("Create with a canceled context: error = %v", err)
	}
	if _, err := s.Create(context.Background(), 77, 10); err == nil {
		t.Error("Create of an unknown class succeeded")
	}
}
