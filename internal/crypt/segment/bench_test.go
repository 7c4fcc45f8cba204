package segment

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/crypt/internal/aead"
)

var benchSizes = []struct {
	name string
	n    int
	lg   uint8
}{
	{"4KiB/lg12", 4 << 10, 12},
	{"1MiB/lg12", 1 << 20, 12},
	{"1MiB/lg16", 1 << 20, 16},
	{"64MiB/lg16", 64 << 20, 16},
}

func BenchmarkWriter(b *testing.B) {
	for _, c := range benchSizes {
		b.Run(c.name, func(b *testing.B) {
			plain, p := text(c.n), params(0, c.lg)
			emit := func(crypt.Sealed) error { return nil }
			b.SetBytes(int64(c.n))
			b.ReportAllocs()
			for b.Loop() {
				w, _ := NewWriter(p, int64(c.n), emit)
				w.ReadFrom(bytes.NewReader(plain))
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	for _, c := range benchSizes {
		b.Run(c.name, func(b *testing.B) {
			p := params(0, c.lg)
			s, _, err := SealBytes(p, text(c.n))
			if err != nil {
				b.Fatal(err)
			}
			src := bytes.NewReader(s.Bytes())
			b.SetBytes(int64(c.n))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewReader(p, int64(c.n), src)
				if err != nil {
					b.Fatal(err)
				}
				if err := r.WriteRange(io.Discard, 0, int64(c.n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRaw is the bar: the cipher alone.
func BenchmarkRaw(b *testing.B) {
	for _, n := range []int{4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			a := aead.New(make([]byte, 32))
			plain, out := text(n), make([]byte, 0, n+aead.Overhead)
			b.SetBytes(int64(n))
			for b.Loop() {
				a.Seal(out, nil, plain, nil)
			}
		})
	}
}

// BenchmarkRawOpen is the bar of reading.
func BenchmarkRawOpen(b *testing.B) {
	for _, n := range []int{4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			a := aead.New(make([]byte, 32))
			sealed, out := a.Seal(nil, nil, text(n), nil), make([]byte, 0, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, err := a.Open(out, nil, sealed, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
