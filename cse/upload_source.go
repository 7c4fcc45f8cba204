package cse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// plaintext is a source that can be read anywhere, by several goroutines.
type plaintext interface {
	// region returns the len(room) bytes from off on: where they lie, or in room.
	region(off int64, room []byte) ([]byte, error)
}

type memory []byte

func (m memory) region(off int64, room []byte) ([]byte, error) {
	return m[off : off+int64(len(room))], nil
}

type readerAt struct{ r io.ReaderAt }

// halve is from where on two goroutines read a region: nothing else is to be done before
// it is sealed.
const halve = 1 << 20

func (s readerAt) region(off int64, room []byte) ([]byte, error) {
	if len(room) < halve {
		return room, s.read(off, room)
	}
	half := len(room) / 2 &^ 4095
	second := make(chan error, 1)
	go func() { second <- s.read(off+int64(half), room[half:]) }()
	first := s.read(off, room[:half])
	return room, cmp.Or(first, <-second)
}

func (s readerAt) read(off int64, room []byte) error {
	n, err := s.r.ReadAt(room, off)
	if n == len(room) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("cse: the source has become shorter: %w", err)
}

// stream uploads a source of unknown length, which one goroutine reads.
type stream struct {
	*upload
	r     io.Reader
	eof   bool
	index uint64 // of the next region
}

// chunk is a block that was read, its plaintext in the places where Seal wants it.
type chunk struct {
	buf   []byte
	n     int // stored bytes
	plain int64
	first uint64
	block int64
}

// fill reads the next block. An empty one is the end.
func (s *stream) fill() (chunk, error) {
	length, sealed := int(s.regions.Length()), s.regions.Sealed()
	perBlock := min(s.perBlock<<(s.count/growEvery), max(maxBlock/sealed, 1))
	b := chunk{buf: getBuffer(perBlock * sealed), first: s.index, block: s.count}
	for range perBlock {
		at := b.n + format.NonceSize
		n, err := io.ReadFull(s.r, b.buf[at:at+length])
		if n > 0 {
			b.n += n + format.Overhead
			b.plain += int64(n)
			s.index++
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			s.eof = true
			break
		}
		if err != nil {
			return chunk{}, err
		}
	}
	if b.n == 0 {
		putBuffer(b.buf)
		return chunk{}, nil
	}
	if s.count++; s.count > maxBlocks {
		return chunk{}, errBlocks()
	}
	s.plain += b.plain
	s.total += int64(b.n)
	return b, nil
}

// seal encrypts a block in place, once: a retry sends the same bytes.
func (b chunk) seal(r *format.Regions) sealedBlock {
	index := b.first
	for rest := b.buf[:b.n]; len(rest) > 0; index++ {
		n := min(int64(len(rest)), r.Sealed())
		r.Seal(rest[:n], rest[format.NonceSize:n-format.TagSize], index)
		rest = rest[n:]
	}
	return sealedBlock{bytes: b.buf[:b.n], plain: b.plain, block: b.block}
}

// blocks seals and sends blocks in parallel, and makes the blob of them.
func (s *stream) blocks(ctx context.Context, first, second chunk) (UploadResponse, error) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan chunk)
	var all sync.WaitGroup
	for range s.workers {
		all.Go(func() {
			for b := range queue {
				if work.Err() != nil {
					continue
				}
				if err := s.stage(work, b.seal(s.regions)); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := s.feed(work, queue, first, second)
	close(queue)
	all.Wait()
	if err == nil {
		err = context.Cause(work)
	}
	if err != nil {
		return UploadResponse{}, err
	}
	return s.commit(ctx)
}

// feed reads the source to its end.
func (s *stream) feed(ctx context.Context, queue chan<- chunk, next ...chunk) error {
	for {
		for _, b := range next {
			if b.n == 0 {
				continue
			}
			select {
			case queue <- b:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if s.eof {
			return nil
		}
		b, err := s.fill()
		if err != nil {
			return err
		}
		next = []chunk{b}
	}
}
