package metamorphic

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs/sealedfstest"
)

// root is where Pebble's test opens its store. sealedfs wants the LSM in root/lsm.
const root = "data"

// layer puts sealedfs between Pebble's test and its file system. It is an option of the
// test: Open is called before the store is opened, and again after each restart, when
// the test has put a crash clone in place of the file system.
type layer struct {
	mu    sync.Mutex
	keys  *sealedfstest.Keys
	plain vfs.FS
	fs    *sealedfs.FS
	opens int

	damage  bool
	reused  atomic.Int64
	blobs   atomic.Int64 // blob files made
	creates int
	strict  bool         // the file system can be cloned as after a crash
	copies  []*vfs.MemFS // of the live store, in the middle of its work
}

// copyAt are the creates of a file before which the live store is copied.
var copyAt = map[int]int{3: 100, 12: 50, 40: 0, 90: 50, 250: 100}

// creating copies the live store now and then.
func (l *layer) creating() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.creates++
	if percent, ok := copyAt[l.creates]; ok && l.strict {
		l.copies = append(l.copies, vfs.Root(l.plain).(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, uint64(l.creates))),
		}))
	}
}

func (l *layer) Name() string  { return "sealed" }
func (l *layer) Value() string { return "1" }

func (l *layer) Close(*pebble.Options) error { return nil }

// limit takes out of the options what the product does not use and sealedfs refuses.
func limit(o *pebble.Options) {
	o.Cleaner = pebble.DeleteCleaner{} // no archive
	o.WALDir, o.WALFailover = "", nil
}

// Open wraps the file system of the options.
func (l *layer) Open(o *pebble.Options) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opens++
	l.plain = o.FS
	if l.damage {
		o.FS = &damagedFS{FS: o.FS}
	}
	if err := o.FS.MkdirAll(o.FS.PathJoin(root, sealedfs.LSMDir), 0o755); err != nil {
		return err
	}
	l.fs = sealedfs.New(o.FS, root, l.keys, sealedfs.Options{Fatal: func(err error) {
		panic(fmt.Sprintf("sealedfs gives up: %v", err))
	}})
	// HEAD must agree with what the crash left, as in a start of the server.
	_, err := l.fs.Check(sealedfs.Expect{Uninitialized: true})
	if errors.Is(err, sealedfs.ErrNoHead) {
		err = l.fs.BeginStore()
	}
	if err != nil {
		return fmt.Errorf("HEAD: %w", err)
	}
	o.FS = &split{FS: o.FS, sealed: l.fs, creating: l.creating, reused: &l.reused, blobs: &l.blobs}
	return nil
}

// split sends the files of the store and of its checkpoints to sealedfs, and all others
// to the plain file system.
type split struct {
	vfs.FS
	sealed   *sealedfs.FS
	creating func()
	reused   *atomic.Int64
	blobs    *atomic.Int64
}

func (s *split) Unwrap() vfs.FS { return s.FS }

// to says where a path lies.
func (s *split) to(path string) (vfs.FS, string) {
	rest, ok := strings.CutPrefix(path, root+"/")
	if path == root {
		return s.sealed, s.sealed.LSM()
	}
	if !ok {
		return s.FS, path
	}
	switch first, _, deeper := strings.Cut(rest, "/"); {
	case first == "checkpoints":
		return s.sealed, path
	case first == "tmp", first == "external", first == "shared", deeper:
		return s.FS, path
	}
	return s.sealed, s.sealed.LSM() + "/" + rest
}

var errOther = errors.New("two file systems")

func (s *split) Create(n string, c vfs.DiskWriteCategory) (vfs.File, error) {
	fs, n := s.to(n)
	if fs == vfs.FS(s.sealed) {
		s.creating()
		if strings.HasSuffix(n, ".blob") {
			s.blobs.Add(1)
		}
	}
	return fs.Create(n, c)
}

func (s *split) Link(from, to string) error {
	a, from := s.to(from)
	b, to := s.to(to)
	if a != b {
		return errOther // Pebble copies then
	}
	return a.Link(from, to)
}

func (s *split) Open(n string, o ...vfs.OpenOption) (vfs.File, error) {
	fs, n := s.to(n)
	return fs.Open(n, o...)
}

func (s *split) OpenReadWrite(n string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	fs, n := s.to(n)
	return fs.OpenReadWrite(n, c, o...)
}

// OpenDir of the root is the LSM's; the plain directory is synced with it.
func (s *split) OpenDir(n string) (vfs.File, error) {
	fs, m := s.to(n)
	d, err := fs.OpenDir(m)
	if err != nil || n != root {
		return d, err
	}
	p, err := s.FS.OpenDir(root)
	return &bothDirs{d, p}, err
}

type bothDirs struct {
	vfs.File
	plain vfs.File
}

func (b *bothDirs) Sync() error  { return errors.Join(b.plain.Sync(), b.File.Sync()) }
func (b *bothDirs) Close() error { return errors.Join(b.plain.Close(), b.File.Close()) }

func (s *split) Remove(n string) error {
	fs, n := s.to(n)
	return fs.Remove(n)
}

func (s *split) RemoveAll(n string) error {
	fs, n := s.to(n)
	return fs.RemoveAll(n)
}

func (s *split) Rename(from, to string) error {
	a, from := s.to(from)
	b, to := s.to(to)
	if a != b {
		return errOther
	}
	return a.Rename(from, to)
}

func (s *split) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	a, from := s.to(from)
	b, to := s.to(to)
	if a != b {
		return nil, errOther
	}
	s.reused.Add(1)
	return a.ReuseForWrite(from, to, c)
}

func (s *split) MkdirAll(n string, perm os.FileMode) error {
	fs, n := s.to(n)
	return fs.MkdirAll(n, perm)
}

func (s *split) Lock(n string) (io.Closer, error) {
	fs, n := s.to(n)
	return fs.Lock(n)
}

func (s *split) List(n string) ([]string, error) {
	fs, n := s.to(n)
	return fs.List(n)
}

func (s *split) Stat(n string) (vfs.FileInfo, error) {
	fs, n := s.to(n)
	return fs.Stat(n)
}

// damagedFS changes a byte in every fiftieth read of a table or a blob file.
type damagedFS struct {
	vfs.FS
	reads atomic.Int64
}

func (d *damagedFS) Unwrap() vfs.FS { return d.FS }

func (d *damagedFS) Open(n string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(n, o...)
	if err != nil || !strings.HasSuffix(n, ".sst") && !strings.HasSuffix(n, ".blob") {
		return f, err
	}
	return &damagedFile{f, d}, nil
}

type damagedFile struct {
	vfs.File
	d *damagedFS
}

func (f *damagedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if n > 0 && f.d.reads.Add(1)%50 == 0 {
		p[n/2] ^= 1
	}
	return n, err
}
