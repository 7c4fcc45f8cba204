package sealedfs

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
)

// blobFile writes the file of values that a table of the engine refers to. The engine
// does not survive an error of its end: it closes the file twice (blob.FileWriter.Close
// of Pebble 2.1.7). So the error is kept until the engine closes the table, which comes
// after it, and fails that: the engine throws both away and tries again. Where no table
// follows, it is the MANIFEST that must not name the file.
type blobFile struct {
	*tableFile
	fs   *FS
	path string
	err  error
}

func (b *blobFile) Write(p []byte) (int, error) {
	if b.err == nil {
		if _, err := b.tableFile.Write(p); err != nil {
			b.fail(err)
		}
	}
	return len(p), nil
}

func (b *blobFile) Close() error {
	if err := b.tableFile.Close(); err != nil {
		b.fail(err)
	}
	return nil
}

func (b *blobFile) fail(err error) {
	b.err = err
	b.fs.mu.Lock()
	defer b.fs.mu.Unlock()
	b.fs.unwritten[b.path] = err
}

// besideBlobs is a table of the engine: it is not whole while a blob file is not.
type besideBlobs struct {
	*tableFile
	fs *FS
}

func (t *besideBlobs) Close() error {
	err := t.tableFile.Close()
	if err == nil {
		err = t.fs.unwrittenBlob()
	}
	return err
}

// manifestFile is a MANIFEST of the engine.
type manifestFile struct {
	*appendFile
	fs *FS
}

func (m *manifestFile) Write(p []byte) (int, error) {
	if err := m.fs.unwrittenBlob(); err != nil {
		return 0, m.fs.fatal(err)
	}
	return m.appendFile.Write(p)
}

// guarded wraps a file of class 1 of the engine; copies are written by our own code.
func (f *FS) guarded(path string, n name, t *tableFile) vfs.File {
	switch {
	case f.lower.PathDir(path) != f.lsm:
		return t
	case n.kind == kindBlob:
		return &blobFile{tableFile: t, fs: f, path: path}
	default:
		return &besideBlobs{t, f}
	}
}

// missingBlob is damage of ours and not os.ErrNotExist: that the engine takes for a
// corruption which it cannot report for a blob file, and panics.
func missingBlob(path string) error {
	return fault.New("sealedfs.Open", path, fault.Corrupt, errors.New("the file is missing; put it back or restore a backup"))
}

// unwrittenBlob returns why a blob file that is still there is not whole.
func (f *FS) unwrittenBlob() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, err := range f.unwritten {
		return fmt.Errorf("writing %s: %w", f.lower.PathBase(path), err)
	}
	return nil
}

func (f *FS) forgetUnwritten(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.unwritten, path)
}
