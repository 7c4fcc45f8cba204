package proof

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// inTowns runs a test in every town.
func inTowns(t *testing.T, f func(*testing.T, *town)) {
	t.Parallel()
	for _, w := range towns {
		t.Run(w.name, func(t *testing.T) { f(t, w.make(t)) })
	}
}

// TestSwapRows (C4) puts every row of every table in the place of every other row, of its
// own table and of the others, as somebody could who has the keys of the file system.
func TestSwapRows(t *testing.T) { inTowns(t, swapRows) }

func swapRows(t *testing.T, w *town) {
	type entry struct {
		tab        object.Table
		key, value []byte
	}
	var all []entry
	tables := map[string]int{}
	for _, tab := range object.Tables() {
		ks, vs := w.rows(t, tab)
		for i := range ks {
			if _, err := w.row(tab, ks[i]); err != nil {
				t.Fatalf("untouched row of %s: %v", tab.Name, err)
			}
			all = append(all, entry{tab, ks[i], vs[i]})
			tables[tab.Name]++
		}
	}
	for _, must := range []string{"account", "container", "blob", "chunk", "place", "protector"} {
		if tables[must] < 2 {
			t.Errorf("%d rows in table %s: nothing to exchange", tables[must], must)
		}
	}
	var c refusals
	for i, to := range all {
		for j, from := range all {
			if i == j || testing.Short() && (i+j)%5 != 0 {
				continue
			}
			w.set(t, to.key, from.value)
			_, err := w.row(to.tab, to.key)
			c.expect(t, err, "row of %s in the place of one of %s", from.tab.Name, to.tab.Name)
		}
		w.set(t, to.key, to.value)
	}
	c.report(t, "rows of all tables", sized(60, 1000, 1000))
	for _, r := range w.refs {
		if err := w.read(t, r); err != nil {
			t.Errorf("%v after everything was put back: %v", r, err)
		}
	}
}

// TestSwapRowsAreRead does the same to the rows of blobs and reads them as a client.
func TestSwapRowsAreRead(t *testing.T) { inTowns(t, swapRowsAreRead) }

func swapRowsAreRead(t *testing.T, w *town) {
	for _, tab := range []object.Table{object.Blob, object.Chunk} {
		ks, vs := w.rows(t, tab)
		var c refusals
		for i := range ks {
			for j := range ks {
				if i == j || !long && (i+j)%3 != 0 { // each reading is of 5 MB
					continue
				}
				w.set(t, ks[i], vs[j])
				failed := 0
				for _, r := range w.refs {
					err := w.read(t, r)
					if fault.Is(err, fault.Corrupt) {
						failed++
					} else if err != nil {
						t.Errorf("%v: %v, want Corrupt or its content", r, err)
					}
				}
				c.pairs++
				if c.refused += failed; failed != 1 {
					t.Errorf("%s %d in the place of %d: %d blobs are refused, want one", tab.Name, j, i, failed)
				}
			}
			w.set(t, ks[i], vs[i])
			if testing.Short() {
				break
			}
		}
		c.report(t, "rows of "+tab.Name+", read", sized(1, 40, 132))
	}
}

// TestSwapWraps (C4) presents every wrap of a data key under the identity of every other.
func TestSwapWraps(t *testing.T) { inTowns(t, swapWraps) }

func swapWraps(t *testing.T, w *town) {
	type wrap struct {
		owner keys.ID
		e     object.DEKEntry
		key   *blob.CustomerKey
	}
	var all []wrap
	for _, tab := range []object.Table{object.Blob, object.Account} {
		ks, _ := w.rows(t, tab)
		for _, k := range ks {
			r, err := w.row(tab, k)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range r.DEKs {
				all = append(all, wrap{r.Owner, e, w.keyOf(t, r)})
			}
		}
	}
	var c refusals
	open := func(owner keys.ID, e object.DEKEntry, ck *blob.CustomerKey) error {
		w.forget()
		if e.Form == object.FormCPK {
			d, err := w.Objects.OpenCustomerDEK(owner, e, ck)
			if err == nil {
				d.Close()
			}
			return err
		}
		d, err := w.Objects.OpenDEK(ctx, owner, e)
		if err == nil {
			d.Close()
		}
		return err
	}
	for i, a := range all {
		if err := open(a.owner, a.e, a.key); err != nil {
			t.Fatalf("untouched wrap: %v", err)
		}
		for j, b := range all {
			if i == j {
				continue
			}
			mixed := a.e
			mixed.Wrap = b.e.Wrap
			refuse(t, &c, open(a.owner, mixed, a.key), "wrap %d as %d", j, i)
			mixed = b.e
			mixed.ID = a.e.ID
			refuse(t, &c, open(a.owner, mixed, b.key), "wrap %d with all that is its own as data key %d", j, i)
			mixed = a.e
			mixed.ID = b.e.ID
			refuse(t, &c, open(a.owner, mixed, a.key), "wrap %d under the id of %d", i, j)
			if a.owner != b.owner {
				refuse(t, &c, open(a.owner, b.e, b.key), "wrap of another owner")
			}
			if a.e.Protector != b.e.Protector && a.e.Form == b.e.Form {
				mixed = a.e
				mixed.Protector = b.e.Protector
				refuse(t, &c, open(a.owner, mixed, a.key), "wrap under another protector")
			}
			if a.key != nil && b.key != nil && a.key != b.key {
				refuse(t, &c, open(a.owner, a.e, b.key), "wrap under another customer's key")
			}
		}
	}
	c.report(t, "wraps of data keys", sized(60, 300, 300))
}

// keyOf is the customer's key that a row of a blob wants, or nil.
func (w *town) keyOf(t testing.TB, r *object.Row) *blob.CustomerKey {
	t.Helper()
	if r.CPKHash == nil {
		return nil
	}
	for _, o := range w.with {
		if o.Key == nil {
			continue
		}
		if h := o.Key.Hash(); bytes.Equal(h[:], r.CPKHash) {
			return o.Key
		}
	}
	t.Fatal("a row under a key that nobody has")
	return nil
}

// refuse is expect for keys: a key version of another protector is no damage but a
// refusal of the hierarchy.
func refuse(t testing.TB, c *refusals, err error, format string, args ...any) {
	t.Helper()
	c.pairs++
	if err == nil {
		t.Errorf("%s: opens", fmt.Sprintf(format, args...))
		return
	}
	c.refused++
}

// TestSwapMetadata (C4) exchanges user metadata inside rows that are otherwise sealed
// rightly: the whole part, and its bytes alone.
func TestSwapMetadata(t *testing.T) { inTowns(t, swapMetadata) }

func swapMetadata(t *testing.T, w *town) {
	open := func(r object.Row, p object.Part) error {
		r.Parts = slices.Clone(r.Parts)
		r.SetPart(p)
		w.forget()
		_, err := w.Objects.OpenMeta(ctx, &r)
		return err
	}
	ks, _ := w.rows(t, object.Blob)
	var rows []*object.Row
	var parts []object.Part
	for _, k := range ks {
		r, err := w.row(object.Blob, k)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.SetCustomerKey(w.keyOf(t, r)); err != nil {
			t.Fatal(err)
		}
		p, _ := r.Part(object.PartMeta)
		if err := open(*r, p); err != nil {
			t.Fatalf("untouched metadata: %v", err)
		}
		rows, parts = append(rows, r), append(parts, p)
	}
	var c refusals
	for i := range rows {
		for j := range rows {
			if i == j {
				continue
			}
			c.expect(t, open(*rows[i], parts[j]), "part %d in row %d", j, i)
			mixed := parts[i]
			mixed.Sealed = parts[j].Sealed
			c.expect(t, open(*rows[i], mixed), "bytes of part %d in row %d", j, i)
		}
	}
	c.report(t, "metadata", sized(60, 264, 264))
}

// TestSwapContents (C4) exchanges contents of the same size between blobs, containers and
// accounts, whole and without their headers.
func TestSwapContents(t *testing.T) { inTowns(t, swapContents) }

func swapContents(t *testing.T, w *town) {
	list := w.chunks(t)
	want := 0
	for _, data := range w.want {
		if len(data) > townSizes[0] {
			want++
		}
	}
	if len(list) != want {
		t.Fatalf("%d chunks in extents, want %d", len(list), want)
	}
	var c refusals
	for i, a := range list {
		for _, b := range list[:i] {
			if a.size != b.size || a.header != b.header {
				continue
			}
			for _, from := range []int{0, a.header} {
				x, y := w.bytesOf(t, a)[from:], w.bytesOf(t, b)[from:]
				swap := func() { t := bytes.Clone(x); copy(x, y); copy(y, t) }
				swap()
				failed := 0
				for _, r := range w.refs {
					if err := w.read(t, r); fault.Is(err, fault.Corrupt) {
						failed++
					} else if err != nil {
						t.Errorf("%v: %v", r, err)
					}
				}
				swap()
				c.pairs += 2
				if c.refused += failed; failed != 2 {
					t.Errorf("contents exchanged: %d blobs are refused, want both", failed)
				}
			}
		}
	}
	c.report(t, "contents in extents", sized(8, 48, 48))
	for _, r := range w.refs {
		if err := w.read(t, r); err != nil {
			t.Errorf("%v after everything was put back: %v", r, err)
		}
	}
}
