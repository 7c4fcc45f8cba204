package object

import (
	"context"
	"errors"
	"io"

	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

// Reader reads a range of a content, once. Close is required: until then the content is
// not removed, whatever happens to its row.
type Reader struct {
	s       *Store
	ctx     context.Context
	row     *Row
	off     int64 // next byte
	end     int64
	queue   []span
	deks    map[keys.ID]*DEK
	release func()
	fresh   bool // takes no header and no map row that was opened before

	tx    *Tx        // the View that opens, while it does
	small []byte     // the whole range, opened already, when it is one inline chunk
	first *openChunk // the first of a short range
}

// span is a range of one chunk.
type span struct {
	ref    Ref
	lo, hi int64 // in the plaintext of the chunk
}

// Open prepares to read n bytes from off on. What can be wrong with the first of them
// is found here: keys that may not be used, a missing chunk, a small chunk that does not
// authenticate. ctx ends the Reader.
func (s *Store) Open(ctx context.Context, r *Row, off, n int64) (rd *Reader, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		rd, err = tx.Open(ctx, r, off, n)
		return err
	})
	return rd, err
}

// Open is Store.Open in the View that found r. The Reader outlives it.
func (tx *Tx) Open(ctx context.Context, r *Row, off, n int64) (*Reader, error) {
	s := tx.s
	if off < 0 || n < 0 || off > r.Length() || n > r.Length()-off {
		return nil, fault.New("object.Open", "", fault.InvalidRange, nil)
	}
	rd := &Reader{
		s: s, ctx: ctx, row: r, off: off, end: off + n, tx: tx, fresh: n > keepOpen,
		deks:    make(map[keys.ID]*DEK, 1),
		release: s.held.holdDEKs(dekIDs(r.DEKs)),
	}
	err := rd.prepare()
	rd.tx = nil
	if err != nil {
		rd.Close()
		return nil, classify("object.Open", err)
	}
	return rd, nil
}

// prepare opens what the first bytes need.
func (r *Reader) prepare() error {
	if r.off == r.end {
		return nil
	}
	if err := r.fill(); err != nil {
		return err
	}
	if _, err := r.dek(r.queue[0].ref.DEKID); err != nil {
		return err
	}
	c, err := r.resolve(r.queue[0])
	if err != nil {
		return err
	}
	sp := r.queue[0]
	if sp.hi-sp.lo == r.end-r.off && c.info.inline() {
		defer c.done()
		r.small, err = c.bytes(sp)
		return err
	}
	if err := c.check(); err != nil || r.end-r.off > keepOpen {
		c.done()
		return err
	}
	r.first = c
	return nil
}

// keepOpen is the longest range whose first chunk stays open, and in its place, from
// Open on: such a range is read in a moment. It is also the longest that is read with
// headers and map rows that were opened before; to a longer one they cost nothing.
const keepOpen = 256 << 10

// view runs f in the View that opens, or in a new one.
func (r *Reader) view(f func(*Tx) error) error {
	if r.tx != nil {
		return f(r.tx)
	}
	return r.s.View(r.ctx, f)
}

// Close lets the content go. Closing again does nothing.
func (r *Reader) Close() error {
	if r.release == nil {
		return nil
	}
	if r.first != nil {
		r.first.done()
		r.first = nil
	}
	for _, d := range r.deks {
		d.Close()
	}
	r.release()
	r.release = nil
	return nil
}

// WriteTo writes the range to w. No byte is written before it is authenticated. When
// stored bytes do not authenticate, the error is a fault of kind Corrupt and less than
// the range was written; errors of w are returned as they are.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	if r.release == nil {
		return 0, errors.New("object: Reader is closed")
	}
	if r.small != nil {
		if err := r.may(); err != nil {
			return 0, classify("object.Read", err)
		}
		n, err := w.Write(r.small)
		r.off += int64(n)
		r.s.counters.OpenedBytes.Add(int64(n))
		r.small = nil
		return int64(n), err
	}
	cw := &countingWriter{w: w, may: r.may}
	err := r.send(cw)
	r.s.counters.OpenedBytes.Add(cw.n)
	return cw.n, classify("object.Read", err)
}

// send writes the rest of the range to w.
func (r *Reader) send(w io.Writer) error {
	if r.end-r.off <= aheadFrom {
		return r.copy(w)
	}
	defer r.s.long.end()
	if r.s.long.begin() {
		return writeAhead(w, r.copy)
	}
	return r.copy(w)
}

// may says why the content may not be given out any more, or nil. A protector that is
// disabled stops the streams that are on their way.
func (r *Reader) may() error {
	for _, d := range r.row.DEKs {
		if err := r.s.Usable(r.ctx, d.Protector); err != nil {
			return err
		}
	}
	return nil
}

type countingWriter struct {
	w   io.Writer
	n   int64
	may func() error // asked before every segment
}

func (c *countingWriter) Write(b []byte) (int, error) {
	if err := c.may(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// copy writes the rest of the range to w, chunk by chunk.
func (r *Reader) copy(w io.Writer) error {
	for r.off < r.end {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if len(r.queue) == 0 {
			if err := r.fill(); err != nil {
				return err
			}
		}
		sp := r.queue[0]
		if err := r.span(w, sp); err != nil {
			return err
		}
		r.queue = r.queue[1:]
		r.off += sp.hi - sp.lo
	}
	return nil
}

func (r *Reader) span(w io.Writer, sp span) error {
	c := r.first
	r.first = nil
	if c == nil {
		var err error
		if c, err = r.resolve(sp); err != nil {
			return err
		}
	}
	defer c.done()
	return c.write(w, sp)
}

// fill gets the next references: all of a short content, one map row of a long one.
func (r *Reader) fill() error {
	if r.row.mapped.count == 0 {
		_, err := eachPiece(r.row, r.off, r.enqueue)
		return errOr(err, len(r.queue) > 0)
	}
	if !r.fresh {
		if row := r.s.maps.holding(r.row, r.off); row != nil {
			_, err := eachPiece(row, r.off, r.enqueue)
			return err
		}
	}
	err := r.view(func(tx *Tx) error {
		return tx.mapRows(r.row, mapKey(r.row.Owner, r.row.mapped.id, r.off+1), func(row *Row) (bool, error) {
			if !r.fresh {
				r.s.maps.put(r.row, row)
			}
			_, err := eachPiece(row, r.off, r.enqueue)
			return false, err
		})
	})
	return errOr(err, len(r.queue) > 0)
}

// errOr makes a missing part of a content an error.
func errOr(err error, found bool) error {
	if err == nil && !found {
		return fault.New("object.Read", "", fault.Corrupt, errors.New("a part of the content is missing"))
	}
	return err
}

// enqueue adds the spans of a piece that lie in the range.
func (r *Reader) enqueue(at int64, p Piece) (bool, error) {
	for _, ref := range p.Refs {
		lo, hi := max(r.off, at), min(r.end, at+int64(ref.Length))
		if lo < hi {
			base := int64(ref.Offset) - at
			r.queue = append(r.queue, span{ref, base + lo, base + hi})
		}
		at += int64(ref.Length)
	}
	return at < r.end, nil
}

// dek opens a data key of the content, once.
func (r *Reader) dek(id keys.ID) (*DEK, error) {
	if d, ok := r.deks[id]; ok {
		return d, nil
	}
	e, ok := r.row.DEK(id)
	if !ok {
		return nil, fault.New("object.Read", "", fault.Corrupt, errors.New("reference under a data key that the row does not hold"))
	}
	d, err := r.s.openEntry(r.ctx, r.row, e)
	if err != nil {
		return nil, err
	}
	r.deks[id] = d
	return d, nil
}

// openChunk is a chunk whose place is known and will stay until done.
type openChunk struct {
	r    *Reader
	ref  Ref
	dek  *DEK
	info *chunkInfo
	part []byte // INLINE
	src  *segment.Reader
	done func()
}

// resolve finds a chunk. Its place is looked up as late as possible and held only while
// it is read, so that compaction may move the others.
func (r *Reader) resolve(sp span) (*openChunk, error) {
	d, err := r.dek(sp.ref.DEKID)
	if err != nil {
		return nil, err
	}
	c := &openChunk{r: r, ref: sp.ref, dek: d, done: func() {}}
	err = r.view(func(tx *Tx) error {
		row, err := tx.Get(Chunk, r.row.Owner, chunkKey(r.row.Owner, sp.ref.Chunk))
		if err != nil {
			return err
		}
		if row.class() != r.row.class() {
			return fault.New("object.Read", Chunk.Name, fault.Corrupt, errClass)
		}
		c.info = row.chunk
		if row.chunk.inline() {
			c.part, err = r.s.inlinePart(row, sp.ref)
			return err
		}
		id, h := row.chunk.place.Extent, r.s.held
		h.count(h.reading, id, +1)
		c.done = func() { h.count(h.reading, id, -1) }
		return nil
	})
	if errors.Is(err, meta.ErrNotFound) {
		err = fault.New("object.Read", "", fault.Corrupt, errors.New("a chunk of the content is missing"))
	}
	if err == nil && sp.hi > int64(c.info.length) {
		err = fault.New("object.Read", "", fault.Corrupt, errors.New("reference behind the end of its chunk"))
	}
	if err != nil {
		c.done()
		return nil, err
	}
	return c, nil
}

// inlinePart is the chunk in the INLINE part of its row, if it is the one that ref means.
func (s *Store) inlinePart(row *Row, ref Ref) ([]byte, error) {
	p, ok := row.Part(PartInline)
	if !ok || p.Keyref != ref.DEKID || p.VID != ref.Chunk {
		return nil, fault.New("object.Read", Chunk.Name, fault.Corrupt, errors.New("inline part of another chunk"))
	}
	return s.inlineChunk(row, p)
}

// inlineChunk takes the second layer off an INLINE part.
func (s *Store) inlineChunk(row *Row, p Part) ([]byte, error) {
	b, err := s.inner(row.class(), row.Owner, p)
	if fault.Is(err, fault.KeyGone) {
		return nil, err
	}
	if err == nil && len(b) != int(row.chunk.stored) {
		err = errSYS
	}
	if err != nil {
		return nil, fault.New("object.Read", Chunk.Name, fault.Corrupt, err)
	}
	return b, nil
}

func (c *openChunk) params() segment.Params {
	return segment.Params{DEK: c.dek.key, DEKID: c.dek.id, Owner: c.dek.owner, Chunk: c.ref.Chunk, Lg: c.info.lg}
}

// bytes opens an inline chunk.
func (c *openChunk) bytes(sp span) ([]byte, error) {
	b, err := segment.OpenBytes(c.params(), c.part)
	if err == nil && len(b) != int(c.info.length) {
		err = segment.ErrFormat
	}
	if err != nil {
		return nil, c.damaged(err)
	}
	return b[sp.lo:sp.hi], nil
}

// check reads the header of a chunk in an extent.
func (c *openChunk) check() error {
	if c.info.inline() {
		return nil
	}
	_, err := c.reader()
	return err
}

// reader opens the chunk, once.
func (c *openChunk) reader() (*segment.Reader, error) {
	if c.src != nil {
		return c.src, nil
	}
	src := placeReader{c.r.s.extents, c.info.place}
	o, err := c.opened(src)
	if err != nil {
		return nil, c.sourceError(err)
	}
	c.src = o.Reader(src)
	return c.src, nil
}

// opened checks the header of the chunk, unless that was done a moment ago.
func (c *openChunk) opened(src placeReader) (*segment.Opened, error) {
	k, at := c.dek.dataKey, openedAt{c.ref.Chunk, c.info.place}
	if c.r.fresh || k.chunks == nil {
		return segment.Open(c.params(), int64(c.info.length), src)
	}
	if o := k.chunks.get(k, at); o != nil {
		return o, nil
	}
	o, err := segment.Open(c.params(), int64(c.info.length), src)
	if err == nil {
		k.chunks.put(k, at, o)
	}
	return o, err
}

// write writes a span of the chunk to w.
func (c *openChunk) write(w io.Writer, sp span) error {
	if c.info.inline() {
		b, err := c.bytes(sp)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}
	sr, err := c.reader()
	if err != nil {
		return err
	}
	return c.sourceError(sr.WriteRange(w, sp.lo, sp.hi-sp.lo))
}

// sourceError tells damage from other errors, those of the client among them.
func (c *openChunk) sourceError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, segment.ErrOpen), errors.Is(err, segment.ErrFormat),
		errors.Is(err, extent.ErrNotFound), errors.Is(err, extent.ErrDamaged):
		return c.damaged(err)
	}
	return err
}

// damaged marks the chunk in its row and tells the owner of the process. The mark is
// for reports: reads go on trying, and sound ranges are served.
func (c *openChunk) damaged(cause error) error {
	s, owner := c.r.s, c.r.row.Owner
	s.report(owner, c.ref.Chunk, cause)
	if c.info.state != ChunkQuarantined {
		// Of no consequence if it fails: the next reader finds the same.
		err := s.quarantine(context.WithoutCancel(c.r.ctx), owner, c.ref.Chunk)
		if err != nil {
			s.log.Warn("chunk could not be marked as quarantined", "err", err)
		}
	}
	return fault.New("object.Read", "", fault.Corrupt, cause)
}

// quarantine sets the state of a chunk row.
func (s *Store) quarantine(ctx context.Context, owner, chunk keys.ID) error {
	return s.Update(meta.WithReclaim(ctx), func(tx *Tx) error {
		key := chunkKey(owner, chunk)
		row, err := tx.Get(Chunk, owner, key)
		if err != nil {
			return notFoundIsNil(err)
		}
		row.chunk.state = ChunkQuarantined
		return tx.Put(Chunk, key, row)
	})
}
