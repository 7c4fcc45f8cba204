package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

// driver is one storage protocol. Every call is one operation of a closed loop.
type driver interface {
	Setup(ctx context.Context) error
	Put(ctx context.Context, name string, body []byte) error
	// Get streams [off, off+n) of a blob into w; n == 0 means the whole blob.
	Get(ctx context.Context, name string, off, n int64, w io.Writer) (int64, error)
	// PutBig sends size bytes from r in blocks, par of them in flight.
	PutBig(ctx context.Context, name string, r io.Reader, size int64, par int) error
	// GetBig brings a blob of size bytes into f, par ranges in flight.
	GetBig(ctx context.Context, name string, f *os.File, size int64, par int) error
	List(ctx context.Context, prefix string) (int, error)
}

// errSkip is given by a driver that has no such operation.
var errSkip = errors.New("workload not available with this driver")

// config says where a driver goes and as whom.
type config struct {
	kind, endpoint, account, key, container string
	scope                                   string // encryption scope of what is written
	cpk                                     []byte // key that goes with every request
	block                                   int64
	insecure                                bool
	anonymous                               bool // azure: no credential; reads public containers
	public                                  bool // azure: the container is made readable for all
	stock                                   bool // azure: the SDK's own transport
}

func newDriver(c config) (driver, error) {
	switch c.kind {
	case "azure":
		return newAzure(c)
	case "s3":
		return newS3(c)
	case "http":
		return &plain{c: c, cl: &http.Client{Transport: transport(c.insecure)}}, nil
	}
	return nil, fmt.Errorf("unknown driver %q", c.kind)
}

// transport is the same for every driver, so that peers differ in the server only.
func transport(insecure bool) *http.Transport {
	return &http.Transport{
		MaxIdleConns: 512, MaxIdleConnsPerHost: 512, DisableCompression: true,
		WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: insecure}, // local test certificates only
	}
}

var copyBufs = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// drain copies through a pooled buffer; the wrappers hide ReadFrom and WriteTo,
// which would bring buffers of their own.
func drain(w io.Writer, r io.Reader) (int64, error) {
	b := copyBufs.Get().(*[]byte)
	defer copyBufs.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, *b)
}

// getRanges gives protocols whose client has no parallel download one that works as
// the SDK's does: fixed ranges, par in flight.
func getRanges(ctx context.Context, d driver, name string, f *os.File, size, block int64, par int) error {
	next := make(chan int64)
	go func() {
		defer close(next)
		for o := int64(0); o < size; o += block {
			next <- o
		}
	}()
	var wg sync.WaitGroup
	errs := make(chan error, par)
	for range par {
		wg.Go(func() {
			var first error
			for o := range next { // drained to the end, so that the sender ends too
				n := min(block, size-o)
				got, err := d.Get(ctx, name, o, n, io.NewOffsetWriter(f, o))
				if err == nil && got != n {
					err = fmt.Errorf("short range: %d of %d", got, n)
				}
				if first == nil {
					first = err
				}
			}
			if first != nil {
				errs <- first
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// split writes with one driver and reads with another.
type split struct {
	driver // reads
	writer driver
}

func (s split) Setup(ctx context.Context) error { return s.writer.Setup(ctx) }
func (s split) Put(ctx context.Context, name string, body []byte) error {
	return s.writer.Put(ctx, name, body)
}
func (s split) PutBig(ctx context.Context, name string, r io.Reader, size int64, par int) error {
	return s.writer.PutBig(ctx, name, r, size, par)
}
