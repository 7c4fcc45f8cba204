package vfsframe

import (
	"io"
	"sync"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/internal/record"
)

const (
	// FrameSize is the plaintext of a full frame of class 1.
	FrameSize = 4096
	// sealedFrame is a full frame as it is stored.
	sealedFrame = FrameSize + gcmOverhead
	// batch is the number of frames that are written or read in one call.
	batch = 16
)

// Geometry returns the plaintext length and the number of frames of a closed class 1
// file of physical bytes.
func Geometry(physical int64) (plain, frames int64, err error) {
	n := physical - HeaderSize
	frames = max(1, (n+sealedFrame-1)/sealedFrame)
	last := n - (frames-1)*sealedFrame
	// One spelling: an empty last frame belongs to an empty file only.
	if last < gcmOverhead || last == gcmOverhead && frames > 1 {
		return 0, 0, ErrFormat
	}
	return n - frames*gcmOverhead, frames, nil
}

// StatSize is the plaintext length that a class 1 file of physical bytes has or will
// have, also when it is being written: an incomplete frame counts what it has.
func StatSize(physical int64) int64 {
	n := max(0, physical-HeaderSize)
	full, rest := n/sealedFrame, n%sealedFrame
	return full*FrameSize + max(0, rest-gcmOverhead)
}

// aad1 binds a frame of class 1 to its place.
func aad1(index int64, final bool) []byte {
	f := uint64(0)
	if final {
		f = 1
	}
	return enc.Encode("coffer/vfs/frame/v1", enc.Uint(uint64(index)), enc.Uint(f))
}

// TableWriter seals a class 1 file as it is written.
type TableWriter struct {
	codec *Codec
	emit  func([]byte) error
	index int64
	plain []byte // not sealed yet: at most one frame, kept because it may be the last
	out   []byte
	err   error
}

// NewTableWriter returns a writer that hands the stored bytes after the header to
// emit, which may overwrite them.
func (c *Codec) NewTableWriter(emit func([]byte) error) *TableWriter {
	return &TableWriter{codec: c, emit: emit, plain: make([]byte, 0, FrameSize)}
}

// Write seals and emits frames as they fill. An error is final.
func (w *TableWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && w.err == nil {
		if len(w.plain) == FrameSize {
			w.seal(w.plain, false)
			w.plain = w.plain[:0]
		}
		// Whole frames need no copy, as long as something follows them.
		for len(w.plain) == 0 && len(p) > FrameSize {
			w.seal(p[:FrameSize], false)
			p = p[FrameSize:]
		}
		k := min(FrameSize-len(w.plain), len(p))
		w.plain = append(w.plain, p[:k]...)
		p = p[k:]
	}
	w.flush()
	if w.err != nil {
		return 0, w.err
	}
	return n, nil
}

// Close seals the last frame and emits it.
func (w *TableWriter) Close() error {
	w.seal(w.plain, true)
	w.flush()
	return w.err
}

func (w *TableWriter) seal(p []byte, final bool) {
	if w.err == nil && w.index+1 >= maxFrames {
		w.err = ErrLimit
	}
	if w.err != nil {
		return
	}
	record.Record(w.codec.kind.record(), p)
	w.out = w.codec.aead.Seal(w.out, nil, p, aad1(w.index, final))
	w.index++
	if len(w.out) >= batch*sealedFrame {
		w.flush()
	}
}

func (w *TableWriter) flush() {
	if w.err == nil && len(w.out) > 0 {
		w.err = w.emit(w.out)
	}
	w.out = w.out[:0]
}

// TableReader reads a closed class 1 file anywhere. It is safe in parallel.
type TableReader struct {
	codec  *Codec
	src    io.ReaderAt
	plain  int64
	frames int64
}

// NewTableReader reads a file of physical bytes. The last frame is opened at once, so
// that a cut is found here.
func (c *Codec) NewTableReader(src io.ReaderAt, physical int64) (*TableReader, error) {
	plain, frames, err := Geometry(physical)
	if err != nil {
		return nil, err
	}
	r := &TableReader{codec: c, src: src, plain: plain, frames: frames}
	// Asking for the last byte (or, in an empty file, for none) opens the last frame.
	if _, err := r.read(make([]byte, 1), max(0, plain-1)); err != nil {
		return nil, err
	}
	return r, nil
}

// Size is the length of the plaintext.
func (r *TableReader) Size() int64 { return r.plain }

// ReadAt implements io.ReaderAt: no byte comes that is not authenticated.
func (r *TableReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, ErrFormat
	}
	if off >= r.plain {
		return 0, io.EOF
	}
	want := len(p)
	p = p[:min(int64(want), r.plain-off)]
	for n := 0; n < len(p); {
		k, err := r.read(p[n:], off+int64(n))
		if err != nil {
			return 0, err
		}
		n += k
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return len(p), nil
}

type tableBuffer struct {
	sealed [batch * sealedFrame]byte
	plain  [FrameSize]byte
}

var tableBuffers = sync.Pool{New: func() any { return new(tableBuffer) }}

// read opens the frames that hold off and what follows, up to a batch, and fills p
// from them.
func (r *TableReader) read(p []byte, off int64) (n int, err error) {
	buf := tableBuffers.Get().(*tableBuffer)
	defer tableBuffers.Put(buf)
	first, skip := off/FrameSize, int(off%FrameSize)
	count := min(batch, (int64(skip+len(p))+FrameSize-1)/FrameSize)
	start := first * sealedFrame
	end := min(start+count*sealedFrame, r.plain+r.frames*gcmOverhead)
	b := buf.sealed[:end-start]
	if k, err := r.src.ReadAt(b, HeaderSize+start); k < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	for i := first; len(b) > 0; i++ {
		k := min(len(b), sealedFrame)
		dst := buf.plain[:0]
		inPlace := skip == 0 && len(p)-n >= k-gcmOverhead
		if inPlace {
			dst = p[n:n]
		}
		plain, err := r.codec.aead.Open(dst, nil, b[:k], aad1(i, i == r.frames-1))
		if err != nil {
			return 0, ErrOpen
		}
		if inPlace {
			n += len(plain)
		} else {
			n += copy(p[n:], plain[skip:])
		}
		skip, b = 0, b[k:]
	}
	return n, nil
}

// StoredRange is where n bytes of plaintext at off lie in a class 1 file.
func StoredRange(off, n int64) (from, to int64) {
	first, last := off/FrameSize, (off+n+FrameSize-1)/FrameSize
	return HeaderSize + first*sealedFrame, HeaderSize + last*sealedFrame
}
