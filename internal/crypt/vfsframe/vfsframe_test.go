package vfsframe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/coffer-storage/coffer/internal/secret"
)

var testStore = [16]byte{1, 2, 3}

func testKey() secret.Key { return secret.New(bytes.Repeat([]byte{7}, 32)) }

func keyOf(k secret.Key) func([16]byte) (secret.Key, error) {
	return func([16]byte) (secret.Key, error) { return k, nil }
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

var tableID = ID{Kind: Table, Area: LSM, Number: 42, Store: testStore}

// table seals a class 1 file, written in pieces of step bytes.
func table(t testing.TB, id ID, plain []byte, step int) []byte {
	t.Helper()
	c, out, err := Create(testKey(), [16]byte{9}, id)
	if err != nil {
		t.Fatal(err)
	}
	w := c.NewTableWriter(func(b []byte) error {
		out = append(out, b...)
		clear(b) // a lower file system may
		return nil
	})
	for len(plain) > 0 {
		n := min(step, len(plain))
		if _, err := w.Write(plain[:n]); err != nil {
			t.Fatal(err)
		}
		plain = plain[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func openTable(b []byte, id ID) (*TableReader, error) {
	if len(b) < HeaderSize {
		return nil, ErrFormat
	}
	c, err := Open(b[:HeaderSize], id, keyOf(testKey()))
	if err != nil {
		return nil, err
	}
	return c.NewTableReader(bytes.NewReader(b), int64(len(b)))
}

func readTable(b []byte, id ID) ([]byte, error) {
	r, err := openTable(b, id)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(r, 0, 1<<40))
}

var sizes = []int{0, 1, 27, 28, 29, 4095, 4096, 4097, 8191, 8192, 8193, 65535, 65536, 65537, 300000}

func TestTable(t *testing.T) {
	for _, n := range sizes {
		for _, step := range []int{100, 4096, 5000, 1 << 20} {
			plain := pattern(n)
			b := table(t, tableID, plain, step)
			if p, frames, err := Geometry(int64(len(b))); err != nil || p != int64(n) || frames != int64(max(1, (n+4095)/4096)) {
				t.Errorf("Geometry of %d = %d, %d, %v", n, p, frames, err)
			}
			if p := StatSize(int64(len(b))); p != int64(n) {
				t.Errorf("StatSize of %d = %d", n, p)
			}
			got, err := readTable(b, tableID)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes by %d: read %d, %v", n, step, len(got), err)
			}
		}
	}
}

func TestTableReadAt(t *testing.T) {
	plain := pattern(100_000)
	r, err := openTable(table(t, tableID, plain, 1<<20), tableID)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int{0, 1, 4095, 4096, 4097, 50_000, 98_303, 98_304, 99_999} {
		for _, n := range []int{0, 1, 28, 4096, 4097, 70_000, 100_000} {
			p := make([]byte, n)
			k, err := r.ReadAt(p, int64(off))
			wanted := plain[off:min(len(plain), off+n)]
			if !bytes.Equal(p[:k], wanted) || (err == io.EOF) != (len(wanted) < n) || err != nil && err != io.EOF {
				t.Errorf("ReadAt(%d, %d) = %d, %v", n, off, k, err)
			}
		}
	}
	if n, err := r.ReadAt(make([]byte, 1), 100_000); n != 0 || err != io.EOF {
		t.Errorf("ReadAt at the end = %d, %v", n, err)
	}
}

func TestGeometryRefuses(t *testing.T) {
	for _, n := range []int64{0, HeaderSize, HeaderSize + 27, HeaderSize + sealedFrame + 1, HeaderSize + sealedFrame + 28} {
		if _, _, err := Geometry(n); !errors.Is(err, ErrFormat) {
			t.Errorf("Geometry(%d) = %v, want ErrFormat", n, err)
		}
	}
}

// TestTableTamper: every byte changed in turn, every length cut, frames exchanged.
func TestTableTamper(t *testing.T) {
	plain := pattern(9000)
	good := table(t, tableID, plain, 1<<20)
	refused := func(what string, b []byte, id ID) {
		t.Helper()
		if got, err := readTable(b, id); err == nil || len(got) > 0 && !bytes.HasPrefix(plain, got) {
			t.Errorf("%s: read %d bytes, %v", what, len(got), err)
		}
	}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 8)
		refused(fmt.Sprint("byte ", i), b, tableID)
	}
	for n := range good {
		if n%97 == 0 || n < 200 || len(good)-n < 100 {
			refused(fmt.Sprint("cut at ", n), good[:n], tableID)
		}
	}
	refused("longer", append(bytes.Clone(good), 0), tableID)
	swapped := bytes.Clone(good)
	copy(swapped[HeaderSize:], good[HeaderSize+sealedFrame:][:sealedFrame])
	copy(swapped[HeaderSize+sealedFrame:], good[HeaderSize:][:sealedFrame])
	refused("frames exchanged", swapped, tableID)
	refused("last frame gone", good[:HeaderSize+2*sealedFrame], tableID)

	other := tableID
	other.Number++
	refused("number", good, other)
	other = tableID
	other.Store[15]++
	refused("store", good, other)
	other = tableID
	other.Kind = Log
	refused("class", good, other)
	other = tableID
	other.Area = Audit
	refused("area", good, other)
	twin := table(t, tableID, plain, 1<<20)
	refused("frames of a twin", append(bytes.Clone(good[:HeaderSize]), twin[HeaderSize:]...), tableID)
}

func TestWriterErrorIsFinal(t *testing.T) {
	c, _, err := Create(testKey(), [16]byte{}, tableID)
	if err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	calls := 0
	w := c.NewTableWriter(func([]byte) error { calls++; return boom })
	for range 3 {
		if _, err := w.Write(pattern(9000)); err != boom {
			t.Errorf("Write = %v, want boom", err)
		}
	}
	if err := w.Close(); err != boom || calls != 1 {
		t.Errorf("Close = %v after %d calls", err, calls)
	}
}

func TestHeaderSpelling(t *testing.T) {
	good := table(t, tableID, nil, 1)[:HeaderSize]
	h, err := ParseHeader(good)
	if err != nil || !bytes.Equal(h.Bytes(), good) {
		t.Errorf("ParseHeader: %v", err)
	}
	for _, n := range []int{0, 103, 105} {
		if _, err := ParseHeader(make([]byte, n)); !errors.Is(err, ErrFormat) {
			t.Errorf("ParseHeader of %d bytes = %v", n, err)
		}
	}
}

func TestKeyError(t *testing.T) {
	good := table(t, tableID, nil, 1)[:HeaderSize]
	gone := errors.New("gone")
	var asked [16]byte
	_, err := Open(good, tableID, func(kref [16]byte) (secret.Key, error) { asked = kref; return secret.Key{}, gone })
	if err != gone || asked != [16]byte{9} {
		t.Errorf("Open = %v, asked for %x", err, asked)
	}
	k := testKey()
	k.Destroy()
	if _, err := Open(good, tableID, keyOf(k)); !errors.Is(err, secret.ErrDestroyed) {
		t.Errorf("Open with a destroyed key = %v", err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(table(f, tableID, nil, 1)[:HeaderSize])
	f.Add([]byte("CFV1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			if h != (Header{}) {
				t.Errorf("a refused header is not zero: %+v", h)
			}
			return
		}
		if !bytes.Equal(h.Bytes(), b) {
			t.Errorf("%x has another spelling: %x", b, h.Bytes())
		}
	})
}

func FuzzTable(f *testing.F) {
	plain := pattern(5000)
	good := table(f, tableID, plain, 1<<20)
	f.Add(0, byte(0), len(good))
	f.Add(110, byte(1), len(good))
	f.Add(6, byte(3), HeaderSize+28)
	f.Fuzz(func(t *testing.T, at int, x byte, n int) {
		b := bytes.Clone(good)
		if n >= 0 && n < len(b) {
			b = b[:n]
		}
		if at >= 0 && at < len(b) {
			b[at] ^= x
		}
		got, err := readTable(b, tableID)
		if err == nil && !bytes.Equal(b, good) {
			t.Errorf("changed file opens: %d bytes", len(got))
		}
	})
}

func BenchmarkTable(b *testing.B) {
	plain := pattern(1 << 20)
	file := table(b, tableID, plain, 1<<20)
	b.Run("seal/1MiB", func(b *testing.B) {
		c, _, err := Create(testKey(), [16]byte{}, tableID)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(1 << 20)
		b.ReportAllocs()
		for b.Loop() {
			w := c.NewTableWriter(func([]byte) error { return nil })
			_, _ = w.Write(plain)
			_ = w.Close()
		}
	})
	for _, n := range []int{4096, 1 << 20} {
		b.Run(fmt.Sprintf("read/%d", n), func(b *testing.B) {
			r, err := openTable(file, tableID)
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.ReadAt(p, 0); err != nil && err != io.EOF {
					b.Fatal(err)
				}
			}
		})
	}
}
