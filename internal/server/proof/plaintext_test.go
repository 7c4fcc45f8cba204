package proof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// afterwards opens a store that something was done to, and if it opens, writes canaries
// everywhere and looks for them on its disk: whatever happened, nothing new is plain.
func (v *victim) afterwards(fs *vfs.MemFS) (opened bool, err error) {
	o := v.sec.options(fs)
	st, err := store.Open(ctx, o) // may also create: that must not help
	if err != nil {
		return false, nil
	}
	n, m, b := canary("n"), canary("m"), canary("b")
	written := furnish(st)
	for size := range 3 {
		if written == nil {
			written = put(st, fmt.Sprint(n, size), bytes.Repeat([]byte(b), 1+size*2_000), blob.MetaPair{Name: "a", Value: m})
		}
	}
	if closed := ignoreDamage(st.Close()); closed != nil {
		return true, closed
	}
	if written != nil && !fault.Is(written, fault.Corrupt) {
		return true, fmt.Errorf("writing: %w", written)
	}
	return true, plainOn(fs)
}

// plainOn looks for canaries in every file of a disk.
func plainOn(fs *vfs.MemFS) error {
	var errs []error
	var walk func(dir string)
	walk = func(dir string) {
		list, err := fs.List(dir)
		if err != nil {
			errs = append(errs, err)
		}
		for _, n := range list {
			p := fs.PathJoin(dir, strings.TrimSuffix(n, "/"))
			if info, err := fs.Stat(p); err != nil || info.IsDir() {
				walk(p)
				continue
			}
			data, err := fs.UnsafeGetFileDataBuffer(p)
			if err != nil {
				errs = append(errs, err)
			}
			for form, needle := range encodings(mark) {
				if bytes.Contains(data, needle) {
					errs = append(errs, fmt.Errorf("%s holds a canary (%s)", p, form))
				}
			}
		}
	}
	walk(dataDir)
	return errors.Join(errs...)
}

// mayGoOn are files that hold no decision: without all of them the store opens.
const mayGoOn = "LOCK OPTIONS extent"

// TestNoFallback (C7) removes, empties, zeroes and makes plain every header, marker and
// registry file, alone and together with its like. The store is refused, or goes on
// and seals what it writes.
func TestNoFallback(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	if opened, err := v.afterwards(v.copy(t)); !opened || err != nil {
		t.Fatalf("the untouched store: %v, %v", opened, err)
	}
	type trial struct {
		what, group string
		whole       bool // all files of the group are gone
		do          func(fs *vfs.MemFS)
	}
	var list []trial
	groups := map[string][]string{}
	for _, p := range files(t, v.fs) {
		good := contents(t, v.fs, p)
		dir := p[:strings.LastIndex(p, "/")]
		groups[kindOf(p)] = append(groups[kindOf(p)], p)
		groups[dir] = append(groups[dir], p)
		for what, b := range map[string][]byte{
			"removed": nil, "emptied": {}, "zeros": make([]byte, len(good)), "text": bytes.Repeat([]byte("plain "), 1+len(good)/6),
			"header zeroed": zeroed(good, 104), "first byte 0": zeroed(good, 1), "magic zeroed": zeroed(good, 4),
		} {
			list = append(list, trial{p + " " + what, kindOf(p), false, func(fs *vfs.MemFS) { overwrite(t, fs, p, b) }})
		}
	}
	groups["everything but extents"] = nil
	for _, p := range files(t, v.fs) {
		if kindOf(p) != "extent" {
			groups["everything but extents"] = append(groups["everything but extents"], p)
		}
	}
	for name, paths := range groups {
		empty := !slices.ContainsFunc(paths, func(p string) bool { return fileSize(t, v.fs, p) > 0 })
		list = append(list, trial{"all of " + name + " removed", name, true, func(fs *vfs.MemFS) {
			for _, p := range paths {
				overwrite(t, fs, p, nil)
			}
		}}, trial{"all of " + name + " emptied", name, !empty, func(fs *vfs.MemFS) {
			for _, p := range paths {
				overwrite(t, fs, p, []byte{})
			}
		}})
	}
	if testing.Short() {
		list = slices.DeleteFunc(list, func(x trial) bool { return !x.whole })
	}
	var mu sync.Mutex
	refused, went := 0, 0
	parallel(list, func(x trial) {
		fs := v.copy(t)
		x.do(fs)
		opened, err := v.afterwards(fs)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("%s: %v", x.what, err)
		}
		if opened {
			went++
		} else {
			refused++
		}
		if opened && x.whole && !strings.Contains(mayGoOn, x.group) && !strings.Contains(x.group, "extents/") {
			t.Errorf("%s: the store opens", x.what)
		}
	})
	t.Logf("C7: %d of %d trials refused, %d went on sealing", refused, len(list), went)
}

// zeroed is b with the first n bytes zero.
func zeroed(b []byte, n int) []byte {
	b = bytes.Clone(b)
	clear(b[:min(n, len(b))])
	return b
}

// TestPlainEngine (C7) puts an LSM without encryption, with the same rows, in the place of
// the sealed one: refused, with HEAD there and without.
func TestPlainEngine(t *testing.T) {
	t.Parallel()
	fs, sec := vfs.NewMem(), newSecrets()
	st := mustOpen(t, fs, sec)
	if err := put(st, "a", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	type row struct{ k, v []byte }
	var rows []row
	err := st.Meta.View(ctx, func(r meta.Reader) error {
		return r.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
			rows = append(rows, row{bytes.Clone(k), bytes.Clone(v)})
			return true, nil
		})
	})
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range files(t, fs) {
		if strings.HasPrefix(p, dataDir+"/lsm/") {
			if err := fs.Remove(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	db, err := pebble.Open(dataDir+"/lsm", &pebble.Options{FS: fs, Comparer: pebble.DefaultComparer, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := db.Set(r.k, r.v, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	v := &victim{fs: fs, sec: sec, want: map[string]value{}}
	for _, heads := range []bool{true, false} {
		disk := v.copy(t)
		if !heads {
			overwrite(t, disk, dataDir+"/HEAD.A", nil)
			overwrite(t, disk, dataDir+"/HEAD.B", nil)
		}
		for _, accept := range []bool{false, true} {
			o := sec.options(disk)
			o.AcceptRollback = accept
			if st, err := store.Open(ctx, o); err == nil {
				t.Errorf("HEAD there %v, rollback accepted %v: a plain LSM is opened", heads, accept)
				st.Close()
			}
		}
	}
}

// quiet is a logger of the engine that says nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, args ...any) {
	panic(fmt.Sprintf(f, args...))
}

// TestPlainRows (C7) gives rows and contents in plaintext to a running store, as somebody
// could who has the keys of the file system: each is refused.
func TestPlainRows(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	tried := 0
	for _, tab := range object.Tables() {
		ks, vs := w.rows(t, tab)
		for i, k := range ks {
			n := int(binary.BigEndian.Uint32(vs[i][1:]))
			for what, b := range map[string][]byte{
				"nothing": {}, "text": []byte("plain text"), "version 0": append([]byte{0}, vs[i][1:]...),
				"SYS without a frame": vs[i][5 : 5+n], "suite 0": withByte(vs[i], 5, 0), "empty SYS": {1, 0, 0, 0, 0},
				"SYS in plaintext": append([]byte{1, 0, 0, 0, 6}, 1, 0, 0, 0, 1, 1),
				"a long plain SYS": append([]byte{1, 0, 0, 0, 80}, append([]byte{1, 0, 0, 0, 1, 1, 32, 0, 0, 0, 69}, make([]byte, 69)...)...),
			} {
				w.set(t, k, b)
				if _, err := w.row(tab, k); !fault.Is(err, fault.Corrupt) {
					t.Errorf("row of %s, %s: error = %v, want Corrupt", tab.Name, what, err)
				}
				tried++
			}
			w.set(t, k, vs[i])
		}
	}
	for _, c := range w.chunks(t) {
		b := w.bytesOf(t, c)
		good := bytes.Clone(b)
		for what, bad := range map[string][]byte{
			"plaintext behind the header": append(bytes.Clone(good[:segment.HeaderSize]), content("p", len(good))...),
			"plaintext":                   content("p", len(good)),
			"zeros":                       make([]byte, len(good)),
			"header zeroed":               zeroed(good, segment.HeaderSize),
			"suite 0":                     withByte(good, 5, 0),
			"no commitment":               append(bytes.Clone(good[:32]), append(make([]byte, 32), good[64:]...)...),
			"commitment removed":          append(bytes.Clone(good[:32]), good[64:]...),
		} {
			copy(b, bad)
			failed := 0
			for _, r := range w.refs {
				if err := w.read(t, r); fault.Is(err, fault.Corrupt) {
					failed++
				}
			}
			if failed != 1 {
				t.Errorf("chunk, %s: %d blobs are refused, want one", what, failed)
			}
			copy(b, good)
			tried++
		}
	}
	t.Logf("C7: %d rows and contents in plaintext refused", tried)
}

func withByte(b []byte, at int, v byte) []byte {
	b = bytes.Clone(b)
	b[at] = v
	return b
}

// TestNoSwitch (C7): no option of a store, an engine or a server names a way to leave
// encryption out.
func TestNoSwitch(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`(?i)plain|crypt|insecure|unsafe|nullcipher|noseal|unsealed|testmode`)
	for _, o := range []any{store.Options{}, pebblekv.Options{}, object.Options{}, server.Config{}} {
		typ := reflect.TypeOf(o)
		for i := range typ.NumField() {
			if f := typ.Field(i); forbidden.MatchString(f.Name) {
				t.Errorf("%v has a field %s", typ, f.Name)
			}
		}
	}
}
