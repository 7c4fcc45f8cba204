package metatest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/meta"
)

func scaled(n int) int {
	if testing.Short() {
		return n / 2
	}
	return n
}

func testSnapshot(t *testing.T, o Opened) {
	put(t, o.Store, "a", "1", "b", "1")
	err := o.Store.View(t.Context(), func(r meta.Reader) error {
		put(t, o.Store, "a", "2", "c", "2")
		update(t, o.Store, func(tx meta.Tx) error { tx.DeleteRange([]byte("b"), []byte("c")); return nil })
		if diff := cmp.Diff([]string{"a=1", "b=1"}, rows(t, r, "", "", false)); diff != "" {
			t.Errorf("snapshot (-want +got):\n%s", diff)
		}
		if g := get(t, r, "b"); g != "1" {
			t.Errorf("Get in the snapshot = %q", g)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("View: %v", err)
	}
	want(t, o.Store, "a=2", "c=2")
}

// testUpdateSnapshot: also an attempt that is going to fail sees one state only.
func testUpdateSnapshot(t *testing.T, o Opened) {
	put(t, o.Store, "a", "1", "b", "1")
	tries := 0
	update(t, o.Store, func(tx meta.Tx) error {
		tries++
		a := get(t, tx, "a")
		if tries == 1 {
			put(t, o.Store, "a", "2", "b", "2")
		}
		if b := get(t, tx, "b"); a != b {
			t.Errorf("try %d: a = %q and b = %q", tries, a, b)
		}
		tx.Put([]byte("c"), value(a))
		return nil
	})
	if tries != 2 {
		t.Errorf("%d tries, want 2", tries)
	}
	want(t, o.Store, "a=2", "b=2", "c=2")
}

// race runs f with an interfering transaction after the reads of its first try, and
// returns the number of tries.
func race(t *testing.T, s meta.Store, between func(meta.Tx), f func(tx meta.Tx)) int {
	t.Helper()
	tries := 0
	update(t, s, func(tx meta.Tx) error {
		tries++
		f(tx)
		if tries == 1 {
			update(t, s, func(o meta.Tx) error { between(o); return nil })
		}
		return nil
	})
	return tries
}

func testLostUpdate(t *testing.T, o Opened) {
	put(t, o.Store, "n", "x")
	n := race(t, o.Store,
		func(tx meta.Tx) { tx.Put([]byte("n"), value(get(t, tx, "n")+"y")) },
		func(tx meta.Tx) { tx.Put([]byte("n"), value(get(t, tx, "n")+"z")) })
	if n != 2 {
		t.Errorf("%d tries, want 2", n)
	}
	want(t, o.Store, "n=xyz")
}

func testWriteSkew(t *testing.T, o Opened) {
	put(t, o.Store, "alice", "on", "bob", "on")
	leave := func(me, other string) func(meta.Tx) {
		return func(tx meta.Tx) {
			if get(t, tx, me) == "on" && get(t, tx, other) == "on" {
				tx.Put([]byte(me), value("off"))
			}
		}
	}
	race(t, o.Store, leave("bob", "alice"), leave("alice", "bob"))
	want(t, o.Store, "alice=on", "bob=off")
}

// countInto writes the number of rows of a span.
func countInto(t *testing.T, key, lo, hi string, reverse bool) func(meta.Tx) {
	return func(tx meta.Tx) {
		tx.Put([]byte(key), value(fmt.Sprint(len(rows(t, tx, lo, hi, reverse)))))
	}
}

func testPhantom(t *testing.T, o Opened) {
	for i, reverse := range []bool{false, true} {
		key := fmt.Sprint("n", i)
		n := race(t, o.Store, func(tx meta.Tx) { tx.Put([]byte(fmt.Sprint("r", i)), value("v")) },
			countInto(t, key, "r", "s", reverse))
		if n != 2 {
			t.Errorf("%d tries, want 2", n)
		}
	}
	want(t, o.Store, "n0=1", "n1=2", "r0=v", "r1=v")
	// Deletes are phantoms too, and rows beside the span are none.
	n := race(t, o.Store, func(tx meta.Tx) { tx.Delete([]byte("r0")) }, countInto(t, "n2", "r", "", false))
	if n != 2 {
		t.Errorf("delete: %d tries, want 2", n)
	}
	n = race(t, o.Store, func(tx meta.Tx) { tx.Put([]byte("s"), value("v")) }, countInto(t, "n3", "r", "s", false))
	if n != 1 {
		t.Errorf("row beside the span: %d tries, want 1", n)
	}
}

func testEarlyStop(t *testing.T, o Opened) {
	put(t, o.Store, "b", "1", "d", "1", "f", "1")
	first := func(reverse bool, to string) func(meta.Tx) {
		return func(tx meta.Tx) {
			_ = tx.Scan(nil, nil, reverse, func(k, v []byte) (bool, error) {
				tx.Put([]byte(to), value(string(k)))
				return false, nil
			})
		}
	}
	tests := []struct {
		put     string
		reverse bool
		tries   int
	}{
		{"c", false, 1}, {"a", false, 2}, {"e", true, 1}, {"zz", true, 2},
	}
	for _, tt := range tests {
		n := race(t, o.Store, func(tx meta.Tx) { tx.Put([]byte(tt.put), value("2")) }, first(tt.reverse, "m"))
		if n != tt.tries {
			t.Errorf("put %q beside a scan that stopped (reverse %v): %d tries, want %d", tt.put, tt.reverse, n, tt.tries)
		}
	}
}

func testRangeDeleteConflict(t *testing.T, o Opened) {
	put(t, o.Store, "a", "1", "b", "1")
	drop := func(tx meta.Tx) { tx.DeleteRange([]byte("a"), []byte("c")) }
	if n := race(t, o.Store, drop, func(tx meta.Tx) { tx.Put([]byte("x"), value(get(t, tx, "b"))) }); n != 2 {
		t.Errorf("key in a deleted range: %d tries, want 2", n)
	}
	if n := race(t, o.Store, drop, countInto(t, "y", "b", "", false)); n != 2 {
		t.Errorf("span over a deleted range: %d tries, want 2", n)
	}
	if n := race(t, o.Store, drop, func(tx meta.Tx) { tx.Put([]byte("z"), value(get(t, tx, "c"))) }); n != 1 {
		t.Errorf("key outside: %d tries, want 1", n)
	}
}

func testAbsentConflict(t *testing.T, o Opened) {
	// Create if it is not there, twice at a time: one of them must lose.
	create := func(who string) func(meta.Tx) {
		return func(tx meta.Tx) {
			if get(t, tx, "k") == "<none>" {
				tx.Put([]byte("k"), value(who))
			}
		}
	}
	race(t, o.Store, create("second"), create("first"))
	want(t, o.Store, "k=second")
}

func testBlindWrites(t *testing.T, o Opened) {
	n := race(t, o.Store, func(tx meta.Tx) { tx.Put([]byte("k"), value("1")) },
		func(tx meta.Tx) { tx.Put([]byte("k"), value("2")); get(t, tx, "k") })
	if n != 1 {
		t.Errorf("%d tries, want 1", n)
	}
	want(t, o.Store, "k=2")
}

func testCounters(t *testing.T, o Opened) {
	const workers, keys = 16, 3
	each := scaled(60)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				key := fmt.Appendf(nil, "counter %d", (w+i)%keys)
				err := o.Store.Update(t.Context(), func(tx meta.Tx) error {
					var n uint64
					v, err := tx.Get(key)
					if err == nil {
						n = binary.BigEndian.Uint64(v)
					} else if !errors.Is(err, meta.ErrNotFound) {
						return err
					}
					tx.Put(key, crypttest.Sealed(binary.BigEndian.AppendUint64(nil, n+1)))
					return nil
				})
				if err != nil {
					t.Errorf("Update: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	var sum uint64
	_ = o.Store.View(t.Context(), func(r meta.Reader) error {
		return r.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
			sum += binary.BigEndian.Uint64(v)
			return true, nil
		})
	})
	if sum != uint64(workers*each) {
		t.Errorf("sum = %d, want %d", sum, workers*each)
	}
}

// testBank moves money in parallel; every state that anyone sees has the same sum.
func testBank(t *testing.T, o Opened) {
	const accounts, total = 8, 800
	update(t, o.Store, func(tx meta.Tx) error {
		for i := range accounts {
			tx.Put([]byte{'a', byte(i)}, crypttest.Sealed([]byte{total / accounts}))
		}
		return nil
	})
	sum := func(r meta.Reader) (n int, err error) {
		err = r.Scan([]byte("a"), []byte("b"), false, func(k, v []byte) (bool, error) {
			n += int(v[0])
			return true, nil
		})
		return n, err
	}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range scaled(50) {
				from, to := []byte{'a', byte((w + i) % accounts)}, []byte{'a', byte((w*3 + i*5 + 1) % accounts)}
				err := o.Store.Update(t.Context(), func(tx meta.Tx) error {
					if n, err := sum(tx); err != nil || n != total {
						return fmt.Errorf("sum in a transaction = %d, %v", n, err)
					}
					a, err := tx.Get(from)
					if err != nil || a[0] == 0 {
						return err
					}
					tx.Put(from, crypttest.Sealed([]byte{a[0] - 1}))
					b, err := tx.Get(to)
					if err != nil || b[0] == 255 {
						tx.Put(from, crypttest.Sealed(a))
						return err
					}
					tx.Put(to, crypttest.Sealed([]byte{b[0] + 1}))
					return nil
				})
				if err != nil {
					t.Errorf("Update: %v", err)
					return
				}
			}
		})
	}
	for range 50 {
		_ = o.Store.View(t.Context(), func(r meta.Reader) error {
			if n, err := sum(r); err != nil || n != total {
				t.Errorf("sum in a view = %d, %v", n, err)
			}
			return nil
		})
	}
	wg.Wait()
}

// testSlowWins: a transaction that takes longer than the pauses between other
// commits to what it reads comes to its end all the same.
func testSlowWins(t *testing.T, o Opened) {
	put(t, o.Store, "hot", "0")
	stop := make(chan bool)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					put(t, o.Store, "hot", fmt.Sprint(i))
				}
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := o.Store.Update(ctx, func(tx meta.Tx) error {
		v := get(t, tx, "hot")
		time.Sleep(2 * time.Millisecond)
		tx.Put([]byte("copy"), value(v))
		return nil
	})
	close(stop)
	wg.Wait()
	if err != nil {
		t.Errorf("slow Update: %v", err)
	}
}
