package proof

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// town is a store with two accounts, two containers in each, and in every container the
// same three blobs: one in its row, one in a shared extent, one in an extent of its own.
type town struct {
	*store.Store
	fs   *vfs.MemFS
	refs []blob.Ref
	want map[blob.Ref][]byte
}

var townSizes = []int{300, 40_000, 1_200_000}

func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{fs: vfs.NewMem(), want: map[blob.Ref][]byte{}}
	w.Store = mustOpen(t, w.fs, newSecrets())
	t.Cleanup(func() { w.Close() })
	if _, err := w.Accounts.Create(ctx, "second", [2][]byte{}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []name.Account{account, "second"} {
		for _, c := range []name.Container{"one", "two"}[:sized(1, 2, 2)] {
			if _, err := w.Blobs.CreateContainer(ctx, callerOf(a), a, c, blob.ContainerOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, n := range townSizes {
				r := blob.Ref{Account: a, Container: c, Blob: name.Blob(fmt.Sprint("b", n))}
				data := content(fmt.Sprint(r), n)
				if _, err := w.Blobs.PutBlob(ctx, callerOf(a), r, blob.PutOptions{
					Length: int64(n), Body: bytes.NewReader(data), Metadata: blob.Metadata{{Name: "of", Value: string(a) + string(c)}},
				}); err != nil {
					t.Fatal(err)
				}
				w.refs, w.want[r] = append(w.refs, r), data
			}
		}
	}
	return w
}

func callerOf(a name.Account) *access.Caller {
	return &access.Caller{Kind: access.SharedKey, Account: a, Secure: true}
}

// read opens a blob with a cold cache. Wrong bytes fail the test.
func (w *town) read(t testing.TB, r blob.Ref) error {
	t.Helper()
	w.forget()
	d, err := w.Blobs.Open(ctx, callerOf(r.Account), r, blob.ReadOptions{})
	if err != nil {
		return err
	}
	defer d.Close()
	var b bytes.Buffer
	_, err = d.WriteTo(&b)
	if !bytes.HasPrefix(w.want[r], b.Bytes()) || err == nil && b.Len() != len(w.want[r]) {
		t.Errorf("%v gives wrong bytes", r)
	}
	return err
}

// forget empties the caches of data keys.
func (w *town) forget() {
	for _, p := range w.Ring.Protectors() {
		w.Objects.DropKeys(p.Protector)
	}
}

// rows reads the stored rows of a table, by their whole key.
func (w *town) rows(t testing.TB, tab object.Table) (ks, vs [][]byte) {
	t.Helper()
	err := w.Meta.View(ctx, func(r meta.Reader) error {
		return r.Scan([]byte{tab.Prefix}, []byte{tab.Prefix + 1}, false, func(k, v []byte) (bool, error) {
			ks, vs = append(ks, bytes.Clone(k)), append(vs, bytes.Clone(v))
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return ks, vs
}

func (w *town) set(t testing.TB, key, value []byte) {
	t.Helper()
	err := w.Meta.Update(ctx, func(tx meta.Tx) error {
		tx.Put(key, crypttest.Sealed(value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ownerOf is whose SYSK seals a row.
func (w *town) ownerOf(tab object.Table, key []byte) keys.ID {
	if tab.Owned {
		return keys.ID(key[1:17])
	}
	return keys.ID(w.Ring.StoreID())
}

// row opens a row as it is stored now.
func (w *town) row(tab object.Table, key []byte) (r *object.Row, err error) {
	err = w.Objects.View(ctx, func(tx *object.Tx) error {
		r, err = tx.Get(tab, w.ownerOf(tab, key), key[1:])
		return err
	})
	return r, err
}

// refusals counts the pairs of a matrix.
type refusals struct{ pairs, refused int }

func (c *refusals) expect(t testing.TB, err error, format string, args ...any) {
	t.Helper()
	c.pairs++
	if fault.Is(err, fault.Corrupt) {
		c.refused++
		return
	}
	t.Errorf("%s: error = %v, want Corrupt", fmt.Sprintf(format, args...), err)
}

func (c *refusals) report(t testing.TB, what string, least int) {
	t.Helper()
	t.Logf("C4: %-28s %5d of %5d pairs refused", what, c.refused, c.pairs)
	if c.pairs < least {
		t.Errorf("%s: only %d pairs, want %d", what, c.pairs, least)
	}
}

// TestSwapRows (C4) puts every row of every table in the place of every other row, of its
// own table and of the others, as somebody could who has the keys of the file system.
func TestSwapRows(t *testing.T) {
	t.Parallel()
	w := newTown(t)
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
func TestSwapRowsAreRead(t *testing.T) {
	t.Parallel()
	w := newTown(t)
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
func TestSwapWraps(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	type wrap struct {
		owner keys.ID
		e     object.DEKEntry
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
				all = append(all, wrap{r.Owner, e})
			}
		}
	}
	var c refusals
	open := func(owner keys.ID, e object.DEKEntry) error {
		w.forget()
		d, err := w.Objects.OpenDEK(ctx, owner, e)
		if err == nil {
			d.Close()
		}
		return err
	}
	for i, a := range all {
		if err := open(a.owner, a.e); err != nil {
			t.Fatalf("untouched wrap: %v", err)
		}
		for j, b := range all {
			if i == j {
				continue
			}
			mixed := a.e
			mixed.Wrap = b.e.Wrap
			refuse(t, &c, open(a.owner, mixed), "wrap %d as %d", j, i)
			mixed = a.e
			mixed.ID = b.e.ID
			refuse(t, &c, open(a.owner, mixed), "wrap %d under the id of %d", i, j)
			if a.owner != b.owner {
				refuse(t, &c, open(a.owner, b.e), "wrap of another owner")
			}
			if a.e.Protector != b.e.Protector {
				mixed = a.e
				mixed.Protector = b.e.Protector
				refuse(t, &c, open(a.owner, mixed), "wrap under another protector")
			}
		}
	}
	c.report(t, "wraps of data keys", sized(60, 300, 300))
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
func TestSwapMetadata(t *testing.T) {
	t.Parallel()
	w := newTown(t)
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

// stored is a chunk where it lies on the disk.
type stored struct {
	path string
	at   int
	size int
}

// chunks finds the chunks in extents by their headers.
func (w *town) chunks(t testing.TB) (list []stored) {
	t.Helper()
	for _, p := range files(t, w.fs) {
		if kindOf(p) != "extent" {
			continue
		}
		b, err := w.fs.UnsafeGetFileDataBuffer(p)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(b); {
			h, err := segment.ParseHeader(b[at:])
			if err != nil {
				t.Fatalf("%s at %d: %v", p, at, err)
			}
			n := int(segment.SealedSize(int64(townSizes[1]), h.Lg))
			if len(b) > 1_000_000 {
				n = len(b)
			}
			list = append(list, stored{p, at, n})
			at += n
		}
	}
	return list
}

func (w *town) bytesOf(t testing.TB, s stored) []byte {
	t.Helper()
	b, err := w.fs.UnsafeGetFileDataBuffer(s.path)
	if err != nil {
		t.Fatal(err)
	}
	return b[s.at : s.at+s.size]
}

// TestSwapContents (C4) exchanges contents of the same size between blobs, containers and
// accounts, whole and without their headers.
func TestSwapContents(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	list := w.chunks(t)
	if want := sized(4, 8, 8); len(list) != want {
		t.Fatalf("%d chunks in extents, want %d", len(list), want)
	}
	var c refusals
	for i, a := range list {
		for _, b := range list[:i] {
			if a.size != b.size {
				continue
			}
			for _, from := range []int{0, segment.HeaderSize} {
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
