package sealedfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs/sealedfstest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newFS returns a sealed file system over memory, with its directories.
func newFS(t testing.TB) (*FS, *vfs.MemFS) {
	t.Helper()
	lower := vfs.NewCrashableMem()
	must(t, lower.MkdirAll("d", 0o700))
	must(t, SyncDir(lower, "."))
	f := New(lower, "d", sealedfstest.New(1), Options{})
	must(t, f.BeginStore())
	return f, lower
}

func writeFile(t testing.TB, f *FS, path string, parts ...[]byte) {
	t.Helper()
	w, err := f.Create(path, vfs.WriteCategoryUnspecified)
	must(t, err)
	for _, p := range parts {
		_, err := w.Write(bytes.Clone(p))
		must(t, err)
	}
	must(t, w.Close())
}

func readFile(f *FS, path string) ([]byte, error) {
	r, err := f.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestNames(t *testing.T) {
	good := map[string]name{
		"000012.sst": {kindTable, 12}, "12.sst": {kindTable, 12}, "1.log": {kindLog, 1},
		"000013.blob":     {kindBlob, 13},
		"MANIFEST-000001": {kindManifest, 1}, "OPTIONS-9": {kindOptions, 9},
		"temporary.000007.dbtmp": {kindTemp, 7}, "3.aud": {kindAudit, 3},
		"LOCK": {kindLock, 0}, "marker.manifest.000001.MANIFEST-000001": {kindMarker, 0},
		"18446744073709551615.sst": {kindTable, 1<<64 - 1},
	}
	for base, want := range good {
		if got, err := parseName(base); err != nil || got != want {
			t.Errorf("parseName(%q) = %v, %v, want %v", base, got, err, want)
		}
	}
	for _, base := range []string{"", "x", "1.blobx", "1.sst.tmp-0", "000001-001.log", "-1.sst", "+1.sst", ".sst",
		"MANIFEST-", "MANIFEST-x", "CURRENT", "1.sstx", "18446744073709551616.sst", "REMOTE-OBJ-CATALOG-000001", "marker", "lock"} {
		if got, err := parseName(base); err == nil {
			t.Errorf("parseName(%q) = %v", base, got)
		}
	}
}

func TestFiles(t *testing.T) {
	for _, reopen := range []bool{false, true} {
		f, lower := newFS(t)
		f.reopen = reopen
		big := bytes.Repeat([]byte("0123456789"), 150_000)
		for _, base := range []string{"000001.sst", "000002.log", "MANIFEST-000003", "OPTIONS-000004", "000006.blob", "temporary.000005.dbtmp"} {
			for _, parts := range [][][]byte{nil, {[]byte("plain text one")}, {[]byte("plain text one"), []byte("two")}, {big, []byte("end")}} {
				p := "d/elsewhere/" + base
				must(t, f.MkdirAll("d/elsewhere", 0o700))
				writeFile(t, f, p, parts...)
				want := bytes.Join(parts, nil)
				got, err := readFile(f, p)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: read %d bytes of %d, %v", base, len(got), len(want), err)
				}
				stored, err := ReadSmall(lower, p)
				must(t, err)
				if bytes.Contains(stored, []byte("0123456789")) || bytes.Contains(stored, []byte("plain text")) {
					t.Errorf("%s lies in plaintext", base)
				}
				names, err := lower.List("d/elsewhere")
				must(t, err)
				if slices.ContainsFunc(names, isTemp) {
					t.Errorf("temporary files stay: %v", names)
				}
			}
		}
	}
}

func TestStat(t *testing.T) {
	f, _ := newFS(t)
	p := "d/lsm/000001.sst"
	w, err := f.Create(p, vfs.WriteCategoryUnspecified)
	must(t, err)
	for _, n := range []int{0, 5, 4091, 100_000} {
		_, err := w.Write(make([]byte, n))
		must(t, err)
		a, err := w.Stat()
		must(t, err)
		b, err := f.Stat(p)
		must(t, err)
		if a.Size() != b.Size() {
			t.Errorf("File.Stat = %d, FS.Stat = %d", a.Size(), b.Size())
		}
	}
	must(t, w.Close())
	info, err := f.Stat(p)
	must(t, err)
	r, err := f.Open(p)
	must(t, err)
	defer r.Close()
	info2, err := r.Stat()
	must(t, err)
	if info.Size() != 104_096 || info2.Size() != 104_096 {
		t.Errorf("Stat = %d, %d, want 104096", info.Size(), info2.Size())
	}
}

func TestRefusals(t *testing.T) {
	f, lower := newFS(t)
	writeFile(t, f, "d/lsm/000001.sst", []byte("x"))
	writeFile(t, f, "d/lsm/000002.log", []byte("x"))
	refused := map[string]func() error{
		"unknown name":      func() error { _, err := f.Create("d/lsm/plain.txt", ""); return err },
		"lock as a file":    func() error { _, err := f.Create("d/lsm/LOCK", ""); return err },
		"open of a marker":  func() error { _, err := f.Open("d/lsm/marker.manifest.1.MANIFEST-1"); return err },
		"OpenReadWrite":     func() error { _, err := f.OpenReadWrite("d/lsm/000001.sst", ""); return err },
		"rename number":     func() error { return f.Rename("d/lsm/000001.sst", "d/lsm/000003.sst") },
		"rename kind":       func() error { return f.Rename("d/lsm/000001.sst", "d/lsm/000003.blob") },
		"rename class":      func() error { return f.Rename("d/lsm/000001.sst", "d/lsm/000001.log") },
		"rename area":       func() error { return f.Rename("d/lsm/000002.log", "d/lsm/000002.aud") },
		"link number":       func() error { return f.Link("d/lsm/000001.sst", "d/000003.sst") },
		"link of a marker":  func() error { return f.Link("d/lsm/marker.a.1.b", "d/lsm/marker.a.2.b") },
		"RemoveAll of lsm":  func() error { return f.RemoveAll("d/lsm") },
		"RemoveAll of data": func() error { return f.RemoveAll("d") },
		"lock of a table":   func() error { _, err := f.Lock("d/lsm/000001.sst"); return err },
		"remove of a plain": func() error { return f.Remove("d/lsm/foreign") },
	}
	for what, call := range refused {
		if call() == nil {
			t.Errorf("%s: no error", what)
		}
	}
	must(t, f.Link("d/lsm/000001.sst", "d/000001.sst"))
	if b, err := readFile(f, "d/000001.sst"); err != nil || string(b) != "x" {
		t.Errorf("link: %q, %v", b, err)
	}
	must(t, f.Rename("d/lsm/000001.sst", "d/lsm/1.sst"))

	// A file that is headerless, or a marker with something in it.
	for _, base := range []string{"000009.log", "000009.sst", "marker.x.1.y"} {
		w, err := lower.Create(path.Join("d/lsm", base), "")
		must(t, err)
		_, err = w.Write([]byte("plaintext"))
		must(t, err)
		must(t, w.Close())
		if _, err := readFile(f, path.Join("d/lsm", base)); err == nil {
			t.Errorf("%s is read", base)
		}
	}
	if _, err := f.Stat("d/lsm/marker.x.1.y"); err == nil {
		t.Error("a marker with content has a Stat")
	}
}

func TestReuseForWrite(t *testing.T) {
	f, lower := newFS(t)
	writeFile(t, f, "d/lsm/000001.log", []byte("old"))
	w, err := f.ReuseForWrite("d/lsm/000001.log", "d/lsm/000002.log", "")
	must(t, err)
	_, err = w.Write([]byte("new"))
	must(t, err)
	must(t, w.Close())
	if _, err := lower.Stat("d/lsm/000001.log"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old log: %v", err)
	}
	if b, err := readFile(f, "d/lsm/000002.log"); err != nil || string(b) != "new" {
		t.Errorf("the new log: %q, %v", b, err)
	}
}

// TestCreateIsWhole: whatever a power cut leaves, a name has a header behind it.
func TestCreateIsWhole(t *testing.T) {
	f, lower := newFS(t)
	rng := rand.New(rand.NewPCG(1, 2))
	w, err := f.Create("d/lsm/000001.log", "")
	must(t, err)
	defer w.Close()
	for i := range 50 {
		cut := lower.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
		b, err := ReadSmall(cut, "d/lsm/000001.log")
		if err == nil && len(b) < vfsframe.HeaderSize {
			t.Fatalf("cut %d: file of %d bytes", i, len(b))
		}
	}
}

// TestMarkerAfterManifest: where the marker survives, so does the MANIFEST.
func TestMarkerAfterManifest(t *testing.T) {
	f, lower := newFS(t)
	rng := rand.New(rand.NewPCG(1, 2))
	w, err := f.Create("d/lsm/MANIFEST-000001", "")
	must(t, err)
	_, err = w.Write([]byte("edit"))
	must(t, err)
	must(t, w.Sync())
	m, err := f.Create("d/lsm/marker.manifest.000001.MANIFEST-000001", "")
	must(t, err)
	if _, err := m.Write([]byte("x")); err == nil {
		t.Error("a marker takes bytes")
	}
	must(t, m.Close())
	seen := 0
	for range 50 {
		cut := lower.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
		if _, err := cut.Stat("d/lsm/marker.manifest.000001.MANIFEST-000001"); err != nil {
			continue
		}
		seen++
		if _, err := cut.Stat("d/lsm/MANIFEST-000001"); err != nil {
			t.Fatalf("marker without MANIFEST: %v", err)
		}
	}
	if seen == 0 {
		t.Error("the marker never survived: the test shows nothing")
	}
}

func TestAppendReadsWhileWriting(t *testing.T) {
	f, _ := newFS(t)
	w, err := f.Create("d/lsm/000001.log", "")
	must(t, err)
	for i := range 5 {
		_, err := w.Write([]byte{byte(i)})
		must(t, err)
		b, err := readFile(f, "d/lsm/000001.log")
		if err != nil || len(b) != i+1 {
			t.Errorf("after %d writes: %d bytes, %v", i+1, len(b), err)
		}
	}
	must(t, w.Close())
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("Write after Close")
	}
}

// failing fails syncs or writes of what it creates, as often as it is told.
type failing struct {
	vfs.FS
	syncs, writes int
}

type failingFile struct {
	vfs.File
	f *failing
}

var errDisk = errors.New("disk")

func (f *failing) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	w, err := f.FS.Create(name, c)
	return &failingFile{w, f}, err
}

func (w *failingFile) Sync() error {
	if w.f.syncs > 0 {
		w.f.syncs--
		return errDisk
	}
	return w.File.Sync()
}

func (w *failingFile) SyncData() error { return w.Sync() }

func (w *failingFile) Write(p []byte) (int, error) {
	if w.f.writes > 0 {
		w.f.writes--
		return 0, errDisk
	}
	return w.File.Write(p)
}

// TestPoisoned: a sync or write that failed is never made good by a later one.
func TestPoisoned(t *testing.T) {
	for _, op := range []string{"sync", "write"} {
		lower := &failing{FS: vfs.NewCrashableMem()}
		must(t, lower.MkdirAll("d", 0o700))
		f := New(lower, "d", sealedfstest.New(1), Options{})
		must(t, f.BeginStore())
		a, err := f.CreateAudit(1)
		must(t, err)
		must(t, a.Append([]byte("one")))
		must(t, a.Sync())
		if op == "sync" {
			lower.syncs = 1
			must(t, a.Append([]byte("two")))
		} else {
			lower.writes = 1
			if err := a.Append([]byte("two")); !errors.Is(err, errDisk) {
				t.Errorf("Append = %v", err)
			}
		}
		for range 3 {
			if err := a.Sync(); !errors.Is(err, errDisk) {
				t.Errorf("%s: Sync = %v, want the first error", op, err)
			}
			if err := a.Append([]byte("three")); !errors.Is(err, errDisk) {
				t.Errorf("%s: Append = %v, want the first error", op, err)
			}
		}
		if err := a.Close(); !errors.Is(err, errDisk) {
			t.Errorf("%s: Close = %v", op, err)
		}
		if a.w.syncedSeq() != 1 {
			t.Errorf("%s: synced %d, want 1", op, a.w.syncedSeq())
		}
	}
}

func TestTableNotDurableUnlessClosed(t *testing.T) {
	lower := &failing{FS: vfs.NewCrashableMem()}
	must(t, lower.MkdirAll("d", 0o700))
	f := New(lower, "d", sealedfstest.New(1), Options{})
	must(t, f.BeginStore())
	w, err := f.Create("d/lsm/000001.sst", "")
	must(t, err)
	_, err = w.Write(make([]byte, 10_000))
	must(t, err)
	must(t, w.Sync())
	if _, err := f.Open("d/lsm/000001.sst"); !fault.Is(err, fault.Corrupt) {
		t.Errorf("Open before Close = %v", err)
	}
	lower.syncs = 1
	if err := w.Close(); !errors.Is(err, errDisk) {
		t.Errorf("Close = %v, want the error of the sync", err)
	}
}

func TestAudit(t *testing.T) {
	f, lower := newFS(t)
	a, err := f.CreateAudit(7)
	must(t, err)
	for i := range 3 {
		must(t, a.Append(fmt.Append(nil, i)))
	}
	if err := a.Append(nil); err == nil {
		t.Error("an empty record is taken")
	}
	must(t, a.Sync())
	if _, err := f.CreateAudit(7); !errors.Is(err, os.ErrExist) {
		t.Errorf("CreateAudit of the same = %v", err)
	}
	if _, err := f.CreateAudit(3); !errors.Is(err, os.ErrExist) {
		t.Errorf("CreateAudit of an older = %v", err)
	}
	read := func() (out string) {
		must(t, f.ReadAudit(7, func(p []byte) error { out += string(p); return nil }))
		return out
	}
	if got := read(); got != "012" {
		t.Errorf("while it is written: %q", got)
	}
	must(t, a.Close())
	if got := read(); got != "012" {
		t.Errorf("afterwards: %q", got)
	}
	b, err := f.CreateAudit(8)
	must(t, err)
	must(t, b.Append([]byte("x")))
	must(t, f.Stopped())
	h, err := New(lower, "d", sealedfstest.New(1), Options{}).Check(Expect{})
	must(t, err)
	// The newest only, with the frame and the end frame.
	if want := []Entry{{EntryAudit, 8, 2}}; !h.Clean || !slices.Equal(h.Entries, want) {
		t.Errorf("HEAD = %+v, want %v", h, want)
	}
	stored, err := ReadSmall(lower, "d/audit/000008.aud")
	must(t, err)
	if stored[7] != 2 {
		t.Errorf("area %d", stored[7])
	}
}

func TestSmallFiles(t *testing.T) {
	k := sealedfstest.New(1)
	b, err := SealFile(k, "tls/server.key", []byte("secret"))
	must(t, err)
	if got, err := OpenFile(k, "tls/server.key", b); err != nil || string(got) != "secret" {
		t.Errorf("OpenFile = %q, %v", got, err)
	}
	if _, err := OpenFile(k, "tls/other.key", b); !fault.Is(err, fault.Corrupt) {
		t.Errorf("OpenFile of another path = %v", err)
	}
	if _, err := OpenFile(sealedfstest.New(2), "tls/server.key", b); !fault.Is(err, fault.Corrupt) {
		t.Errorf("OpenFile of another store = %v", err)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := OpenFile(k, "tls/server.key", c); !fault.Is(err, fault.Corrupt) {
			t.Errorf("byte %d: %v", i, err)
		}
		if _, err := OpenFile(k, "tls/server.key", b[:i]); !fault.Is(err, fault.Corrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestUsage(t *testing.T) {
	f, _ := newFS(t)
	k := f.keys.(*sealedfstest.Keys)
	writeFile(t, f, "d/lsm/000001.sst", make([]byte, 10_000))
	writeFile(t, f, "d/lsm/000002.log", make([]byte, 300))
	old := k.Active()
	k.RotateVFS()
	writeFile(t, f, "d/lsm/000003.log", make([]byte, 7))
	if a, b := f.Usage(old), f.Usage(k.Active()); a != 10_300 || b != 7 {
		t.Errorf("Usage = %d, %d, want 10300, 7", a, b)
	}
}

func TestLock(t *testing.T) {
	lower := vfs.NewCrashableMem()
	for _, d := range []string{"d/lsm", "d/audit", "d/tls"} {
		must(t, lower.MkdirAll(d, 0o700))
	}
	for _, p := range []string{"d/HEAD.A.tmp-1", "d/lsm/1.sst.tmp-2", "d/audit/1.aud.tmp-3", "d/tls/x.key.tmp-4", "d/keep"} {
		w, err := lower.Create(p, "")
		must(t, err)
		must(t, w.Close())
	}
	l, err := Lock(lower, "d")
	must(t, err)
	if _, err := Lock(lower, "d"); !fault.Is(err, fault.Busy) {
		t.Errorf("second Lock = %v, want Busy", err)
	}
	for _, d := range []string{"d", "d/lsm", "d/audit", "d/tls"} {
		names, err := lower.List(d)
		must(t, err)
		if slices.ContainsFunc(names, isTemp) {
			t.Errorf("%s: %v", d, names)
		}
	}
	if _, err := lower.Stat("d/keep"); err != nil {
		t.Error("a file that is complete was removed")
	}
	must(t, l.Close())
}
