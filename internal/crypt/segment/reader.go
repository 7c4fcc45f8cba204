package segment

import (
	"errors"
	"io"
)

// Reader reads one chunk. It may be used by one goroutine at a time.
type Reader struct {
	s   sealer
	src io.ReaderAt
}

// Opened is a chunk whose header was checked, with its key: it makes Readers that do not
// read the header again. It is safe in parallel.
type Opened struct{ s sealer }

// Open opens a chunk as NewReader does.
func Open(p Params, n int64, src io.ReaderAt) (*Opened, error) {
	header := make([]byte, HeaderSize)
	if err := readFull(src, header, 0); err != nil {
		return nil, err
	}
	s, err := openSealer(p, n, header)
	if err != nil {
		return nil, err
	}
	return &Opened{*s}, nil
}

// Reader reads the chunk from src, which holds the sealed bytes that were opened.
func (o *Opened) Reader(src io.ReaderAt) *Reader { return &Reader{o.s, src} }

// NewReader opens a chunk of n bytes of plaintext, whose sealed bytes src holds from
// offset 0. It reads and checks the header. n must come from an authenticated record:
// a chunk that was cut fails only at its last segment, and bytes behind the chunk are not
// seen: that the stored size is SealedSize(n, lg) is for the caller to check.
func NewReader(p Params, n int64, src io.ReaderAt) (*Reader, error) {
	o, err := Open(p, n, src)
	if err != nil {
		return nil, err
	}
	return o.Reader(src), nil
}

// WriteRange writes plaintext [off, off+n) to w. No byte goes to w before its segment is
// authenticated; at the first bad one it stops with ErrOpen. Errors of w and of the
// source are returned as they are. It holds one batch of sealed bytes and up to 128 KiB
// of plaintext (a segment at least): a range of 64 KiB is one write.
func (r *Reader) WriteRange(w io.Writer, off, n int64) error {
	if off < 0 || n < 0 || off > r.s.n || n > r.s.n-off {
		return ErrParams
	}
	if n == 0 {
		return nil
	}
	c := &cursor{s: &r.s, w: w, off: off, end: off + n}
	full := int64(1)<<r.s.lg + SegOverhead
	first, last := off>>r.s.lg, (off+n-1)>>r.s.lg
	per := min(perBatch(r.s.lg), last-first+1)

	ct := sealedPool.get(int(per * full))
	defer sealedPool.put(ct)
	pool := &plainPool
	if first < last {
		pool = &rangePool
	}
	c.plain = pool.get(1 << r.s.lg)
	defer pool.put(c.plain)

	for i := first; i <= last; i += per {
		j := min(i+per-1, last) // last of this batch
		b := (*ct)[:(j-i)*full+int64(r.s.plainLen(j)+SegOverhead)]
		if err := readFull(r.src, b, HeaderSize+i*full); err != nil {
			return err
		}
		if err := c.batch(i, j, b); err != nil {
			return err
		}
	}
	return c.flush()
}

// cursor writes the part of segments that lies in a range, gathering small ones.
type cursor struct {
	s        *sealer
	w        io.Writer
	off, end int64 // what is still wanted
	plain    *[]byte
}

// batch opens segments i to j, which b holds.
func (c *cursor) batch(i, j int64, b []byte) error {
	for ; i <= j; i++ {
		k := c.s.plainLen(i) + SegOverhead
		if len(*c.plain)+k-SegOverhead > cap(*c.plain) {
			if err := c.flush(); err != nil {
				return err
			}
		}
		if err := c.segment(i, b[:k]); err != nil {
			return err
		}
		b = b[k:]
	}
	return nil
}

// segment opens one segment behind the plaintext that waits and keeps what is wanted.
func (c *cursor) segment(i int64, b []byte) error {
	have := len(*c.plain)
	p, err := c.s.open(*c.plain, i, b)
	if err != nil {
		return err
	}
	start := i << c.s.lg
	lo := max(c.off-start, 0)
	hi := min(c.end-start, int64(len(p)-have))
	k := copy(p[have:], p[int64(have)+lo:int64(have)+hi])
	*c.plain = p[:have+k]
	return nil
}

// flush writes the plaintext that waits.
func (c *cursor) flush() error {
	if len(*c.plain) == 0 {
		return nil
	}
	_, err := c.w.Write(*c.plain)
	*c.plain = (*c.plain)[:0]
	return err
}

// readFull fills p from src. A source that ends early has not the form announced.
func readFull(src io.ReaderAt, p []byte, off int64) error {
	n, err := src.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return ErrFormat
	}
	return err
}
