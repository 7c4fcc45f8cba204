package proof

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/crypt/infraext"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
	"github.com/coffer-storage/coffer/internal/secret"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// town is a store with two accounts, two containers in each, and in every container the
// same three blobs: one in its row, one in a shared extent, one in an extent of its own.
type town struct {
	*store.Store
	fs   *vfs.MemFS
	refs []blob.Ref
	want map[blob.Ref][]byte
	with map[blob.Ref]blob.EncryptionOptions // what each was put under
}

// towns are the stores that things are exchanged in: the same key over different places,
// and all kinds of keys in one place.
var towns = []struct {
	name string
	make func(testing.TB) *town
}{{"places", newTown}, {"keys", newKeyTown}}

var townSizes = []int{300, 40_000, 1_200_000}

func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{fs: vfs.NewMem(), want: map[blob.Ref][]byte{}, with: map[blob.Ref]blob.EncryptionOptions{}}
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
				w.put(t, r, n, blob.EncryptionOptions{})
			}
		}
	}
	return w
}

// newKeyTown is a store with an account of one layer and one of two. In each, in one
// container, are blobs of two sizes under the account's key, under two scopes and one of
// two layers, and under two customers' keys.
func newKeyTown(t testing.TB) *town {
	t.Helper()
	w := &town{fs: vfs.NewMem(), want: map[blob.Ref][]byte{}, with: map[blob.Ref]blob.EncryptionOptions{}}
	w.Store = mustOpen(t, w.fs, newSecrets())
	t.Cleanup(func() { w.Close() })
	if _, err := w.Accounts.CreateDouble(ctx, twice, [2][]byte{}); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]blob.EncryptionOptions{"account": {}}
	for _, n := range []string{"customer-a", "customer-b"} {
		ck, err := blob.NewCustomerKey(secret.New(content(n, 32)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ck.Destroy)
		kinds[n] = blob.EncryptionOptions{Key: ck}
	}
	scopes := []name.Scope{"scope-a", "scope-b", "scope-twice"}
	for _, n := range scopes {
		kinds[string(n)] = blob.EncryptionOptions{Scope: string(n)}
	}
	for _, a := range []name.Account{account, twice} {
		info, err := w.Accounts.Get(ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range scopes {
			if _, err := w.Scopes.Create(ctx, info.ID, n, scope.Options{Double: n == "scope-twice"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Blobs.CreateContainer(ctx, callerOf(a), a, "one", blob.ContainerOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			for _, n := range townSizes[:2] {
				w.put(t, blob.Ref{Account: a, Container: "one", Blob: name.Blob(fmt.Sprint(kind, n))}, n, kinds[kind])
			}
		}
	}
	return w
}

func (w *town) put(t testing.TB, r blob.Ref, n int, enc blob.EncryptionOptions) {
	t.Helper()
	data := content(fmt.Sprint(r), n)
	_, err := w.Blobs.PutBlob(ctx, callerOf(r.Account), r, blob.PutOptions{
		Length: int64(n), Body: bytes.NewReader(data), Encryption: enc,
		Metadata: blob.Metadata{{Name: "of", Value: string(r.Account) + string(r.Container)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.refs, w.want[r], w.with[r] = append(w.refs, r), data, enc
}

func callerOf(a name.Account) *access.Caller {
	return &access.Caller{Kind: access.SharedKey, Account: a, Secure: true}
}

// read opens a blob with a cold cache. Wrong bytes fail the test.
func (w *town) read(t testing.TB, r blob.Ref) error {
	t.Helper()
	w.forget()
	d, err := w.Blobs.Open(ctx, callerOf(r.Account), r, blob.ReadOptions{Encryption: blob.EncryptionOptions{Key: w.with[r].Key}})
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

// stored is a chunk where it lies on the disk.
type stored struct {
	path   string
	at     int
	size   int
	header int // what can be left in place
}

// chunks finds the chunks in extents: by their headers, and in those of two layers by
// their sectors. A shared extent has chunks of the second size alone.
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
		if h, err := infraext.ParseHeader(b[:min(len(b), infraext.HeaderSize)]); err == nil {
			n := int(h.Suite.Size(infraext.Sectors(segment.SealedSize(int64(townSizes[1]), 16))))
			for at := infraext.HeaderSize; at < len(b); at += n {
				list = append(list, stored{p, at, n, n / 2})
			}
			continue
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
			list = append(list, stored{p, at, n, segment.HeaderSize})
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
