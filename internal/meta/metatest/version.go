package metatest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/coffer-storage/coffer/internal/meta"
)

// version is the version of key in a View, and the rows that stand under its first byte.
func version(t testing.TB, s meta.Store, key string) (v uint64, state string) {
	t.Helper()
	err := s.View(t.Context(), func(r meta.Reader) error {
		var ok bool
		if v, ok = r.Version([]byte(key)); !ok {
			t.Errorf("Version(%q) of a store at rest has no name", key)
		}
		state = fmt.Sprint(rows(t, r, key[:1], string(key[0]+1), false))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, state
}

// testVersion: every change under a first byte gives a new version, and no other one does.
func testVersion(t *testing.T, o Opened) {
	put(t, o.Store, "ca", "1", "cz", "2", "b", "3")
	del := func(lo, hi string) {
		update(t, o.Store, func(tx meta.Tx) error { tx.DeleteRange(bound(lo), bound(hi)); return nil })
	}
	for _, tt := range []struct {
		name    string
		do      func()
		changed bool
	}{
		{"nothing", func() {}, false},
		{"another byte", func() { put(t, o.Store, "b", "4", "d", "4") }, false},
		{"another span", func() { del("a", "b\xff") }, false},
		{"a put", func() { put(t, o.Store, "ca", "5") }, true},
		{"a put beside it", func() { put(t, o.Store, "cx", "5") }, true},
		{"a delete", func() { update(t, o.Store, func(tx meta.Tx) error { tx.Delete([]byte("cx")); return nil }) }, true},
		{"a span in it", func() { del("cz", "d") }, true},
		{"a span over it", func() { del("b", "d") }, true},
		{"the span of everything", func() { del("", "") }, true},
	} {
		before, was := version(t, o.Store, "ca")
		tt.do()
		after, is := version(t, o.Store, "ca")
		if after != before != tt.changed {
			t.Errorf("%s: version %d, then %d; rows %s, then %s", tt.name, before, after, was, is)
		}
	}
	_ = o.Store.View(t.Context(), func(r meta.Reader) error {
		if v, ok := r.Version(nil); ok {
			t.Errorf("the empty key has version %d", v)
		}
		return nil
	})
}

// testVersionIsRead: to a transaction a version is a read, and there is none where it has
// written itself.
func testVersionIsRead(t *testing.T, o Opened) {
	put(t, o.Store, "ca", "1", "cb", "1")
	ask := func(tx meta.Tx) {
		if _, ok := tx.Version([]byte("ca")); !ok {
			t.Error("Version in a transaction has no name")
		}
		tx.Put([]byte("out"), value("x"))
		if _, ok := tx.Version([]byte("ca")); !ok {
			t.Error("Version has no name after a write elsewhere")
		}
		tx.Put([]byte("cc"), value("x"))
		if v, ok := tx.Version([]byte("ca")); ok {
			t.Errorf("Version = %d after an own write", v)
		}
	}
	if n := race(t, o.Store, func(tx meta.Tx) { tx.Put([]byte("ca"), value("2")) }, ask); n != 2 {
		t.Errorf("a write to the key: %d tries, want 2", n)
	}
	if n := race(t, o.Store, func(tx meta.Tx) { tx.Put([]byte("cb"), value("2")) }, ask); n != 1 {
		t.Errorf("a write to its neighbour: %d tries, want 1", n)
	}
}

// testVersionsInParallel: whoever sees a version sees the same under it, while others
// commit, views and transactions alike.
func testVersionsInParallel(t *testing.T, o Opened) {
	put(t, o.Store, "ca", "", "cb", "")
	var mu sync.Mutex
	seen := make(map[uint64]string)
	named := 0
	look := func(r meta.Reader) {
		v, ok := r.Version([]byte("ca"))
		state := get(t, r, "ca") + " " + get(t, r, "cb")
		if !ok {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		named++
		if old, have := seen[v]; have && old != state {
			t.Errorf("version %d shows %q and %q", v, old, state)
		}
		seen[v] = state
	}
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := range scaled(60) {
				update(t, o.Store, func(tx meta.Tx) error {
					look(tx)
					if i%3 > 0 { // most commits leave the table alone
						tx.Put(fmt.Appendf(nil, "x%d", w), value(fmt.Sprint(i)))
						return nil
					}
					tx.Put([]byte("ca"), value(fmt.Sprint(w, i)))
					tx.Put([]byte("cb"), value(fmt.Sprint(w, i)))
					return nil
				})
			}
		})
		wg.Go(func() {
			for range scaled(300) {
				_ = o.Store.View(t.Context(), func(r meta.Reader) error { look(r); return nil })
			}
		})
	}
	wg.Wait()
	if named == 0 {
		t.Error("nobody saw a version")
	}
}
