package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/coffer-storage/coffer/internal/secret"
)

// readAll reads a chunk of n bytes the way object does: the size must fit.
func readAll(p Params, n int64, chunk []byte) ([]byte, error) {
	r, err := NewReader(p, n, bytes.NewReader(chunk))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = r.WriteRange(&out, 0, n)
	return out.Bytes(), err
}

// refused checks that neither way of reading gives wrong bytes or success.
func refused(t *testing.T, what string, p Params, plain, chunk []byte) {
	t.Helper()
	if got, err := OpenBytes(p, chunk); err == nil || got != nil {
		t.Errorf("%s: OpenBytes = %d bytes, %v", what, len(got), err)
	} else if !errors.Is(err, ErrOpen) && !errors.Is(err, ErrFormat) {
		t.Errorf("%s: OpenBytes = %v", what, err)
	}
	if len(plain) == 0 {
		return
	}
	got, err := readAll(p, int64(len(plain)), chunk)
	if err == nil {
		t.Errorf("%s: Reader opens", what)
	}
	if !bytes.HasPrefix(plain, got) {
		t.Errorf("%s: Reader gave wrong bytes", what)
	}
}

func TestTamperBits(t *testing.T) {
	p := params(0, 9)
	lengths := []int{0, 1, 40, 600}
	if testing.Short() {
		lengths = []int{0, 40}
	}
	for _, n := range lengths {
		plain := text(n)
		s, _, err := SealBytes(p, plain)
		if err != nil {
			t.Fatal(err)
		}
		chunk := slices.Clone(s.Bytes())
		for i := range len(chunk) * 8 {
			chunk[i/8] ^= 1 << (i % 8)
			refused(t, fmt.Sprintf("n %d: bit %d of byte %d", n, i%8, i/8), p, plain, chunk)
			chunk[i/8] ^= 1 << (i % 8)
		}
		for i := range chunk {
			refused(t, fmt.Sprintf("n %d: cut to %d", n, i), p, plain, chunk[:i])
		}
		for i := range 700 {
			long := append(slices.Clone(chunk), make([]byte, i+1)...)
			if got, err := OpenBytes(p, long); err == nil {
				t.Errorf("n %d: %d bytes more: OpenBytes = %d bytes", n, i+1, len(got))
			}
		}
	}
}

// TestTamperSegments puts the segments of a chunk and of a second one, under the same
// data key, together in every other way.
func TestTamperSegments(t *testing.T) {
	p := params(0, 9)
	plain := text(4 * 512)
	a := sealedBytes(t, p, plain)
	q := p
	q.Chunk[0]++
	b := sealedBytes(t, q, plain)
	var pieces [][]byte
	for _, chunk := range [][]byte{a, b} {
		for i := range 4 {
			pieces = append(pieces, chunk[64+i*540:64+(i+1)*540])
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var order []int
		for range 1 + rng.IntN(6) {
			order = append(order, rng.IntN(len(pieces)))
		}
		if slices.Equal(order, []int{0, 1, 2, 3}) {
			continue
		}
		mixed := slices.Clone(a[:64])
		for _, i := range order {
			mixed = append(mixed, pieces[i]...)
		}
		if len(order) == 4 {
			refused(t, fmt.Sprint(order), p, plain, mixed)
		} else if _, err := OpenBytes(p, mixed); err == nil {
			t.Errorf("%v: opens", order)
		}
	}
}

func sealedBytes(t *testing.T, p Params, plain []byte) []byte {
	t.Helper()
	s, _, err := SealBytes(p, plain)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(s.Bytes())
}

func TestForeign(t *testing.T) {
	p := params(0, 9)
	plain := text(1000)
	chunk := sealedBytes(t, p, plain)
	for name, change := range map[string]func(*Params){
		"data key":     func(p *Params) { p.DEK = secret.Random(32) },
		"data key id":  func(p *Params) { p.DEKID[3] ^= 1 },
		"owner":        func(p *Params) { p.Owner[15] ^= 1 },
		"chunk":        func(p *Params) { p.Chunk[0] ^= 1 },
		"segment size": func(p *Params) { p.Lg = 10 },
	} {
		q := p
		change(&q)
		refused(t, name, q, plain, chunk)
	}
	for _, n := range []int64{0, 1, 488, 512, 999, 1001, 1024, 1500} {
		if n == 0 {
			continue
		}
		if got, err := readAll(p, n, chunk); err == nil {
			t.Errorf("believed length %d: Reader gave %d bytes", n, len(got))
		}
	}
}

// TestBadSegmentSparesOthers: the ranges before and after a damaged segment are served,
// and no byte of it or after it in the same range.
func TestBadSegmentSparesOthers(t *testing.T) {
	for _, lg := range []uint8{9, 12, 16} {
		p, size := params(0, lg), 1<<lg
		plain := text(5 * size)
		chunk := sealedBytes(t, p, plain)
		chunk[64+2*(size+28)+50] ^= 1 // segment 2
		r, err := NewReader(p, int64(len(plain)), bytes.NewReader(chunk))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := r.WriteRange(&out, 0, int64(len(plain))); !errors.Is(err, ErrOpen) {
			t.Errorf("lg %d: whole = %v, want ErrOpen", lg, err)
		}
		if out.Len() > 2*size || !bytes.HasPrefix(plain, out.Bytes()) {
			t.Errorf("lg %d: %d bytes left before the failure", lg, out.Len())
		}
		for _, c := range [][2]int{{0, 2 * size}, {3 * size, 2 * size}} {
			out.Reset()
			if err := r.WriteRange(&out, int64(c[0]), int64(c[1])); err != nil || !bytes.Equal(out.Bytes(), plain[c[0]:c[0]+c[1]]) {
				t.Errorf("lg %d: range %v: %v", lg, c, err)
			}
		}
		if err := r.WriteRange(io.Discard, int64(3*size-1), 1); !errors.Is(err, ErrOpen) {
			t.Errorf("lg %d: last byte of the bad segment: %v, want ErrOpen", lg, err)
		}
	}
}

// TestReaderSourceErrors: an error of the disk is told from damage.
func TestReaderSourceErrors(t *testing.T) {
	p := params(0, 9)
	chunk := sealedBytes(t, p, text(2000))
	boom := errors.New("boom")
	if _, err := NewReader(p, 2000, failAt{chunk, 10, boom}); err != boom {
		t.Errorf("NewReader = %v, want the error of the source", err)
	}
	r, err := NewReader(p, 2000, failAt{chunk, 700, boom})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WriteRange(io.Discard, 0, 2000); err != boom {
		t.Errorf("WriteRange = %v, want the error of the source", err)
	}
	if err := r.WriteRange(io.Discard, 0, 512); err != nil {
		t.Errorf("WriteRange before the bad place = %v", err)
	}
}

// failAt is a source that fails from an offset on.
type failAt struct {
	b   []byte
	at  int64
	err error
}

func (f failAt) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.at {
		return int(max(0, f.at-off)), f.err
	}
	return copy(p, f.b[off:]), nil
}
