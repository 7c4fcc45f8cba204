package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/secret"
)

var (
	testKey    = secret.New(bytes.Repeat([]byte{5}, 32))
	testKeyref = [16]byte{4, 3, 2, 1}
	testAAD    = enc.Encode("coffer/row/v1", make([]byte, 16), []byte("blob"), []byte("key"))
)

// layer is one of the two suites, so that tests run over both.
type layer struct {
	name   string
	seal   func(secret.Key, [16]byte, *Salter, []byte, []byte) ([]byte, error)
	open   func(secret.Key, [16]byte, *Cache, []byte, []byte) ([]byte, error)
	keyref func([]byte) ([16]byte, error)
	size   func(int) int
}

var layers = []layer{
	{"VALUE-1", SealValue, OpenValue, ValueKeyref, func(n int) int { return ValueOverhead + n }},
	{"INFRA-1", SealInfra, OpenInfra, InfraKeyref, func(n int) int { return 81 + 16*(n/16+1) }},
}

func TestSealOpen(t *testing.T) {
	for _, l := range layers {
		for _, n := range []int{0, 1, 15, 16, 17, 500, 40000} {
			for _, s := range []*Salter{nil, {}} {
				plain := bytes.Repeat([]byte{6}, n)
				sealed, err := l.seal(testKey, testKeyref, s, testAAD, plain)
				if err != nil || len(sealed) != l.size(n) {
					t.Fatalf("%s: seal of %d = %d bytes, %v, want %d", l.name, n, len(sealed), err, l.size(n))
				}
				for _, c := range []*Cache{nil, {}} {
					got, err := l.open(testKey, testKeyref, c, testAAD, sealed)
					if err != nil || !bytes.Equal(got, plain) {
						t.Errorf("%s: open of %d: %v", l.name, n, err)
					}
				}
				if ref, err := l.keyref(sealed); ref != testKeyref || err != nil {
					t.Errorf("%s: keyref = %x, %v", l.name, ref, err)
				}
			}
		}
	}
}

func TestTamper(t *testing.T) {
	for _, l := range layers {
		sealed, err := l.seal(testKey, testKeyref, nil, testAAD, []byte("some text to protect"))
		if err != nil {
			t.Fatal(err)
		}
		cache := &Cache{}
		for i := range len(sealed) * 8 {
			sealed[i/8] ^= 1 << (i % 8)
			got, err := l.open(testKey, testKeyref, cache, testAAD, sealed)
			want := ErrOpen
			switch {
			case i/8 < keyrefAt:
				want = ErrFormat
			case i/8 < saltAt:
				want = ErrKeyref
			}
			if !errors.Is(err, want) || got != nil {
				t.Errorf("%s: bit %d of byte %d: %x, %v, want %v", l.name, i%8, i/8, got, err, want)
			}
			sealed[i/8] ^= 1 << (i % 8)
		}
		for i := range sealed {
			for _, b := range [][]byte{sealed[:i], sealed[i+1:], append(bytes.Clone(sealed), make([]byte, i+1)...)} {
				if got, err := l.open(testKey, testKeyref, cache, testAAD, b); err == nil || got != nil {
					t.Errorf("%s: %d bytes of %d: %x, %v", l.name, len(b), len(sealed), got, err)
				}
			}
		}
		if _, err := l.open(testKey, testKeyref, cache, testAAD, sealed); err != nil {
			t.Errorf("%s: untouched: %v", l.name, err)
		}
	}
}

// TestForeign opens with something else in place of each argument, through a cache that
// already holds the right derived key.
func TestForeign(t *testing.T) {
	for _, l := range layers {
		sealed, err := l.seal(testKey, testKeyref, nil, testAAD, []byte("text"))
		if err != nil {
			t.Fatal(err)
		}
		cache := &Cache{}
		if _, err := l.open(testKey, testKeyref, cache, testAAD, sealed); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			key    secret.Key
			keyref [16]byte
			aad    []byte
			want   error
		}{
			{"key", secret.Random(32), testKeyref, testAAD, ErrOpen},
			{"keyref", testKey, [16]byte{9}, testAAD, ErrKeyref},
			{"aad", testKey, testKeyref, append(bytes.Clone(testAAD), 0), ErrOpen},
		} {
			if _, err := l.open(c.key, c.keyref, cache, c.aad, sealed); !errors.Is(err, c.want) {
				t.Errorf("%s: another %s: %v, want %v", l.name, c.name, err, c.want)
			}
		}
	}
}

func TestLayersAreTold(t *testing.T) {
	inner, _ := SealValue(testKey, testKeyref, nil, testAAD, []byte("text"))
	outer, _ := SealInfra(testKey, testKeyref, nil, testAAD, inner)
	if IsInfra(inner) || !IsInfra(outer) {
		t.Errorf("IsInfra: inner %v, outer %v", IsInfra(inner), IsInfra(outer))
	}
	if _, err := OpenValue(testKey, testKeyref, nil, testAAD, outer); !errors.Is(err, ErrFormat) {
		t.Errorf("OpenValue of INFRA-1: %v", err)
	}
	if _, err := OpenInfra(testKey, testKeyref, nil, testAAD, inner); !errors.Is(err, ErrFormat) {
		t.Errorf("OpenInfra of VALUE-1: %v", err)
	}
	back, err := OpenInfra(testKey, testKeyref, nil, testAAD, outer)
	if err != nil || !bytes.Equal(back, inner) {
		t.Errorf("OpenInfra: %v", err)
	}
}

func TestSalterReuses(t *testing.T) {
	for _, l := range layers {
		var s Salter
		salt := func(k secret.Key, ref [16]byte, salter *Salter) [16]byte {
			t.Helper()
			b, err := l.seal(k, ref, salter, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			return saltOf(b)
		}
		a := salt(testKey, testKeyref, &s)
		if b := salt(testKey, testKeyref, &s); a != b {
			t.Errorf("%s: salt not reused", l.name)
		}
		if b := salt(testKey, testKeyref, nil); a == b {
			t.Errorf("%s: salt reused without a Salter", l.name)
		}
		if b := salt(testKey, testKeyref, &Salter{}); a == b {
			t.Errorf("%s: two Salters have one salt", l.name)
		}
		if b := salt(testKey, [16]byte{1}, &s); a == b {
			t.Errorf("%s: two keyrefs have one salt", l.name)
		}
		if b := salt(secret.Random(32), testKeyref, &s); a == b {
			t.Errorf("%s: two keys have one salt", l.name)
		}
		a = salt(testKey, testKeyref, &s)
		s.Forget(testKeyref)
		if b := salt(testKey, testKeyref, &s); a == b {
			t.Errorf("%s: salt kept after Forget", l.name)
		}
	}
}

func TestSalterBounds(t *testing.T) {
	var s Salter
	take := func(n int) [16]byte {
		t.Helper()
		salt, _, err := s.take(testKey, suiteValue, testKeyref, n)
		if err != nil {
			t.Fatal(err)
		}
		return salt
	}
	a := take(0)
	x := s.m[slot{suiteValue, testKeyref}]
	x.values = saltValues - 1
	if take(0) != a {
		t.Error("new salt before 2^24 values")
	}
	b := take(0)
	if b == a {
		t.Error("salt used for more than 2^24 values")
	}
	x = s.m[slot{suiteValue, testKeyref}]
	x.bytes = saltBytes - 100
	if take(100) != b {
		t.Error("new salt before 64 GiB")
	}
	if take(1) == b {
		t.Error("salt used for more than 64 GiB")
	}
	for i := range cacheSize + 100 {
		if _, _, err := s.take(testKey, suiteValue, [16]byte{byte(i), byte(i >> 8), 1}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.m) > cacheSize {
		t.Errorf("Salter holds %d keys, want at most %d", len(s.m), cacheSize)
	}
}

func TestCacheBounds(t *testing.T) {
	var c Cache
	for i := range cacheSize + 100 {
		if _, err := c.get(testKey, suiteValue, testKeyref, [16]byte{byte(i), byte(i >> 8)}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.get(testKey, suiteValue, testKeyref, [16]byte{0, 0}); err != nil { // stays the newest
			t.Fatal(err)
		}
	}
	if len(c.m) != cacheSize || c.lru.Len() != cacheSize {
		t.Errorf("cache holds %d and %d, want %d", len(c.m), c.lru.Len(), cacheSize)
	}
	if _, ok := c.find(saltedSlot{slot{suiteValue, testKeyref}, [16]byte{0, 0}}, testKey); !ok {
		t.Error("the entry used last was dropped")
	}
	if _, ok := c.find(saltedSlot{slot{suiteValue, testKeyref}, [16]byte{1, 0}}, testKey); ok {
		t.Error("the entry used longest ago was kept")
	}
	c.Forget([16]byte{1})
	if len(c.m) != cacheSize {
		t.Error("Forget of another key dropped entries")
	}
	c.Forget(testKeyref)
	if len(c.m) != 0 || c.lru.Len() != 0 {
		t.Error("Forget kept entries")
	}
}

// TestDestroyedKey: what was derived from a key goes with it.
func TestDestroyedKey(t *testing.T) {
	for _, l := range layers {
		k, s, c := secret.Random(32), &Salter{}, &Cache{}
		sealed, err := l.seal(k, testKeyref, s, nil, []byte("text"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.open(k, testKeyref, c, nil, sealed); err != nil {
			t.Fatal(err)
		}
		k.Destroy()
		if _, err := l.seal(k, testKeyref, s, nil, nil); !errors.Is(err, secret.ErrDestroyed) {
			t.Errorf("%s: seal: %v", l.name, err)
		}
		if _, err := l.open(k, testKeyref, c, nil, sealed); !errors.Is(err, secret.ErrDestroyed) {
			t.Errorf("%s: open: %v", l.name, err)
		}
	}
}

func TestParallel(t *testing.T) {
	var s Salter
	var c Cache
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				ref := [16]byte{byte(i % 7)}
				plain := fmt.Appendf(nil, "%d %d", g, i)
				for _, l := range layers {
					sealed, err := l.seal(testKey, ref, &s, testAAD, plain)
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := l.open(testKey, ref, &c, testAAD, sealed); err != nil || !bytes.Equal(got, plain) {
						t.Errorf("%s: %q, %v", l.name, got, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestEncodeRowRefusesPlaintext(t *testing.T) {
	sys, _ := SealValue(testKey, testKeyref, nil, testAAD, []byte("sys"))
	part, _ := SealInfra(testKey, testKeyref, nil, testAAD, sys)
	chunk, _, err := segment.SealBytes(segment.Params{DEK: testKey, Lg: 12}, []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	row := EncodeRow(Row{SYS: sys, Parts: [][]byte{sys, part, chunk.Bytes()}})
	got, rest, err := SplitRow(row.Bytes())
	if err != nil || !bytes.Equal(got, sys) || !bytes.Equal(rest, bytes.Join([][]byte{sys, part, chunk.Bytes()}, nil)) {
		t.Errorf("SplitRow = %x, %x, %v", got, rest, err)
	}
	plain := []byte("this is plaintext, long enough to have the size of any sealed value whatever its form is")
	for name, r := range map[string]Row{
		"no SYS":          {},
		"plaintext SYS":   {SYS: plain},
		"chunk as SYS":    {SYS: chunk.Bytes()},
		"plaintext part":  {SYS: sys, Parts: [][]byte{plain}},
		"empty part":      {SYS: sys, Parts: [][]byte{nil}},
		"second is plain": {SYS: sys, Parts: [][]byte{sys, plain}},
		"cut chunk":       {SYS: sys, Parts: [][]byte{chunk.Bytes()[:80]}},
	} {
		if !panics(func() { EncodeRow(r) }) {
			t.Errorf("%s: EncodeRow takes it", name)
		}
	}
}

func TestEncodeFieldsOrder(t *testing.T) {
	for name, fs := range map[string][]Field{
		"descending": {{2, nil}, {1, nil}},
		"tag 0":      {{0, nil}},
	} {
		if !panics(func() { EncodeFields(fs) }) {
			t.Errorf("%s: EncodeFields takes it", name)
		}
	}
}

// panics reports whether f does.
func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func BenchmarkSeal(b *testing.B) {
	for _, l := range layers {
		for _, n := range []int{300, 4096} {
			for name, s := range map[string]*Salter{"fresh": nil, "salter": {}} {
				b.Run(fmt.Sprintf("%s/%d/%s", l.name, n, name), func(b *testing.B) {
					plain := make([]byte, n)
					b.SetBytes(int64(n))
					b.ReportAllocs()
					for b.Loop() {
						l.seal(testKey, testKeyref, s, testAAD, plain)
					}
				})
			}
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, l := range layers {
		for name, c := range map[string]*Cache{"plain": nil, "cache": {}} {
			b.Run(fmt.Sprintf("%s/300/%s", l.name, name), func(b *testing.B) {
				sealed, _ := l.seal(testKey, testKeyref, nil, testAAD, make([]byte, 300))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := l.open(testKey, testKeyref, c, testAAD, sealed); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
