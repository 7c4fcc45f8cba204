package cse

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// Range is a range of plaintext. The zero value is all of it; a Count of 0 is to the end.
type Range struct {
	Offset int64
	Count  int64
}

func (r Range) whole() bool { return r == Range{} }

// in returns the range inside of an object of that size.
func (r Range) in(size int64) (off, n int64, err error) {
	switch {
	case r.Offset < 0 || r.Count < 0 || r.Offset > size || r.Offset == size && r.Offset > 0:
		return 0, 0, &Error{Code: InvalidRange, Detail: fmt.Sprintf("offset %d of %d bytes", r.Offset, size)}
	case r.Count == 0 || r.Count > size-r.Offset:
		return r.Offset, size - r.Offset, nil
	}
	return r.Offset, r.Count, nil
}

// DownloadOptions are the options of DownloadBuffer and DownloadFile.
type DownloadOptions struct {
	Range Range
	// BlockSize is about how much one request fetches, in whole regions; 4 MiB if zero.
	BlockSize int64
	// Concurrency is how many requests run at once; 5 if zero. Each holds one block, and
	// fewer run where blocks are large: 256 MiB are held at most, or one block.
	Concurrency int
	// Progress is told how many bytes of plaintext have arrived in all. Calls do not
	// overlap.
	Progress func(bytes int64)
	// Context, if not nil, must be what the writer gave as UploadOptions.Context: a blob
	// with another, or with none, does not open. nil opens all.
	Context []byte

	AccessConditions *blob.AccessConditions
	CPKInfo          *blob.CPKInfo
	CPKScopeInfo     *blob.CPKScopeInfo
}

func (o *DownloadOptions) access() access {
	return access{o.AccessConditions, o.CPKInfo, o.CPKScopeInfo}
}

// DownloadBuffer decrypts a blob, or a range of it, into buf, which must be long enough.
// It returns the number of bytes. If it fails, buf holds nothing of the blob.
func (c *BlobClient) DownloadBuffer(ctx context.Context, buf []byte, o *DownloadOptions) (int64, error) {
	var opt DownloadOptions
	if o != nil {
		opt = *o
	}
	obj, off, n, err := c.start(ctx, &opt)
	if err != nil {
		return 0, err
	}
	defer obj.release()
	if n > int64(len(buf)) {
		return 0, &Error{Code: TooLarge, Detail: fmt.Sprintf("%d bytes, the buffer has %d", n, len(buf))}
	}
	err = obj.each(ctx, &opt, off, n, func(at int64, text []byte) error {
		copy(buf[at-off:], text)
		return nil
	})
	if err != nil {
		clear(buf[:n])
		return 0, err
	}
	return n, nil
}

// DownloadFile decrypts a blob, or a range of it, into a file, from its beginning, and
// cuts the file there. It returns the number of bytes. If it fails, the file is empty.
func (c *BlobClient) DownloadFile(ctx context.Context, file *os.File, o *DownloadOptions) (int64, error) {
	var opt DownloadOptions
	if o != nil {
		opt = *o
	}
	obj, off, n, err := c.start(ctx, &opt)
	if err != nil {
		return 0, err
	}
	defer obj.release()
	if err := file.Truncate(n); err != nil {
		return 0, err
	}
	err = obj.each(ctx, &opt, off, n, func(at int64, text []byte) error {
		_, err := file.WriteAt(text, at-off)
		return err
	})
	if err != nil {
		file.Truncate(0) // what was written is authentic, but it is not the blob
		return 0, err
	}
	return n, nil
}

// start opens a blob and finds the range in it.
func (c *BlobClient) start(ctx context.Context, opt *DownloadOptions) (obj *object, off, n int64, err error) {
	open := c.find
	if opt.Range.whole() {
		open = c.probe
	}
	if obj, err = open(ctx, opt.access(), opt.Context); err != nil {
		return nil, 0, 0, err
	}
	off, n, err = opt.Range.in(obj.plain)
	return obj, off, n, err
}

// Memory and requests of a download or upload.
const (
	defaultBlock       = 4 << 20
	defaultConcurrency = 5
	maxHeld            = 256 << 20
)

// parts returns the length of the parts that a download is cut into, whole units, and
// how many are fetched at once.
func parts(unit, block int64, concurrency int) (part int64, workers int) {
	if block <= 0 {
		block = defaultBlock
	}
	part = max(block/unit, 1) * unit
	if concurrency <= 0 {
		concurrency = defaultConcurrency
	}
	return part, int(max(1, min(int64(concurrency), maxHeld/part)))
}

// each decrypts the range [off, off+n) in parallel parts and hands the pieces to emit,
// in no order, from several goroutines.
func (o *object) each(ctx context.Context, opt *DownloadOptions, off, n int64, emit func(at int64, text []byte) error) error {
	if n == 0 {
		return nil
	}
	part, workers := parts(o.unit(), opt.BlockSize, opt.Concurrency)
	end := off + n
	first, last := off/part, (end-1)/part
	progress := newProgress(opt.Progress)
	return parallel(ctx, min(workers, int(min(last-first+1, 1<<20))), last-first+1, func(ctx context.Context, i int64) error {
		from := max(off, (first+i)*part)
		to := min(end, (first+i+1)*part)
		at := from
		err := o.read(ctx, from, to-from, func(text []byte) error {
			err := emit(at, text)
			at += int64(len(text))
			return err
		})
		if err == nil {
			progress.add(to - from)
		}
		return err
	})
}

// read fetches and decrypts one range, and hands it to emit in pieces.
func (o *object) read(ctx context.Context, off, n int64, emit func([]byte) error) error {
	p, err := o.plan(off, n)
	if err != nil {
		return err
	}
	if stored := o.takeHead(p.Off, p.Len); stored != nil {
		return o.decrypt(stored, p, emit)
	}
	stored := getBuffer(p.Len)
	defer putBuffer(stored)
	if err := o.fetch(ctx, p.Off, stored); err != nil {
		return err
	}
	return o.decrypt(stored, p, emit)
}

// DownloadStreamOptions are the options of DownloadStream.
type DownloadStreamOptions struct {
	Range   Range
	Context []byte // as in DownloadOptions

	AccessConditions *blob.AccessConditions
	CPKInfo          *blob.CPKInfo
	CPKScopeInfo     *blob.CPKScopeInfo
}

// DownloadStreamResponse is a blob that is being read.
type DownloadStreamResponse struct {
	// Body gives the plaintext. It holds one region, and gives nothing of a region
	// before its tag was checked. Close it.
	Body io.ReadCloser
	// Length is the length of the plaintext that Body gives.
	Length int64
	// Size is the plaintext length of the whole blob.
	Size int64
	ETag *azcore.ETag
}

// DownloadStream decrypts a blob, or a range of it, while it is read. ctx ends the
// reading too.
func (c *BlobClient) DownloadStream(ctx context.Context, o *DownloadStreamOptions) (DownloadStreamResponse, error) {
	var opt DownloadStreamOptions
	if o != nil {
		opt = *o
	}
	acc := access{opt.AccessConditions, opt.CPKInfo, opt.CPKScopeInfo}
	open := c.find
	if opt.Range.whole() {
		open = c.probe
	}
	obj, err := open(ctx, acc, opt.Context)
	if err != nil {
		return DownloadStreamResponse{}, err
	}
	off, n, err := opt.Range.in(obj.plain)
	if err != nil {
		return DownloadStreamResponse{}, err
	}
	return DownloadStreamResponse{
		Body:   newBody(ctx, obj, off, n),
		Length: n,
		Size:   obj.plain,
		ETag:   obj.etag,
	}, nil
}

// body reads a range sequentially, one piece after the other.
type body struct {
	ctx  context.Context
	obj  *object
	off  int64 // of the next piece
	end  int64
	rest []byte // decrypted, not yet read
	buf  []byte
	wire io.ReadCloser          // the running request, nil before the first piece that needs it
	pos  int64                  // stored offset that wire is at
	tail [format.BlockSize]byte // stored bytes before pos: the IV of what follows in 1.0
	err  error                  // sticky
}

func newBody(ctx context.Context, obj *object, off, n int64) *body {
	return &body{ctx: ctx, obj: obj, off: off, end: off + n}
}

// Read gives plaintext of regions that were checked whole.
func (b *body) Read(p []byte) (int, error) {
	for len(b.rest) == 0 && b.err == nil {
		if b.off == b.end {
			b.err = io.EOF
			break
		}
		b.err = b.next()
	}
	if len(b.rest) == 0 {
		return 0, b.err
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next decrypts the next piece: one region, or 256 KiB where there are none.
func (b *body) next() error {
	unit := b.obj.unit()
	part := max(256<<10/unit, 1) * unit
	n := min(b.end, (b.off/part+1)*part) - b.off
	p, err := b.obj.plan(b.off, n)
	if err != nil {
		return err
	}
	if int64(cap(b.buf)) < p.Len {
		putBuffer(b.buf)
		b.buf = getBuffer(p.Len)
	}
	stored := b.buf[:p.Len]
	if err := b.fill(stored, p.Off); err != nil {
		return err
	}
	b.rest = b.rest[:0]
	err = b.obj.decrypt(stored, p, func(text []byte) error {
		if len(b.rest) == 0 {
			b.rest = text // most pieces are one region: it stays where it is
		} else {
			b.rest = append(b.rest, text...)
		}
		return nil
	})
	if err != nil {
		b.rest = nil
		return err
	}
	b.off += n
	return nil
}

// fill reads stored bytes from what came along, then from one request to the end of
// the range. Pieces of version 1.0 overlap by a block.
func (b *body) fill(stored []byte, off int64) error {
	if off+int64(len(stored)) <= int64(len(b.obj.head)) {
		return b.obj.fetch(b.ctx, off, stored)
	}
	if b.wire == nil {
		p, err := b.obj.plan(b.off, b.end-b.off)
		if err != nil {
			return err
		}
		if b.wire, err = b.obj.stream(b.ctx, p.Off, p.Len); err != nil {
			return err
		}
		b.pos = p.Off
	}
	again := copy(stored, b.tail[:b.pos-off])
	n, err := io.ReadFull(b.wire, stored[again:])
	b.pos += int64(n)
	if err != nil {
		return fmt.Errorf("cse: read the blob: %w", err)
	}
	copy(b.tail[:], stored[max(len(stored)-len(b.tail), 0):])
	return nil
}

// Close ends the reading.
func (b *body) Close() error {
	if b.err == nil {
		b.err = os.ErrClosed
	}
	b.rest = nil
	b.obj.release()
	putBuffer(b.buf)
	b.buf = nil
	if b.wire == nil {
		return nil
	}
	err := b.wire.Close()
	b.wire = nil
	return err
}
