package proof

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// event is one kind of call on a file system.
type event uint8

const (
	evCreate event = iota // Create, OpenReadWrite, ReuseForWrite
	evWrite
	evSync
	evDirSync
	evRename
	evRemove
	evLink
	evMkdir
	evOpen
	evRead
	evList
	evStat
	evClose
	eventCount
)

var eventNames = [eventCount]string{
	"create", "write", "sync", "sync of a directory", "rename", "remove", "link", "mkdir", "open", "read", "list", "stat", "close",
}

func (e event) String() string { return eventNames[e] }

// changes reports whether a power cut before the event can differ from one after it.
func (e event) changes() bool { return e < evOpen }

// tapFS calls before ahead of every call on a file system. An error from it is the
// result of the call, which then does not happen; *partial lets a part of it happen.
type tapFS struct {
	vfs.FS
	before func(e event, path string) error
	open   atomic.Int64 // files and directories that are open
	mu     sync.Mutex
	paths  map[string]int // of those

	// links keeps clones out of Link: MemFS takes its lock for readers twice there, and a
	// clone that waits between the two stops everything for good.
	links sync.RWMutex
}

// clone is what a power cut leaves of the MemFS below.
func (t *tapFS) clone(c vfs.CrashCloneCfg) *vfs.MemFS {
	t.links.Lock()
	defer t.links.Unlock()
	return t.FS.(*vfs.MemFS).CrashClone(c)
}

// partial makes a read or write end after a part of its bytes, with err.
type partial struct{ err error }

func (p *partial) Error() string { return fmt.Sprintf("a part was done: %v", p.err) }
func (p *partial) Unwrap() error { return p.err }

func (t *tapFS) Unwrap() vfs.FS { return t.FS }

func (t *tapFS) opened(path string, dir bool, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	t.note(path, 1)
	return &tapFile{File: f, t: t, path: path, dir: dir}, nil
}

func (t *tapFS) note(path string, n int) {
	t.open.Add(int64(n))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paths == nil {
		t.paths = map[string]int{}
	}
	if t.paths[path] += n; t.paths[path] == 0 {
		delete(t.paths, path)
	}
}

// leaked lists what is still open.
func (t *tapFS) leaked() (list []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, n := range t.paths {
		list = append(list, fmt.Sprintf("%s (%d)", p, n))
	}
	return list
}

func (t *tapFS) Create(n string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := t.before(evCreate, n); err != nil {
		return nil, err
	}
	f, err := t.FS.Create(n, c)
	return t.opened(n, false, f, err)
}

func (t *tapFS) OpenReadWrite(n string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if err := t.before(evCreate, n); err != nil {
		return nil, err
	}
	f, err := t.FS.OpenReadWrite(n, c, o...)
	return t.opened(n, false, f, err)
}

func (t *tapFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := t.before(evCreate, to); err != nil {
		return nil, err
	}
	f, err := t.FS.ReuseForWrite(from, to, c)
	return t.opened(to, false, f, err)
}

func (t *tapFS) Open(n string, o ...vfs.OpenOption) (vfs.File, error) {
	if err := t.before(evOpen, n); err != nil {
		return nil, err
	}
	f, err := t.FS.Open(n, o...)
	return t.opened(n, false, f, err)
}

func (t *tapFS) OpenDir(n string) (vfs.File, error) {
	if err := t.before(evOpen, n); err != nil {
		return nil, err
	}
	f, err := t.FS.OpenDir(n)
	return t.opened(n, true, f, err)
}

func (t *tapFS) Link(from, to string) error {
	if err := t.before(evLink, to); err != nil {
		return err
	}
	t.links.RLock()
	defer t.links.RUnlock()
	return t.FS.Link(from, to)
}

func (t *tapFS) Remove(n string) error {
	if err := t.before(evRemove, n); err != nil {
		return err
	}
	return t.FS.Remove(n)
}

func (t *tapFS) RemoveAll(n string) error {
	if err := t.before(evRemove, n); err != nil {
		return err
	}
	return t.FS.RemoveAll(n)
}

func (t *tapFS) Rename(from, to string) error {
	if err := t.before(evRename, to); err != nil {
		return err
	}
	return t.FS.Rename(from, to)
}

func (t *tapFS) MkdirAll(n string, perm os.FileMode) error {
	if err := t.before(evMkdir, n); err != nil {
		return err
	}
	return t.FS.MkdirAll(n, perm)
}

func (t *tapFS) Lock(n string) (io.Closer, error) {
	if err := t.before(evOpen, n); err != nil {
		return nil, err
	}
	c, err := t.FS.Lock(n)
	if err != nil {
		return nil, err
	}
	t.note(n, 1)
	return &tapLock{c, t, n}, nil
}

type tapLock struct {
	io.Closer
	t    *tapFS
	path string
}

func (l *tapLock) Close() error {
	l.t.note(l.path, -1)
	return l.Closer.Close()
}

func (t *tapFS) List(n string) ([]string, error) {
	if err := t.before(evList, n); err != nil {
		return nil, err
	}
	return t.FS.List(n)
}

func (t *tapFS) Stat(n string) (vfs.FileInfo, error) {
	if err := t.before(evStat, n); err != nil {
		return nil, err
	}
	return t.FS.Stat(n)
}

// tapFile is an open file of a tapFS.
type tapFile struct {
	vfs.File
	t    *tapFS
	path string
	dir  bool
}

func (f *tapFile) Close() error {
	// A failed close still gives the descriptor back, as the operating system does.
	f.t.note(f.path, -1)
	if err := f.t.before(evClose, f.path); err != nil {
		_ = f.File.Close()
		return err
	}
	return f.File.Close()
}

func (f *tapFile) sync(do func() error) error {
	e := evSync
	if f.dir {
		e = evDirSync
	}
	if err := f.t.before(e, f.path); err != nil {
		return err
	}
	return do()
}

func (f *tapFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *tapFile) SyncData() error { return f.sync(f.File.SyncData) }
func (f *tapFile) SyncTo(n int64) (full bool, err error) {
	err = f.sync(func() (err error) { full, err = f.File.SyncTo(n); return err })
	return full, err
}

// some runs an operation on p, or on a part of p when the tap says so.
func (f *tapFile) some(e event, p []byte, do func([]byte) (int, error)) (int, error) {
	err := f.t.before(e, f.path)
	if err == nil {
		return do(p)
	}
	part, ok := err.(*partial)
	if !ok {
		return 0, err
	}
	n := 0
	if len(p) > 1 {
		n, err = do(p[:len(p)/2])
		if err != nil {
			return n, err
		}
	}
	return n, part.err
}

func (f *tapFile) Write(p []byte) (int, error) { return f.some(evWrite, p, f.File.Write) }
func (f *tapFile) Read(p []byte) (int, error)  { return f.some(evRead, p, f.File.Read) }
func (f *tapFile) WriteAt(p []byte, off int64) (int, error) {
	return f.some(evWrite, p, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

func (f *tapFile) ReadAt(p []byte, off int64) (int, error) {
	return f.some(evRead, p, func(p []byte) (int, error) { return f.File.ReadAt(p, off) })
}

func (f *tapFile) Stat() (vfs.FileInfo, error) {
	if err := f.t.before(evStat, f.path); err != nil {
		return nil, err
	}
	return f.File.Stat()
}
