package sealedfs

import (
	"io"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tracker is the lower file system, with a list of what is open. An engine that failed
// to open leaves files, a lock and goroutines behind; abandon closes the first two and
// stops the last, so that the same directory can be opened again.
type tracker struct {
	vfs.FS

	// Every operation holds mu for reading, so that nothing is closed under it.
	mu        sync.RWMutex
	abandoned bool

	openMu sync.Mutex
	open   map[io.Closer]struct{}
}

func newTracker(lower vfs.FS) *tracker {
	return &tracker{FS: lower, open: make(map[io.Closer]struct{})}
}

// begin starts an operation; end must follow. After abandon it never returns: there is
// nobody left who waits for the caller.
func (t *tracker) begin() {
	t.mu.RLock()
	if t.abandoned {
		t.mu.RUnlock()
		select {}
	}
}

func (t *tracker) end() { t.mu.RUnlock() }

// abandon closes everything that is open.
func (t *tracker) abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.abandoned = true
	for c := range t.open {
		_ = c.Close()
	}
	clear(t.open)
}

func (t *tracker) add(c io.Closer) {
	t.openMu.Lock()
	defer t.openMu.Unlock()
	t.open[c] = struct{}{}
}

func (t *tracker) drop(c io.Closer) {
	t.openMu.Lock()
	defer t.openMu.Unlock()
	delete(t.open, c)
}

func (t *tracker) track(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	t.add(f)
	return &trackedFile{f, t}, nil
}

func (t *tracker) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	t.begin()
	defer t.end()
	return t.track(t.FS.Create(name, c))
}

func (t *tracker) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	t.begin()
	defer t.end()
	return t.track(t.FS.Open(name, opts...))
}

func (t *tracker) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	t.begin()
	defer t.end()
	return t.track(t.FS.OpenReadWrite(name, c, opts...))
}

func (t *tracker) OpenDir(name string) (vfs.File, error) {
	t.begin()
	defer t.end()
	return t.track(t.FS.OpenDir(name))
}

func (t *tracker) Lock(name string) (io.Closer, error) {
	t.begin()
	defer t.end()
	c, err := t.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	t.add(c)
	return &trackedLock{c, t}, nil
}

func (t *tracker) Link(oldname, newname string) error {
	t.begin()
	defer t.end()
	return t.FS.Link(oldname, newname)
}

func (t *tracker) Remove(name string) error {
	t.begin()
	defer t.end()
	return t.FS.Remove(name)
}

func (t *tracker) RemoveAll(name string) error {
	t.begin()
	defer t.end()
	return t.FS.RemoveAll(name)
}

func (t *tracker) Rename(oldname, newname string) error {
	t.begin()
	defer t.end()
	return t.FS.Rename(oldname, newname)
}

func (t *tracker) MkdirAll(dir string, perm os.FileMode) error {
	t.begin()
	defer t.end()
	return t.FS.MkdirAll(dir, perm)
}

func (t *tracker) List(dir string) ([]string, error) {
	t.begin()
	defer t.end()
	return t.FS.List(dir)
}

func (t *tracker) Stat(name string) (vfs.FileInfo, error) {
	t.begin()
	defer t.end()
	return t.FS.Stat(name)
}

type trackedLock struct {
	io.Closer
	t *tracker
}

func (l *trackedLock) Close() error {
	l.t.begin()
	defer l.t.end()
	l.t.drop(l.Closer)
	return l.Closer.Close()
}

type trackedFile struct {
	vfs.File
	t *tracker
}

func (f *trackedFile) Close() error {
	f.t.begin()
	defer f.t.end()
	f.t.drop(f.File)
	return f.File.Close()
}

func (f *trackedFile) Read(p []byte) (int, error) {
	f.t.begin()
	defer f.t.end()
	return f.File.Read(p)
}

func (f *trackedFile) ReadAt(p []byte, off int64) (int, error) {
	f.t.begin()
	defer f.t.end()
	return f.File.ReadAt(p, off)
}

func (f *trackedFile) Write(p []byte) (int, error) {
	f.t.begin()
	defer f.t.end()
	return f.File.Write(p)
}

func (f *trackedFile) WriteAt(p []byte, off int64) (int, error) {
	f.t.begin()
	defer f.t.end()
	return f.File.WriteAt(p, off)
}

func (f *trackedFile) Stat() (vfs.FileInfo, error) {
	f.t.begin()
	defer f.t.end()
	return f.File.Stat()
}

func (f *trackedFile) Sync() error {
	f.t.begin()
	defer f.t.end()
	return f.File.Sync()
}

func (f *trackedFile) SyncData() error {
	f.t.begin()
	defer f.t.end()
	return f.File.SyncData()
}

func (f *trackedFile) SyncTo(n int64) (bool, error) {
	f.t.begin()
	defer f.t.end()
	return f.File.SyncTo(n)
}

func (f *trackedFile) Preallocate(off, n int64) error {
	f.t.begin()
	defer f.t.end()
	return f.File.Preallocate(off, n)
}

func (f *trackedFile) Prefetch(off, n int64) error {
	f.t.begin()
	defer f.t.end()
	return f.File.Prefetch(off, n)
}
