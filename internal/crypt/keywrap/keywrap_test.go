package keywrap

import (
	"bytes"
	"errors"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/secret"
)

var (
	testKey    = secret.New(bytes.Repeat([]byte{7}, 32))
	testKeyref = [16]byte{1, 2, 3}
	testAAD    = enc.Encode("coffer/test", enc.Uint(1))
)

// contents copies the bytes of k.
func contents(t *testing.T, k secret.Key) []byte {
	t.Helper()
	var out []byte
	if err := k.Use(func(b []byte) error { out = bytes.Clone(b); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSealOpen(t *testing.T) {
	for _, n := range []int{0, 1, 16, 32, 1000, 1 << 20} {
		plain := bytes.Repeat([]byte{9}, n)
		sealed, err := Seal(testKey, testKeyref, testAAD, plain)
		if err != nil || len(sealed) != Overhead+n {
			t.Fatalf("Seal of %d = %d bytes, %v", n, len(sealed), err)
		}
		got, err := Open(testKey, testKeyref, testAAD, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("Open of %d = %d bytes, %v", n, len(got), err)
		}
		if ref, err := Keyref(sealed); ref != testKeyref || err != nil {
			t.Errorf("Keyref = %x, %v", ref, err)
		}
	}
}

// TestSealsDiffer: two seals of one thing share neither salt, key nor nonce.
func TestSealsDiffer(t *testing.T) {
	a, _ := Seal(testKey, testKeyref, testAAD, make([]byte, 64))
	b, _ := Seal(testKey, testKeyref, testAAD, make([]byte, 64))
	for _, part := range []struct {
		name   string
		lo, hi int
	}{{"salt", saltAt, commitmentAt}, {"commitment", commitmentAt, headerSize}, {"nonce", headerSize, headerSize + 12}, {"ciphertext", headerSize + 12, len(a)}} {
		if bytes.Equal(a[part.lo:part.hi], b[part.lo:part.hi]) {
			t.Errorf("two seals have the same %s", part.name)
		}
	}
}

func TestTamper(t *testing.T) {
	sealed, err := Seal(testKey, testKeyref, testAAD, []byte("twenty bytes of text"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(sealed) * 8 {
		sealed[i/8] ^= 1 << (i % 8)
		got, err := Open(testKey, testKeyref, testAAD, sealed)
		want := ErrOpen
		switch {
		case i/8 < keyrefAt:
			want = ErrFormat
		case i/8 < saltAt:
			want = ErrKeyref
		}
		if !errors.Is(err, want) || got != nil {
			t.Errorf("bit %d of byte %d flipped: %x, %v, want %v", i%8, i/8, got, err, want)
		}
		sealed[i/8] ^= 1 << (i % 8)
	}
	for i := range sealed {
		if got, err := Open(testKey, testKeyref, testAAD, sealed[:i]); err == nil || got != nil {
			t.Errorf("cut to %d bytes: %x, %v", i, got, err)
		}
		if got, err := Open(testKey, testKeyref, testAAD, sealed[i+1:]); err == nil || got != nil {
			t.Errorf("first %d bytes gone: %x, %v", i+1, got, err)
		}
	}
	if _, err := Open(testKey, testKeyref, testAAD, append(sealed, 0)); !errors.Is(err, ErrOpen) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestForeign(t *testing.T) {
	sealed, _ := Seal(testKey, testKeyref, testAAD, []byte("text"))
	other := secret.Random(32)
	for _, c := range []struct {
		name   string
		key    secret.Key
		keyref [16]byte
		aad    []byte
		want   error
	}{
		{"key", other, testKeyref, testAAD, ErrOpen},
		{"keyref", testKey, [16]byte{9}, testAAD, ErrKeyref},
		{"aad", testKey, testKeyref, enc.Encode("coffer/test", enc.Uint(2)), ErrOpen},
		{"no aad", testKey, testKeyref, nil, ErrOpen},
	} {
		if _, err := Open(c.key, c.keyref, c.aad, sealed); !errors.Is(err, c.want) {
			t.Errorf("another %s: %v, want %v", c.name, err, c.want)
		}
	}
	other.Destroy()
	if _, err := Open(other, testKeyref, testAAD, sealed); !errors.Is(err, secret.ErrDestroyed) {
		t.Errorf("Open under a destroyed key: %v", err)
	}
	if _, err := Seal(other, testKeyref, testAAD, nil); !errors.Is(err, secret.ErrDestroyed) {
		t.Errorf("Seal under a destroyed key: %v", err)
	}
}

func TestWrap(t *testing.T) {
	k := secret.Random(32)
	w, err := Wrap(testKey, testKeyref, testAAD, k)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unwrap(testKey, testKeyref, testAAD, w[:])
	if err != nil || !bytes.Equal(contents(t, got), contents(t, k)) {
		t.Fatalf("Unwrap: %v", err)
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := Wrap(testKey, testKeyref, testAAD, secret.Random(n)); !errors.Is(err, ErrFormat) {
			t.Errorf("Wrap of %d bytes: %v, want ErrFormat", n, err)
		}
	}
	for i := range w {
		bad := w
		bad[i] ^= 0x80
		if k, err := Unwrap(testKey, testKeyref, testAAD, bad[:]); err == nil || !k.IsZero() {
			t.Errorf("byte %d changed: opens", i)
		}
	}
	dead := secret.Random(32)
	dead.Destroy()
	if _, err := Wrap(testKey, testKeyref, testAAD, dead); !errors.Is(err, secret.ErrDestroyed) {
		t.Errorf("Wrap of a destroyed key: %v", err)
	}
}

// TestWrapCheck is the check of a wrap that a faulty processor made: of another key, or
// one that does not open.
func TestWrapCheck(t *testing.T) {
	w, err := Wrap(testKey, testKeyref, testAAD, secret.Random(32))
	if err != nil {
		t.Fatal(err)
	}
	if err := check(testKey, testKeyref, testAAD, w[:], make([]byte, 32)); !errors.Is(err, ErrCheck) {
		t.Errorf("check of another key's wrap = %v, want ErrCheck", err)
	}
	w[100] ^= 1
	if err := check(testKey, testKeyref, testAAD, w[:], make([]byte, 32)); !errors.Is(err, ErrCheck) {
		t.Errorf("check of a damaged wrap = %v, want ErrCheck", err)
	}
}

func TestKCVTellsKeysApart(t *testing.T) {
	seen := map[[16]byte]bool{}
	for _, k := range []secret.Key{testKey, secret.Random(32)} {
		for _, chain := range [][16]byte{{1}, {2}} {
			for _, version := range []uint64{1, 1 << 32} {
				kcv, err := KCV(k, chain, version)
				if err != nil || seen[kcv] {
					t.Errorf("KCV = %x, %v, seen %v", kcv, err, seen[kcv])
				}
				seen[kcv] = true
			}
		}
	}
}

func BenchmarkWrap(b *testing.B) {
	k := secret.Random(32)
	for b.Loop() {
		if _, err := Wrap(testKey, testKeyref, testAAD, k); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnwrap(b *testing.B) {
	w, _ := Wrap(testKey, testKeyref, testAAD, secret.Random(32))
	for b.Loop() {
		k, err := Unwrap(testKey, testKeyref, testAAD, w[:])
		if err != nil {
			b.Fatal(err)
		}
		k.Destroy()
	}
}
