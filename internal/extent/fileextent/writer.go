package fileextent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/crypt/infraext"
	"github.com/coffer-storage/coffer/internal/extent"
)

// Create implements extent.Store.
func (s *Store) Create(ctx context.Context, class extent.Class, size int64) (extent.Writer, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case size <= 0:
		return nil, fmt.Errorf("fileextent: chunk of %d bytes", size)
	}
	t, err := s.treeOf(class)
	if err != nil {
		return nil, err
	}
	takes := size
	if t == s.double {
		takes = s.o.Suite.Offset(infraext.Sectors(size))
	}
	if err := s.room(takes); err != nil {
		return nil, err
	}
	if size >= extent.OwnSize {
		return s.createOwn(t, size)
	}
	return s.createShared(t, size)
}

// full turns the disk's own word into ours.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", extent.ErrFull, err)
	}
	return err
}

// ranged counts the bytes of one chunk and keeps them in its range.
type ranged struct {
	base, size, written int64
	err                 error // sticky
}

// write writes the next bytes of the chunk with writeAt.
func (r *ranged) write(writeAt func([]byte, int64) (int, error), c crypt.Sealed) error {
	b := c.Bytes()
	if r.err != nil {
		return r.err
	}
	if int64(len(b)) > r.size-r.written {
		r.err = fmt.Errorf("fileextent: chunk is longer than %d bytes", r.size)
		return r.err
	}
	n, err := writeAt(b, r.base+r.written)
	r.written += int64(n)
	r.err = full(err)
	return r.err
}

// complete returns an error unless the whole chunk was written.
func (r *ranged) complete() error {
	if r.err == nil && r.written != r.size {
		r.err = fmt.Errorf("fileextent: chunk of %d bytes has %d", r.size, r.written)
	}
	return r.err
}

var errFinished = errors.New("fileextent: writer has finished")

// ownWriter writes a chunk that is an extent.
type ownWriter struct {
	s     *Store
	tree  *tree
	id    [16]byte
	tmp   string
	file  vfs.File // nil when finished
	layer *sealing // class double
	ranged
	stored  int64 // bytes in the file
	started int64 // those whose writeback was started
}

func (s *Store) createOwn(t *tree, size int64) (extent.Writer, error) {
	w, err := s.openOwn(t, size)
	if err != nil {
		return nil, err
	}
	if t != s.double {
		return w, nil
	}
	x, header, err := s.newLayer(w.id)
	if err == nil {
		_, err = w.put(header, 0)
	}
	if err != nil {
		w.Abort()
		return nil, full(err)
	}
	w.layer = s.newSealing(x, 0, w.put)
	return w, nil
}

func (s *Store) openOwn(t *tree, size int64) (*ownWriter, error) {
	id, err := s.newID(t)
	if err != nil {
		return nil, err
	}
	w := &ownWriter{s: s, tree: t, id: id, tmp: s.path(t, id, tmpMark+"own"), ranged: ranged{size: size}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if w.file, err = s.fs.Create(w.tmp, writeCategory); err != nil {
		return nil, full(err)
	}
	s.own[id] = t
	return w, nil
}

// Extent implements extent.Writer.
func (w *ownWriter) Extent() [16]byte { return w.id }

// Write implements extent.Writer.
func (w *ownWriter) Write(c crypt.Sealed) error {
	if w.file == nil {
		return errFinished
	}
	if w.layer != nil {
		return w.write(w.layer.write, c)
	}
	return w.write(w.put, c)
}

// put writes the next bytes of the file.
func (w *ownWriter) put(b []byte, _ int64) (int, error) {
	n, err := w.file.Write(b)
	w.stored += int64(n)
	if err == nil && w.stored-w.started >= writebackStep {
		startWriteback(w.file, w.started, w.stored-w.started)
		w.started = w.stored
	}
	return n, err
}

// writebackStep is how much is written before the disk is told to begin: the sync at
// the end then finds little to do.
const writebackStep = 1 << 20

// Commit implements extent.Writer.
func (w *ownWriter) Commit() (extent.Place, error) {
	if w.file == nil {
		return extent.Place{}, errFinished
	}
	err := w.complete()
	if err == nil && w.layer != nil {
		err = w.layer.flush()
	}
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		w.Abort()
		return extent.Place{}, full(err)
	}
	dropPages(w.file)
	err = w.file.Close()
	w.file = nil
	if err == nil {
		err = w.s.fs.Rename(w.tmp, w.s.path(w.tree, w.id, ""))
	}
	if err != nil {
		w.s.fs.Remove(w.tmp)
	} else {
		err = w.s.syncDirOf(w.tree, w.id)
	}
	w.finish()
	if err != nil {
		return extent.Place{}, err
	}
	return extent.Place{Extent: w.id, Length: uint64(w.size), Double: w.tree == w.s.double}, nil
}

// Abort implements extent.Writer.
func (w *ownWriter) Abort() {
	if w.file == nil {
		return
	}
	w.file.Close()
	w.file = nil
	w.s.fs.Remove(w.tmp) // what stays is removed at the next start
	w.finish()
}

func (w *ownWriter) finish() {
	if w.layer != nil {
		w.layer.release()
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	delete(w.s.own, w.id)
}

// shared is an extent that takes small chunks.
type shared struct {
	tree  *tree
	id    [16]byte
	file  vfs.File
	layer *infraext.Extent // class double
	syncs group

	nameMu   sync.Mutex
	nameDone bool // its directory was synced

	// Under Store.mu.
	next    int64 // end of the last reserved range
	writers int
	retired bool // takes no more
}

// sharedWriter writes a chunk into a reserved range.
type sharedWriter struct {
	s     *Store
	id    [16]byte
	e     *shared  // nil when finished
	layer *sealing // class double
	ranged
}

func (s *Store) createShared(t *tree, size int64) (extent.Writer, error) {
	takes := size
	if t == s.double {
		takes = infraext.Padded(size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	e := s.current[t]
	stale, err := s.stale(e)
	if err != nil {
		return nil, err
	}
	if e == nil || stale || e.next+takes > extent.SharedSize || e.syncs.failed() != nil {
		if e, err = s.newShared(t); err != nil {
			return nil, err
		}
	}
	w := &sharedWriter{s: s, id: e.id, e: e, ranged: ranged{base: e.next, size: size}}
	if e.layer != nil {
		w.layer = s.newSealing(e.layer, e.next/infraext.SectorSize, e.file.WriteAt)
	}
	e.next += takes
	e.writers++
	return w, nil
}

// newShared replaces the current shared extent.
func (s *Store) newShared(t *tree) (*shared, error) {
	id, err := s.newID(t)
	if err != nil {
		return nil, err
	}
	e := &shared{tree: t, id: id}
	name := s.path(t, id, sharedSuffix)
	if e.file, err = s.fs.Create(name, writeCategory); err != nil {
		return nil, full(err)
	}
	if t == s.double {
		var header []byte
		if e.layer, header, err = s.newLayer(id); err == nil {
			_, err = e.file.WriteAt(header, 0) // durable with the first chunk
		}
		if err != nil {
			e.file.Close()
			s.fs.Remove(name) // what stays has no chunk, and is collected
			return nil, full(err)
		}
	}
	if old := s.current[t]; old != nil {
		old.retired = true
		s.closeIfIdle(old)
	}
	s.current[t], s.open[id] = e, e
	return e, nil
}

// Seal implements extent.Store.
func (s *Store) Seal(id [16]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.open[id]; e != nil && s.current[e.tree] == e {
		delete(s.current, e.tree)
		e.retired = true
		s.closeIfIdle(e)
	}
}

func (s *Store) closeIfIdle(e *shared) {
	if e.retired && e.writers == 0 && s.open[e.id] != nil {
		delete(s.open, e.id)
		e.file.Close() // every committed byte was synced
	}
}

// Extent implements extent.Writer.
func (w *sharedWriter) Extent() [16]byte { return w.id }

// Write implements extent.Writer.
func (w *sharedWriter) Write(c crypt.Sealed) error {
	if w.e == nil {
		return errFinished
	}
	if w.layer != nil {
		return w.write(w.layer.write, c)
	}
	return w.write(w.e.file.WriteAt, c)
}

// Commit implements extent.Writer.
func (w *sharedWriter) Commit() (extent.Place, error) {
	e := w.e
	if e == nil {
		return extent.Place{}, errFinished
	}
	defer w.finish()
	if err := w.complete(); err != nil {
		return extent.Place{}, err
	}
	if w.layer != nil {
		if err := w.layer.flush(); err != nil {
			return extent.Place{}, full(err)
		}
	}
	if err := e.syncs.sync(e.file.Sync); err != nil {
		return extent.Place{}, full(err)
	}
	if err := e.named(w.s); err != nil {
		return extent.Place{}, err
	}
	return extent.Place{Extent: e.id, Offset: uint64(w.base), Length: uint64(w.size), Double: e.layer != nil}, nil
}

// named makes the name of the extent durable, for the first committer and everyone who
// comes before that has succeeded.
func (e *shared) named(s *Store) error {
	e.nameMu.Lock()
	defer e.nameMu.Unlock()
	if e.nameDone {
		return nil
	}
	if err := s.syncDirOf(e.tree, e.id); err != nil {
		e.syncs.poison(err)
		return err
	}
	e.nameDone = true
	return nil
}

// Abort implements extent.Writer. The range stays unused.
func (w *sharedWriter) Abort() {
	if w.e != nil {
		w.finish()
	}
}

func (w *sharedWriter) finish() {
	if w.layer != nil {
		w.layer.release()
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.e.writers--
	w.s.closeIfIdle(w.e)
	w.e = nil
}
