package fileextent

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/crypt/infraext"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/extent/extenttest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/secret"
)

// harness is the driver on one file system.
type harness struct {
	fs  vfs.FS
	dir string
	mem *vfs.MemFS // nil on a real disk
	now *Store

	keys  *infraKeys
	suite infraext.Suite
}

// infraKeys are versions of an infrastructure key, the last of them Active.
type infraKeys struct {
	mu   sync.Mutex
	list []secret.Key
}

func newInfraKeys() *infraKeys { return &infraKeys{list: []secret.Key{secret.Random(32)}} }

func (k *infraKeys) rotate() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, secret.Random(32))
}

func (k *infraKeys) SealInfra() ([16]byte, secret.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return [16]byte{byte(len(k.list))}, k.list[len(k.list)-1], nil
}

func (k *infraKeys) OpenInfra(kref [16]byte) (secret.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := int(kref[0]); n > 0 && n <= len(k.list) && kref == [16]byte{byte(n)} {
		return k.list[n-1], nil
	}
	return secret.Key{}, fault.New("keys.Open", "infrastructure", fault.Corrupt, errors.New("no such version"))
}

func (h *harness) Open(t testing.TB) extent.Store {
	t.Helper()
	if h.now != nil {
		if err := h.now.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Options{FS: h.fs, Dir: h.dir, Handles: 4, Infra: h.keys, Suite: h.suite, AllowXTS: true})
	if err != nil {
		t.Fatal(err)
	}
	h.now = s
	t.Cleanup(func() { s.Close() })
	return s
}

func (h *harness) Crash(t testing.TB) (extent.Store, bool) {
	if h.mem == nil {
		return nil, false
	}
	c := &harness{fs: h.mem.CrashClone(vfs.CrashCloneCfg{}), dir: h.dir, keys: h.keys, suite: h.suite}
	return c.Open(t), true
}

// kinds are the ways in which extents are written.
var kinds = []struct {
	name  string
	class extent.Class
	suite infraext.Suite
}{
	{"single", extent.Single, infraext.XTS},
	{"double by XTS", extent.Double, infraext.XTS},
	{"double by CBC", extent.Double, infraext.CBC},
}

func TestMemory(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			extenttest.Run(t, k.class, func(testing.TB) extenttest.Harness {
				fs := vfs.NewCrashableMem()
				return &harness{fs: fs, mem: fs, dir: "data/extents", keys: newInfraKeys(), suite: k.suite}
			})
		})
	}
}

func TestDisk(t *testing.T) {
	for _, k := range kinds {
		if testing.Short() && k.class == extent.Double {
			continue // 512 directories for each test
		}
		t.Run(k.name, func(t *testing.T) {
			extenttest.Run(t, k.class, func(t testing.TB) extenttest.Harness {
				return &harness{fs: vfs.Default, dir: t.TempDir(), keys: newInfraKeys(), suite: k.suite}
			})
		})
	}
}

// faultFS fails operations on files when told to.
type faultFS struct {
	vfs.FS
	sync, write, dirSync atomic.Pointer[error]
	syncs                atomic.Int64
}

func (f *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return &faultFile{file, f, false}, err
}

func (f *faultFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return &faultFile{file, f, true}, err
}

type faultFile struct {
	vfs.File
	fs  *faultFS
	dir bool
}

func (f *faultFile) Sync() error {
	if f.dir {
		if err := f.fs.dirSync.Load(); err != nil {
			return *err
		}
		return f.File.Sync()
	}
	f.fs.syncs.Add(1)
	if err := f.fs.sync.Load(); err != nil {
		return *err
	}
	return f.File.Sync()
}

func (f *faultFile) Write(b []byte) (int, error) {
	if err := f.fs.write.Load(); err != nil {
		return 0, *err
	}
	return f.File.Write(b)
}

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.fs.write.Load(); err != nil {
		return 0, *err
	}
	return f.File.WriteAt(b, off)
}

func openFault(t *testing.T) (*faultFS, *Store) {
	t.Helper()
	fs := &faultFS{FS: vfs.NewMem()}
	s, err := Open(Options{FS: fs, Dir: "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return fs, s
}

// TestFailedSync: what a failed sync may have lost is never acknowledged, and the file
// is not used again.
func TestFailedSync(t *testing.T) {
	ctx := context.Background()
	fs, s := openFault(t)
	bad := errors.New("input/output error")
	old, err := extenttest.Put(ctx, s, extenttest.Fill(1, 100))
	if err != nil {
		t.Fatal(err)
	}
	underway, err := s.Create(ctx, extent.Single, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := underway.Write(crypttest.Sealed(make([]byte, 10))); err != nil {
		t.Fatal(err)
	}
	fs.sync.Store(&bad)
	for _, n := range []int64{100, 2 << 20} {
		if _, err := extenttest.Put(ctx, s, extenttest.Fill(2, n)); !errors.Is(err, bad) {
			t.Errorf("chunk of %d bytes: error = %v, want the sync's", n, err)
		}
	}
	fs.sync.Store(nil)
	if _, err := underway.Commit(); !errors.Is(err, bad) {
		t.Errorf("Commit into a poisoned extent: error = %v", err)
	}
	p, err := extenttest.Put(ctx, s, extenttest.Fill(3, 100))
	if err != nil {
		t.Fatal(err)
	}
	if p.Extent == old.Extent {
		t.Error("a poisoned extent was used again")
	}
	extenttest.Check(t, s, old, extenttest.Fill(1, 100))
	extenttest.Check(t, s, p, extenttest.Fill(3, 100))
}

func TestFailedDirSync(t *testing.T) {
	ctx := context.Background()
	fs, s := openFault(t)
	bad := errors.New("input/output error")
	fs.dirSync.Store(&bad)
	for _, n := range []int64{100, 2 << 20} {
		if _, err := extenttest.Put(ctx, s, extenttest.Fill(2, n)); !errors.Is(err, bad) {
			t.Errorf("chunk of %d bytes: error = %v, want the directory's", n, err)
		}
	}
	fs.dirSync.Store(nil)
	for range 20 { // the two directories stay poisoned, the others serve
		if _, err := extenttest.Put(ctx, s, extenttest.Fill(2, extent.OwnSize)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFull(t *testing.T) {
	ctx := context.Background()
	fs, s := openFault(t)
	full := error(&os.PathError{Op: "write", Err: syscall.ENOSPC})
	fs.write.Store(&full)
	for _, n := range []int64{100, 2 << 20} {
		if _, err := extenttest.Put(ctx, s, extenttest.Fill(2, n)); !errors.Is(err, extent.ErrFull) {
			t.Errorf("chunk of %d bytes on a full disk: error = %v, want ErrFull", n, err)
		}
	}
	fs.write.Store(nil)
	s.o.MinFree = 1000
	for free, want := range map[uint64]error{1050: extent.ErrFull, 1101: nil} {
		s.o.FreeSpace = func() (uint64, error) { return free, nil }
		if _, err := extenttest.Put(ctx, s, extenttest.Fill(2, 100)); !errors.Is(err, want) {
			t.Errorf("100 bytes with %d free: error = %v, want %v", free, err, want)
		}
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open(Options{FS: fs, Dir: "x"})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Create(context.Background(), extent.Single, 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(crypttest.Sealed(make([]byte, 100))); err != nil {
		t.Fatal(err)
	}
	names := func() (found []string) {
		s.eachName(func(_ *tree, _, name string) error { found = append(found, name); return nil })
		return found
	}
	if n := names(); len(n) != 1 || !strings.Contains(n[0], tmpMark) {
		t.Fatalf("files while writing = %v", n)
	}
	if s, err = Open(Options{FS: fs, Dir: "x"}); err != nil {
		t.Fatal(err)
	}
	if n := names(); len(n) != 0 {
		t.Errorf("files after a restart = %v", n)
	}
}

// TestSharedSyncs: committers that come together do not sync one after the other.
func TestSharedSyncs(t *testing.T) {
	var g group
	inside := make(chan bool)
	release := make(chan bool)
	calls := 0
	f := func() error {
		calls++
		if calls == 1 {
			inside <- true
			<-release
		}
		return nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { g.sync(f) })
	<-inside
	const n = 20
	var waiting sync.WaitGroup
	for range n {
		waiting.Add(1)
		wg.Go(func() {
			waiting.Done()
			g.sync(f)
		})
	}
	waiting.Wait()
	release <- true
	wg.Wait()
	if calls < 2 || calls > 4 {
		t.Errorf("%d syncs for %d committers that came during the first", calls, n)
	}
}

func TestHandlesAreBounded(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	s, err := Open(Options{FS: fs, Dir: "x", Handles: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var places []extent.Place
	for i := range 10 {
		p, err := extenttest.Put(ctx, s, extenttest.Fill(byte(i), extent.OwnSize))
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, p)
	}
	for range 2 {
		for i, p := range places {
			extenttest.Check(t, s, p, extenttest.Fill(byte(i), extent.OwnSize))
		}
	}
	if n := s.handles.used.Len(); n != 3 {
		t.Errorf("%d files are open, want 3", n)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int64{64 << 10, 4 << 20, 64 << 20} {
		b.Run(byteSize(size), func(b *testing.B) {
			s, err := Open(Options{FS: vfs.Default, Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			buf := crypttest.Sealed(make([]byte, 256<<10))
			small := crypttest.Sealed(make([]byte, 64<<10))
			b.SetBytes(size)
			for b.Loop() {
				w, err := s.Create(context.Background(), extent.Single, size)
				if err != nil {
					b.Fatal(err)
				}
				for n := int64(0); n < size; {
					p := buf
					if size < 256<<10 {
						p = small
					}
					if err := w.Write(p); err != nil {
						b.Fatal(err)
					}
					n += int64(p.Len())
				}
				p, err := w.Commit()
				if err != nil {
					b.Fatal(err)
				}
				if size >= extent.OwnSize {
					s.Remove(p.Extent)
				}
			}
		})
	}
}

func byteSize(n int64) string {
	if n < 1<<20 {
		return "64KiB"
	}
	if n == 4<<20 {
		return "4MiB"
	}
	return "64MiB"
}
