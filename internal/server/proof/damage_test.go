package proof

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// damager draws damages to a store that was stopped cleanly.
type damager struct {
	t     *testing.T
	h     *history
	rng   *rand.Rand
	kinds map[string][]string // files by kind
	names []string            // of the kinds
	whole map[string]string   // what the logs hold
}

func newDamager(t *testing.T, seed uint64) *damager {
	d := &damager{t: t, h: newHistory(t), rng: rand.New(rand.NewPCG(seed, 11)), kinds: map[string][]string{}}
	for _, p := range files(t, d.h.fs) {
		if fileSize(t, d.h.fs, p) > 0 {
			d.kinds[kindOf(p)] = append(d.kinds[kindOf(p)], p)
		}
	}
	for k := range d.kinds {
		d.names = append(d.names, k)
	}
	slices.Sort(d.names)
	d.whole = map[string]string{}
	o := d.h.sec.copy().options(d.h.copy(t))
	st, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, paths := range d.kinds {
		for _, p := range paths {
			d.whole[p] = d.content(st, p)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// damage is one change to one file, or to two that were exchanged.
type damage struct {
	kind, what string
	paths      []string
}

const sector = 512

// draw makes a disk with one damage that changes something.
func (d *damager) draw() (*vfs.MemFS, damage) {
	for {
		kind := d.names[d.rng.IntN(len(d.names))]
		path := d.kinds[kind][d.rng.IntN(len(d.kinds[kind]))]
		fs := d.h.copy(d.t)
		old := readAll(d.t, fs, path)
		now, other := bytes.Clone(old), ""
		what := []string{"bit", "zeroed sector", "stale sector", "cut", "exchanged"}[d.rng.IntN(5)]
		at := d.rng.IntN(len(now))
		from := at / sector * sector
		part := now[from:min(len(now), from+sector)]
		switch what {
		case "bit":
			now[at] ^= 1 << d.rng.IntN(8)
		case "zeroed sector":
			clear(part)
		case "stale sector":
			older := d.h.older[d.rng.IntN(len(d.h.older))]
			if _, err := older.Stat(path); err != nil {
				continue
			}
			if b := readAll(d.t, older, path); len(b) > from {
				copy(part, b[from:])
			}
		case "cut":
			now = now[:at]
		case "exchanged":
			other = d.kinds[kind][d.rng.IntN(len(d.kinds[kind]))]
			now = readAll(d.t, fs, other)
		}
		if bytes.Equal(now, old) {
			continue
		}
		writeAll(d.t, fs, path, now)
		if other == "" {
			return fs, damage{kind, fmt.Sprintf("%s at %d of %d", what, at, len(old)), []string{path}}
		}
		writeAll(d.t, fs, other, old)
		return fs, damage{kind, what, []string{path, other}}
	}
}

func readAll(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeAll(t testing.TB, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(b)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// verdict is how a damage was found.
type verdict int

const (
	refused   verdict = iota // the store does not open
	reported                 // reads or verify say it
	repaired                 // a good copy took its place
	discarded                // the file was of no use any more and is gone
	endMark                  // all content is there, a log or trail only does not end in order: as after a power cut
	unnoticed
	verdicts
)

var verdictNames = [verdicts]string{"refused", "reported", "repaired", "gone with its file", "end of a file alone", "UNNOTICED"}

// TestRandomDamage does random damage to all kinds of files: each is found, no wrong byte
// comes out, what is not hit is still served, and verify names the blobs that are hit.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	trials := sized(30, 100, 1_000)
	d := newDamager(t, newSeed(t))
	var table [verdicts]int
	kinds := map[string]int{}
	for i := range trials {
		fs, dmg := d.draw()
		v, err := d.judge(fs, dmg)
		if err != nil {
			t.Errorf("trial %d: %s of %v: %v", i, dmg.what, dmg.paths, err)
		}
		if v == unnoticed {
			t.Errorf("trial %d: %s of %v was not noticed", i, dmg.what, dmg.paths)
		}
		table[v]++
		kinds[dmg.kind]++
	}
	for v, n := range table {
		t.Logf("%-20s %d", verdictNames[v], n)
	}
	t.Logf("files: %v", kinds)
	if n := table[endMark]; n > max(5, trials/25) {
		t.Errorf("%d of %d damages hit the end of a file alone: that is too many", n, trials)
	}
}

// judge opens a damaged store and looks at everything.
func (d *damager) judge(fs *vfs.MemFS, dmg damage) (v verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	o := d.h.sec.copy().options(fs)
	o.NoCreate = true
	st, err := store.Open(ctx, o)
	if err != nil {
		return refused, nil
	}
	defer func() { err = errors.Join(err, ignoreDamage(st.Close())) }()
	hit, err := d.readings(st)
	if err != nil {
		return unnoticed, err
	}
	if len(hit) == len(d.h.want) && dmg.kind != ".sst" && dmg.kind != ".blob" {
		return reported, fmt.Errorf("every blob is hit")
	}
	named, whole, err := d.verified(st)
	if err != nil {
		return unnoticed, err
	}
	for _, name := range hit {
		if whole && !named[name] {
			return reported, fmt.Errorf("%s is hit, and verify names %v", name, named)
		}
	}
	switch {
	case len(hit) > 0 || len(named) > 0 || !whole || !d.filesOpen(st):
		return reported, nil
	case d.mended(fs, dmg):
		return repaired, nil
	case d.gone(fs, dmg):
		return discarded, nil
	case d.content(st, dmg.paths[0]) != "" && d.content(st, dmg.paths[0]) == d.whole[dmg.paths[0]]:
		return endMark, nil
	}
	return unnoticed, nil
}

// content is what a log holds, as the store reads it; "" for other files.
func (d *damager) content(st *store.Store, path string) string {
	var b strings.Builder
	f := st.Meta.FS()
	var err error
	switch kindOf(path) {
	case ".aud":
		return trailEnd(st.AuditFiles(), path)
	case "OPTIONS", "MANIFEST", ".log":
		var r vfs.File
		if r, err = f.Open(path); err == nil {
			_, err = io.Copy(&b, onlyReader{r})
			err = errors.Join(err, r.Close())
		}
	}
	if err != nil {
		return ""
	}
	return b.String()
}

// readings reads every blob and returns those that are damaged. A wrong byte is an error.
func (d *damager) readings(st *store.Store) (hit []string, err error) {
	for name, want := range d.h.want {
		data, m, err := get(st, name)
		switch {
		case fault.Is(err, fault.Corrupt):
			hit = append(hit, name)
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		got := value{data: data}
		for _, p := range m {
			got.meta = p.Value
		}
		if !got.equal(want) {
			return nil, fmt.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	return hit, nil
}

// verified returns the names that verify gives; whole is false when it had to stop, for
// the index itself cannot be read.
func (d *damager) verified(st *store.Store) (named map[string]bool, whole bool, err error) {
	named = map[string]bool{}
	var found []object.Damage
	_, err = st.Objects.Verify(ctx, object.VerifyOptions{Damage: func(dm object.Damage) { found = append(found, dm) }})
	if err != nil && !fault.Is(err, fault.Corrupt) {
		return nil, false, fmt.Errorf("verify: %w", err)
	}
	for _, dm := range found {
		name := st.Blobs.NameOf(ctx, dm.Table, dm.Key)
		named[strings.TrimPrefix(name, string(account)+"/"+string(box)+"/")] = true
	}
	return named, err == nil, nil
}

// filesOpen reads every sealed file, as verify does.
func (d *damager) filesOpen(st *store.Store) bool {
	f := st.Meta.FS()
	list, err := f.List(f.LSM())
	if err != nil {
		return false
	}
	for _, base := range list {
		if base == "LOCK" || strings.HasPrefix(base, "marker.") {
			continue
		}
		r, err := f.Open(f.PathJoin(f.LSM(), base))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return false
		}
		err = readWhole(r, strings.HasSuffix(base, ".sst") || strings.HasSuffix(base, ".blob"))
		if err = errors.Join(err, r.Close()); err != nil {
			return false
		}
	}
	// A trail that does not begin with entry 1 has lost files, or they are elsewhere: the
	// report says so.
	rep, err := audit.Verify(st.AuditFiles(), nil)
	return err == nil && rep.First == 1
}

func readWhole(f vfs.File, table bool) error {
	if !table {
		_, err := io.Copy(io.Discard, onlyReader{f})
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.NewSectionReader(f, 0, info.Size()))
	return err
}

type onlyReader struct{ io.Reader }

// mended reports whether the file is what it was before the damage, or what its twin is.
func (d *damager) mended(fs *vfs.MemFS, dmg damage) bool {
	for _, p := range dmg.paths {
		if _, err := fs.Stat(p); err != nil {
			return false
		}
		now := readAll(d.t, fs, p)
		twin := twinOf(p)
		if !bytes.Equal(now, readAll(d.t, d.h.fs, p)) && (twin == "" || !bytes.Equal(now, readAll(d.t, fs, twin))) {
			return false
		}
	}
	return true
}

func twinOf(p string) string {
	switch {
	case strings.HasSuffix(p, "keystore.A"):
		return strings.TrimSuffix(p, "A") + "B"
	case strings.HasSuffix(p, "keystore.B"):
		return strings.TrimSuffix(p, "B") + "A"
	}
	return ""
}

// gone reports whether the opened store has removed the file.
func (d *damager) gone(fs *vfs.MemFS, dmg damage) bool {
	for _, p := range dmg.paths {
		if _, err := fs.Stat(p); err == nil {
			return false
		}
	}
	return true
}
