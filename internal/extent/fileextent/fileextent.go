// Package fileextent keeps extents as files of a local file system, below the sealed
// one: chunks are sealed already.
//
//	<dir>/single/<2 hex>/<32 hex>      one chunk of OwnSize or more
//	<dir>/single/<2 hex>/<32 hex>.s    many smaller chunks, back to back, at most SharedSize
//	<dir>/double/..                    the same with the second layer around them (CFX1)
//
// A chunk of its own is written under a temporary name, synced, renamed, and its
// directory synced: under its final name it is whole. Small chunks reserve a range of
// the one shared extent that is open and write it side by side; committers that come
// together share one sync. After a restart no shared extent is written again: what its
// tail holds without a row is garbage.
//
// In class double the second layer is put on and taken off here, so everything above
// sees chunks; a chunk begins on a sector. Each sector is written once, under keys that
// only its extent has. The tree is made with its first extent.
//
// A failed sync poisons the file (or directory) for the life of the process: nothing is
// put there again, and no commit that needed it succeeds.
package fileextent

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/infraext"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/secret"
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

// Keys are the versions of the infrastructure key.
type Keys interface {
	// SealInfra returns the Active version.
	SealInfra() (kref [16]byte, k secret.Key, err error)
	// OpenInfra returns the version that kref names.
	OpenInfra(kref [16]byte) (secret.Key, error)
}

// Options open a Store.
type Options struct {
	FS  FS
	Dir string // for extents only; made when it is missing
	// FreeSpace is the free space of the disk, and MinFree what must be left of it.
	FreeSpace func() (bytes uint64, err error) // nil: not watched
	MinFree   uint64
	Handles   int // open files kept for reading; 0: 256

	// Infra has the keys of class double; nil: it is not served.
	Infra Keys
	// Suite is how new extents of class double are sealed; 0: as the process should,
	// XTS or in FIPS mode CBC. AllowXTS lets a FIPS process open those by XTS.
	Suite    infraext.Suite
	AllowXTS bool
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
	single  *tree
	double  *tree
	handles *handles
	used    usage

	mu      sync.Mutex
	current map[*tree]*shared    // takes small chunks; none at first
	open    map[[16]byte]*shared // current ones, and those with writers
	own     map[[16]byte]*tree   // being written
	closed  bool
}

var _ extent.Store = (*Store)(nil)

var (
	errClosed = errors.New("fileextent: store is closed")
	errDouble = errors.New("fileextent: class double needs infrastructure keys")
)

// Open opens the extents in o.Dir and removes what a crash left unfinished.
func Open(o Options) (*Store, error) {
	if o.Handles == 0 {
		o.Handles = 256
	}
	if o.Suite == 0 {
		o.Suite = infraext.DefaultSuite()
	}
	s := &Store{
		o:       o,
		fs:      o.FS,
		single:  &tree{class: extent.Single, root: o.FS.PathJoin(o.Dir, "single")},
		double:  &tree{class: extent.Double, root: o.FS.PathJoin(o.Dir, "double")},
		current: make(map[*tree]*shared),
		open:    make(map[[16]byte]*shared),
		own:     make(map[[16]byte]*tree),
	}
	s.handles = newHandles(o.Handles, func(name string) (vfs.File, error) { return o.FS.Open(name) })
	if err := s.makeTree(s.single); err != nil {
		return nil, err
	}
	if s.exists(s.double.root) { // else with its first extent
		if err := s.makeTree(s.double); err != nil {
			return nil, err
		}
	}
	return s, s.removeUnfinished()
}

func (s *Store) exists(name string) bool {
	_, err := s.fs.Stat(name)
	return err == nil
}

func (s *Store) removeUnfinished() error {
	return s.eachName(func(t *tree, dir, name string) error {
		if !strings.Contains(name, tmpMark) {
			return nil
		}
		return s.fs.Remove(s.fs.PathJoin(dir, name))
	})
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
	if p.Double {
		return s.readSectors(h, p, b, off)
	}
	return readFull(h.file, b, int64(p.Offset)+off)
}

// readFull fills b from a file that should have that much.
func readFull(f vfs.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
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
	busy := s.open[id] != nil || s.own[id] != nil
	s.mu.Unlock()
	if busy {
		return fmt.Errorf("fileextent: extent is being written")
	}
	for _, t := range s.trees() {
		for _, suffix := range []string{"", sharedSuffix} {
			name := s.path(t, id, suffix)
			s.handles.drop(name)
			err := s.fs.Remove(name)
			if !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return extent.ErrNotFound
}

// Stat implements extent.Store.
func (s *Store) Stat(id [16]byte) (extent.Info, error) {
	if i, ok := s.openInfo(id); ok {
		return i, nil
	}
	for _, t := range s.trees() {
		for _, suffix := range []string{"", sharedSuffix} {
			fi, err := s.fs.Stat(s.path(t, id, suffix))
			if err == nil {
				i := extent.Info{ID: id, Class: t.class, Size: fi.Size(), Shared: suffix != ""}
				s.describeLayer(&i)
				return i, nil
			}
			if !errors.Is(err, os.ErrNotExist) {
				return extent.Info{}, err
			}
		}
	}
	return extent.Info{}, extent.ErrNotFound
}

// openInfo describes an extent that is being written.
func (s *Store) openInfo(id [16]byte) (extent.Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.open[id]; e != nil {
		i := extent.Info{ID: id, Class: e.tree.class, Size: e.next, Shared: true, Open: true}
		if e.layer != nil {
			h := e.layer.Header()
			i.Size = h.Suite.Offset(infraext.Sectors(e.next))
			i.Infra, i.Algorithm = h.Kref, h.Suite.String()
		}
		return i, true
	}
	if t := s.own[id]; t != nil {
		return extent.Info{ID: id, Class: t.class, Open: true}, true
	}
	return extent.Info{}, false
}

// List implements extent.Store. Extents that come or go meanwhile may be left out.
func (s *Store) List(f func(extent.Info) error) error {
	return s.eachName(func(_ *tree, _, name string) error {
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
	clear(s.current)
	s.handles.close()
	return err
}
