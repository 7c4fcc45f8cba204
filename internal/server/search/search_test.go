package search

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// Every form of a needle is found wherever it lies, across the border of blocks too.
func TestFindsEveryFormEverywhere(t *testing.T) {
	const block = 4 << 10
	needle := []byte("Canary-+?>~0123456789")
	s, err := New([][]byte{[]byte("unrelated string"), needle})
	if err != nil {
		t.Fatal(err)
	}
	s.block = block
	wideLE, wideBE := wide(needle)
	forms := map[string][]byte{
		"raw":      needle,
		"hex":      []byte(hex.EncodeToString(needle)),
		"HEX":      []byte(strings.ToUpper(hex.EncodeToString(needle))),
		"utf-16":   wideLE,
		"utf-16be": wideBE,
	}
	for lead := range 3 {
		plain := append([]byte("abc")[:lead], needle...)
		plain = append(plain, "tail"...)
		forms[fmt.Sprint("base64 ", lead)] = []byte(base64.StdEncoding.EncodeToString(plain))
		forms[fmt.Sprint("base64url ", lead)] = []byte(base64.URLEncoding.EncodeToString(plain))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 3*block)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for name, form := range forms {
		for _, at := range []int{0, 1, block - 1, block - len(form)/2, block - len(form), block, 2*block + 17, len(noise) - len(form)} {
			data := bytes.Clone(noise)
			copy(data[at:], form)
			var hits []Hit
			n, err := s.Reader(bytes.NewReader(data), func(h Hit) { hits = append(hits, h) })
			if err != nil || n != int64(len(data)) {
				t.Fatalf("Reader = %d, %v", n, err)
			}
			if len(hits) != 1 || hits[0].Needle != 1 || hits[0].Offset < int64(at) || hits[0].Offset > int64(at)+4 {
				t.Errorf("%s at %d: hits %v, want one there", name, at, hits)
			}
		}
	}
}

func TestNoiseHasNoHits(t *testing.T) {
	var needles [][]byte
	for i := range 1000 {
		needles = append(needles, fmt.Appendf(nil, "canary-%06d-%x", i, i*7919))
	}
	s, err := New(needles)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.NewChaCha8([32]byte{1})
	if _, err := s.Reader(io.LimitReader(rng, 4<<20), func(h Hit) { t.Errorf("hit in noise: %v", h) }); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	if _, err := New(nil); err == nil {
		t.Error("New(nothing) was accepted")
	}
	if _, err := New([][]byte{[]byte("short")}); err == nil {
		t.Error("New(5 bytes) was accepted")
	}
	s, err := New([][]byte{[]byte("long enough")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reader(iotest.ErrReader(io.ErrClosedPipe), func(Hit) {}); err != io.ErrClosedPipe {
		t.Errorf("Reader = %v, want the error of its source", err)
	}
}

func FuzzSearch(f *testing.F) {
	f.Add([]byte("needle"), []byte("xx"), []byte("yy"), 1)
	f.Add([]byte{0, 255, 1, 2, 3, 4}, []byte{}, []byte{}, 3)
	f.Fuzz(func(t *testing.T, needle, before, after []byte, chunk int) {
		if len(needle) < MinNeedle || len(needle) > 1<<10 {
			return
		}
		s, err := New([][]byte{needle})
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Join([][]byte{before, needle, after}, nil)
		var got []int64
		s.Reader(iotest.OneByteReader(bytes.NewReader(data)), func(h Hit) {
			if h.Encoding == "raw" {
				got = append(got, h.Offset)
			}
		})
		var want []int64
		for i := range data {
			if bytes.HasPrefix(data[i:], needle) {
				want = append(want, int64(i))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	var needles [][]byte
	for i := range 1000 {
		needles = append(needles, fmt.Appendf(nil, "canary-%06d-%x", i, i*7919))
	}
	s, _ := New(needles)
	data := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		s.Reader(bytes.NewReader(data), func(Hit) {})
	}
}
