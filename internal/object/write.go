package object

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync"

	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
)

// Content is sealed and durable, and no row names it yet. Discard is required; after a
// committed Attach it does nothing.
type Content struct {
	DEK    *DEK
	Length int64

	s      *Store
	class  extent.Class
	chunks []writtenChunk

	mu       sync.Mutex
	attached bool // a transaction named it, committed or not
	done     bool // committed, or discarded
}

// writtenChunk is a chunk without its row.
type writtenChunk struct {
	id     keys.ID
	info   chunkInfo
	inline []byte // CFC1, by class in INFRA-1, when it is to lie in the row
}

// errShort says that a source ended before its announced length.
var errShort = errors.New("object: content is shorter than announced")

// Write seals exactly length bytes of src under d and makes them durable. It uses
// buffers of a fixed size whatever the length. A src that ends early is a fault of kind
// ContentLengthMismatch; its other errors are returned as they are.
func (s *Store) Write(ctx context.Context, d *DEK, class extent.Class, length int64, src io.Reader) (*Content, error) {
	class = max(class, s.ClassOf(d.owner, d.prot))
	c := &Content{DEK: d, Length: length, s: s, class: class}
	for left := length; left > 0; {
		n := min(left, s.layout.Chunk)
		if err := c.chunk(ctx, n, src); err != nil {
			c.Discard()
			return nil, writeFault(err)
		}
		left -= n
	}
	s.counters.SealedBytes.Add(length)
	return c, nil
}

func writeFault(err error) error {
	if errors.Is(err, errShort) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New("object.Write", "", fault.ContentLengthMismatch, err)
	}
	return classify("object.Write", err)
}

// chunk writes the next chunk of n bytes.
func (c *Content) chunk(ctx context.Context, n int64, src io.Reader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := writtenChunk{
		id: keys.NewID(),
		info: chunkInfo{
			lg:     c.s.layout.Lg,
			length: uint32(n),
			stored: uint32(segment.SealedSize(n, c.s.layout.Lg)),
			state:  ChunkLive,
		},
	}
	check := c.s.counters.written.Add(1)%c.s.sample == 0
	if c.Length <= c.s.layout.Inline {
		return c.inline(w, n, src, check)
	}
	return c.extent(ctx, w, n, src, check)
}

func (c *Content) params(w *writtenChunk) segment.Params {
	p := segment.Params{DEK: c.DEK.key, DEKID: c.DEK.id, Owner: c.DEK.owner, Chunk: w.id, Lg: w.info.lg}
	if c.s.sample == 1 {
		p.Check = 1 // every segment, before it is stored
	}
	return p
}

// inline seals a small content in memory.
func (c *Content) inline(w writtenChunk, n int64, src io.Reader, check bool) error {
	var plain []byte
	if n <= InlineMax {
		buf := smallBuffers.Get().(*[InlineMax]byte)
		defer smallBuffers.Put(buf)
		plain = buf[:n]
	} else {
		plain = make([]byte, n)
	}
	if _, err := io.ReadFull(src, plain); err != nil {
		return shortSource(err)
	}
	sealed, crc, err := segment.SealBytes(c.params(&w), plain)
	if err != nil {
		return err
	}
	w.inline, w.info.crc = sealed.Bytes(), crc
	if check {
		got, err := segment.OpenBytes(c.params(&w), w.inline)
		if err != nil || string(got) != string(plain) {
			return errReadBack
		}
		c.s.counters.Verified.Add(1)
	}
	if w.inline, err = c.s.infra(c.class, partAAD(c.part(&w), c.DEK.owner), w.inline); err != nil {
		return err
	}
	c.chunks = append(c.chunks, w)
	return nil
}

// part is the INLINE part of a chunk's row.
func (c *Content) part(w *writtenChunk) Part {
	return Part{Kind: PartInline, Protector: c.DEK.prot, Keyref: c.DEK.id, VID: w.id, Sealed: w.inline}
}

var smallBuffers = sync.Pool{New: func() any { return new([InlineMax]byte) }}

// errReadBack says that a chunk did not read back as it was written: the processor, the
// memory or the disk is at fault.
var errReadBack = fault.New("object.Write", "", fault.Internal, errors.New("a chunk does not read back as it was written"))

func shortSource(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errShort
	}
	return err
}

// extent seals a chunk into an extent.
func (c *Content) extent(ctx context.Context, w writtenChunk, n int64, src io.Reader, check bool) error {
	ew, err := c.s.extents.Create(ctx, c.class, int64(w.info.stored))
	if err != nil {
		return err
	}
	id := ew.Extent()
	c.s.held.count(c.s.held.pending, id, +1)
	var sum hash.Hash
	if check {
		sum = sha256.New()
		src = io.TeeReader(src, sum)
	}
	if err := c.stream(&w, n, src, ew); err != nil {
		ew.Abort()
		c.s.held.suspected(id)
		c.s.held.count(c.s.held.pending, id, -1)
		return err
	}
	w.info.place, err = ew.Commit()
	if err != nil {
		c.s.held.suspected(id)
		c.s.held.count(c.s.held.pending, id, -1)
		return err
	}
	c.s.counters.ChunkBytes.Add(int64(w.info.stored))
	c.chunks = append(c.chunks, w)
	if check {
		return c.readBack(&w, n, sum)
	}
	return nil
}

// stream seals n bytes of src into ew.
func (c *Content) stream(w *writtenChunk, n int64, src io.Reader, ew extent.Writer) error {
	sw, err := segment.NewWriter(c.params(w), n, ew.Write)
	if err != nil {
		return err
	}
	got, err := sw.ReadFrom(io.LimitReader(src, n))
	closed := sw.Close()
	switch {
	case err != nil:
		return shortSource(err)
	case got < n:
		return errShort
	case closed != nil:
		return closed
	}
	w.info.crc = sw.CRC32C()
	return nil
}

// readBack opens a chunk that was just written and compares what is in it.
func (c *Content) readBack(w *writtenChunk, n int64, want hash.Hash) error {
	r, err := segment.NewReader(c.params(w), n, placeReader{c.s.extents, w.info.place})
	if err != nil {
		return errReadBack
	}
	got := sha256.New()
	if err := r.WriteRange(got, 0, n); err != nil || string(got.Sum(nil)) != string(want.Sum(nil)) {
		return errReadBack
	}
	c.s.counters.Verified.Add(1)
	return nil
}

// placeReader reads the sealed bytes of one chunk.
type placeReader struct {
	extents extent.Store
	place   extent.Place
}

func (p placeReader) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || uint64(off) >= p.place.Length {
		return 0, io.EOF
	}
	short := uint64(len(b)) > p.place.Length-uint64(off)
	if short {
		b = b[:p.place.Length-uint64(off)]
	}
	if err := p.extents.ReadAt(p.place, b, off); err != nil {
		return 0, err
	}
	if short {
		return len(b), io.EOF
	}
	return len(b), nil
}

// Attach writes the rows of c's chunks and returns their references, in order.
func (tx *Tx) Attach(c *Content) ([]Ref, error) {
	if err := tx.Need(c.DEK.prot); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.attached = true
	c.mu.Unlock()
	refs := make([]Ref, 0, len(c.chunks))
	for _, w := range c.chunks {
		if err := tx.attach(c, w); err != nil {
			return nil, err
		}
		refs = append(refs, Ref{Chunk: w.id, DEKID: c.DEK.id, Length: w.info.length})
	}
	tx.attached = append(tx.attached, c)
	return refs, nil
}

func (tx *Tx) attach(c *Content, w writtenChunk) error {
	r := &Row{Owner: c.DEK.owner, Class: c.class, chunk: &w.info}
	if w.info.inline() {
		r.Parts = []Part{c.part(&w)}
	} else if err := tx.putPlace(w.info.place, c.DEK.owner, w.id); err != nil {
		return err
	}
	return tx.Put(Chunk, chunkKey(c.DEK.owner, w.id), r)
}

// committed is called after the transaction that attached c.
func (c *Content) committed() { c.finish(nil) }

// Discard gives up a content that was not committed. If a transaction tried, nobody
// knows whether it succeeded: then the collector looks for its rows later.
func (c *Content) Discard() {
	c.finish(func(w writtenChunk, attached bool) {
		id := w.info.place.Extent
		if !attached && w.info.place.Offset == 0 && int64(w.info.place.Length) >= extent.OwnSize {
			if c.s.extents.Remove(id) == nil {
				return
			}
		}
		c.s.held.suspected(id)
	})
}

// finish ends the life of c, once.
func (c *Content) finish(drop func(w writtenChunk, attached bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return
	}
	c.done = true
	for _, w := range c.chunks {
		if w.info.inline() {
			continue
		}
		if drop != nil {
			drop(w, c.attached)
		}
		c.s.held.count(c.s.held.pending, w.info.place.Extent, -1)
	}
	c.chunks = nil
}
