package sealedfs

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
	"github.com/coffer-storage/coffer/internal/fault"
)

var errNotHere = errors.New("sealedfs: this file does not do that")

// sizedInfo is a FileInfo with the size of the plaintext.
type sizedInfo struct {
	vfs.FileInfo
	size int64
}

func (s sizedInfo) Size() int64 { return s.size }

func plainInfo(info vfs.FileInfo, table bool) vfs.FileInfo {
	if table {
		return sizedInfo{info, vfsframe.StatSize(info.Size())}
	}
	return sizedInfo{info, max(0, info.Size()-vfsframe.HeaderSize)}
}

// tableFile writes a class 1 file.
type tableFile struct {
	vfs.File
	w      *vfsframe.TableWriter
	used   *atomic.Uint64 // plaintext bytes under the key
	closed bool
}

func newTableFile(lower vfs.File, codec *vfsframe.Codec, used *atomic.Uint64) *tableFile {
	return &tableFile{File: lower, used: used, w: codec.NewTableWriter(func(b []byte) error {
		_, err := lower.Write(b)
		return err
	})}
}

func (t *tableFile) Write(p []byte) (int, error) {
	if t.closed {
		return 0, io.ErrClosedPipe
	}
	t.used.Add(uint64(len(p)))
	return t.w.Write(p)
}

// Close writes the last frame and is the point of durability.
func (t *tableFile) Close() error {
	if t.closed {
		return io.ErrClosedPipe
	}
	t.closed = true
	err := t.w.Close()
	if err == nil {
		err = t.File.Sync()
	}
	return errors.Join(err, t.File.Close())
}

func (t *tableFile) Read([]byte) (int, error)           { return 0, errNotHere }
func (t *tableFile) ReadAt([]byte, int64) (int, error)  { return 0, errNotHere }
func (t *tableFile) WriteAt([]byte, int64) (int, error) { return 0, errNotHere }
func (t *tableFile) Preallocate(_, _ int64) error       { return nil }
func (t *tableFile) Prefetch(_, _ int64) error          { return nil }
func (t *tableFile) Fd() uintptr                        { return vfs.InvalidFd }

// Sync promises nothing: full frames were issued already, and only Close makes the
// file durable.
func (t *tableFile) Sync() error                { return nil }
func (t *tableFile) SyncData() error            { return nil }
func (t *tableFile) SyncTo(int64) (bool, error) { return false, nil }

func (t *tableFile) Stat() (vfs.FileInfo, error) {
	info, err := t.File.Stat()
	if err != nil {
		return nil, err
	}
	return plainInfo(info, true), nil
}

// tableReader reads a class 1 file.
type tableReader struct {
	vfs.File
	r    *vfsframe.TableReader
	info vfs.FileInfo // as it was opened: a whole table does not change
	off  int64
}

func (t *tableReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := t.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		return 0, corrupt("sealedfs.ReadAt", "table", err)
	}
	return n, err
}

func (t *tableReader) Read(p []byte) (int, error) {
	n, err := t.ReadAt(p, t.off)
	t.off += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (t *tableReader) Write([]byte) (int, error)          { return 0, errNotHere }
func (t *tableReader) WriteAt([]byte, int64) (int, error) { return 0, errNotHere }
func (t *tableReader) Fd() uintptr                        { return vfs.InvalidFd }

func (t *tableReader) Prefetch(off, n int64) error {
	from, to := vfsframe.StoredRange(off, n)
	return t.File.Prefetch(from, to-from)
}

// Stat does not ask the disk: Pebble leaves a table open when that fails.
func (t *tableReader) Stat() (vfs.FileInfo, error) { return plainInfo(t.info, true), nil }

// appendFile writes a class 2 file: every Write is one frame, issued at once.
type appendFile struct {
	vfs.File
	used    *atomic.Uint64 // plaintext bytes under the key
	onClose func()
	onSync  func()
	onError func(error)

	mu      sync.Mutex
	a       *vfsframe.Appender
	buf     []byte
	written int64 // bytes that the lower file has taken, header included
	err     error // sticky: after it nothing is promised any more
	closed  bool
}

func newAppendFile(lower vfs.File, codec *vfsframe.Codec, used *atomic.Uint64) *appendFile {
	return &appendFile{File: lower, used: used, a: codec.NewAppender(), written: vfsframe.HeaderSize, onClose: func() {}, onSync: func() {}, onError: func(error) {}}
}

// maxKeptBuffer bounds what a file keeps between writes.
const maxKeptBuffer = 128 << 10

func (w *appendFile) Write(p []byte) (int, error) {
	n, err := w.write(p)
	if err != nil {
		w.onError(err)
	}
	return n, err
}

func (w *appendFile) write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	if w.err != nil {
		return 0, w.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	w.used.Add(uint64(len(p)))
	n := 0
	for n < len(p) && w.err == nil {
		part := p[n:min(len(p), n+vfsframe.MaxAppend)]
		w.buf, w.err = w.a.Seal(w.buf[:0], part)
		w.issue()
		n += len(part)
	}
	if w.err != nil {
		return 0, w.err
	}
	return n, nil
}

// issue writes buf, in one call.
func (w *appendFile) issue() {
	if w.err != nil {
		return
	}
	n, err := w.File.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	w.written += int64(len(w.buf))
	w.err = err
	if cap(w.buf) > maxKeptBuffer {
		w.buf = nil
	}
}

func (w *appendFile) Sync() error     { return w.sync(w.File.Sync) }
func (w *appendFile) SyncData() error { return w.sync(w.File.SyncData) }

// SyncTo is not asked for while BytesPerSync is out of reach; it is a full sync.
func (w *appendFile) SyncTo(int64) (bool, error) { return true, w.SyncData() }

// sync runs the lower sync without the lock and then says how far the file is durable.
// A sync that failed is never tried again as if it could help.
func (w *appendFile) sync(lower func() error) error {
	err := w.trySync(lower)
	if err != nil {
		w.onError(err)
	}
	return err
}

func (w *appendFile) trySync(lower func() error) error {
	w.mu.Lock()
	seq, err := w.a.Seq(), w.err
	w.mu.Unlock()
	if err != nil {
		return err
	}
	err = lower()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.err == nil {
		w.err = err
	}
	if w.err == nil {
		w.a.NoteSynced(seq)
		w.onSync()
	}
	return w.err
}

// Close syncs, writes the end frame and syncs again.
func (w *appendFile) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return io.ErrClosedPipe
	}
	w.closed = true
	w.mu.Unlock()
	err := w.Sync()
	if err == nil {
		w.mu.Lock()
		w.buf, w.err = w.a.End(w.buf[:0])
		w.issue()
		err = w.err
		w.mu.Unlock()
	}
	if err == nil {
		err = w.Sync()
	}
	err = errors.Join(err, w.File.Close())
	w.mu.Lock()
	w.buf = nil
	w.mu.Unlock()
	w.onClose()
	return err
}

// logFile is a log of the engine. Writes and syncs that fail latch the store and tell
// the commits that wait for them; a close that fails has no way back to the engine.
type logFile struct {
	*appendFile
	fs *FS
}

func (l *logFile) Close() error {
	err := l.appendFile.Close()
	if err == nil {
		err = l.fs.usable() // it failed before, and the engine is about to find out
	}
	if err != nil {
		return l.fs.fatal(fmt.Errorf("close of a log: %w", err))
	}
	return nil
}

// size is what is on disk in whole frames.
func (w *appendFile) size() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written
}

// failed returns the error after which nothing is promised any more.
func (w *appendFile) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// syncedSeq is the last frame that is known to be durable.
func (w *appendFile) syncedSeq() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.a.Synced()
}

func (w *appendFile) Read([]byte) (int, error)           { return 0, errNotHere }
func (w *appendFile) ReadAt([]byte, int64) (int, error)  { return 0, errNotHere }
func (w *appendFile) WriteAt([]byte, int64) (int, error) { return 0, errNotHere }
func (w *appendFile) Preallocate(_, _ int64) error       { return nil }
func (w *appendFile) Prefetch(_, _ int64) error          { return nil }
func (w *appendFile) Fd() uintptr                        { return vfs.InvalidFd }

func (w *appendFile) Stat() (vfs.FileInfo, error) {
	info, err := w.File.Stat()
	if err != nil {
		return nil, err
	}
	return plainInfo(info, false), nil
}

// appendReader reads a class 2 file from the start.
type appendReader struct {
	vfs.File
	path string
	s    *vfsframe.Scanner
	rest []byte
	err  error
	done func(vfsframe.Tail)
	// ended: the file got its name when it was whole, so that it must have its end frame.
	ended bool
}

func (r *appendReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.rest) == 0 && r.err == nil {
		r.rest, r.err = r.s.Next()
		switch {
		case r.err == io.EOF:
			if t := r.s.Tail(); r.ended && !t.Ended {
				r.err = corrupt("sealedfs.Read", r.path, vfsframe.ErrTail)
				break
			}
			r.done(r.s.Tail())
		case r.err != nil:
			r.err = corrupt("sealedfs.Read", r.path, r.err)
		}
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *appendReader) ReadAt([]byte, int64) (int, error)  { return 0, errNotHere }
func (r *appendReader) Write([]byte) (int, error)          { return 0, errNotHere }
func (r *appendReader) WriteAt([]byte, int64) (int, error) { return 0, errNotHere }
func (r *appendReader) Prefetch(_, _ int64) error          { return nil }
func (r *appendReader) Fd() uintptr                        { return vfs.InvalidFd }

func (r *appendReader) Stat() (vfs.FileInfo, error) {
	info, err := r.File.Stat()
	if err != nil {
		return nil, err
	}
	return plainInfo(info, false), nil
}

// emptyFile is a marker: nothing is ever in it.
type emptyFile struct{ vfs.File }

func (e *emptyFile) Write([]byte) (int, error)          { return 0, errEmptyFile }
func (e *emptyFile) WriteAt([]byte, int64) (int, error) { return 0, errEmptyFile }
func (e *emptyFile) Preallocate(_, _ int64) error       { return nil }
func (e *emptyFile) Fd() uintptr                        { return vfs.InvalidFd }

// dirFile is a directory. Its Sync also makes HEAD list what the sync made durable.
type dirFile struct {
	vfs.File
	fs   *FS
	path string
}

func (d *dirFile) Sync() error     { return d.fs.syncDir(d.path, d.File) }
func (d *dirFile) SyncData() error { return d.Sync() }
func (d *dirFile) Fd() uintptr     { return vfs.InvalidFd }

// corrupt marks errors of the format; those of the disk stay as they are.
func corrupt(op, path string, err error) error {
	for _, e := range []error{vfsframe.ErrFormat, vfsframe.ErrOpen, vfsframe.ErrTail, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return fault.New(op, path, fault.Corrupt, err)
		}
	}
	return err
}
