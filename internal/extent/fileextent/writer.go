package fileextent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/extent"
)

// Create implements extent.Store.
func (s *Store) Create(ctx context.Context, class extent.Class, size int64) (extent.Writer, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case class != extent.Single:
		return nil, errDouble
	case size <= 0:
		return nil, fmt.Errorf("fileextent: chunk of %d bytes", size)
	}
	if err := s.room(size); err != nil {
		return nil, err
	}
	if size >= extent.OwnSize {
		return s.createOwn(size)
	}
	return s.createShared(size)
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
	s    *Store
	id   [16]byte
	tmp  string
	file vfs.File // nil when finished
	ranged
	started int64 // bytes whose writeback was started
}

func (s *Store) createOwn(size int64) (extent.Writer, error) {
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	w := &ownWriter{s: s, id: id, tmp: s.path(id, tmpMark+"own"), ranged: ranged{size: size}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if w.file, err = s.fs.Create(w.tmp, writeCategory); err != nil {
		return nil, full(err)
	}
	s.own[id] = true
	return w, nil
}

// Extent implements extent.Writer.
func (w *ownWriter) Extent() [16]byte { return w.id }

// Write implements extent.Writer.
func (w *ownWriter) Write(c crypt.Sealed) error {
	if w.file == nil {
		return errFinished
	}
	next := func(b []byte, _ int64) (int, error) { return w.file.Write(b) }
	if err := w.write(next, c); err != nil {
		return err
	}
	if w.written-w.started >= writebackStep {
		startWriteback(w.file, w.started, w.written-w.started)
		w.started = w.written
	}
	return nil
}

// writebackStep is how much is written before the disk is told to begin: the sync at
// the end then finds little to do.
const writebackStep = 1 << 20

// Commit implements extent.Writer.
func (w *ownWriter) Commit() (extent.Place, error) {
	if w.file == nil {
		return extent.Place{}, errFinished
	}
	if err := w.complete(); err != nil {
		w.Abort()
		return extent.Place{}, err
	}
	err := w.file.Sync()
	if err != nil {
		w.Abort()
		return extent.Place{}, full(err)
	}
	err = w.file.Close()
	w.file = nil
	if err == nil {
		err = w.s.fs.Rename(w.tmp, w.s.path(w.id, ""))
	}
	if err != nil {
		w.s.fs.Remove(w.tmp)
	} else {
		err = w.s.syncDirOf(w.id)
	}
	w.finish()
	if err != nil {
		return extent.Place{}, err
	}
	return extent.Place{Extent: w.id, Length: uint64(w.size)}, nil
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
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	delete(w.s.own, w.id)
}

// shared is an extent that takes small chunks.
type shared struct {
	id    [16]byte
	file  vfs.File
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
	s  *Store
	id [16]byte
	e  *shared // nil when finished
	ranged
}

func (s *Store) createShared(size int64) (extent.Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	e := s.current
	if e == nil || e.next+size > extent.SharedSize || e.syncs.failed() != nil {
		var err error
		if e, err = s.newShared(); err != nil {
			return nil, err
		}
	}
	w := &sharedWriter{s: s, id: e.id, e: e, ranged: ranged{base: e.next, size: size}}
	e.next += size
	e.writers++
	return w, nil
}

// newShared replaces the current shared extent.
func (s *Store) newShared() (*shared, error) {
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	f, err := s.fs.Create(s.path(id, sharedSuffix), writeCategory)
	if err != nil {
		return nil, full(err)
	}
	if old := s.current; old != nil {
		old.retired = true
		s.closeIfIdle(old)
	}
	e := &shared{id: id, file: f}
	s.current, s.open[id] = e, e
	return e, nil
}

// Seal implements extent.Store.
func (s *Store) Seal(id [16]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.current; e != nil && e.id == id {
		s.current = nil
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
	if err := e.syncs.sync(e.file.Sync); err != nil {
		return extent.Place{}, full(err)
	}
	if err := e.named(w.s); err != nil {
		return extent.Place{}, err
	}
	return extent.Place{Extent: e.id, Offset: uint64(w.base), Length: uint64(w.size)}, nil
}

// named makes the name of the extent durable, for the first committer and everyone who
// comes before that has succeeded.
func (e *shared) named(s *Store) error {
	e.nameMu.Lock()
	defer e.nameMu.Unlock()
	if e.nameDone {
		return nil
	}
	if err := s.syncDirOf(e.id); err != nil {
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
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.e.writers--
	w.s.closeIfIdle(w.e)
	w.e = nil
}
