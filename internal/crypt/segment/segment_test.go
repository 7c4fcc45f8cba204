package segment

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/secret"
)

// params returns made-up parameters that differ by seed.
func params(seed byte, lg uint8) Params {
	id := func(b byte) (x [16]byte) {
		for i := range x {
			x[i] = b + seed
		}
		return x
	}
	return Params{
		DEK:   secret.New(bytes.Repeat([]byte{0x40 + seed}, 32)),
		DEKID: id(0x10), Owner: id(0x20), Chunk: id(0x30), Lg: lg,
	}
}

// text returns n bytes that do not repeat at any segment size.
func text(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

// lengths are the interesting plaintext lengths for a segment size.
func lengths(lg uint8) []int {
	s := 1 << lg
	per := int(perBatch(lg)) * s
	ns := []int{0, 1, 15, 16, s - 1, s, s + 1, 2*s - 1, 2 * s, 3*s + 7}
	if lg <= 16 {
		ns = append(ns, per-1, per, per+1, 2*per+s+5)
	}
	return ns
}

// collect returns an emit that gathers, and what it gathered.
func collect(out *bytes.Buffer) func(crypt.Sealed) error {
	return func(s crypt.Sealed) error { out.Write(s.Bytes()); return nil }
}

func TestWriterForms(t *testing.T) {
	for _, lg := range []uint8{9, 12, 16, 20} {
		if testing.Short() && lg == 20 {
			continue
		}
		p := params(0, lg)
		for _, n := range lengths(lg) {
			plain := text(n)
			forms := map[string]func(*Writer) error{
				"write": func(w *Writer) error { _, err := w.Write(plain); return err },
				"pieces": func(w *Writer) error {
					for b := plain; len(b) > 0; {
						k := min(len(b), 1000)
						if _, err := w.Write(b[:k]); err != nil {
							return err
						}
						b = b[k:]
					}
					return nil
				},
				"read": func(w *Writer) error {
					_, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(plain)))
					return err
				},
				"mixed": func(w *Writer) error {
					k := n / 3
					if _, err := w.Write(plain[:k]); err != nil {
						return err
					}
					if _, err := w.ReadFrom(bytes.NewReader(plain[k : 2*k])); err != nil {
						return err
					}
					_, err := w.Write(plain[2*k:])
					return err
				},
			}
			for name, form := range forms {
				t.Run(fmt.Sprintf("lg%d/%d/%s", lg, n, name), func(t *testing.T) {
					var out bytes.Buffer
					w, err := NewWriter(p, int64(n), collect(&out))
					if err != nil {
						t.Fatal(err)
					}
					if err := form(w); err != nil {
						t.Fatal(err)
					}
					if err := w.Close(); err != nil {
						t.Fatal(err)
					}
					check(t, p, plain, out.Bytes(), w.CRC32C())
				})
			}
		}
	}
}

func TestSealBytes(t *testing.T) {
	for _, lg := range []uint8{9, 12, 16} {
		p := params(0, lg)
		for _, n := range lengths(lg) {
			plain := text(n)
			s, crc, err := SealBytes(p, plain)
			if err != nil {
				t.Fatal(err)
			}
			check(t, p, plain, s.Bytes(), crc)
		}
	}
}

// check opens chunk in every way and compares.
func check(t *testing.T, p Params, plain, chunk []byte, crc uint32) {
	t.Helper()
	if got, want := int64(len(chunk)), SealedSize(int64(len(plain)), p.Lg); got != want {
		t.Fatalf("chunk of %d bytes, want %d", got, want)
	}
	if got := crc32.Checksum(chunk, castagnoli); got != crc {
		t.Errorf("CRC32C = %08x, want %08x", crc, got)
	}
	got, err := OpenBytes(p, chunk)
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("OpenBytes: %v, equal %v", err, bytes.Equal(got, plain))
	}
	var out bytes.Buffer
	r, err := NewReader(p, int64(len(plain)), bytes.NewReader(chunk))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WriteRange(&out, 0, int64(len(plain))); err != nil || !bytes.Equal(out.Bytes(), plain) {
		t.Fatalf("WriteRange: %v, equal %v", err, bytes.Equal(out.Bytes(), plain))
	}
}

func TestWriteRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, lg := range []uint8{9, 12, 16} {
		p, n := params(0, lg), 5<<lg+11
		if lg < 16 {
			n = 2*int(perBatch(lg))<<lg + 11
		}
		plain := text(n)
		s, _, err := SealBytes(p, plain)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewReader(p, int64(n), bytes.NewReader(s.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			off := rng.IntN(n + 1)
			k := rng.IntN(n - off + 1)
			if rng.IntN(2) == 0 {
				k = min(k, 3<<lg)
			}
			var out bytes.Buffer
			if err := r.WriteRange(&out, int64(off), int64(k)); err != nil {
				t.Fatalf("WriteRange(%d, %d): %v", off, k, err)
			}
			if !bytes.Equal(out.Bytes(), plain[off:off+k]) {
				t.Fatalf("WriteRange(%d, %d): wrong bytes", off, k)
			}
		}
		for _, c := range [][2]int64{{-1, 1}, {0, int64(n) + 1}, {int64(n), 1}, {int64(n) + 1, 0}, {0, -1}, {1, 1<<63 - 1}} {
			if err := r.WriteRange(io.Discard, c[0], c[1]); !errors.Is(err, ErrParams) {
				t.Errorf("WriteRange(%d, %d) = %v, want ErrParams", c[0], c[1], err)
			}
		}
	}
}

func TestWriterLength(t *testing.T) {
	for _, n := range []int{0, 1, 511, 512, 513, 2000} {
		for _, got := range []int{n - 1, n + 1, n + 600, 0} {
			if got < 0 || got == n {
				continue
			}
			w, err := NewWriter(params(0, 9), int64(n), func(crypt.Sealed) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			_, werr := w.Write(make([]byte, got))
			if got > n && !errors.Is(werr, ErrLength) {
				t.Errorf("n %d: Write of %d = %v, want ErrLength", n, got, werr)
			}
			if err := w.Close(); !errors.Is(err, ErrLength) {
				t.Errorf("n %d: Close after %d = %v, want ErrLength", n, got, err)
			}
			if _, err := w.Write([]byte{1}); !errors.Is(err, ErrLength) {
				t.Errorf("n %d: Write after Close = %v, want ErrLength", n, err)
			}
		}
	}
	w, err := NewWriter(params(0, 9), 1000, func(crypt.Sealed) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, 900))
	if _, err := w.Write(make([]byte, 101)); !errors.Is(err, ErrLength) {
		t.Errorf("Write beyond the end with bytes waiting = %v, want ErrLength", err)
	}
	w.Close()
}

func TestReadFromStopsAtTheEnd(t *testing.T) {
	var out bytes.Buffer
	src := bytes.NewReader(text(1000))
	w, err := NewWriter(params(0, 9), 600, collect(&out))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.ReadFrom(src); n != 600 || err != nil {
		t.Fatalf("ReadFrom = %d, %v", n, err)
	}
	if src.Len() != 400 {
		t.Errorf("source has %d bytes left, want 400", src.Len())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWriterErrors(t *testing.T) {
	boom := errors.New("boom")
	w, err := NewWriter(params(0, 9), 1<<20, func(crypt.Sealed) error { return boom })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); err != boom {
		t.Errorf("Write = %v, want the error of emit", err)
	}
	if err := w.Close(); err != boom {
		t.Errorf("Close = %v, want the error of emit", err)
	}
	w, err = NewWriter(params(0, 9), 1<<20, func(crypt.Sealed) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadFrom(iotest.ErrReader(boom)); err != boom {
		t.Errorf("ReadFrom = %v, want the error of the source", err)
	}
	if err := w.Close(); err != boom {
		t.Errorf("Close = %v, want the error of the source", err)
	}
	for _, c := range []struct {
		n  int64
		lg uint8
	}{{-1, 12}, {MaxPlain + 1, 12}, {1, 8}, {1, 21}, {1, 255}} {
		if _, err := NewWriter(params(0, c.lg), c.n, nil); !errors.Is(err, ErrParams) {
			t.Errorf("NewWriter(n %d, lg %d) = %v, want ErrParams", c.n, c.lg, err)
		}
	}
	p := params(0, 12)
	p.DEK.Destroy()
	if _, err := NewWriter(p, 1, nil); !errors.Is(err, secret.ErrDestroyed) {
		t.Errorf("NewWriter under a destroyed key = %v", err)
	}
}

func TestPlainSize(t *testing.T) {
	for _, lg := range []uint8{9, 10, 12} {
		valid := map[int64]int64{}
		for n := range int64(3<<lg + 5) {
			valid[SealedSize(n, lg)] = n
		}
		for size := int64(-1); size < SealedSize(3<<lg+4, lg); size++ {
			n, ok := valid[size]
			got, err := PlainSize(size, lg)
			if (err == nil) != ok || (ok && got != n) {
				t.Fatalf("PlainSize(%d, %d) = %d, %v; want %d, %v", size, lg, got, err, n, ok)
			}
		}
	}
	if _, err := PlainSize(SealedSize(MaxPlain+1, 16), 16); !errors.Is(err, ErrFormat) {
		t.Errorf("PlainSize above MaxPlain = %v", err)
	}
}

// TestPieces holds emit to whole pages: all pieces but the last are multiples of a batch,
// and no small one follows a chunk that fits in one.
func TestPieces(t *testing.T) {
	for _, c := range []struct {
		n    int
		lg   uint8
		want []int
	}{
		{0, 16, []int{92}},
		{batch, 16, []int{batch + 64 + 4*28}},
		{batch + 1, 16, []int{batch, 64 + 5*28 + 1}},
		{1 << 20, 16, []int{batch, batch, batch, batch + 64 + 16*28}},
		{1 << 20, 12, []int{batch, batch, batch, batch, 64 + 256*28}},
		{2<<20 + 5, 20, []int{4 * batch, 4 * batch, 64 + 3*28 + 5}},
	} {
		plain := text(c.n)
		forms := map[string]func(emit func(crypt.Sealed) error) error{
			"writer": func(emit func(crypt.Sealed) error) error {
				w, err := NewWriter(params(0, c.lg), int64(c.n), emit)
				if err != nil {
					return err
				}
				w.Write(plain)
				return w.Close()
			},
			"adopted": func(emit func(crypt.Sealed) error) error {
				s, _, err := SealBytes(params(0, c.lg), plain)
				if err != nil {
					return err
				}
				_, err = AdoptStream(bytes.NewReader(s.Bytes()), int64(s.Len()), emit)
				return err
			},
		}
		for name, form := range forms {
			var got []int
			if err := form(func(s crypt.Sealed) error { got = append(got, s.Len()); return nil }); err != nil {
				t.Fatal(err)
			}
			if name == "writer" && !slices.Equal(got, c.want) {
				t.Errorf("%d bytes at lg %d: pieces of %d, want %d", c.n, c.lg, got, c.want)
			}
			for _, n := range got[:len(got)-1] {
				if n%batch != 0 {
					t.Errorf("%s, %d bytes at lg %d: pieces of %d", name, c.n, c.lg, got)
					break
				}
			}
		}
	}
}

func TestAdopt(t *testing.T) {
	p := params(0, 12)
	s, crc, err := SealBytes(p, text(3*batch+100))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	got, err := AdoptStream(iotest.HalfReader(bytes.NewReader(s.Bytes())), int64(s.Len()), collect(&out))
	if err != nil || got != crc || !bytes.Equal(out.Bytes(), s.Bytes()) {
		t.Fatalf("AdoptStream = %08x, %v, want %08x", got, err, crc)
	}
	whole, got, err := Adopt(s.Bytes())
	if err != nil || got != crc || !bytes.Equal(whole.Bytes(), s.Bytes()) {
		t.Fatalf("Adopt = %08x, %v, want %08x", got, err, crc)
	}
	emit := func(crypt.Sealed) error { return nil }
	plain := text(s.Len())
	bad := map[string]func() error{
		"plaintext": func() error { _, err := AdoptStream(bytes.NewReader(plain), int64(len(plain)), emit); return err },
		"short": func() error {
			_, err := AdoptStream(bytes.NewReader(s.Bytes()[:500000]), int64(s.Len()), emit)
			return err
		},
		"size": func() error {
			_, err := AdoptStream(bytes.NewReader(s.Bytes()), HeaderSize+SegOverhead+4096+5, emit)
			return err
		},
		"tiny":   func() error { _, err := AdoptStream(bytes.NewReader(nil), 3, emit); return err },
		"memory": func() error { _, _, err := Adopt(plain); return err },
		"cut":    func() error { _, _, err := Adopt(s.Bytes()[:HeaderSize+4096+SegOverhead+28]); return err },
	}
	for name, f := range bad {
		if err := f(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
}
