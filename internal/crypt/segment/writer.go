package segment

import (
	"hash/crc32"
	"io"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
	"github.com/coffer-storage/coffer/internal/crypt/internal/sealed"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Writer seals one chunk of a length that is known beforehand. It holds one segment of
// plaintext, and a batch and a segment of sealed bytes. Its errors are sticky, and Close is required:
// it gives the buffers back.
type Writer struct {
	s    *sealer
	emit func(crypt.Sealed) error
	crc  uint32
	got  int64 // plaintext bytes taken
	next int64 // next segment
	err  error

	plain *[]byte // plaintext of the segment that is not full yet; nil when never needed
	out   *[]byte // sealed bytes not emitted yet; nil after Close
}

// NewWriter begins a chunk of exactly n bytes of plaintext. emit gets the chunk's bytes
// in order, from within Write, ReadFrom and Close, in pieces of a multiple of 256 KiB and
// a last one of what is left: a file takes whole pages for less than it takes pages in
// parts. What emit is given is reused after it returns.
func NewWriter(p Params, n int64, emit func(crypt.Sealed) error) (*Writer, error) {
	h := Header{Version: version, Suite: suite, Lg: p.Lg, Chunk: p.Chunk}
	s, commitment, err := newSealer(p, n, h.Append(nil))
	if err != nil {
		return nil, err
	}
	h.Commitment = commitment
	w := &Writer{s: s, emit: emit}
	w.out = sealedPool.get(batch + 1<<p.Lg + SegOverhead)
	*w.out = h.Append(*w.out)
	return w, nil
}

// Write takes the next bytes of plaintext. More than announced is ErrLength.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if int64(len(p)) > w.s.n-w.got-int64(w.pending()) {
		return 0, w.fail(ErrLength)
	}
	total := len(p)
	for len(p) > 0 {
		need := w.s.plainLen(w.next)
		if w.pending() == 0 && len(p) >= need { // a whole segment: no copy
			if err := w.seal(p[:need]); err != nil {
				return total - len(p), err
			}
			p = p[need:]
			continue
		}
		buf := w.segment()
		k := min(need-len(buf), len(p))
		*w.plain = append(buf, p[:k]...)
		p = p[k:]
		if err := w.full(need); err != nil {
			return total - len(p), err
		}
	}
	return total, nil
}

// ReadFrom takes plaintext from r until the chunk is full or r ends. It reads no byte
// beyond the chunk, so r may hold several. An r that ends early shows at Close.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	for w.err == nil && w.got+int64(w.pending()) < w.s.n {
		need := w.s.plainLen(w.next)
		buf := w.segment()
		k, err := io.ReadFull(r, buf[len(buf):need])
		*w.plain = buf[:len(buf)+k]
		total += int64(k)
		if k > 0 && w.full(need) != nil {
			break
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return total, nil
		}
		if err != nil {
			return total, w.fail(err)
		}
	}
	return total, w.err
}

// pending is the number of bytes that wait for a full segment.
func (w *Writer) pending() int {
	if w.plain == nil {
		return 0
	}
	return len(*w.plain)
}

// segment returns the plaintext that waits, with room for the whole segment.
func (w *Writer) segment() []byte {
	if w.plain == nil {
		w.plain = plainPool.get(w.s.plainLen(0))
	}
	return *w.plain
}

// full seals the plaintext that waits if there are need bytes of it.
func (w *Writer) full(need int) error {
	if w.pending() < need {
		return nil
	}
	err := w.seal(*w.plain)
	*w.plain = (*w.plain)[:0]
	return err
}

// seal seals the next segment, and emits what fills batches. What the last one makes is
// left to Close, so that no small piece follows.
func (w *Writer) seal(plaintext []byte) error {
	record.Record(record.Chunk, plaintext)
	out, err := w.s.seal(*w.out, w.next, plaintext)
	if err != nil {
		return w.fail(err)
	}
	*w.out = out
	w.next++
	w.got += int64(len(plaintext))
	if len(out) < batch || w.next == w.s.count {
		return nil
	}
	return w.flush(len(out) / batch * batch)
}

// flush emits the first n sealed bytes.
func (w *Writer) flush(n int) error {
	piece, rest := (*w.out)[:n], (*w.out)[n:]
	w.crc = crc32.Update(w.crc, castagnoli, piece)
	if err := w.emit(sealed.Make(piece)); err != nil {
		return w.fail(err)
	}
	*w.out = append(piece[:0], rest...) // in place; tens of bytes a segment
	return nil
}

// fail makes err the Writer's last word.
func (w *Writer) fail(err error) error {
	w.err = err
	return err
}

// Close emits the rest. It returns ErrLength unless exactly the announced number of bytes
// came, and then the chunk is not complete. Closing again returns the same.
func (w *Writer) Close() error {
	if w.out == nil {
		return w.err
	}
	if w.err == nil && w.s.n == 0 {
		w.seal(nil)
	}
	if w.err == nil && w.got != w.s.n {
		w.fail(ErrLength)
	}
	if w.err == nil {
		w.flush(len(*w.out))
	}
	w.release()
	return w.err
}

// release gives the buffers back. Later writes fail, with an error or with ErrLength
// because the chunk is full; an empty Write needs no buffer.
func (w *Writer) release() {
	if w.plain != nil {
		plainPool.put(w.plain)
		w.plain = nil
	}
	sealedPool.put(w.out)
	w.out = nil
}

// CRC32C is the CRC-32C of all bytes emitted so far: after Close, of the chunk.
func (w *Writer) CRC32C() uint32 { return w.crc }
