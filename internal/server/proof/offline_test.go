package proof

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// history is a store that was stopped cleanly, with what its disk looked like at earlier
// stops, and the disk of another store with the same history.
type history struct {
	*victim
	older   []*vfs.MemFS
	foreign *vfs.MemFS
}

func newHistory(t testing.TB) *history {
	t.Helper()
	h := &history{victim: &victim{fs: vfs.NewMem(), sec: newSecrets(), want: map[string]value{}}}
	live(t, h.victim, func() { h.older = append(h.older, h.copy(t)) })
	other := &victim{fs: vfs.NewMem(), sec: newSecrets(), want: map[string]value{}}
	live(t, other, func() {})
	h.foreign = other.fs
	return h
}

// live makes tables, logs, trail and extents over several runs, with rotated keys and a
// deletion.
func live(t testing.TB, v *victim, stopped func()) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for run := range 3 {
		st := mustOpen(t, v.fs, v.sec)
		for i, n := range []int{2_000, 3_000, 33_000, 50_000, 0} {
			name := fmt.Sprintf("r%d-%d", run, i)
			v.want[name] = value{content(name, n), "m-" + name}
			check(put(st, name, v.want[name].data, blob.MetaPair{Name: "a", Value: "m-" + name}))
			if i == 1 { // half of it reaches a table and a blob file, half stays in the log
				check(st.Meta.CompactAll(ctx))
			}
		}
		_, err := st.Ring.Rotate(ctx, chain(t, st, keys.VFSK))
		check(err)
		if run > 0 {
			gone := fmt.Sprintf("r%d-1", run-1)
			_, err := st.Ring.Rotate(ctx, chain(t, st, keys.KEK))
			check(err)
			check(st.Blobs.Delete(ctx, owner, ref(gone), blob.DeleteOptions{}))
			v.want[gone] = value{}
		}
		check(st.Close())
		if run < 2 {
			stopped()
		}
	}
}

// contents reads a file of a disk.
func contents(t testing.TB, fs *vfs.MemFS, path string) []byte {
	t.Helper()
	b, err := fs.UnsafeGetFileDataBuffer(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}

// overwrite replaces a file; nil removes it.
func overwrite(t testing.TB, fs *vfs.MemFS, path string, b []byte) {
	t.Helper()
	if err := fs.Remove(path); err != nil {
		t.Fatal(err)
	}
	if b == nil {
		return
	}
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Clone(b)); err != nil { // under -race it is overwritten
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// attack is one thing that somebody without keys does to the files of a stopped store.
type attack struct {
	kind string // of the file
	path string
	what string
	do   func(fs *vfs.MemFS)
}

// attacks lists all of them. thin leaves out all but each thin-th.
func (h *history) attacks(t testing.TB, thin int) (list []attack) {
	t.Helper()
	all := files(t, h.fs)
	for i, p := range all {
		good := contents(t, h.fs, p)
		add := func(what string, b []byte) {
			if b != nil && bytes.Equal(b, good) {
				return
			}
			list = append(list, attack{kindOf(p), p, fmt.Sprintf("%s: %s", p, what), func(fs *vfs.MemFS) { overwrite(t, fs, p, b) }})
		}
		add("removed", nil)
		if len(good) == 0 {
			add("filled", []byte("x"))
			continue
		}
		add("emptied", []byte{})
		add("zeros", make([]byte, len(good)))
		for cut := range 12 {
			add("cut", good[:len(good)*cut/12])
		}
		for _, n := range []int{1, 2, 16, 28, vfsframe.AppendOverhead} {
			add("cut in the last frame", good[:max(0, len(good)-n)])
		}
		add("cut behind the last frame but one", good[:max(0, len(good)-vfsframe.AppendOverhead-1)])
		for _, n := range []int{1, 56, 4124} {
			add("extended by zeros", append(bytes.Clone(good), make([]byte, n)...))
			add("extended by its end", append(bytes.Clone(good), good[max(0, len(good)-n):]...))
		}
		add("without its header", good[min(len(good), vfsframe.HeaderSize):])
		for at := 0; at < len(good); at += max(vfsframe.HeaderSize, len(good)/12) {
			b := bytes.Clone(good)
			clear(b[at:min(len(b), at+vfsframe.HeaderSize)])
			what := "a part zeroed"
			if at >= len(good)-vfsframe.AppendOverhead {
				what = "zeros in the last frame"
			}
			add(what, b)
		}
		for _, q := range all[:i] {
			if other := contents(t, h.fs, q); len(other) > 0 {
				list = append(list, attack{kindOf(p), p, fmt.Sprintf("%s exchanged with %s", p, q), func(fs *vfs.MemFS) {
					overwrite(t, fs, p, other)
					overwrite(t, fs, q, good)
				}})
			}
		}
		for n, older := range h.older {
			if _, err := older.Stat(p); err == nil {
				add(fmt.Sprint("as it was at stop ", n), contents(t, older, p))
			}
		}
		if _, err := h.foreign.Stat(p); err == nil {
			add("of another store", contents(t, h.foreign, p))
		}
	}
	// Files that were there and are gone come back.
	for n, older := range h.older {
		for _, p := range files(t, older) {
			if slices.Contains(all, p) {
				continue
			}
			list = append(list, attack{kindOf(p), p, fmt.Sprintf("%s of stop %d comes back", p, n), func(fs *vfs.MemFS) {
				if err := vfs.CopyAcrossFS(older, p, fs, p); err != nil {
					t.Errorf("%s: %v", p, err)
				}
			}})
		}
	}
	if thin > 1 {
		kept := list[:0]
		for i, a := range list {
			if i%thin == 0 {
				kept = append(kept, a)
			}
		}
		list = kept
	}
	return list
}

// mayPass says which attacks a store may survive without a word, and what makes up for
// them. An empty what is any attack.
var mayPass = []struct{ kind, what, because string }{
	{"keys", "", "the other copy"},
	{"LOCK", "", "it is empty, and never read"},
	{"marker", "filled", "its contents are never read: its name is held against HEAD"},
	{"OPTIONS", "", "written anew at every start"},
	{"extent", "extended", "rows say where chunks lie, and nothing is read beyond"},
	{"marker", "comes back", "the highest counts, as the engine's own crash handling has it"},
	{"MANIFEST", "comes back", "the marker does not name it"},
	{".log", "comes back", "older than the MANIFEST needs"},
	{".sst", "comes back", "the MANIFEST does not name it"},
	{".blob", "comes back", "the MANIFEST does not name it"},
	{".aud", "in the last frame", "the end frame of an older file has no record"},
}

// passes reports whether an attack may have no effect.
func (a *attack) passes() bool {
	return slices.ContainsFunc(mayPass, func(p struct{ kind, what, because string }) bool {
		return strings.HasPrefix(a.kind, p.kind) && strings.Contains(a.what, p.what)
	})
}

// TestOfflineAttacks (C3) does to a stopped store what somebody with its disk and without
// keys can do to single files: cut, extend, zero, exchange, remove, put back. The store
// is refused, or tells what is damaged, or everything is as it was: no wrong byte, no
// missing blob, no deleted blob back. What may have no effect at all stands in mayPass;
// older files of the trail are not read at a start, and audit verify must find them.
func TestOfflineAttacks(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	if out, err := h.try(h.copy(t)); err != nil || !out.repaired {
		t.Fatalf("the untouched store: %+v, %v", out, err)
	}
	if found, _, err := h.trail(t, h.copy(t), ""); found || err != nil {
		t.Fatalf("the untouched trail: %v, %v", found, err)
	}
	list := h.attacks(t, sized(30, 1, 1))
	var mu sync.Mutex
	table := map[string]*[4]int{} // by kind: refused, reported, found by audit verify, without effect
	parallel(list, func(a attack) {
		fs := h.copy(t)
		a.do(fs)
		out, err := h.try(fs)
		trail, all := false, false
		if err == nil && out.repaired && a.kind == ".aud" {
			trail, all, err = h.trail(t, fs, a.path)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("%s: %v", a.what, err)
		}
		kind, _, _ := strings.Cut(a.kind, ".0")
		row := table[kind]
		if row == nil {
			row = new([4]int)
			table[kind] = row
		}
		switch {
		case out.refused != nil:
			row[0]++
		case out.damaged > 0:
			row[1]++
		case trail:
			row[2]++
		default:
			row[3]++
			if !a.passes() && !all {
				t.Errorf("%s: passed unnoticed", a.what)
			}
		}
	})
	for kind, row := range table {
		t.Logf("C3: %-22s refused %4d, reported %4d, found by audit verify %4d, allowed without effect %4d", kind, row[0], row[1], row[2], row[3])
	}
	t.Logf("C3: %d attacks, 0 wrong bytes", len(list))
	if want := sized(20, 600, 600); len(list) < want {
		t.Errorf("only %d attacks, want %d", len(list), want)
	}
}

// trail reports whether audit verify finds fault with the trail of a store that opens, and
// whether every record through the file at path is there: what an older file has behind
// its last record are marks and a checkpoint, and later checkpoints sign the same chain.
func (h *history) trail(t testing.TB, fs *vfs.MemFS, path string) (found, all bool, err error) {
	st, err := h.reopen(fs)
	if err != nil {
		return false, false, err
	}
	defer st.Close()
	rep, err := audit.Verify(st.AuditFiles(), nil)
	if err != nil || rep.First != 1 {
		return true, false, nil
	}
	if path == "" {
		return false, true, nil
	}
	whole, err := h.reopen(h.copy(t))
	if err != nil {
		return false, false, err
	}
	defer whole.Close()
	want := trailEnd(whole.AuditFiles(), path)
	return false, want != "" && trailEnd(st.AuditFiles(), path) == want, nil
}

func (h *history) reopen(fs *vfs.MemFS) (*store.Store, error) {
	o := h.sec.copy().options(fs)
	o.NoCreate = true
	return store.Open(ctx, o)
}

// trailEnd is the number and the link of the last record through the file at path, which
// are the same only if every record is; "" if the chain is broken.
func trailEnd(f audit.Files, path string) string {
	var n uint64
	if _, err := fmt.Sscanf(path[strings.LastIndexByte(path, '/')+1:], "%d.aud", &n); err != nil {
		return ""
	}
	rep, err := audit.Verify(filesThrough{f, n}, nil)
	if err != nil || rep.First != 1 {
		return ""
	}
	return fmt.Sprint(rep.End)
}

// filesThrough are the files up to one.
type filesThrough struct {
	audit.Files
	last uint64
}

func (f filesThrough) Audits() ([]uint64, error) {
	ns, err := f.Files.Audits()
	return slices.DeleteFunc(ns, func(n uint64) bool { return n > f.last }), err
}

// TestCutTail (C3) shows the declared gap. A store that was not stopped in order, as after
// a power cut, may have lost the end of its log, and HEAD cannot know how much was there:
// whoever cuts the last frames takes the last commits back, unnoticed without an anchor
// outside. Cut by more than HEAD has seen, and in a store that was stopped, it is refused.
func TestCutTail(t *testing.T) {
	t.Parallel()
	v := &victim{fs: vfs.NewMem(), sec: newSecrets(), want: map[string]value{}}
	st := mustOpen(t, v.fs, v.sec)
	if err := st.Meta.CompactAll(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "last"} {
		v.want[name] = value{data: content(name, 100)}
		if err := put(st, name, v.want[name].data); err != nil {
			t.Fatal(err)
		}
	}
	running := v.copy(t) // the disk as a power cut leaves it
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := v.try(v.copy(t)); err != nil || !out.repaired {
		t.Fatalf("stopped store: %+v, %v", out, err)
	}
	var log string
	for _, p := range files(t, running) {
		if kindOf(p) == ".log" {
			log = p // the newest
		}
	}
	size := fileSize(t, running, log)
	lost, refused := 0, 0
	for cut := size - 1; cut >= 0; cut -= max(1, size/sized(10, 40, 400)) {
		fs := vfs.NewMem()
		if _, err := vfs.Clone(running, fs, dataDir, dataDir); err != nil {
			t.Fatal(err)
		}
		overwrite(t, fs, log, contents(t, running, log)[:cut])
		all := *v
		all.want = map[string]value{}
		out, err := all.try(fs)
		switch {
		case err != nil:
			t.Errorf("cut to %d of %d: %v", cut, size, err)
		case out.refused != nil:
			refused++
		default:
			lost++
		}
	}
	t.Logf("C3: cut tail of a log after a power cut: %d of %d open with the newest commits gone (declared), %d refused", lost, lost+refused, refused)
	if lost == 0 || refused == 0 {
		t.Error("the gap is not as it is declared")
	}
}
