package blobtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
)

// Extents is an extent store in memory with one chunk in each extent. It counts what
// goes through it.
type Extents struct {
	Written, Read atomic.Int64 // bytes

	mu   sync.Mutex
	all  map[[16]byte]*chunk
	fail error
}

type chunk struct {
	class  extent.Class
	bytes  []byte
	closed bool
}

var _ extent.Store = (*Extents)(nil)

// Fail makes every Create fail with err until it is called with nil.
func (e *Extents) Fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = err
}

// Len is the number of extents.
func (e *Extents) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.all)
}

// Create implements extent.Store.
func (e *Extents) Create(_ context.Context, class extent.Class, size int64) (extent.Writer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return nil, e.fail
	}
	w := &writer{e: e, id: keys.NewID(), size: size, c: &chunk{class: class}}
	if e.all == nil {
		e.all = make(map[[16]byte]*chunk)
	}
	e.all[w.id] = w.c
	return w, nil
}

// ReadAt implements extent.Store.
func (e *Extents) ReadAt(place extent.Place, p []byte, off int64) error {
	e.mu.Lock()
	c := e.all[place.Extent]
	e.mu.Unlock()
	if c == nil || !c.closed {
		return extent.ErrNotFound
	}
	if off < 0 || off+int64(len(p)) > int64(place.Length) || place.Offset+place.Length > uint64(len(c.bytes)) {
		return errors.New("blobtest: read outside the chunk")
	}
	e.Read.Add(int64(len(p)))
	copy(p, c.bytes[int64(place.Offset)+off:])
	return nil
}

// Stat implements extent.Store.
func (e *Extents) Stat(id [16]byte) (extent.Info, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.all[id]
	if c == nil {
		return extent.Info{}, extent.ErrNotFound
	}
	return c.info(id), nil
}

func (c *chunk) info(id [16]byte) extent.Info {
	return extent.Info{ID: id, Class: c.class, Size: int64(len(c.bytes)), Open: !c.closed}
}

// Seal implements extent.Store: every extent here holds one chunk.
func (e *Extents) Seal([16]byte) {}

// Remove implements extent.Store.
func (e *Extents) Remove(id [16]byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all[id] == nil {
		return extent.ErrNotFound
	}
	delete(e.all, id)
	return nil
}

// List implements extent.Store.
func (e *Extents) List(f func(extent.Info) error) error {
	e.mu.Lock()
	var list []extent.Info
	for id, c := range e.all {
		list = append(list, c.info(id))
	}
	e.mu.Unlock()
	slices.SortFunc(list, func(a, b extent.Info) int { return slices.Compare(a.ID[:], b.ID[:]) })
	for _, i := range list {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// Close implements extent.Store.
func (e *Extents) Close() error { return nil }

type writer struct {
	e    *Extents
	id   [16]byte
	size int64
	c    *chunk
}

func (w *writer) Extent() [16]byte { return w.id }

func (w *writer) Write(s crypt.Sealed) error {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	w.c.bytes = append(w.c.bytes, s.Bytes()...)
	w.e.Written.Add(int64(len(s.Bytes())))
	if int64(len(w.c.bytes)) > w.size {
		return errors.New("blobtest: chunk is longer than announced")
	}
	return nil
}

func (w *writer) Commit() (extent.Place, error) {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	if int64(len(w.c.bytes)) != w.size {
		return extent.Place{}, errors.New("blobtest: chunk is shorter than announced")
	}
	w.c.closed = true
	return extent.Place{Extent: w.id, Length: uint64(w.size), Double: w.c.class == extent.Double}, nil
}

func (w *writer) Abort() {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	delete(w.e.all, w.id)
}

// Flip changes one bit of the byte at off in the only extent there is.
func (e *Extents) Flip(t testing.TB, off int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) != 1 {
		t.Fatalf("%d extents, want one", len(e.all))
	}
	for _, c := range e.all {
		c.bytes[off] ^= 1
	}
}
