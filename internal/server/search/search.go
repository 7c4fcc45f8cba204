// Package search looks for given strings in files, as they are and in the forms in
// which a program would leave them behind: hexadecimal, base64 at each of its three
// alignments, UTF-16 of both byte orders. It is the proof that a disk holds no plaintext.
//
// It reads every byte once, in memory that does not depend on the size of a file, and
// looks for all strings at once: the first bytes of every pattern are kept in a filter,
// and only what passes the filter is compared.
package search

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MinNeedle is the shortest string that can be searched for: shorter ones are in any
// large file by chance.
const MinNeedle = 6

// Encodings are the forms that are searched for, by the names that hits carry.
var Encodings = []string{"raw", "hex", "base64", "utf-16"}

const (
	window     = 8 // bytes of a pattern in the filter, or fewer with shorter patterns
	filterBits = 18
	blockSize  = 1 << 20
)

// Hit is one place where a needle was found.
type Hit struct {
	Needle   int // index in the needles given to New
	Encoding string
	Offset   int64
}

type pattern struct {
	needle   int
	encoding string
	bytes    []byte
}

// Searcher looks for a set of needles. It is read only and may be used in parallel.
type Searcher struct {
	patterns []pattern
	mask     uint64 // of the window
	width    int    // of the window, in bytes
	longest  int
	block    int // bytes read at a time
	filter   []uint64
	byKey    map[uint64][]int // window of a pattern -> patterns
}

// New prepares the search for needles.
func New(needles [][]byte) (*Searcher, error) {
	if len(needles) == 0 {
		return nil, fmt.Errorf("search: nothing to search for")
	}
	s := &Searcher{width: window, block: blockSize, filter: make([]uint64, 1<<filterBits/64), byKey: map[uint64][]int{}}
	for i, n := range needles {
		if len(n) < MinNeedle {
			return nil, fmt.Errorf("search: string %d has %d bytes: under %d it would be found by chance", i+1, len(n), MinNeedle)
		}
		s.patterns = append(s.patterns, forms(i, n)...)
	}
	for _, p := range s.patterns {
		s.width = min(s.width, len(p.bytes))
		s.longest = max(s.longest, len(p.bytes))
	}
	s.mask = ^uint64(0) >> (64 - 8*s.width)
	for i, p := range s.patterns {
		k := s.key(p.bytes)
		s.byKey[k] = append(s.byKey[k], i)
		h := hash(k)
		s.filter[h/64] |= 1 << (h % 64)
	}
	return s, nil
}

// forms returns the patterns of one needle.
func forms(i int, n []byte) []pattern {
	var out []pattern
	add := func(encoding string, b []byte) {
		for _, p := range out {
			if string(p.bytes) == string(b) {
				return
			}
		}
		out = append(out, pattern{i, encoding, b})
	}
	add("raw", n)
	lower := hex.EncodeToString(n)
	add("hex", []byte(lower))
	add("hex", []byte(strings.ToUpper(lower)))
	for lead := range 3 {
		std := aligned(base64.RawStdEncoding, n, lead)
		add("base64", std)
		add("base64", aligned(base64.RawURLEncoding, n, lead))
	}
	le, be := wide(n)
	add("utf-16", le)
	add("utf-16", be)
	return out
}

// aligned returns the part of the base64 of n that does not depend on what stands
// around it when lead bytes (modulo 3) come before.
func aligned(e *base64.Encoding, n []byte, lead int) []byte {
	text := e.EncodeToString(append(make([]byte, lead), n...))
	first := (8*lead + 5) / 6       // the first character with bits of n only
	last := 8 * (lead + len(n)) / 6 // past the last one
	return []byte(text)[first:last:last]
}

func wide(n []byte) (le, be []byte) {
	var units []uint16
	if utf8.Valid(n) {
		units = utf16.Encode([]rune(string(n)))
	} else {
		for _, b := range n {
			units = append(units, uint16(b))
		}
	}
	for _, u := range units {
		le = binary.LittleEndian.AppendUint16(le, u)
		be = binary.BigEndian.AppendUint16(be, u)
	}
	return le, be
}

func (s *Searcher) key(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b) & s.mask
	}
	var w [8]byte
	copy(w[:], b)
	return binary.LittleEndian.Uint64(w[:]) & s.mask
}

func hash(k uint64) uint64 { return k * 0x9E3779B97F4A7C15 >> (64 - filterBits) }

// Reader searches r to its end and calls found for every hit, in ascending order of
// offsets. It returns the number of bytes read.
func (s *Searcher) Reader(r io.Reader, found func(Hit)) (int64, error) {
	buf := make([]byte, 0, s.block+s.longest+8)
	var base int64 // offset of buf[0]
	for {
		n, err := io.ReadFull(r, buf[len(buf):len(buf)+s.block])
		buf = buf[:len(buf)+n]
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return base + int64(len(buf)), err
		}
		// Positions whose longest pattern might go on in the next block wait for it.
		upto := len(buf) - s.longest + 1
		if end {
			upto = len(buf) - s.width + 1
		}
		upto = max(upto, 0)
		s.scan(buf, upto, base, found)
		if end {
			return base + int64(len(buf)), nil
		}
		rest := copy(buf, buf[upto:])
		buf = buf[:rest]
		base += int64(upto)
	}
}

// scan looks for patterns that begin in b[:upto].
func (s *Searcher) scan(b []byte, upto int, base int64, found func(Hit)) {
	fast := min(upto, len(b)-7)
	i := 0
	for ; i < fast; i++ {
		k := binary.LittleEndian.Uint64(b[i:]) & s.mask
		if h := hash(k); s.filter[h/64]&(1<<(h%64)) != 0 {
			s.compare(b, i, k, base, found)
		}
	}
	for ; i < upto; i++ {
		s.compare(b, i, s.key(b[i:]), base, found)
	}
}

func (s *Searcher) compare(b []byte, i int, k uint64, base int64, found func(Hit)) {
	for _, n := range s.byKey[k] {
		p := s.patterns[n]
		if len(b)-i >= len(p.bytes) && slices.Equal(b[i:i+len(p.bytes)], p.bytes) {
			found(Hit{Needle: p.needle, Encoding: p.encoding, Offset: base + int64(i)})
		}
	}
}
