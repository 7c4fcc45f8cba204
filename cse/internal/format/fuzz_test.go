package format_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/cse/internal/csetest"
	"github.com/coffer-storage/coffer/cse/internal/format"
)

// seeds are the texts of all vectors.
func seeds(f *testing.F, add func(v *csetest.Vector)) {
	f.Helper()
	for _, file := range csetest.Vectors(f, "../../../spec/testkit/cse") {
		for i := range file.Vectors {
			add(&file.Vectors[i])
		}
	}
}

// What parses has one spelling of ours, which parses to the same.
func FuzzMetadata(f *testing.F) {
	f.Add(good)
	f.Add(goodV1)
	seeds(f, func(v *csetest.Vector) { f.Add(v.EncryptionData) })
	f.Fuzz(func(t *testing.T, text string) {
		d, err := format.Parse(text)
		if err != nil {
			if d != nil {
				t.Fatalf("a failure returns %+v", d)
			}
			return
		}
		again, err := format.Parse(d.Text())
		if err != nil {
			t.Fatalf("%q does not parse: %v", d.Text(), err)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Fatalf("another parse of %q:\n%s", d.Text(), diff)
		}
		for _, c := range []byte(d.Text()) {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("%q is no value of a header", d.Text())
			}
		}
		fresh := *d
		fresh.KeyID = "another"
		swapped, err := fresh.Rewrapped(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := format.Parse(swapped); err != nil || cmp.Diff(&fresh, got) != "" {
			t.Fatalf("Rewrapped: %v\n%s", err, cmp.Diff(&fresh, got))
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	seeds(f, func(v *csetest.Vector) { f.Add(v.MessageText) })
	f.Fuzz(func(t *testing.T, text string) {
		e, ok, err := format.ParseEnvelope(text)
		if !ok || err != nil {
			if e.Contents != nil {
				t.Fatal("a failure returns contents")
			}
			return
		}
		again, ok, err := format.ParseEnvelope(e.Text())
		if !ok || err != nil || !bytes.Equal(again.Contents, e.Contents) || cmp.Diff(e.Data, again.Data) != "" {
			t.Fatalf("another parse of %q: %v", e.Text(), err)
		}
	})
}

// Whatever is stored, nothing opens but what was sealed, where it was sealed.
func FuzzRegions(f *testing.F) {
	f.Add([]byte("text of more than one region"), int64(16), uint64(0), -1)
	f.Add([]byte("text"), int64(16), uint64(1)<<32, 3)
	seeds(f, func(v *csetest.Vector) { f.Add(v.Ciphertext, int64(16), uint64(0), 0) })
	f.Fuzz(func(t *testing.T, text []byte, length int64, index uint64, flip int) {
		r, err := format.NewRegions(cek, length)
		if err != nil {
			return
		}
		if got, err := r.Open(nil, text, index, format.NewOrder()); err == nil || got != nil {
			t.Fatal("what nobody sealed opens")
		}
		if int64(len(text)) > length {
			text = text[:length]
		}
		sealed := make([]byte, len(text)+format.Overhead)
		r.Seal(sealed, text, index)
		bad := bytes.Clone(sealed)
		if flip >= 0 && flip/8 < len(bad) {
			bad[flip/8] ^= 1 << (flip % 8)
			if got, err := r.Open(bad[format.NonceSize:format.NonceSize], bad, index, nil); err == nil || got != nil {
				t.Fatalf("bit %d flipped, and it opens", flip)
			}
		}
		if got, err := r.Open(nil, sealed, index, format.NewOrder()); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("Open: %x, %v; want %x", got, err, text)
		}
	})
}

// A plan stays inside of what is stored, holds the range, and fetches no unit too many.
func FuzzPlan(f *testing.F) {
	f.Add(int64(5), int64(20), int64(220), int64(16))
	f.Add(int64(0), int64(-1), int64(1)<<50, int64(4<<20))
	f.Add(int64(1)<<62, int64(1)<<62, int64(1)<<60, int64(1))
	f.Fuzz(func(t *testing.T, off, n, stored, region int64) {
		if p, err := format.PlanRegions(off, n, stored, region); err == nil {
			checkPlan(t, p, off, n, stored)
			sealed := region + format.Overhead
			first, last := off/region, max(off, off+p.N-1)/region
			if p.N > 0 && (p.Off != first*sealed || p.First != uint64(first) || p.Len > (last-first+1)*sealed || p.Skip != off-first*region) {
				t.Fatalf("PlanRegions(%d, %d, %d, %d) = %+v", off, n, stored, region, p)
			}
		} else if p != (format.Plan{}) {
			t.Fatalf("a failure returns %+v", p)
		}
		if p, err := format.PlanCBC(off, n, stored, region); err == nil {
			checkPlan(t, p, off, n, stored)
			if p.Off%16 != 0 || p.Len%16 != 0 || p.Len > p.N+48 {
				t.Fatalf("PlanCBC(%d, %d, %d, %d) = %+v", off, n, stored, region, p)
			}
		} else if p != (format.Plan{}) {
			t.Fatalf("a failure returns %+v", p)
		}
	})
}

func checkPlan(t *testing.T, p format.Plan, off, n, stored int64) {
	t.Helper()
	if p.Off < 0 || p.Len < 0 || p.Len > stored-p.Off || p.N < 0 || n >= 0 && p.N > n || p.Skip < 0 || p.N > 0 && p.Len < p.N {
		t.Fatalf("a plan for %d, %d of %d: %+v", off, n, stored, p)
	}
}
