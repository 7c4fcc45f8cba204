package object

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// aheadFrom is the length of a read from which reading and decrypting overlap with
	// sending, while there are processors for it.
	aheadFrom = 512 << 10
	// aheadBuffer is the size of each of the two buffers between them.
	aheadBuffer = 256 << 10
)

// longReads counts the long reads that are on their way.
type longReads struct{ n atomic.Int64 }

// begin counts a read in, until end, and reports whether it may use a second processor.
// Beside as many others as there are processors to keep busy it may not: overlapping
// gains nothing then, and what one goroutine decrypts and sends itself need not be
// copied, nor travel to the cache of another processor.
func (l *longReads) begin() (ahead bool) {
	return 2*l.n.Add(1) <= int64(runtime.GOMAXPROCS(0))
}

func (l *longReads) end() { l.n.Add(-1) }

var aheadBuffers = sync.Pool{New: func() any { return new([aheadBuffer]byte) }}

// writeAhead runs produce in a goroutine of its own and writes to w what it writes, one
// buffer behind. It returns after produce did. An error of w stops produce and wins.
func writeAhead(w io.Writer, produce func(io.Writer) error) error {
	p := &ahead{
		free: make(chan *[aheadBuffer]byte, 2),
		full: make(chan aheadBlock),
		stop: make(chan struct{}),
	}
	var buffers [2]*[aheadBuffer]byte
	for i := range buffers {
		buffers[i] = aheadBuffers.Get().(*[aheadBuffer]byte)
		p.free <- buffers[i]
	}
	done := make(chan error, 1)
	go func() {
		err := produce(p)
		if err == nil {
			err = p.flush()
		}
		close(p.full)
		done <- err
	}()
	werr := p.drain(w)
	err := <-done
	for _, b := range buffers {
		aheadBuffers.Put(b)
	}
	if werr != nil {
		return werr
	}
	return err
}

type aheadBlock struct {
	b *[aheadBuffer]byte
	n int
}

// ahead is the writer that produce sees.
type ahead struct {
	free chan *[aheadBuffer]byte
	full chan aheadBlock
	stop chan struct{} // closed when w failed
	now  aheadBlock
}

// drain writes full buffers to w until produce ends.
func (p *ahead) drain(w io.Writer) error {
	var failed error
	for block := range p.full {
		if failed != nil {
			continue
		}
		if _, err := w.Write(block.b[:block.n]); err != nil {
			failed = err
			close(p.stop)
			continue
		}
		p.free <- block.b
	}
	return failed
}

// Write implements io.Writer.
func (p *ahead) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		if p.now.b == nil {
			select {
			case p.now.b = <-p.free:
			case <-p.stop:
				return total - len(b), io.ErrClosedPipe
			}
		}
		n := copy(p.now.b[p.now.n:], b)
		p.now.n += n
		b = b[n:]
		if p.now.n == aheadBuffer {
			if err := p.flush(); err != nil {
				return total - len(b), err
			}
		}
	}
	return total, nil
}

// flush passes the buffer on.
func (p *ahead) flush() error {
	if p.now.n == 0 {
		return nil
	}
	select {
	case p.full <- p.now:
		p.now = aheadBlock{}
		return nil
	case <-p.stop:
		return io.ErrClosedPipe
	}
}
