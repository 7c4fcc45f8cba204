package object_test

import (
	"errors"
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// TestRecall: a row is decoded once for each version, a change shows at once, in
// transactions that made it too, and what does not open is never recalled.
func TestRecall(t *testing.T) {
	e := objecttest.New(t)
	key := blobKey(e.Account, "box")
	set := func(value string) func(*object.Tx) error {
		return func(tx *object.Tx) error {
			r := &object.Row{Owner: e.Account}
			r.Set(40, []byte(value))
			return tx.Put(object.Container, key, r)
		}
	}
	decoded := 0
	recall := func(tx *object.Tx) (string, error) {
		return object.Recall(tx, object.Container, e.Account, key, func(r *object.Row) (string, error) {
			decoded++
			return string(r.Get(40)), nil
		})
	}
	want := func(value string, decodes int) {
		t.Helper()
		decoded = 0
		err := e.View(ctx, func(tx *object.Tx) error {
			got, err := recall(tx)
			if got != value {
				t.Errorf("Recall = %q, want %q", got, value)
			}
			return err
		})
		if value == "" && !errors.Is(err, meta.ErrNotFound) || value != "" && err != nil {
			t.Errorf("Recall of %q: %v", value, err)
		}
		if decoded != decodes {
			t.Errorf("Recall of %q decoded %d rows, want %d", value, decoded, decodes)
		}
	}
	do := func(f func(*object.Tx) error) {
		t.Helper()
		if err := e.Update(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	want("", 0)
	do(set("one"))
	want("one", 1)
	want("one", 0)
	do(func(tx *object.Tx) error { // its own write, and what it was before
		if got, err := recall(tx); got != "one" || err != nil {
			t.Errorf("Recall in Update = %q, %v", got, err)
		}
		if err := set("two")(tx); err != nil {
			return err
		}
		if got, err := recall(tx); got != "two" || err != nil {
			t.Errorf("Recall after Put = %q, %v", got, err)
		}
		return nil
	})
	want("two", 1)
	put(t, e, "blob", 10, noise(1, 10)) // other tables
	want("two", 0)
	stored := raw(t, e, object.Container)
	k, value := one(t, stored)
	setRaw(t, e, k, append([]byte{^value[0]}, value[1:]...))
	for range 2 {
		err := e.View(ctx, func(tx *object.Tx) error { _, err := recall(tx); return err })
		if !fault.Is(err, fault.Corrupt) {
			t.Errorf("Recall of a damaged row: %v", err)
		}
	}
	setRaw(t, e, k, value)
	want("two", 1)
	do(func(tx *object.Tx) error { tx.Delete(object.Container, key); return nil })
	want("", 0)
	// The key that the row was opened with must be there.
	do(set("three"))
	want("three", 1)
	e.Ring.Close()
	err := e.View(ctx, func(tx *object.Tx) error { _, err := recall(tx); return err })
	if err == nil {
		t.Error("Recall answered without the system key")
	}
}

// TestRecallConflicts: what a transaction recalled counts as read.
func TestRecallConflicts(t *testing.T) {
	e := objecttest.New(t)
	key := blobKey(e.Account, "box")
	put := func(tx *object.Tx, value string) error {
		r := &object.Row{Owner: e.Account}
		r.Set(40, []byte(value))
		return tx.Put(object.Container, key, r)
	}
	if err := e.Update(ctx, func(tx *object.Tx) error { return put(tx, "old") }); err != nil {
		t.Fatal(err)
	}
	var seen []string
	err := e.Update(ctx, func(tx *object.Tx) error {
		for range 2 { // the second one comes from memory
			got, err := object.Recall(tx, object.Container, e.Account, key,
				func(r *object.Row) (string, error) { return string(r.Get(40)), nil })
			if err != nil {
				return err
			}
			seen = append(seen, got)
		}
		if len(seen) == 2 {
			if err := e.Update(ctx, func(tx *object.Tx) error { return put(tx, "new") }); err != nil {
				return err
			}
		}
		r := &object.Row{Owner: e.Account}
		return tx.Put(object.Blob, blobKey(e.Account, "b"), r)
	})
	if err != nil || len(seen) != 4 || seen[1] != "old" || seen[3] != "new" {
		t.Errorf("seen %q, %v", seen, err)
	}
}

// TestRecallDouble: rows with the second layer are opened each time.
func TestRecallDouble(t *testing.T) {
	e := objecttest.NewDouble(t)
	key := blobKey(e.Account, "box")
	err := e.Update(ctx, func(tx *object.Tx) error {
		return tx.Put(object.Container, key, &object.Row{Owner: e.Account})
	})
	if err != nil {
		t.Fatal(err)
	}
	decoded := 0
	for range 3 {
		err := e.View(ctx, func(tx *object.Tx) error {
			_, err := object.Recall(tx, object.Container, e.Account, key,
				func(*object.Row) (int, error) { decoded++; return 0, nil })
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if decoded != 3 {
		t.Errorf("decoded %d times, want 3", decoded)
	}
}
