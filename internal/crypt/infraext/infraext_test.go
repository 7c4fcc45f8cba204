package infraext

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/coffer-storage/coffer/internal/secret"
)

var suites = []Suite{XTS, CBC}

// eachSuite runs f with a new extent of every suite.
func eachSuite(t *testing.T, f func(t *testing.T, x *Extent, header []byte, idk secret.Key)) {
	for _, s := range suites {
		t.Run(s.String(), func(t *testing.T) {
			idk := secret.Random(32)
			x, header, err := Create(idk, [16]byte{1}, [16]byte{2}, s)
			if err != nil {
				t.Fatal(err)
			}
			f(t, x, header, idk)
		})
	}
}

func keyring(kref [16]byte, k secret.Key) func([16]byte) (secret.Key, error) {
	return func(want [16]byte) (secret.Key, error) {
		if want != kref {
			return secret.Key{}, errors.New("no such key")
		}
		return k, nil
	}
}

func reopen(header []byte, idk secret.Key) (*Extent, error) {
	return Open(header, [16]byte{2}, true, keyring([16]byte{1}, idk))
}

func fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	eachSuite(t, func(t *testing.T, x *Extent, header []byte, idk secret.Key) {
		again, err := reopen(header, idk)
		if err != nil {
			t.Fatal(err)
		}
		suite := x.Header().Suite
		for _, n := range []int{1, 92, 4095, 4096, 4097, 8192, 70_001} {
			for _, at := range []int64{0, 1, 1 << 10, MaxBody/SectorSize - Sectors(int64(n))} {
				chunk := fill(n)
				sealed, err := x.Seal([]byte("before"), at, chunk)
				if err != nil || string(sealed[:6]) != "before" {
					t.Fatalf("Seal of %d bytes at %d: %v", n, at, err)
				}
				sealed = sealed[6:]
				if got, want := int64(len(sealed)), suite.Size(Sectors(int64(n))); got != want {
					t.Fatalf("%d bytes are sealed to %d, want %d", n, got, want)
				}
				if n >= 92 && bytes.Contains(sealed, chunk[:92]) {
					t.Fatal("sealed sectors hold what went in")
				}
				want := append(slices.Clone(chunk), make([]byte, Padded(int64(n))-int64(n))...)
				got, err := again.Open([]byte("x"), at, sealed)
				if err != nil || !bytes.Equal(got[1:], want) {
					t.Fatalf("Open of %d bytes at %d: %v", n, at, err)
				}
				got, err = again.Open(sealed[:0], at, sealed)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("Open in place of %d bytes at %d: %v", n, at, err)
				}
			}
		}
		for _, at := range []int64{-1, MaxBody / SectorSize} {
			if _, err := x.Seal(nil, at, []byte{1}); err == nil {
				t.Errorf("Seal of sector %d succeeded", at)
			}
		}
	})
}

// TestSectorsAlone: any sector opens by itself, and at its own number only.
func TestSectorsAlone(t *testing.T) {
	eachSuite(t, func(t *testing.T, x *Extent, _ []byte, _ secret.Key) {
		chunk := fill(5 * SectorSize)
		sealed, err := x.Seal(nil, 10, chunk)
		if err != nil {
			t.Fatal(err)
		}
		size := x.Header().Suite.Size(1)
		for i := range int64(5) {
			want := chunk[i*SectorSize : (i+1)*SectorSize]
			one := sealed[i*size : (i+1)*size]
			if got, err := x.Open(nil, 10+i, one); err != nil || !bytes.Equal(got, want) {
				t.Errorf("sector %d alone: %v", i, err)
			}
			got, err := x.Open(nil, 11+i, one)
			if x.Header().Suite == CBC {
				if !errors.Is(err, ErrOpen) {
					t.Errorf("unit %d as another: error = %v, want ErrOpen", i, err)
				}
			} else if err != nil || bytes.Equal(got, want) {
				t.Errorf("sector %d as another: %v, or the same plaintext", i, err)
			}
		}
		if _, err := x.Open(nil, 0, sealed[:size-1]); !errors.Is(err, ErrFormat) {
			t.Errorf("a part of a sector: error = %v, want ErrFormat", err)
		}
	})
}

// TestHeaderBytes gives every byte of the header every other value.
func TestHeaderBytes(t *testing.T) {
	eachSuite(t, func(t *testing.T, _ *Extent, header []byte, idk secret.Key) {
		step := 1
		if testing.Short() {
			step = 37
		}
		for i := range header {
			values := step
			if i >= dataEnd {
				values = 51 // only zero is right, and no key is touched
			}
			b := slices.Clone(header)
			for v := 1; v < 256; v += values {
				b[i] = header[i] ^ byte(v)
				if x, err := reopen(b, idk); err == nil || x != nil {
					t.Fatalf("header with byte %d changed by %#x opens", i, v)
				}
			}
		}
		for _, n := range []int{0, dataEnd, HeaderSize - 1} {
			if _, err := reopen(header[:n], idk); !errors.Is(err, ErrFormat) {
				t.Errorf("header of %d bytes: error = %v, want ErrFormat", n, err)
			}
		}
	})
}

func TestForeign(t *testing.T) {
	eachSuite(t, func(t *testing.T, _ *Extent, header []byte, idk secret.Key) {
		if _, err := reopen(header, secret.Random(32)); !errors.Is(err, ErrOpen) {
			t.Errorf("another key: error = %v, want ErrOpen", err)
		}
		if _, err := Open(header, [16]byte{3}, true, keyring([16]byte{1}, idk)); !errors.Is(err, ErrOpen) {
			t.Errorf("another file: error = %v, want ErrOpen", err)
		}
		if _, err := Open(header, [16]byte{2}, true, keyring([16]byte{9}, idk)); err == nil {
			t.Error("opened without its key")
		}
	})
}

// TestTamperUnits: suite 2 refuses every changed bit.
func TestTamperUnits(t *testing.T) {
	x, _, err := Create(secret.Random(32), [16]byte{1}, [16]byte{2}, CBC)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := x.Seal(nil, 0, fill(100))
	if err != nil {
		t.Fatal(err)
	}
	for bit := 0; bit < 8*len(sealed); bit += 13 {
		b := slices.Clone(sealed)
		b[bit/8] ^= 1 << (bit % 8)
		if got, err := x.Open(nil, 0, b); !errors.Is(err, ErrOpen) || got != nil {
			t.Fatalf("bit %d changed: error = %v, want ErrOpen", bit, err)
		}
	}
}

// TestDestroyed: what was derived does not outlive the key.
func TestDestroyed(t *testing.T) {
	eachSuite(t, func(t *testing.T, x *Extent, _ []byte, idk secret.Key) {
		sealed, err := x.Seal(nil, 0, fill(10))
		if err != nil {
			t.Fatal(err)
		}
		idk.Destroy()
		if _, err := x.Seal(nil, 1, fill(10)); err == nil {
			t.Error("sealed under a destroyed key")
		}
		if _, err := x.Open(nil, 0, sealed); err == nil {
			t.Error("opened under a destroyed key")
		}
	})
}

// TestFresh: two extents under one key have nothing in common.
func TestFresh(t *testing.T) {
	for _, s := range suites {
		idk := secret.Random(32)
		a, ha, err := Create(idk, [16]byte{1}, [16]byte{2}, s)
		if err != nil {
			t.Fatal(err)
		}
		b, hb, err := Create(idk, [16]byte{1}, [16]byte{2}, s)
		if err != nil {
			t.Fatal(err)
		}
		sa, _ := a.Seal(nil, 0, fill(SectorSize))
		sb, _ := b.Seal(nil, 0, fill(SectorSize))
		if bytes.Equal(ha, hb) || bytes.Equal(sa, sb) {
			t.Errorf("%v: two extents are sealed alike", s)
		}
	}
	if _, _, err := Create(secret.Random(32), [16]byte{}, [16]byte{}, 3); err == nil {
		t.Error("Create with suite 3 succeeded")
	}
}

// FuzzHeader: what parses has one spelling, and what was not made here does not open.
func FuzzHeader(f *testing.F) {
	idk := secret.Random(32)
	for _, s := range suites {
		_, header, err := Create(idk, [16]byte{1}, [16]byte{2}, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(header)
		f.Add(header[:200])
	}
	f.Add([]byte("CFX1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			if h != (Header{}) {
				t.Error("a failure returned a header")
			}
			return
		}
		if !bytes.Equal(h.Bytes(), b) {
			t.Errorf("two spellings of a header")
		}
	})
}

// FuzzOpen: no sealed sectors make it panic, and suite 2 opens nothing that it did not seal.
func FuzzOpen(f *testing.F) {
	var xs []*Extent
	var own []byte
	for _, s := range suites {
		x, _, err := Create(secret.Random(32), [16]byte{1}, [16]byte{2}, s)
		if err != nil {
			f.Fatal(err)
		}
		xs = append(xs, x)
		sealed, err := x.Seal(nil, 1, fill(5000))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(int64(1), sealed)
		f.Add(int64(2), sealed)
		own = sealed // of suite 2, in the end
	}
	f.Fuzz(func(t *testing.T, n int64, sealed []byte) {
		for _, x := range xs {
			got, err := x.Open(nil, n, sealed)
			if err != nil && got != nil {
				t.Error("a failure returned bytes")
			}
			if err == nil && x.cbc != nil && len(sealed) > 0 && !bytes.Contains(own, sealed[:unitSize]) {
				t.Errorf("opened %d bytes that were not sealed here", len(sealed))
			}
		}
	})
}

func BenchmarkInfraext(b *testing.B) {
	for _, s := range suites {
		x, _, err := Create(secret.Random(32), [16]byte{1}, [16]byte{2}, s)
		if err != nil {
			b.Fatal(err)
		}
		chunk := fill(1 << 17)
		buf := make([]byte, 0, 1<<18)
		b.Run(fmt.Sprintf("seal/%v", s), func(b *testing.B) {
			b.SetBytes(int64(len(chunk)))
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = x.Seal(buf[:0], 0, chunk)
			}
		})
		sealed := slices.Clone(buf)
		b.Run(fmt.Sprintf("open/%v", s), func(b *testing.B) {
			b.SetBytes(int64(len(chunk)))
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = x.Open(buf[:0], 0, sealed)
			}
		})
	}
}
