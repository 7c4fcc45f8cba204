package pebblekv_test

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs/sealedfstest"
)

// put writes rows name.. of one version.
func put(t testing.TB, s *pebblekv.Store, version int, names ...string) {
	t.Helper()
	err := s.Update(t.Context(), func(tx meta.Tx) error {
		for _, n := range names {
			tx.Put([]byte(n), crypttest.Sealed(fmt.Appendf(nil, "%s#%d", n, version)))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func rows(t testing.TB, s *pebblekv.Store) (out []string, err error) {
	t.Helper()
	err = s.View(t.Context(), func(r meta.Reader) error {
		return r.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
			out = append(out, string(v))
			return true, nil
		})
	})
	return out, err
}

// history is a store at three times: what a thief could have copied while it ran
// (older, newer), and after a clean stop. Rows a# are in tables, b# in the log.
type history struct{ older, newer, clean image }

func makeHistory(t *testing.T) history {
	t.Helper()
	fs := vfs.NewCrashableMem()
	s := create(t, fs, nil)
	var h history
	put(t, s, 1, "a1", "a2", "b1")
	must(t, s.CompactAll(t.Context()))
	a, err := s.FS().CreateAudit(1)
	must(t, err)
	must(t, a.Append([]byte("one")))
	must(t, a.Sync())
	put(t, s, 2, "b1")
	must(t, s.AfterSwap())
	must(t, s.AfterSwap())
	h.older = read(t, fs)
	put(t, s, 3, "a1", "a2")
	must(t, s.CompactAll(t.Context()))
	put(t, s, 4, "b1", "b2")
	must(t, a.Append([]byte("two")))
	must(t, a.Sync())
	must(t, s.AfterSwap())
	must(t, s.AfterSwap())
	put(t, s, 5, "b3") // after the last HEAD
	h.newer = read(t, fs)
	must(t, s.Close())
	h.clean = read(t, fs)
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (im image) remove(pattern string) {
	for _, p := range im.find(pattern) {
		delete(im, p)
	}
}

// putBack sets what matches to what it was.
func (im image) putBack(from image, pattern string) {
	im.remove(pattern)
	for _, p := range from.find(pattern) {
		im[p] = from[p]
	}
}

var (
	all5 = []string{"a1#3", "a2#3", "b1#4", "b2#4", "b3#5"}
	all4 = []string{"a1#3", "a2#3", "b1#4", "b2#4"}
	all2 = []string{"a1#1", "a2#1", "b1#2"}
)

func tryOpen(t *testing.T, im image, change func(*pebblekv.Options)) ([]string, error) {
	t.Helper()
	o := options(t, im.disk(t))
	if change != nil {
		change(&o)
	}
	s, err := pebblekv.Open(t.Context(), o)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	out, err := rows(t, s)
	if err != nil {
		return nil, err
	}
	_, err = countAudit(s.FS())
	return out, err
}

// TestRollback: what stands in "Opening" of spec/sealedfs.md, refused or not.
func TestRollback(t *testing.T) {
	h := makeHistory(t)
	const newer, clean = false, true
	log := func(im image) string { return last(im.find("*.log")) }
	tests := []struct {
		name   string
		clean  bool
		change func(image)
		keys   func(*sealedfstest.Keys)
		want   fault.Kind // Internal: opens
		rows   []string
		accept []string // rows with AcceptRollback; nil: refused all the same
	}{
		{name: "as it was", rows: all5, accept: all5},
		{name: "stopped", clean: clean, rows: all5, accept: all5},
		{name: "HEAD.A gone", change: func(im image) { im.remove("HEAD.A") }, want: fault.Rollback, accept: all5},
		{name: "HEAD.B gone", change: func(im image) { im.remove("HEAD.B") }, want: fault.Rollback, accept: all5},
		{name: "both HEADs gone", change: func(im image) { im.remove("HEAD.?") }, want: fault.Rollback, accept: all5},
		{name: "HEAD.A put back", change: func(im image) { im.putBack(h.older, "HEAD.A") }, want: fault.Rollback, accept: all5},
		{name: "HEAD.B put back", change: func(im image) { im.putBack(h.older, "HEAD.B") }, want: fault.Rollback, accept: all5},
		{name: "HEADs exchanged", change: func(im image) {
			a, b := path.Join(dir, "HEAD.A"), path.Join(dir, "HEAD.B")
			im[a], im[b] = im[b], im[a]
		}, want: fault.Corrupt},
		{name: "HEAD.A damaged", change: func(im image) { im[path.Join(dir, "HEAD.A")][70] ^= 1 }, want: fault.Corrupt, accept: all5},
		{name: "HEAD of another key", change: func(im image) { im[path.Join(dir, "HEAD.A")][5] ^= 1 }, want: fault.Corrupt, accept: all5},
		{name: "log gone", change: func(im image) { im.remove("*.log") }, want: fault.Rollback, accept: []string{"a1#3", "a2#3", "b1#2"}},
		{name: "log gone after a stop", clean: clean, change: func(im image) { im.remove("*.log") }, want: fault.Rollback},
		{name: "log cut behind HEAD", change: func(im image) { im[log(im)] = im[log(im)][:150] }, want: fault.Rollback},
		{name: "log emptied", change: func(im image) { im[log(im)] = nil }, want: fault.Corrupt},
		{name: "log cut after HEAD: the declared gap", change: func(im image) { im[log(im)] = im[log(im)][:len(im[log(im)])-1] }, rows: all4, accept: all4},
		{name: "log cut after a stop", clean: clean, change: func(im image) { im[log(im)] = im[log(im)][:len(im[log(im)])-1] }, want: fault.Rollback},
		{name: "MANIFEST gone", change: func(im image) { im.remove("MANIFEST-*") }, want: fault.Rollback},
		{name: "MANIFEST put back", change: func(im image) { im.putBack(h.older, "MANIFEST-*") }, want: fault.Rollback},
		{name: "MANIFEST cut", clean: clean, change: func(im image) {
			p := last(im.find("MANIFEST-*"))
			im[p] = im[p][:len(im[p])-1]
		}, want: fault.Rollback},
		{name: "marker gone", change: func(im image) { im.remove("marker.manifest.*") }, want: fault.Rollback},
		{name: "marker of an older one", change: func(im image) {
			im.remove("marker.manifest.*")
			im[path.Join(dir, "lsm", "marker.manifest.000009.MANIFEST-000000")] = []byte{}
		}, want: fault.Rollback},
		{name: "marker of no MANIFEST", change: func(im image) {
			im[path.Join(dir, "lsm", "marker.manifest.000009.CURRENT")] = []byte{}
		}, want: fault.Corrupt},
		{name: "format marker gone", change: func(im image) { im.remove("marker.format-version.*") }, want: fault.Rollback},
		{name: "format marker of store format 1", change: func(im image) {
			im.remove("marker.format-version.*")
			im[path.Join(dir, "lsm", "marker.format-version.000001.021")] = nil
		}, want: fault.Rollback},
		{name: "format marker of an older one", change: func(im image) {
			im.remove("marker.format-version.*")
			im[path.Join(dir, "lsm", "marker.format-version.000001.013")] = nil
		}, want: fault.Rollback},
		{name: "table gone", change: func(im image) { im.remove("*.sst") }, want: fault.Corrupt},
		{name: "table cut", change: func(im image) { p := last(im.find("*.sst")); im[p] = im[p][:len(im[p])-1] }, want: fault.Corrupt},
		{name: "audit file gone", change: func(im image) { im.remove("*.aud") }, want: fault.Rollback},
		{name: "audit file put back", change: func(im image) { im.putBack(h.older, "*.aud") }, want: fault.Rollback},
		{name: "key store older", keys: func(k *sealedfstest.Keys) { k.SetGeneration(1) }, want: fault.Rollback},
		{name: "key store newer", keys: func(k *sealedfstest.Keys) { k.SetGeneration(9) }, rows: all5, accept: all5},
		{name: "only the log put back", change: func(im image) { im.putBack(h.older, "*.log") }, want: fault.Rollback},
		{name: "all put back: the declared gap", change: func(im image) { im.putBack(h.older, "*") }, rows: all2, accept: all2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			im := h.newer
			if tt.clean {
				im = h.clean
			}
			if tt.change != nil {
				im = im.with(tt.change)
			}
			change := func(o *pebblekv.Options) {
				k := sealedfstest.New(1)
				if tt.keys != nil {
					tt.keys(k)
				}
				o.Keys = k
			}
			got, err := tryOpen(t, im, change)
			if tt.want != fault.Internal {
				if !fault.Is(err, tt.want) {
					t.Errorf("Open = %v, want %v", err, tt.want)
				}
				if err != nil && !strings.Contains(err.Error(), "put") {
					t.Errorf("Open = %q: what is to be done?", err)
				}
			} else if err != nil || !cmp.Equal(got, tt.rows) {
				t.Errorf("rows = %v, %v, want %v", got, err, tt.rows)
			}
			if tt.accept == nil {
				return
			}
			got, err = tryOpen(t, im, func(o *pebblekv.Options) { change(o); o.AcceptRollback = true })
			if err != nil || !cmp.Equal(got, tt.accept) {
				t.Errorf("accepted: rows = %v, %v, want %v", got, err, tt.accept)
			}
		})
	}
}

func last(paths []string) string {
	m := ""
	for _, p := range paths {
		m = max(m, p)
	}
	return m
}

// TestNewerFormat: a store of a newer program is refused by name, even with
// AcceptRollback.
func TestNewerFormat(t *testing.T) {
	h := makeHistory(t)
	k := sealedfstest.New(1)
	head := sealedfs.Head{StoreID: k.StoreID(), Format: sealedfs.Format + 1, Seq: 99}
	for _, change := range []func([]byte){func([]byte) {}, func(b []byte) { b[0] = sealedfs.Format + 1 }} {
		im := h.clean.with(func(im image) {
			for seq, base := range map[uint64]string{99: "HEAD.A", 100: "HEAD.B"} {
				head.Seq = seq
				plain := head.Bytes()
				change(plain)
				b, err := sealedfs.SealFile(k, "HEAD", plain)
				must(t, err)
				im[path.Join(dir, base)] = b
			}
		})
		for _, accept := range []bool{false, true} {
			_, err := tryOpen(t, im, func(o *pebblekv.Options) { o.AcceptRollback = accept })
			if !fault.Is(err, fault.NewerFormat) || !strings.Contains(err.Error(), fmt.Sprintf("format %d", head.Format)) {
				t.Errorf("Open = %v, want NewerFormat", err)
			}
		}
	}
}

func TestForeignStore(t *testing.T) {
	h := makeHistory(t)
	_, err := tryOpen(t, h.clean, func(o *pebblekv.Options) { o.Keys = sealedfstest.New(2) })
	if !fault.Is(err, fault.Corrupt) {
		t.Errorf("Open with the keys of another store = %v", err)
	}
}

// TestCreateRefuses: a key store that was never initialized beside data.
func TestCreateRefuses(t *testing.T) {
	h := makeHistory(t)
	for name, change := range map[string]func(image){
		"tables":  func(im image) { im.remove("HEAD.?"); im.remove("*.aud") },
		"audit":   func(im image) { im.remove("HEAD.?"); im.remove("*.sst") },
		"extents": func(im image) { im.remove("*"); im["data/extents/single/x"] = []byte("x") },
	} {
		im := h.clean.with(change)
		fs := image{}.disk(t)
		must(t, fs.MkdirAll("data/extents/single", 0o700))
		for p, b := range im {
			f, err := fs.Create(p, vfs.WriteCategoryUnspecified)
			must(t, err)
			_, err = f.Write(bytes.Clone(b))
			must(t, errors.Join(err, f.Close()))
		}
		o := options(t, fs)
		o.Create = true
		if _, err := pebblekv.Open(t.Context(), o); !fault.Is(err, fault.Rollback) {
			t.Errorf("%s: Open = %v, want Rollback", name, err)
		}
	}
	// HEAD, not initialized: finish.
	got, err := tryOpen(t, h.clean, func(o *pebblekv.Options) { o.Create = true })
	if err != nil || !cmp.Equal(got, all5) {
		t.Errorf("rows = %v, %v", got, err)
	}
}

// TestTamper changes bytes of every file in turn. Whatever opens, shows what was
// stored; an error is a refusal, never a panic.
func TestTamper(t *testing.T) {
	h := makeHistory(t)
	for _, state := range []struct {
		name string
		im   image
	}{{"running", h.newer}, {"stopped", h.clean}} {
		stride := 41
		if testing.Short() {
			stride = 97
		}
		refused, fine := map[string]int{}, 0
		for p, b := range state.im {
			for i := 0; i < len(b); i += stride {
				im := state.im.with(func(im image) { im[p][i] ^= 1 << (i % 8) })
				got, err := tryOpen(t, im, nil)
				switch {
				case err != nil:
					if k := fault.KindOf(err); k != fault.Corrupt && k != fault.Rollback {
						t.Errorf("%s, byte %d: %v", p, i, err)
					}
					refused[path.Ext(p)]++
				case cmp.Equal(got, all5):
					fine++ // a byte that nobody needed, or that was repaired
				case state.name == "running" && path.Ext(p) == ".log" && cmp.Equal(got, all4):
					fine++ // the last frame: no sync after it has vouched for it
				default:
					t.Errorf("%s: %s, byte %d: rows %v", state.name, p, i, got)
				}
			}
		}
		t.Logf("%s: refused %v, still right %d", state.name, refused, fine)
		if len(refused) < 4 {
			t.Errorf("%s: refused only in %v", state.name, refused)
		}
	}
}
