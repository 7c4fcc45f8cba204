package sealedfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
)

var _ vfs.FS = (*FS)(nil)

var (
	errEmptyFile = errors.New("sealedfs: markers and locks are empty and never opened")
	errNumber    = errors.New("sealedfs: a file keeps its number and class")
	errRefused   = errors.New("sealedfs: refused")
)

// Create implements vfs.FS. The new name appears with its header in it, so that a file
// without one is always an error.
func (f *FS) Create(path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	n, err := parseName(f.lower.PathBase(path))
	if err != nil {
		return nil, err
	}
	switch {
	case n.kind == kindMarker:
		return f.createMarker(path, category)
	case !n.sealed():
		return nil, errEmptyFile
	}
	w, err := f.create(path, n, category)
	if err != nil && f.isLog(path, n) {
		err = f.fatal(fmt.Errorf("create of a log: %w", err))
	}
	return w, err
}

// isLog reports whether the engine cannot go on without the file.
func (f *FS) isLog(path string, n name) bool {
	return n.kind == kindLog && f.live(f.lower.PathDir(path))
}

func (f *FS) create(path string, n name, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.usable(); err != nil {
		return nil, err
	}
	if err := f.unlist(path, n); err != nil {
		return nil, err
	}
	kref, k, err := f.keys.SealVFS()
	if err != nil {
		return nil, err
	}
	codec, header, err := vfsframe.Create(k, kref, f.id(n))
	if err != nil {
		return nil, err
	}
	lower, err := f.createWithHeader(path, category, header)
	if err != nil {
		return nil, err
	}
	used := f.usage(kref)
	if n.once() {
		return f.noted(path, f.guarded(path, n, newTableFile(lower, codec, used))), nil
	}
	w := newAppendFile(lower, codec, used)
	f.mu.Lock()
	f.writers[path] = w
	f.mu.Unlock()
	w.onClose = func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.writers[path] == w {
			delete(f.writers, path)
		}
	}
	f.noteCreated(path, n, w)
	if n.kind == kindManifest && f.live(f.lower.PathDir(path)) {
		return &manifestFile{w, f}, nil
	}
	if f.isLog(path, n) {
		w.onSync = func() { f.logSyncs.Add(1) }
		w.onError = func(err error) { f.latch(err) }
		return &logFile{w, f}, nil
	}
	return f.noted(path, w), nil
}

// notedFile remembers a close that failed: the engine does not look at those of the
// files that it copies into a checkpoint.
type notedFile struct {
	vfs.File
	fs   *FS
	path string
}

// noted wraps a file of a copy; in the live directories who closes looks.
func (f *FS) noted(path string, file vfs.File) vfs.File {
	if dir := f.lower.PathDir(path); dir == f.lsm || dir == f.audit {
		return file
	}
	return &notedFile{file, f, path}
}

func (n *notedFile) Close() error {
	err := n.File.Close()
	if err != nil {
		n.fs.mu.Lock()
		defer n.fs.mu.Unlock()
		n.fs.unclosed = append(n.fs.unclosed, closeError{n.path, err})
	}
	return err
}

// closeError is a file whose last bytes may not be on disk.
type closeError struct {
	path string
	err  error
}

// TakeCloseErrors returns what failed when files below dir were closed, and forgets it.
func (f *FS) TakeCloseErrors(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	f.unclosed = slices.DeleteFunc(f.unclosed, func(c closeError) bool {
		below := f.lower.PathDir(c.path) == dir
		if below {
			errs = append(errs, fmt.Errorf("closing %s: %w", c.path, c.err))
		}
		return below
	})
	return errors.Join(errs...)
}

// createWithHeader makes path appear with its header, which is synced.
func (f *FS) createWithHeader(path string, category vfs.DiskWriteCategory, header []byte) (vfs.File, error) {
	tmp := tempName(path)
	lower, err := f.lower.Create(tmp, category)
	if err != nil {
		return nil, err
	}
	_, err = lower.Write(header)
	if err == nil {
		err = lower.Sync()
	}
	if err == nil && f.reopen {
		err = lower.Close()
		lower = nil
	}
	if err == nil {
		err = f.lower.Rename(tmp, path)
	}
	if err == nil && f.reopen {
		if lower, err = f.lower.OpenReadWrite(path, category); err == nil {
			lower = &offsetFile{File: lower, off: vfsframe.HeaderSize}
		}
	}
	if err != nil {
		if lower != nil {
			_ = lower.Close()
		}
		_ = f.lower.Remove(tmp)
		return nil, err
	}
	return lower, nil
}

// offsetFile continues a file that was opened again.
type offsetFile struct {
	vfs.File
	off int64
}

func (o *offsetFile) Write(p []byte) (int, error) {
	n, err := o.File.WriteAt(p, o.off)
	o.off += int64(n)
	return n, err
}

// createMarker creates an empty file. The directory is synced first: otherwise a power
// cut may keep the marker and lose the MANIFEST that it names.
func (f *FS) createMarker(path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.usable(); err != nil {
		return nil, err
	}
	dir, err := f.OpenDir(f.lower.PathDir(path))
	if err != nil {
		return nil, err
	}
	err = errors.Join(dir.Sync(), dir.Close())
	if err != nil {
		return nil, err
	}
	lower, err := f.lower.Create(path, category)
	if err != nil {
		return nil, err
	}
	if n, ok := markedManifest(f.lower.PathBase(path)); ok {
		f.noteMarker(path, n)
	}
	return &emptyFile{lower}, nil
}

// Open implements vfs.FS.
func (f *FS) Open(path string, opts ...vfs.OpenOption) (vfs.File, error) {
	n, err := parseName(f.lower.PathBase(path))
	if err != nil {
		return nil, err
	}
	if !n.sealed() {
		return nil, errEmptyFile
	}
	lower, err := f.lower.Open(path, opts...)
	if n.kind == kindBlob && errors.Is(err, os.ErrNotExist) {
		return nil, missingBlob(path)
	}
	if err != nil {
		return nil, err
	}
	r, err := f.open(path, n, lower)
	if err != nil {
		_ = lower.Close()
		return nil, corrupt("sealedfs.Open", path, err)
	}
	return r, nil
}

func (f *FS) open(path string, n name, lower vfs.File) (vfs.File, error) {
	info, err := lower.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	f.mu.Lock()
	if w := f.writers[path]; w != nil {
		size = w.size() // what follows may be half a frame
	}
	f.mu.Unlock()
	codec, err := openCodec(lower, f.id(n), f.keys)
	if err != nil {
		return nil, err
	}
	if n.once() {
		r, err := codec.NewTableReader(lower, size)
		if err != nil {
			return nil, err
		}
		return &tableReader{File: lower, r: r, info: info}, nil
	}
	return &appendReader{File: lower, s: codec.NewScanner(lower, size), done: func(t vfsframe.Tail) {
		f.torn(path, t)
	}, path: path, ended: n.kind == kindOptions}, nil
}

// openCodec reads the header of a file.
func openCodec(r io.ReaderAt, id vfsframe.ID, k Keys) (*vfsframe.Codec, error) {
	h, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	return vfsframe.Open(h.Bytes(), id, k.OpenVFS)
}

// readHeader reads a header. A file without one is an error, always.
func readHeader(r io.ReaderAt) (vfsframe.Header, error) {
	var b [vfsframe.HeaderSize]byte
	if n, err := r.ReadAt(b[:], 0); n < len(b) {
		if err == nil || err == io.EOF {
			err = vfsframe.ErrFormat
		}
		return vfsframe.Header{}, err
	}
	return vfsframe.ParseHeader(b[:])
}

func (f *FS) torn(path string, t vfsframe.Tail) {
	if t.Lost == 0 {
		return
	}
	f.opts.Logger.Warn("log ends in a tail that was never synced",
		"file", f.lower.PathBase(path), "frames", t.Seq, "lost", t.Lost)
	if f.opts.TornTail != nil {
		f.opts.TornTail(f.lower.PathBase(path), t.Lost)
	}
}

// OpenReadWrite implements vfs.FS: refused. No file is written twice.
func (f *FS) OpenReadWrite(path string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, fmt.Errorf("%w: OpenReadWrite of %s", errRefused, f.lower.PathBase(path))
}

// OpenDir implements vfs.FS.
func (f *FS) OpenDir(path string) (vfs.File, error) {
	d, err := f.lower.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &dirFile{File: d, fs: f, path: path}, nil
}

// Remove implements vfs.FS. What HEAD lists leaves HEAD first.
func (f *FS) Remove(path string) error {
	n, err := parseName(f.lower.PathBase(path))
	if err != nil {
		// A directory; or a name that this FS never gave to anyone.
		if info, serr := f.lower.Stat(path); serr != nil || !info.IsDir() {
			return err
		}
		return f.lower.Remove(path)
	}
	if err := f.unlist(path, n); err != nil {
		return err
	}
	f.mu.Lock()
	delete(f.writers, path)
	f.mu.Unlock()
	if err := f.lower.Remove(path); err != nil {
		return err
	}
	f.forgetUnwritten(path)
	return nil
}

// RemoveAll implements vfs.FS, outside of the live directories.
func (f *FS) RemoveAll(path string) error {
	if f.live(path) || path == f.dir {
		return fmt.Errorf("%w: RemoveAll of %s", errRefused, path)
	}
	return f.lower.RemoveAll(path)
}

// keepsNumber checks that two names are the same file of the format.
func (f *FS) keepsNumber(oldpath, newpath string) error {
	o, err := parseName(f.lower.PathBase(oldpath))
	if err != nil {
		return err
	}
	n, err := parseName(f.lower.PathBase(newpath))
	if err != nil {
		return err
	}
	if !o.sealed() || !n.sealed() || o.number != n.number ||
		f.id(o).Kind.Class() != f.id(n).Kind.Class() || f.id(o).Area != f.id(n).Area {
		return errNumber
	}
	return nil
}

// Link implements vfs.FS.
func (f *FS) Link(oldpath, newpath string) error {
	if err := f.keepsNumber(oldpath, newpath); err != nil {
		return err
	}
	return f.lower.Link(oldpath, newpath)
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldpath, newpath string) error {
	if err := f.keepsNumber(oldpath, newpath); err != nil {
		return err
	}
	return f.lower.Rename(oldpath, newpath)
}

// ReuseForWrite implements vfs.FS: a new file with a new key; the old one goes.
func (f *FS) ReuseForWrite(oldpath, newpath string, category vfs.DiskWriteCategory) (vfs.File, error) {
	n, err := parseName(f.lower.PathBase(oldpath))
	if err == nil {
		err = f.unlist(oldpath, n)
	}
	if err != nil {
		if f.isLog(oldpath, n) {
			err = f.fatal(fmt.Errorf("reuse of a log: %w", err))
		}
		return nil, err
	}
	if err := f.lower.Remove(oldpath); err != nil {
		// It means nothing any more, and the engine removes it at its next start.
		f.opts.Logger.Warn("a log that is not needed stays", "file", f.lower.PathBase(oldpath), "cause", err.Error())
	}
	return f.Create(newpath, category)
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string, perm os.FileMode) error { return f.lower.MkdirAll(dir, perm) }

// Lock implements vfs.FS.
func (f *FS) Lock(path string) (io.Closer, error) {
	if n, err := parseName(f.lower.PathBase(path)); err != nil || n.kind != kindLock {
		return nil, fmt.Errorf("%w: lock of %s", errRefused, f.lower.PathBase(path))
	}
	return f.lower.Lock(path)
}

// List implements vfs.FS. Files that are not complete do not exist yet.
func (f *FS) List(dir string) ([]string, error) {
	names, err := f.lower.List(dir)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, isTemp), nil
}

// Stat implements vfs.FS with the size of the plaintext.
func (f *FS) Stat(path string) (vfs.FileInfo, error) {
	info, err := f.lower.Stat(path)
	if err != nil || info.IsDir() {
		return info, err
	}
	n, err := parseName(f.lower.PathBase(path))
	if err != nil {
		return nil, err
	}
	if !n.sealed() {
		if info.Size() != 0 {
			return nil, errEmptyFile
		}
		return info, nil
	}
	return plainInfo(info, n.once()), nil
}

// PathBase implements vfs.FS.
func (f *FS) PathBase(path string) string { return f.lower.PathBase(path) }

// PathJoin implements vfs.FS.
func (f *FS) PathJoin(elem ...string) string { return f.lower.PathJoin(elem...) }

// PathDir implements vfs.FS.
func (f *FS) PathDir(path string) string { return f.lower.PathDir(path) }

// GetDiskUsage implements vfs.FS.
func (f *FS) GetDiskUsage(path string) (vfs.DiskUsage, error) { return f.lower.GetDiskUsage(path) }

// Unwrap implements vfs.FS.
func (f *FS) Unwrap() vfs.FS { return f.lower.FS }
