// Package metatest is the suite that every engine of port meta passes.
//
//	func TestConformance(t *testing.T) {
//		metatest.Run(t, func(t testing.TB) metatest.Opened { ... })
//	}
package metatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/meta"
)

// Opened is an engine under test.
type Opened struct {
	Store meta.Store
	// Reopen closes the store and opens it again with all that it held. nil: the
	// engine does not keep anything.
	Reopen func(t testing.TB) meta.Store
}

// Factory makes an empty engine; it cleans up after t.
type Factory func(t testing.TB) Opened

// Run runs the whole suite.
func Run(t *testing.T, open Factory) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, Opened)
	}{
		{"get", testGet},
		{"empty values and odd keys", testOddKeys},
		{"byte order", testByteOrder},
		{"spans", testSpans},
		{"own writes", testOwnWrites},
		{"own writes in scans", testOwnScans},
		{"writes during a scan", testWriteDuringScan},
		{"delete range", testDeleteRange},
		{"caller owns", testOwnership},
		{"error of f", testErrorOfF},
		{"snapshot", testSnapshot},
		{"snapshot of an update", testUpdateSnapshot},
		{"lost update", testLostUpdate},
		{"write skew", testWriteSkew},
		{"phantom", testPhantom},
		{"phantom behind an early stop", testEarlyStop},
		{"range delete conflicts", testRangeDeleteConflict},
		{"absent key conflicts", testAbsentConflict},
		{"blind writes do not conflict", testBlindWrites},
		{"parallel counters", testCounters},
		{"bank", testBank},
		{"hot key with a slow transaction", testSlowWins},
		{"cancel", testCancel},
		{"cancel of a scan", testCancelScan},
		{"large values", testLargeValues},
		{"many rows", testManyRows},
		{"sequence", testSequence},
		{"version", testVersion},
		{"version is a read", testVersionIsRead},
		{"versions in parallel", testVersionsInParallel},
		{"close", testClose},
		{"close waits", testCloseWaits},
		{"reopen", testReopen},
		{"model", testModel},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

func value(s string) crypt.Sealed { return crypttest.Sealed([]byte(s)) }

// update runs f, which must succeed.
func update(t testing.TB, s meta.Store, f func(meta.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), f); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// put writes name, value, name, value, ..
func put(t testing.TB, s meta.Store, pairs ...string) {
	t.Helper()
	update(t, s, func(tx meta.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			tx.Put([]byte(pairs[i]), value(pairs[i+1]))
		}
		return nil
	})
}

// get returns the value, or "<none>".
func get(t testing.TB, r meta.Reader, key string) string {
	t.Helper()
	v, err := r.Get([]byte(key))
	if errors.Is(err, meta.ErrNotFound) {
		return "<none>"
	}
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return string(v)
}

func bound(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// rows returns "key=value" of every row of a span; "" as hi has no end.
func rows(t testing.TB, r meta.Reader, lo, hi string, reverse bool) []string {
	t.Helper()
	out := []string{}
	err := r.Scan(bound(lo), bound(hi), reverse, func(k, v []byte) (bool, error) {
		out = append(out, string(k)+"="+string(v))
		return true, nil
	})
	if err != nil {
		t.Fatalf("Scan(%q, %q): %v", lo, hi, err)
	}
	return out
}

// want compares all rows of the store.
func want(t testing.TB, s meta.Store, all ...string) {
	t.Helper()
	if all == nil {
		all = []string{}
	}
	err := s.View(t.Context(), func(r meta.Reader) error {
		if diff := cmp.Diff(all, rows(t, r, "", "", false)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("View: %v", err)
	}
}

func testGet(t *testing.T, o Opened) {
	put(t, o.Store, "a", "1", "b", "2")
	update(t, o.Store, func(tx meta.Tx) error {
		tx.Delete([]byte("a"))
		tx.Delete([]byte("never there"))
		tx.Put([]byte("b"), value("3"))
		return nil
	})
	want(t, o.Store, "b=3")
	err := o.Store.View(t.Context(), func(r meta.Reader) error {
		_, err := r.Get([]byte("a"))
		return err
	})
	if !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("Get of a deleted key = %v, want ErrNotFound", err)
	}
}

func testOddKeys(t *testing.T, o Opened) {
	odd := []string{"\x00", "\x00\x00", "a", "a\x00", "a\x00b", "a\xff", "b", "\xff", "\xff\xff"}
	var wanted []string
	for _, k := range odd {
		put(t, o.Store, k, "")
		wanted = append(wanted, k+"=")
	}
	want(t, o.Store, wanted...)
	_ = o.Store.View(t.Context(), func(r meta.Reader) error {
		if v, err := r.Get([]byte("a\x00")); err != nil || len(v) != 0 {
			t.Errorf("Get of an empty value = %q, %v", v, err)
		}
		return nil
	})
}

func testByteOrder(t *testing.T, o Opened) {
	var pairs, wanted []string
	for i := 255; i >= 0; i-- {
		pairs = append(pairs, string([]byte{'k', byte(i)}), "v")
	}
	for i := range 256 {
		wanted = append(wanted, string([]byte{'k', byte(i)})+"=v")
	}
	put(t, o.Store, pairs...)
	want(t, o.Store, wanted...)
}

func testSpans(t *testing.T, o Opened) {
	put(t, o.Store, "a", "1", "b", "2", "c", "3", "d", "4")
	tests := []struct {
		lo, hi  string
		reverse bool
		want    []string
	}{
		{"", "", false, []string{"a=1", "b=2", "c=3", "d=4"}},
		{"", "", true, []string{"d=4", "c=3", "b=2", "a=1"}},
		{"b", "d", false, []string{"b=2", "c=3"}},
		{"b", "d", true, []string{"c=3", "b=2"}},
		{"b", "", false, []string{"b=2", "c=3", "d=4"}},
		{"", "b", true, []string{"a=1"}},
		{"bb", "cc", false, []string{"c=3"}},
		{"c", "c", false, []string{}},
		{"d", "a", false, []string{}},
		{"x", "", true, []string{}},
	}
	both(t, o.Store, func(t testing.TB, r meta.Reader) {
		for _, tt := range tests {
			if diff := cmp.Diff(tt.want, rows(t, r, tt.lo, tt.hi, tt.reverse)); diff != "" {
				t.Errorf("Scan(%q, %q, %v) (-want +got):\n%s", tt.lo, tt.hi, tt.reverse, diff)
			}
		}
		n := 0
		_ = r.Scan(nil, nil, false, func(k, v []byte) (bool, error) { n++; return n < 2, nil })
		if n != 2 {
			t.Errorf("Scan went on for %d rows after false", n)
		}
		boom := errors.New("boom")
		err := r.Scan(nil, nil, true, func(k, v []byte) (bool, error) { return true, boom })
		if err != boom {
			t.Errorf("Scan = %v, want the error of f", err)
		}
	})
}

// both runs f in a View and in an Update.
func both(t testing.TB, s meta.Store, f func(testing.TB, meta.Reader)) {
	t.Helper()
	if err := s.View(t.Context(), func(r meta.Reader) error { f(t, r); return nil }); err != nil {
		t.Fatalf("View: %v", err)
	}
	update(t, s, func(tx meta.Tx) error { f(t, tx); return nil })
}

func testOwnWrites(t *testing.T, o Opened) {
	put(t, o.Store, "old", "1", "gone", "1")
	update(t, o.Store, func(tx meta.Tx) error {
		tx.Put([]byte("new"), value("2"))
		tx.Put([]byte("old"), value("2"))
		tx.Delete([]byte("gone"))
		got := []string{get(t, tx, "new"), get(t, tx, "old"), get(t, tx, "gone")}
		if diff := cmp.Diff([]string{"2", "2", "<none>"}, got); diff != "" {
			t.Errorf("own writes (-want +got):\n%s", diff)
		}
		tx.Put([]byte("gone"), value("back"))
		if g := get(t, tx, "gone"); g != "back" {
			t.Errorf("Get after Delete and Put = %q", g)
		}
		return nil
	})
	want(t, o.Store, "gone=back", "new=2", "old=2")
}

func testOwnScans(t *testing.T, o Opened) {
	put(t, o.Store, "b", "1", "d", "1", "f", "1", "h", "1")
	update(t, o.Store, func(tx meta.Tx) error {
		tx.Put([]byte("a"), value("2"))
		tx.Put([]byte("d"), value("2"))
		tx.Delete([]byte("f"))
		tx.Delete([]byte("g"))
		tx.Put([]byte("i"), value("2"))
		up := []string{"a=2", "b=1", "d=2", "h=1", "i=2"}
		down := []string{"i=2", "h=1", "d=2", "b=1", "a=2"}
		if diff := cmp.Diff(up, rows(t, tx, "", "", false)); diff != "" {
			t.Errorf("Scan (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(down, rows(t, tx, "", "", true)); diff != "" {
			t.Errorf("reverse Scan (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"d=2"}, rows(t, tx, "c", "h", true)); diff != "" {
			t.Errorf("Scan(c, h) (-want +got):\n%s", diff)
		}
		n := 0
		return tx.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
			n++
			if n == 1 && string(k) != "a" {
				t.Errorf("first row = %q", k)
			}
			return false, nil
		})
	})
}

func testWriteDuringScan(t *testing.T, o Opened) {
	put(t, o.Store, "a", "1", "b", "1", "c", "1")
	update(t, o.Store, func(tx meta.Tx) error {
		var seen []string
		err := tx.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
			seen = append(seen, string(k))
			tx.Delete(k)
			tx.Put(append(bytes.Clone(k), 'x'), value("2"))
			return true, nil
		})
		if diff := cmp.Diff([]string{"a", "b", "c"}, seen); diff != "" {
			t.Errorf("a scan sees the rows of its start (-want +got):\n%s", diff)
		}
		return err
	})
	want(t, o.Store, "ax=2", "bx=2", "cx=2")
}

func testDeleteRange(t *testing.T, o Opened) {
	put(t, o.Store, "a", "1", "b", "1", "c", "1", "d", "1", "e", "1")
	update(t, o.Store, func(tx meta.Tx) error {
		tx.Put([]byte("bb"), value("2"))
		tx.DeleteRange([]byte("b"), []byte("d"))
		tx.Put([]byte("c"), value("3"))
		tx.DeleteRange([]byte("x"), []byte("a")) // nothing
		if diff := cmp.Diff([]string{"a=1", "c=3", "d=1", "e=1"}, rows(t, tx, "", "", false)); diff != "" {
			t.Errorf("inside (-want +got):\n%s", diff)
		}
		if g := get(t, tx, "b"); g != "<none>" {
			t.Errorf("Get in a deleted range = %q", g)
		}
		return nil
	})
	want(t, o.Store, "a=1", "c=3", "d=1", "e=1")
	update(t, o.Store, func(tx meta.Tx) error {
		tx.DeleteRange([]byte("d"), nil)
		return nil
	})
	want(t, o.Store, "a=1", "c=3")
	update(t, o.Store, func(tx meta.Tx) error {
		tx.DeleteRange(nil, nil)
		tx.Put([]byte("z"), value("9"))
		return nil
	})
	want(t, o.Store, "z=9")
}

func testOwnership(t *testing.T, o Opened) {
	key := []byte("key")
	update(t, o.Store, func(tx meta.Tx) error {
		tx.Put(key, value("1"))
		key[0] = 'X' // the store has its own copy
		v, err := tx.Get([]byte("key"))
		if err != nil {
			t.Fatalf("Get: %v", err)
		}
		v[0] = 'X' // and so has the caller
		return nil
	})
	want(t, o.Store, "key=1")
	var v []byte
	_ = o.Store.View(t.Context(), func(r meta.Reader) (err error) {
		v, err = r.Get([]byte("key"))
		return err
	})
	put(t, o.Store, "key", "2")
	if string(v) != "1" {
		t.Errorf("value changed in the caller's hands: %q", v)
	}
	v[0] = 'X'
	want(t, o.Store, "key=2")
}

func testErrorOfF(t *testing.T, o Opened) {
	boom := errors.New("boom")
	err := o.Store.Update(t.Context(), func(tx meta.Tx) error {
		tx.Put([]byte("a"), value("1"))
		return boom
	})
	if err != boom {
		t.Errorf("Update = %v, want the error of f as it is", err)
	}
	if err := o.Store.View(t.Context(), func(meta.Reader) error { return boom }); err != boom {
		t.Errorf("View = %v, want the error of f as it is", err)
	}
	want(t, o.Store)
}

func testCancel(t *testing.T, o Opened) {
	ctx, cancel := context.WithCancel(t.Context())
	err := o.Store.Update(ctx, func(tx meta.Tx) error {
		tx.Put([]byte("a"), value("1"))
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, want context.Canceled", err)
	}
	called := false
	err = o.Store.View(ctx, func(meta.Reader) error { called = true; return nil })
	if !errors.Is(err, context.Canceled) || called {
		t.Errorf("View after cancel = %v (called: %v), want context.Canceled", err, called)
	}
	want(t, o.Store)
}

func testCancelScan(t *testing.T, o Opened) {
	update(t, o.Store, func(tx meta.Tx) error {
		for i := range 5000 {
			tx.Put(fmt.Appendf(nil, "%06d", i), value("v"))
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := o.Store.View(ctx, func(r meta.Reader) error {
		return r.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
			if n++; n == 10 {
				cancel()
			}
			return true, nil
		})
	})
	if !errors.Is(err, context.Canceled) || n == 5000 {
		t.Errorf("Scan = %v after %d rows, want context.Canceled before the end", err, n)
	}
}

func testLargeValues(t *testing.T, o Opened) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 9<<16) // 9 MiB, over any memtable
	update(t, o.Store, func(tx meta.Tx) error {
		tx.Put([]byte("big"), crypttest.Sealed(big))
		tx.Put([]byte("middle"), crypttest.Sealed(big[:300<<10]))
		tx.Put([]byte("small"), value("s"))
		return nil
	})
	s := o.Store
	check := func() {
		t.Helper()
		_ = s.View(t.Context(), func(r meta.Reader) error {
			if v, err := r.Get([]byte("big")); err != nil || !bytes.Equal(v, big) {
				t.Errorf("Get(big) = %d bytes, %v", len(v), err)
			}
			if v, err := r.Get([]byte("middle")); err != nil || !bytes.Equal(v, big[:300<<10]) {
				t.Errorf("Get(middle) = %d bytes, %v", len(v), err)
			}
			return nil
		})
	}
	check()
	if o.Reopen != nil {
		s = o.Reopen(t)
		check()
	}
}

func testManyRows(t *testing.T, o Opened) {
	const batches, per = 20, 500
	for b := range batches {
		update(t, o.Store, func(tx meta.Tx) error {
			for i := range per {
				// Interleaved, so that every batch covers the whole range.
				tx.Put(fmt.Appendf(nil, "%08d", i*batches+b), crypttest.Sealed(bytes.Repeat([]byte{byte(b)}, 100)))
			}
			return nil
		})
	}
	_ = o.Store.View(t.Context(), func(r meta.Reader) error {
		for _, reverse := range []bool{false, true} {
			n := 0
			err := r.Scan(nil, nil, reverse, func(k, v []byte) (bool, error) {
				i := n
				if reverse {
					i = batches*per - 1 - n
				}
				if string(k) != fmt.Sprintf("%08d", i) || v[0] != byte(i%batches) {
					return false, fmt.Errorf("row %d is %q", i, k)
				}
				n++
				return true, nil
			})
			if err != nil || n != batches*per {
				t.Errorf("Scan(reverse %v) = %v after %d rows", reverse, err, n)
			}
		}
		return nil
	})
}

func testSequence(t *testing.T, o Opened) {
	last := o.Store.Sequence()
	for range 10 {
		put(t, o.Store, "a", "1")
		if now := o.Store.Sequence(); now <= last {
			t.Fatalf("Sequence = %d after a commit, was %d", now, last)
		} else {
			last = now
		}
	}
	if o.Reopen == nil {
		return
	}
	for range 3 {
		s := o.Reopen(t)
		if now := s.Sequence(); now < last {
			t.Fatalf("Sequence = %d after reopening, was %d", now, last)
		}
		put(t, s, "a", "1")
		if now := s.Sequence(); now <= last {
			t.Fatalf("Sequence = %d after a commit, was %d", now, last)
		} else {
			last = now
		}
	}
}

func testClose(t *testing.T, o Opened) {
	put(t, o.Store, "a", "1")
	if err := o.Store.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := o.Store.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := o.Store.View(t.Context(), func(meta.Reader) error { return nil }); !errors.Is(err, meta.ErrClosed) {
		t.Errorf("View = %v, want ErrClosed", err)
	}
	if err := o.Store.Update(t.Context(), func(meta.Tx) error { return nil }); !errors.Is(err, meta.ErrClosed) {
		t.Errorf("Update = %v, want ErrClosed", err)
	}
}

func testCloseWaits(t *testing.T, o Opened) {
	put(t, o.Store, "a", "1")
	inside, closed := make(chan bool), make(chan error, 1)
	got := make(chan string, 1)
	go func() {
		_ = o.Store.View(t.Context(), func(r meta.Reader) error {
			inside <- true
			<-inside
			got <- get(t, r, "a")
			return nil
		})
	}()
	<-inside
	go func() { closed <- o.Store.Close() }()
	select {
	case err := <-closed:
		t.Errorf("Close = %v while a View runs", err)
	default:
	}
	inside <- true
	if g := <-got; g != "1" {
		t.Errorf("Get in a View that Close waits for = %q", g)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func testReopen(t *testing.T, o Opened) {
	if o.Reopen == nil {
		t.Skip("the engine keeps nothing")
	}
	put(t, o.Store, "a", "1", "b", "1", "c", "1")
	s := o.Reopen(t)
	want(t, s, "a=1", "b=1", "c=1")
	update(t, s, func(tx meta.Tx) error {
		tx.DeleteRange([]byte("b"), []byte("c"))
		tx.Put([]byte("d"), value("2"))
		return nil
	})
	s = o.Reopen(t)
	want(t, s, "a=1", "c=1", "d=2")
	s = o.Reopen(t)
	want(t, s, "a=1", "c=1", "d=2")
}
