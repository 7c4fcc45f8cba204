package proof

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// tally counts the variants of one way to tamper.
type tally struct{ tried, opened, wrong int }

func (a *tally) add(b tally) {
	a.tried += b.tried
	a.opened += b.opened
	a.wrong += b.wrong
}

// try opens a variant. Only two outcomes are right: an error, and nothing given out but
// a true beginning of the plaintext.
func (s *subject) try(b []byte) tally {
	c := tally{tried: 1}
	out, err := s.open(b)
	if err == nil {
		c.opened = 1
	}
	if !bytes.HasPrefix(s.plain, out) {
		c.wrong = 1
	}
	return c
}

// ways to tamper, by name. every thins them out: 1 tries all.
var ways = []struct {
	name string
	each func(s *subject, every int, rng *rand.Rand) tally
}{
	{"bits flipped", flips},
	{"cuts", cuts},
	{"bytes added", extensions},
	{"units moved", moves},
	{"mixed with another", splices},
	{"bytes overwritten", overwrites},
}

func flips(s *subject, every int, rng *rand.Rand) (c tally) {
	b := bytes.Clone(s.good)
	for i := rng.IntN(every); i < 8*len(b); i += every {
		b[i/8] ^= 1 << (i % 8)
		c.add(s.try(b))
		b[i/8] ^= 1 << (i % 8)
	}
	return c
}

func cuts(s *subject, every int, rng *rand.Rand) (c tally) {
	for n := rng.IntN(every); n < len(s.good); n += every {
		c.add(s.try(s.good[:n:n]))
		c.add(s.try(s.good[len(s.good)-n:]))
	}
	return c
}

func extensions(s *subject, every int, rng *rand.Rand) (c tally) {
	for n := 1; n < 600; n += every {
		c.add(s.try(append(bytes.Clone(s.good), make([]byte, n)...)))
		c.add(s.try(append(bytes.Clone(s.good), s.good[len(s.good)-min(n, len(s.good)):]...)))
		c.add(s.try(append(make([]byte, n), s.good...)))
	}
	return c
}

// units cuts what follows the header.
func (s *subject) units(b []byte) (list [][]byte) {
	return slices.Collect(slices.Chunk(b[s.header:], s.unit))
}

// moves puts whole units of two things under one key together in other ways: dropped,
// doubled, exchanged, and at random.
func moves(s *subject, every int, rng *rand.Rand) (c tally) {
	if s.unit == 0 {
		return c
	}
	own := s.units(s.good)
	join := func(list [][]byte) {
		if b := append(bytes.Clone(s.good[:s.header]), bytes.Join(list, nil)...); !bytes.Equal(b, s.good) {
			c.add(s.try(b))
		}
	}
	for i := range own {
		join(slices.Delete(slices.Clone(own), i, i+1))
		join(slices.Insert(slices.Clone(own), i, own[i]))
		for j := range i {
			swapped := slices.Clone(own)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			join(swapped)
		}
	}
	all := append(slices.Clone(own), s.units(s.other)...)
	for range 20_000 / every {
		list := make([][]byte, 1+rng.IntN(len(own)+2))
		for i := range list {
			list[i] = all[rng.IntN(len(all))]
		}
		join(list)
	}
	return c
}

// splices begins with one thing and goes on with the other.
func splices(s *subject, every int, rng *rand.Rand) (c tally) {
	for n := rng.IntN(every); n < min(len(s.good), len(s.other)); n += every {
		for _, b := range [][]byte{
			append(bytes.Clone(s.good[:n]), s.other[n:]...),
			append(bytes.Clone(s.other[:n]), s.good[n:]...),
		} {
			if !bytes.Equal(b, s.good) {
				c.add(s.try(b))
			}
		}
	}
	return c
}

// overwrites puts zeros, 0xFF, or a piece of elsewhere over a range.
func overwrites(s *subject, every int, rng *rand.Rand) (c tally) {
	for range 20_000 / every {
		b := bytes.Clone(s.good)
		at := rng.IntN(len(b))
		n := 1 + rng.IntN(min(600, len(b)-at))
		switch rng.IntN(3) {
		case 0:
			clear(b[at : at+n])
		case 1:
			for i := range n {
				b[at+i] = 0xFF
			}
		case 2:
			copy(b[at:at+n], s.good[rng.IntN(len(b)):])
		}
		if !bytes.Equal(b, s.good) {
			c.add(s.try(b))
		}
	}
	return c
}

// parallel runs f over the list on all processors.
func parallel[T any](list []T, f func(T)) {
	next := make(chan T)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for x := range next {
				f(x)
			}
		})
	}
	for _, x := range list {
		next <- x
	}
	close(next)
	wg.Wait()
}

// TestVariants (C2) opens every kind of sealed thing in a million tampered forms (ordinary:
// a tenth). None opens, and no byte comes out that did not go in at that place.
func TestVariants(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	list := subjects(t, sized(1, 4, 14))
	var mu sync.Mutex
	total := map[string]tally{}
	type job struct {
		s   *subject
		way int
	}
	var jobs []job
	for i := range list {
		s := &list[i]
		if out, err := s.open(s.good); err != nil || s.plain != nil && !bytes.Equal(out, s.plain) {
			t.Fatalf("%s, untouched: %v", s.name, err)
		}
		for w := range ways {
			jobs = append(jobs, job{s, w})
		}
	}
	parallel(jobs, func(j job) {
		every := sized(40, 4, 1)
		if j.s.slow {
			every *= sized(30, 15, 1)
		}
		rng := rand.New(rand.NewPCG(seed, uint64(j.way)))
		c := ways[j.way].each(j.s, every, rng)
		mu.Lock()
		defer mu.Unlock()
		sum := total[j.s.name]
		sum.add(c)
		total[j.s.name] = sum
		if c.opened+c.wrong > 0 {
			t.Errorf("%s, %s: %d of %d opened, %d gave wrong bytes", j.s.name, ways[j.way].name, c.opened, c.tried, c.wrong)
		}
	})
	var all tally
	for name, c := range total {
		t.Logf("C2: %-15s %7d variants, %d opened", name, c.tried, c.opened)
		all.add(c)
	}
	t.Logf("C2: %d of %d variants refused", all.tried-all.opened, all.tried)
	if want := sized(5_000, 100_000, 1_000_000); all.tried < want {
		t.Errorf("only %d variants, want %d", all.tried, want)
	}
}

// TestHeaderBytes (C5) gives every byte of every header every other value.
func TestHeaderBytes(t *testing.T) {
	t.Parallel()
	list := subjects(t, 1)
	parallel(list, func(s subject) {
		var c tally
		every := sized(8, 1, 1)
		if s.slow {
			every = sized(61, 11, 1)
		}
		b := bytes.Clone(s.good)
		fields := s.header
		if s.fields > 0 {
			fields = s.fields
		}
		for i := range b[:min(fields, len(b))] {
			for v := 1; v < 256; v += every {
				b[i] ^= byte(v)
				c.add(s.try(b))
				b[i] ^= byte(v)
			}
		}
		t.Logf("C5: %-15s %5d values of %d header bytes, %d opened", s.name, c.tried, fields, c.opened)
		if c.opened+c.wrong > 0 || c.tried == 0 {
			t.Errorf("%s: %d of %d header bytes changed open, %d give wrong bytes", s.name, c.opened, c.tried, c.wrong)
		}
	})
}
