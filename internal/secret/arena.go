package secret

import (
	"math/bits"
	"slices"
	"sync"
)

const (
	minCell  = 32       // bytes of the smallest cell: a key
	maxCell  = 4 << 10  // larger keys get pages of their own
	slabSize = 16 << 10 // bytes of a slab, and so 512 keys
)

// keys is where all keys of the process live.
var keys arena

// arena hands out cells of 2^k bytes, cut from slabs of protected pages. A cell is
// zero when it is handed out: pages begin so, and release clears.
type arena struct {
	mu    sync.Mutex
	slabs [classes][]*slab // those with a free cell, by size
	all   []*slab
	bytes int // in cells that are in use
	cells int
	lacks []string // what the system refused
}

// classes is the number of cell sizes: 32, 64, .. 4096.
const classes = 8

// slab is a run of cells of one size.
type slab struct {
	arena *arena
	pages pages
	size  int   // of a cell
	class int   // index in arena.slabs; -1: one cell of its own size
	free  []int // offsets
	used  int
}

// cell is one piece of a slab.
type cell struct {
	slab *slab
	off  int
}

// bytes returns the first n bytes of the cell.
func (c cell) bytes(n int) []byte { return c.slab.pages.mem[c.off : c.off+n : c.off+n] }

// alloc returns a zero cell of at least n bytes.
func (a *arena) alloc(n int) cell {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.slabFor(n)
	c := cell{s, s.free[len(s.free)-1]}
	s.free = s.free[:len(s.free)-1]
	s.used++
	if len(s.free) == 0 && s.class >= 0 {
		a.forget(s)
	}
	a.cells++
	a.bytes += s.size
	return c
}

// slabFor returns a slab with a free cell for n bytes.
func (a *arena) slabFor(n int) *slab {
	if n > maxCell {
		return a.addSlab(n, n, -1)
	}
	class := classOf(n)
	if open := a.slabs[class]; len(open) > 0 {
		return open[len(open)-1]
	}
	s := a.addSlab(minCell<<class, slabSize, class)
	a.slabs[class] = append(a.slabs[class], s)
	return s
}

// classOf returns the class of the smallest cell that holds n bytes.
func classOf(n int) int {
	if n <= minCell {
		return 0
	}
	return bits.Len(uint(n-1)) - bits.Len(uint(minCell-1))
}

// addSlab maps a slab of total bytes cut into cells of size.
func (a *arena) addSlab(size, total, class int) *slab {
	p := mapPages(total)
	for _, lack := range p.lacks {
		if !slices.Contains(a.lacks, lack) {
			a.lacks = append(a.lacks, lack)
		}
	}
	s := &slab{arena: a, pages: p, size: size, class: class}
	for off := total - size; off >= 0; off -= size {
		s.free = append(s.free, off)
	}
	a.all = append(a.all, s)
	return s
}

// release wipes the cell and gives it back. A slab without keys is unmapped, unless it
// is the only one with room for its size.
func (c cell) release() {
	s, a := c.slab, c.slab.arena
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(c.bytes(s.size))
	a.cells--
	a.bytes -= s.size
	s.used--
	s.free = append(s.free, c.off)
	switch {
	case s.class < 0:
		a.drop(s)
	case s.used == 0 && len(a.slabs[s.class]) > 1:
		a.forget(s)
		a.drop(s)
	case len(s.free) == 1:
		a.slabs[s.class] = append(a.slabs[s.class], s)
	}
}

// forget takes s off the list of slabs with room.
func (a *arena) forget(s *slab) {
	a.slabs[s.class] = without(a.slabs[s.class], s)
}

// drop unmaps s.
func (a *arena) drop(s *slab) {
	a.all = without(a.all, s)
	s.pages.unmap()
}

func without(list []*slab, s *slab) []*slab {
	if i := slices.Index(list, s); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
