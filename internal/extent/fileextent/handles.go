package fileextent

import (
	"container/list"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/infraext"
)

// handles keeps files open for reading, the least recently used going first.
type handles struct {
	max  int
	open func(name string) (vfs.File, error)

	mu   sync.Mutex
	m    map[string]*list.Element
	used list.List // of *handle, most recent first
}

// handle is an open file. It is closed when it left the cache and the last user has
// given it back.
type handle struct {
	name  string
	file  vfs.File
	users int
	gone  bool

	mu    sync.Mutex       // guards layer
	layer *infraext.Extent // second layer, when it was opened
}

func newHandles(max int, open func(string) (vfs.File, error)) *handles {
	return &handles{max: max, open: open, m: make(map[string]*list.Element)}
}

// get lends an open file; put is required.
func (c *handles) get(name string) (*handle, error) {
	c.mu.Lock()
	if h := c.lend(name); h != nil {
		c.mu.Unlock()
		return h, nil
	}
	c.mu.Unlock()
	f, err := c.open(name)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.lend(name); h != nil { // another one was faster
		f.Close()
		return h, nil
	}
	h := &handle{name: name, file: f, users: 1}
	c.m[name] = c.used.PushFront(h)
	if c.used.Len() > c.max {
		c.forget(c.used.Back())
	}
	return h, nil
}

func (c *handles) lend(name string) *handle {
	e, ok := c.m[name]
	if !ok {
		return nil
	}
	c.used.MoveToFront(e)
	h := e.Value.(*handle)
	h.users++
	return h
}

func (c *handles) put(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.users--; h.gone && h.users == 0 {
		h.file.Close()
	}
}

// forget takes a file out of the cache.
func (c *handles) forget(e *list.Element) {
	h := c.used.Remove(e).(*handle)
	delete(c.m, h.name)
	h.gone = true
	if h.users == 0 {
		h.file.Close()
	}
}

// drop forgets one file, before it is removed.
func (c *handles) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.m[name]; ok {
		c.forget(e)
	}
}

func (c *handles) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.used.Front(); e != nil; e = c.used.Front() {
		c.forget(e)
	}
}

func isEOF(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
