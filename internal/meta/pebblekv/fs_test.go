package pebblekv_test

import (
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// hookFS calls before and after around every sync of a file or directory, and fails
// operations that fail says should.
type hookFS struct {
	vfs.FS
	before, after func()
	fail          func(op, path string) error // op: sync, write, create, rename, remove
}

func (h *hookFS) check(op, path string) error {
	if h.fail == nil {
		return nil
	}
	return h.fail(op, path)
}

func (h *hookFS) wrap(f vfs.File, path string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	path, _, _ = strings.Cut(path, ".tmp-") // the name that it is going to have
	return &hookFile{f, h, path}, nil
}

func (h *hookFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := h.check("create", name); err != nil {
		return nil, err
	}
	f, err := h.FS.Create(name, c)
	return h.wrap(f, name, err)
}

func (h *hookFS) OpenDir(name string) (vfs.File, error) {
	f, err := h.FS.OpenDir(name)
	return h.wrap(f, name, err)
}

func (h *hookFS) Rename(oldname, newname string) error {
	if err := h.check("rename", newname); err != nil {
		return err
	}
	return h.FS.Rename(oldname, newname)
}

func (h *hookFS) Remove(name string) error {
	if err := h.check("remove", name); err != nil {
		return err
	}
	return h.FS.Remove(name)
}

func (h *hookFS) Unwrap() vfs.FS { return h.FS }

type hookFile struct {
	vfs.File
	fs   *hookFS
	path string
}

func (f *hookFile) Write(p []byte) (int, error) {
	if err := f.fs.check("write", f.path); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *hookFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *hookFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *hookFile) sync(lower func() error) error {
	if err := f.fs.check("sync", f.path); err != nil {
		return err
	}
	if f.fs.before != nil {
		f.fs.before()
	}
	err := lower()
	if f.fs.after != nil {
		f.fs.after()
	}
	return err
}

// image is every file of a data directory, as it is stored.
type image map[string][]byte

func read(t testing.TB, fs vfs.FS) image {
	t.Helper()
	im := image{}
	var walk func(dir string)
	walk = func(d string) {
		names, err := fs.List(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			p := path.Join(d, n)
			info, err := fs.Stat(p)
			if errors.Is(err, os.ErrNotExist) {
				continue // the engine has just removed what it no longer needs
			}
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				walk(p)
				continue
			}
			f, err := fs.Open(p)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			im[p] = append([]byte{}, b...)
		}
	}
	walk(dir)
	return im
}

// disk makes a file system of an image.
func (im image) disk(t testing.TB) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	for _, d := range []string{dir, path.Join(dir, "lsm"), path.Join(dir, "audit")} {
		if err := fs.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for p, b := range im {
		f, err := fs.Create(p, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append([]byte(nil), b...)); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	for _, d := range []string{path.Join(dir, "lsm"), path.Join(dir, "audit"), dir, "/"} {
		f, err := fs.OpenDir(d)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Sync()
		_ = f.Close()
	}
	return fs
}

// with returns a copy of the image after change.
func (im image) with(change func(image)) image {
	c := image{}
	for p, b := range im {
		c[p] = append([]byte(nil), b...)
	}
	change(c)
	return c
}

// find returns the paths whose base matches.
func (im image) find(pattern string) []string {
	var out []string
	for p := range im {
		if ok, _ := path.Match(pattern, path.Base(p)); ok {
			out = append(out, p)
		}
	}
	return out
}

// points counts up; it is used to choose some of the syncs of a run.
type points struct{ n atomic.Int64 }

func (p *points) next() int64 { return p.n.Add(1) }

var errBoom = os.ErrInvalid
