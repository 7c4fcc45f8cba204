package vfsframe

import (
	"bytes"
	"io"
)

// Tail says how a class 2 file ended.
type Tail struct {
	Seq    uint64 // last good frame
	Synced uint64 // highest frame that the good ones say was durable
	Size   int64  // bytes up to the end of the last good frame, header included
	Lost   int64  // bytes after it, which no sync ever covered
	Ended  bool   // the last good frame is the end frame: closed in order
}

// Scanner reads the frames of a class 2 file from the start.
type Scanner struct {
	codec *Codec
	w     window
	tail  Tail
	plain []byte
	done  error // io.EOF, or what ended the scan
	found func(head) bool
}

// NewScanner reads a file of size bytes. It is not safe in parallel.
func (c *Codec) NewScanner(src io.ReaderAt, size int64) *Scanner {
	return &Scanner{codec: c, w: window{src: src, size: size}, tail: Tail{Size: HeaderSize}}
}

// Next returns the content of the next frame, valid until the following call. At the
// end it returns io.EOF, or ErrTail when something that was durable is damaged.
func (s *Scanner) Next() ([]byte, error) {
	if s.done != nil {
		return nil, s.done
	}
	h, p, err := s.frame(s.tail.Size)
	switch {
	case err == nil && h.seq == s.tail.Seq+1 && h.synced >= s.tail.Synced:
	case err == nil || err == ErrOpen:
		return nil, s.finish()
	default:
		s.done = err
		return nil, err
	}
	s.tail.Seq, s.tail.Synced = h.seq, h.synced
	s.tail.Size += int64(AppendOverhead + h.len)
	if h.len == 0 {
		// Nothing may follow the end frame.
		s.tail.Ended = true
		s.done = io.EOF
		if s.tail.Size != s.w.size {
			s.done = ErrTail
		}
		return nil, s.done
	}
	return p, nil
}

// Tail is complete after Next returned io.EOF.
func (s *Scanner) Tail() Tail { return s.tail }

// finish applies the tail rule: the frame k that should come next is bad. If a frame
// behind it says that k was durable, the file is damaged; otherwise it just ends.
func (s *Scanner) finish() error {
	k := s.tail.Seq + 1
	s.done = io.EOF
	for off := s.tail.Size; ; off++ {
		next, err := s.w.find(off, s.codec.marker[:])
		if err == io.EOF {
			break
		}
		if err != nil {
			s.done = err
			return s.done
		}
		off = next
		s.found = func(h head) bool { return h.seq > k && h.synced >= k }
		_, _, err = s.frame(off)
		s.found = nil
		if err == nil {
			s.done = ErrTail
			return s.done
		}
		if err != ErrOpen {
			s.done = err
			return s.done
		}
	}
	s.tail.Lost = s.w.size - s.tail.Size
	return s.done
}

// frame opens the frame at off. ErrOpen: there is none (that found, if set, wants).
func (s *Scanner) frame(off int64) (head, []byte, error) {
	b, err := s.w.bytes(off, frameHead)
	if err != nil {
		return head{}, nil, noFrame(err)
	}
	h, ok := s.codec.parseHead(b)
	if !ok || s.found != nil && !s.found(h) {
		return head{}, nil, ErrOpen
	}
	if b, err = s.w.bytes(off, AppendOverhead+h.len); err != nil {
		return head{}, nil, noFrame(err)
	}
	p, err := s.codec.aead.Open(s.plain[:0], nil, b[frameHead:], aad2(b[:frameHead]))
	if err != nil {
		return head{}, nil, ErrOpen
	}
	s.plain = p
	return h, p, nil
}

// noFrame turns the end of the file into ErrOpen; other errors are the source's.
func noFrame(err error) error {
	if err == io.EOF {
		return ErrOpen
	}
	return err
}

// window is a part of a file in memory.
type window struct {
	src  io.ReaderAt
	size int64
	off  int64
	buf  []byte
}

const windowSize = 64 << 10

// bytes returns n bytes at off, valid until the next call. io.EOF: the file is shorter.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if off+int64(n) > w.size {
		return nil, io.EOF
	}
	if off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		if err := w.load(off, n); err != nil {
			return nil, err
		}
	}
	return w.buf[off-w.off:][:n], nil
}

func (w *window) load(off int64, n int) error {
	want := int(min(max(int64(n), windowSize), w.size-off))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.off = w.buf[:want], off
	if k, err := w.src.ReadAt(w.buf, off); k < want {
		w.buf = w.buf[:0]
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// find returns the next place of pattern at or after off, or io.EOF.
func (w *window) find(off int64, pattern []byte) (int64, error) {
	for off+int64(len(pattern)) <= w.size {
		n := int(min(windowSize, w.size-off))
		b, err := w.bytes(off, n)
		if err != nil {
			return 0, err
		}
		if i := bytes.Index(b, pattern); i >= 0 {
			return off + int64(i), nil
		}
		off += int64(n - len(pattern) + 1)
	}
	return 0, io.EOF
}
