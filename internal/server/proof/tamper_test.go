package proof

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// victim is a small store that was stopped cleanly, with every kind of file in it.
type victim struct {
	fs   *vfs.MemFS
	sec  *secrets
	want map[string]value
}

func newVictim(t testing.TB) *victim {
	t.Helper()
	v := &victim{fs: vfs.NewMem(), sec: newSecrets(), want: map[string]value{}}
	st := mustOpen(t, v.fs, v.sec)
	for name, n := range map[string]int{"empty": 0, "small": 300, "inline": 3_000, "shared": 33_000} {
		data := content(name, n)
		v.want[name] = value{data, "m-" + name}
		if err := put(st, name, data, blob.MetaPair{Name: "a", Value: "m-" + name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Meta.CompactAll(ctx); err != nil { // a table and its blob file
		t.Fatal(err)
	}
	v.want["late"] = value{content("late", 40), "m-late"} // in the log only
	if err := put(st, "late", v.want["late"].data, blob.MetaPair{Name: "a", Value: "m-late"}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return v
}

// copy returns a disk with the same files.
func (v *victim) copy(t testing.TB) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	if _, err := vfs.Clone(v.fs, fs, dataDir, dataDir); err != nil {
		t.Fatal(err)
	}
	return fs
}

// outcome of opening a damaged store and reading everything in it.
type outcome struct {
	refused  error // Open
	damaged  int   // reads that fail with Corrupt
	repaired bool  // everything was read
}

// try opens fs and reads all. A wrong byte, a missing blob, a panic or an error of
// another kind than those that the specification gives is an error.
func (v *victim) try(fs vfs.FS) (out outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	o := v.sec.options(fs)
	o.NoCreate = true
	st, err := store.Open(ctx, o)
	if err != nil {
		return outcome{refused: err}, nil
	}
	defer func() { err = errors.Join(err, ignoreDamage(st.Close())) }()
	for name, want := range v.want {
		data, m, err := get(st, name)
		switch {
		case fault.Is(err, fault.Corrupt):
			out.damaged++
			continue
		case err != nil:
			return out, fmt.Errorf("%s: %w", name, err)
		}
		got := value{data: data}
		for _, p := range m {
			got.meta = p.Value
		}
		if !got.equal(want) {
			return out, fmt.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	out.repaired = out.damaged == 0
	return out, nil
}

// ignoreDamage: a store with a damaged file may say so when it closes.
func ignoreDamage(err error) error {
	if err == nil || fault.Is(err, fault.Corrupt) {
		return nil
	}
	return err
}

// kindOf groups files as the specification does.
func kindOf(path string) string {
	base := filepath.Base(path)
	switch {
	case strings.HasPrefix(base, "keystore"), strings.HasPrefix(base, "HEAD"):
		return base[:4]
	case strings.HasSuffix(base, ".sst"), strings.HasSuffix(base, ".blob"), strings.HasSuffix(base, ".log"), strings.HasSuffix(base, ".aud"):
		return filepath.Ext(base)
	case strings.HasPrefix(base, "MANIFEST"), strings.HasPrefix(base, "OPTIONS"):
		return strings.SplitN(base, "-", 2)[0]
	case strings.Contains(path, "extents"):
		return "extent"
	}
	return base
}

// TestEveryByteCounts changes every byte of every file in turn (the ordinary run: every
// byte of the headers and a part of the rest) and opens the store. It is refused, or the
// damage is reported for what it hits, or repaired from a second copy; a wrong byte never
// comes out.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	if out, err := v.try(v.copy(t)); err != nil || !out.repaired {
		t.Fatalf("the untouched store: %+v, %v", out, err)
	}
	type trial struct {
		path string
		off  int
	}
	trials := make(chan trial)
	var mu sync.Mutex
	table := map[string]*[3]int{} // kind -> refused, reported, repaired
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for tr := range trials {
				fs := v.copy(t)
				flip(t, fs, tr.path, tr.off)
				out, err := v.try(fs)
				if err != nil {
					t.Errorf("%s byte %d: %v", tr.path, tr.off, err)
					continue
				}
				mu.Lock()
				row := table[kindOf(tr.path)]
				if row == nil {
					row = new([3]int)
					table[kindOf(tr.path)] = row
				}
				switch {
				case out.refused != nil:
					row[0]++
				case out.damaged > 0:
					row[1]++
				default:
					row[2]++
				}
				mu.Unlock()
			}
		})
	}
	for _, path := range files(t, v.fs) {
		size := fileSize(t, v.fs, path)
		step := max(1, size/max(1, sized(12, 60, size)))
		for off := 0; off < size; off += step {
			trials <- trial{path, off}
		}
		if size > 0 {
			trials <- trial{path, size - 1}
		}
	}
	close(trials)
	wg.Wait()
	for kind, row := range table {
		t.Logf("%-10s refused %5d, reported %5d, repaired or without effect %5d", kind, row[0], row[1], row[2])
	}
	// Which kinds may never pass unnoticed, and which must be repaired.
	for _, kind := range []string{".log", ".sst", ".blob", "MANIFEST", "extent"} {
		if row := table[kind]; row == nil {
			t.Errorf("the store has no file of kind %s", kind)
		}
	}
	// Both HEAD files must open: one alone could be the older.
	for _, kind := range []string{".log", "MANIFEST", "HEAD"} {
		if row := table[kind]; row != nil && row[1]+row[2] > 0 {
			t.Errorf("%s: %d changes were not refused", kind, row[1]+row[2])
		}
	}
	if row := table["extent"]; row != nil && row[1] == 0 {
		t.Error("no change of an extent was reported")
	}
	if row := table["keys"]; row == nil || row[0]+row[1] > 0 {
		t.Errorf("key store: a damaged copy was not repaired from the other: %v", row)
	}
}

func fileSize(t testing.TB, fs vfs.FS, path string) int {
	t.Helper()
	info, err := fs.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

// flip changes one byte of a file in place.
func flip(t testing.TB, fs *vfs.MemFS, path string, off int) {
	t.Helper()
	b, err := fs.UnsafeGetFileDataBuffer(path)
	if err != nil {
		t.Fatal(err)
	}
	b[off] ^= 0x40
}

// TestFilesGone removes what must be there: HEAD, the logs, MANIFEST, its marker, the
// key store. Each is refused, whatever else is in place.
func TestFilesGone(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	groups := map[string][]string{}
	for _, path := range files(t, v.fs) {
		kind := kindOf(path)
		if strings.HasPrefix(kind, "marker.manifest") {
			kind = "marker"
		}
		groups[kind] = append(groups[kind], path)
	}
	for _, kind := range []string{"keys", "HEAD", ".log", "MANIFEST", "marker", ".sst", ".blob"} {
		if len(groups[kind]) == 0 {
			t.Errorf("the store has no %s", kind)
			continue
		}
		fs := v.copy(t)
		for _, path := range groups[kind] {
			if err := fs.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		out, err := v.try(fs)
		if err != nil {
			t.Errorf("without %s: %v", kind, err)
		}
		if out.refused == nil && !((kind == ".sst" || kind == ".blob") && out.damaged > 0) {
			t.Errorf("without %s: opened, %+v", kind, out)
		}
	}
}

// TestOlderFilesPutBack puts single files back to an older state of the same store: log,
// MANIFEST, key store. Refused. HEAD put back together with the log is the declared gap:
// it opens, and the newest commits are gone; only an anchor would find it.
func TestOlderFilesPutBack(t *testing.T) {
	t.Parallel()
	fs, sec := vfs.NewMem(), newSecrets()
	st := mustOpen(t, fs, sec)
	if err := put(st, "old", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	older := vfs.NewMem()
	if _, err := vfs.Clone(fs, older, dataDir, dataDir); err != nil {
		t.Fatal(err)
	}
	st = mustOpen(t, fs, sec)
	if err := put(st, "new", []byte("second")); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Ring.Rotate(ctx, chain(t, st, chainKindVFS)); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	v := &victim{fs: fs, sec: sec, want: map[string]value{"old": {[]byte("first"), ""}, "new": {[]byte("second"), ""}}}
	for name, back := range map[string]func(path string) bool{
		"log and MANIFEST": func(p string) bool { return strings.Contains(p, "lsm") },
		"key store":        func(p string) bool { return kindOf(p) == "keys" },
		"HEAD":             func(p string) bool { return kindOf(p) == "HEAD" },
	} {
		disk := v.copy(t)
		putBack(t, disk, older, back)
		out, err := v.try(disk)
		if err != nil {
			t.Errorf("older %s: %v", name, err)
		}
		if out.refused == nil {
			t.Errorf("older %s: opened, %+v", name, out)
		}
	}
	// The declared gap.
	disk := v.copy(t)
	putBack(t, disk, older, func(string) bool { return true })
	v.want = map[string]value{"old": {[]byte("first"), ""}}
	out, err := v.try(disk)
	if err != nil || out.refused != nil {
		t.Errorf("the whole directory put back: %+v, %v; the specification declares that this is not noticed without an anchor", out, err)
	}
}

// putBack replaces the files that match by those of an older disk.
func putBack(t testing.TB, disk, older *vfs.MemFS, match func(string) bool) {
	t.Helper()
	for _, p := range files(t, disk) {
		if match(p) {
			if err := disk.Remove(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range files(t, older) {
		if match(p) {
			if err := vfs.CopyAcrossFS(older, p, disk, p); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestStatedDamageIsVisible: a damaged chunk fails its own blob and no other.
func TestStatedDamageIsVisible(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	disk := v.copy(t)
	for _, p := range files(t, disk) {
		if kindOf(p) == "extent" {
			flip(t, disk, p, fileSize(t, disk, p)/2)
		}
	}
	out, err := v.try(disk)
	if err != nil || out.refused != nil || out.damaged != 1 {
		t.Errorf("a damaged extent: %+v, %v; want one damaged blob", out, err)
	}
	if _, err := v.fs.List(dataDir); err != nil || bytes.Equal(nil, v.want["shared"].data) {
		t.Fatal("the untouched store is gone", err)
	}
}
