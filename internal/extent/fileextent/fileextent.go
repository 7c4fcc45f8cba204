// Package fileextent keeps extents as files of a local file system, below the sealed
// one: chunks are sealed already.
//
//	<dir>/single/<2 hex>/<32 hex>      one chunk of OwnSize or more
//	<dir>/single/<2 hex>/<32 hex>.s    many smaller chunks, back to back, at most SharedSize
//
// A chunk of its own is written under a temporary name, synced, renamed, and its
// directory synced: under its final name it is whole. Small chunks reserve a range of
// the one shared extent that is open and write it side by side; committers that come
// together share one sync. After a restart no shared extent is written again: what its
// tail holds without a row is garbage.
//
// A failed sync poisons the file (or directory) for the life of the process: nothing is
// put there again, and no commit that needed it succeeds.
package fileextent

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/extent"
)

// FS is what the store needs of a file system. Every vfs.FS has it.
type FS interface {
	Create(name string, category vfs.DiskWriteCategory) (vfs.File, error)
	Open(name string, opts ...vfs.OpenOption) (vfs.File, error)
	OpenDir(name string) (vfs.File, error)
	Remove(name string) error
	Rename(oldname, newname string) error
	MkdirAll(dir string, perm os.FileMode) error
	List(dir string) ([]string, error)
	Stat(name string) (vfs.FileInfo, error)
	PathJoin(elem ...string) string
	PathDir(path string) string
}

// Options open a Store.
type Options struct {
	FS  FS
	Dir string // for extents only; made when it is missing
	// FreeSpace is the free space of the disk, and MinFree what must be left of it.
	FreeSpace func() (bytes uint64, err error) // nil: not watched
	MinFree   uint64
	Handles   int // open files kept for reading; 0: 256
}

// writeCategory names our writes to the file system's statistics.
const writeCategory = vfs.DiskWriteCategory("coffer-extent")

const (
	sharedSuffix = ".s"
	tmpMark      = ".tmp-"
	dirCount     = 256
)

// Store implements extent.Store.
type Store struct {
	o       Options
	fs      FS
	root    string // of class single
	dirs    [dirCount]group
	handles *handles

	mu      sync.Mutex
	current *shared              // takes small chunks; nil: none yet
	open    map[[16]byte]*shared // current, and those with writers
	own     map[[16]byte]bool    // being written
	closed  bool
}

var _ extent.Store = (*Store)(nil)

var (
	errClosed = errors.New("fileextent: store is closed")
	errDouble = errors.New("fileextent: class double is not served yet")
)

// Open opens the extents in o.Dir and removes what a crash left unfinished.
func Open(o Options) (*Store, error) {
	if o.Handles == 0 {
		o.Handles = 256
	}
	s := &Store{
		o:    o,
		fs:   o.FS,
		root: o.FS.PathJoin(o.Dir, "single"),
		open: make(map[[16]byte]*shared),
		own:  make(map[[16]byte]bool),
	}
	s.handles = newHandles(o.Handles, func(name string) (vfs.File, error) { return o.FS.Open(name) })
	if err := s.makeDirs(); err != nil {
		return nil, err
	}
	return s, s.removeUnfinished()
}

// makeDirs makes the tree, durable before the first extent lies in it: every directory
// that may have a new entry is synced, up to the one that was there before. The first
// three always: a process that died here may have made them.
func (s *Store) makeDirs() error {
	dirs := []string{s.root}
	for d := s.root; len(dirs) < 3 || !s.exists(d); {
		up := s.fs.PathDir(d)
		if up == d {
			break
		}
		d = up
		dirs = append(dirs, d)
	}
	for i := range dirCount {
		if err := s.fs.MkdirAll(s.dir(byte(i)), 0o700); err != nil {
			return err
		}
	}
	for _, d := range dirs {
		if err := s.syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) exists(name string) bool {
	_, err := s.fs.Stat(name)
	return err == nil
}

func (s *Store) removeUnfinished() error {
	return s.eachName(func(dir, name string) error {
		if !strings.Contains(name, tmpMark) {
			return nil
		}
		return s.fs.Remove(s.fs.PathJoin(dir, name))
	})
}

func (s *Store) dir(first byte) string {
	return s.fs.PathJoin(s.root, hex.EncodeToString([]byte{first}))
}

func (s *Store) path(id [16]byte, suffix string) string {
	return s.fs.PathJoin(s.dir(id[0]), hex.EncodeToString(id[:])+suffix)
}

// placePath is the file that holds a chunk: its length says which kind it is.
func (s *Store) placePath(p extent.Place) string {
	if p.Length >= extent.OwnSize {
		return s.path(p.Extent, "")
	}
	return s.path(p.Extent, sharedSuffix)
}

// eachName calls f for every file.
func (s *Store) eachName(f func(dir, name string) error) error {
	for i := range dirCount {
		dir := s.dir(byte(i))
		names, err := s.fs.List(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := f(dir, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// newID draws the id of an extent, in a directory that is sound.
func (s *Store) newID() ([16]byte, error) {
	var id [16]byte
	for range 64 {
		rand.Read(id[:])
		if s.dirs[id[0]].failed() == nil {
			return id, nil
		}
	}
	return id, fmt.Errorf("fileextent: no sound directory: %w", s.dirs[id[0]].failed())
}

func (s *Store) syncDir(dir string) error {
	d, err := s.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncDirOf makes the name of an extent durable, together with others in its directory.
func (s *Store) syncDirOf(id [16]byte) error {
	return s.dirs[id[0]].sync(func() error { return s.syncDir(s.dir(id[0])) })
}

// room refuses a write that would leave less than MinFree.
func (s *Store) room(size int64) error {
	if s.o.FreeSpace == nil {
		return nil
	}
	free, err := s.o.FreeSpace()
	if err != nil {
		return err
	}
	if free < s.o.MinFree+uint64(size) {
		return extent.ErrFull
	}
	return nil
}

// ReadAt implements extent.Store.
func (s *Store) ReadAt(p extent.Place, b []byte, off int64) error {
	if off < 0 || uint64(off) > p.Length || uint64(len(b)) > p.Length-uint64(off) {
		return fmt.Errorf("fileextent: read of %d bytes at %d in a chunk of %d", len(b), off, p.Length)
	}
	h, err := s.handles.get(s.placePath(p))
	if errors.Is(err, os.ErrNotExist) {
		return extent.ErrNotFound
	}
	if err != nil {
		return err
	}
	defer s.handles.put(h)
	n, err := h.file.ReadAt(b, int64(p.Offset)+off)
	if n == len(b) {
		return nil
	}
	if err == nil || isEOF(err) { // the file is shorter than its row says
		return fmt.Errorf("%w: %d bytes of %d", extent.ErrNotFound, n, len(b))
	}
	return err
}

// Remove implements extent.Store. Readers that have the file open go on.
func (s *Store) Remove(id [16]byte) error {
	s.mu.Lock()
	busy := s.open[id] != nil || s.own[id]
	s.mu.Unlock()
	if busy {
		return fmt.Errorf("fileextent: extent is being written")
	}
	for _, suffix := range []string{"", sharedSuffix} {
		name := s.path(id, suffix)
		s.handles.drop(name)
		err := s.fs.Remove(name)
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return extent.ErrNotFound
}

// Stat implements extent.Store.
func (s *Store) Stat(id [16]byte) (extent.Info, error) {
	if i, ok := s.openInfo(id); ok {
		return i, nil
	}
	for _, suffix := range []string{"", sharedSuffix} {
		fi, err := s.fs.Stat(s.path(id, suffix))
		if err == nil {
			return extent.Info{ID: id, Class: extent.Single, Size: fi.Size(), Shared: suffix != ""}, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return extent.Info{}, err
		}
	}
	return extent.Info{}, extent.ErrNotFound
}

// openInfo describes an extent that is being written.
func (s *Store) openInfo(id [16]byte) (extent.Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.open[id]; e != nil {
		return extent.Info{ID: id, Class: extent.Single, Size: e.next, Shared: true, Open: true}, true
	}
	if s.own[id] {
		return extent.Info{ID: id, Class: extent.Single, Open: true}, true
	}
	return extent.Info{}, false
}

// List implements extent.Store. Extents that come or go meanwhile may be left out.
func (s *Store) List(f func(extent.Info) error) error {
	return s.eachName(func(_, name string) error {
		raw, err := hex.DecodeString(strings.TrimSuffix(name, sharedSuffix))
		if err != nil || len(raw) != 16 {
			return nil // unfinished, or not ours
		}
		i, err := s.Stat([16]byte(raw))
		if errors.Is(err, extent.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(i)
	})
}

// Close closes all files. Writers must have finished.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	for _, e := range s.open {
		err = errors.Join(err, e.file.Close())
	}
	clear(s.open)
	s.current = nil
	s.handles.close()
	return err
}
