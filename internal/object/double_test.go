package object_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
)

// doubleSizes are a content without chunks, one in a row, one in a shared extent, one
// with its own.
var doubleSizes = []int64{0, 100, 100_000, 2<<20 + 77}

// rawValue reads the stored value of a row.
func rawValue(t testing.TB, e *objecttest.Env, tab object.Table, key []byte) (value []byte) {
	t.Helper()
	err := e.Meta.View(ctx, func(r meta.Reader) error {
		v, err := r.Get(append([]byte{tab.Prefix}, key...))
		value = slices.Clone(v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestDouble: everything of an account with the flag has both layers, whatever class the
// caller asked for, and reads back.
func TestDouble(t *testing.T) {
	e := objecttest.NewDouble(t, func(o *object.Options) { o.VerifyOneIn = 1 })
	for i, n := range doubleSizes {
		put(t, e, fmt.Sprint("b", n), n, noise(uint64(i), n))
	}
	stageBlock(t, e, "staged", 50_000)
	for range 2 {
		for i, n := range doubleSizes {
			got, err := read(e, fmt.Sprint("b", n), 0, -1)
			if err != nil || !bytes.Equal(got, noiseBytes(uint64(i), n)) {
				t.Errorf("read of %d bytes: %d bytes, %v", n, len(got), err)
			}
			if n > 1000 {
				got, err := read(e, fmt.Sprint("b", n), 777, 150)
				if err != nil || !bytes.Equal(got, noiseBytes(uint64(i), n)[777:927]) {
					t.Errorf("range of %d bytes: %d bytes, %v", n, len(got), err)
				}
			}
		}
		e.Reopen()
	}
	for _, tab := range []object.Table{object.Blob, object.Chunk, object.Staging, object.Block} {
		n := 0
		err := e.Meta.View(ctx, func(r meta.Reader) error {
			return r.Scan([]byte{tab.Prefix}, []byte{tab.Prefix + 1}, false, func(k, v []byte) (bool, error) {
				n++
				sys, rest, err := envelope.SplitRow(v)
				if err != nil || !envelope.IsInfra(sys) {
					t.Errorf("row of table %s: SYS without the second layer (%v)", tab.Name, err)
				}
				if len(rest) > 0 && rest[0] != 2 {
					t.Errorf("row of table %s: first part of suite %d", tab.Name, rest[0])
				}
				return true, nil
			})
		})
		if err != nil || n == 0 {
			t.Errorf("table %s: %d rows, %v", tab.Name, n, err)
		}
	}
	infos := 0
	if err := e.Extents.List(func(i extent.Info) error {
		infos++
		if i.Class != extent.Double || i.Algorithm == "" {
			t.Errorf("extent %+v", i)
		}
		return nil
	}); err != nil || infos == 0 {
		t.Errorf("%d extents, %v", infos, err)
	}
	rep, found := verify(t, e)
	if len(found) > 0 || rep.Double < int64(2*len(doubleSizes)) || rep.Chunks != 4 {
		t.Errorf("Verify: %d double, %d chunks, damage %v", rep.Double, rep.Chunks, found)
	}
	use := slices.IndexFunc(rep.Versions, func(v object.VersionUse) bool { return v.Kind == keys.IDK })
	if use < 0 || rep.Versions[use].Rows == 0 || rep.Versions[use].Extents == 0 {
		t.Errorf("Verify names no use of the infrastructure key: %+v", rep.Versions)
	}
	if did, err := e.Scrub(ctx, 1<<30); err != nil || did.Damaged > 0 || did.Chunks != 4 {
		t.Errorf("Scrub = %+v, %v", did, err)
	}
}

func TestDoubleDescribe(t *testing.T) {
	e := objecttest.NewDouble(t)
	put(t, e, "x", 2<<20, noise(1, 2<<20))
	var r *object.Row
	if err := e.View(ctx, func(tx *object.Tx) (err error) {
		r, err = tx.Get(object.Blob, e.Account, blobKey(e.Account, "x"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p, err := e.Describe(ctx, r)
	if err != nil || p.Class != "double" || p.Infra.Version != 1 || p.Infra.State != "active" && p.Infra.State != "Active" ||
		len(p.Extents) != 1 || p.Extents[0].Infra.Kref != p.Infra.Kref || p.Extents[0].Algorithm == "" {
		t.Errorf("Describe = %+v, %v", p, err)
	}
}

// TestDoubleRotate: after a rotation of the infrastructure key new things are under the
// new version, old ones open, and what is written again moves.
func TestDoubleRotate(t *testing.T) {
	e := objecttest.NewDouble(t)
	for i, n := range doubleSizes {
		put(t, e, fmt.Sprint("old", n), n, noise(uint64(i), n))
	}
	var chain keys.ID
	for _, c := range e.Ring.Chains() {
		if c.Kind == keys.IDK {
			chain = c.ID
		}
	}
	v, err := e.Ring.Rotate(ctx, chain)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range doubleSizes {
		put(t, e, fmt.Sprint("new", n), n, noise(uint64(i+10), n))
	}
	e.Reopen()
	for i, n := range doubleSizes {
		for name, seed := range map[string]int{"old": i, "new": i + 10} {
			got, err := read(e, fmt.Sprint(name, n), 0, -1)
			if err != nil || !bytes.Equal(got, noiseBytes(uint64(seed), n)) {
				t.Errorf("read of %s, %d bytes: %v", name, n, err)
			}
		}
		sys, _, err := envelope.SplitRow(rawValue(t, e, object.Blob, blobKey(e.Account, fmt.Sprint("new", n))))
		if err != nil {
			t.Fatal(err)
		}
		if kref, err := envelope.InfraKeyref(sys); err != nil || kref != v.Kref {
			t.Errorf("new row of %d bytes is under %x, want %v (%v)", n, kref, v.Kref, err)
		}
	}
	rep, found := verify(t, e)
	var used [3]int64
	for _, u := range rep.Versions {
		if u.Kind == keys.IDK {
			used[u.Number] = u.Extents
		}
	}
	if len(found) > 0 || used[1] != 2 || used[2] != 2 {
		t.Errorf("extents by version = %v, damage %v", used, found)
	}
}

// TestDoubleCollect: extents are emptied and moved under the second layer, while no
// account key may be used.
func TestDoubleCollect(t *testing.T) {
	e := objecttest.NewDouble(t)
	const n = 200_000
	for i := range 6 {
		put(t, e, fmt.Sprint(i), n, noise(uint64(i), n))
	}
	e.Reopen()
	for i := range 4 {
		drop(t, e, fmt.Sprint(i))
	}
	for range 4 {
		collect(t, e)
	}
	for i := 4; i < 6; i++ {
		got, err := read(e, fmt.Sprint(i), 0, -1)
		if err != nil || !bytes.Equal(got, noiseBytes(uint64(i), n)) {
			t.Errorf("read after moving: %v", err)
		}
	}
	count, size := extents(t, e)
	if count != 1 || size > 3*n {
		t.Errorf("%d extents of %d bytes are left", count, size)
	}
	if rep, found := verify(t, e); len(found) > 0 || rep.Chunks != 2 {
		t.Errorf("Verify: %d chunks, damage %v", rep.Chunks, found)
	}
	for i := 4; i < 6; i++ {
		drop(t, e, fmt.Sprint(i))
	}
	e.Reopen()
	for range 4 {
		collect(t, e)
	}
	empty(t, e)
}

// TestDoubleMeta: user metadata has the second layer, and moves with its row only.
func TestDoubleMeta(t *testing.T) {
	e := objecttest.NewDouble(t)
	d, err := e.NewDEK(e.Account, e.Protector())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	part, err := e.SealMeta(d, e.Protector(), []byte("a note"))
	if err != nil || !envelope.IsInfra(part.Sealed) {
		t.Fatalf("SealMeta: second layer %v, %v", envelope.IsInfra(part.Sealed), err)
	}
	key := blobKey(e.Account, "m")
	err = e.Update(ctx, func(tx *object.Tx) error {
		w, err := tx.Wrap(d)
		if err != nil {
			return err
		}
		return tx.Put(object.Blob, key, &object.Row{Owner: e.Account, DEKs: []object.DEKEntry{w}, Parts: []object.Part{part}})
	})
	if err != nil {
		t.Fatal(err)
	}
	var row *object.Row
	if err := e.View(ctx, func(tx *object.Tx) (err error) {
		row, err = tx.Get(object.Blob, e.Account, key)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if b, err := e.OpenMeta(ctx, row); err != nil || string(b) != "a note" {
		t.Errorf("OpenMeta = %q, %v", b, err)
	}
	p, _ := row.Part(object.PartMeta)
	p.Sealed = slices.Clone(p.Sealed)
	p.Sealed[len(p.Sealed)-1] ^= 1
	row.SetPart(p)
	if _, err := e.OpenMeta(ctx, row); !fault.Is(err, fault.Corrupt) {
		t.Errorf("OpenMeta of a changed part: error = %v, want Corrupt", err)
	}
	// A part with one layer does not go into a row with two.
	single := objecttest.New(t)
	sd, err := single.NewDEK(single.Account, single.Protector())
	if err != nil {
		t.Fatal(err)
	}
	defer sd.Close()
	bare, err := single.SealMeta(sd, single.Protector(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	err = e.Update(ctx, func(tx *object.Tx) error {
		return tx.Put(object.Blob, key, &object.Row{Owner: e.Account, DEKs: row.DEKs, Parts: []object.Part{bare}})
	})
	if err == nil {
		t.Error("Put of a part with one layer in a row with two succeeded")
	}
}

// TestClassesDoNotMix: whoever can seal with the service's keys alone, but not with the
// infrastructure's, cannot take a layer away: the key store says who has the flag.
func TestClassesDoNotMix(t *testing.T) {
	e := objecttest.New(t)
	const n = 100
	put(t, e, "x", n, noise(1, n))
	key := blobKey(e.Account, "x")
	get := func() (r *object.Row, err error) {
		err = e.View(ctx, func(tx *object.Tx) (err error) {
			r, err = tx.Get(object.Blob, e.Account, key)
			return err
		})
		return r, err
	}
	// A row of class double whose chunk is single, and the reverse.
	row, err := get()
	if err != nil {
		t.Fatal(err)
	}
	row.Class = extent.Double
	if err := e.Update(ctx, func(tx *object.Tx) error { return tx.Put(object.Blob, key, row) }); err != nil {
		t.Fatal(err)
	}
	if _, err := read(e, "x", 0, -1); !fault.Is(err, fault.Corrupt) {
		t.Errorf("double row with a single chunk: error = %v, want Corrupt", err)
	}
	double := objecttest.NewDouble(t)
	put(t, double, "x", n, noise(1, n))
	if v := rawValue(t, double, object.Blob, blobKey(double.Account, "x")); bytes.Contains(v, []byte("CFC1")) {
		t.Error("a chunk is seen in a double row")
	}
}

// TestDoubleTamper changes each byte of the rows and of the extent of a double content:
// nothing opens to other content.
func TestDoubleTamper(t *testing.T) {
	e := objecttest.NewDouble(t)
	const n = 100_000
	put(t, e, "x", n, noise(1, n))
	want := noiseBytes(1, n)
	var id [16]byte
	var path string
	if err := e.Extents.List(func(i extent.Info) error { id, path = i.ID, e.Extents.Path(i); return nil }); err != nil {
		t.Fatal(err)
	}
	e.Reopen() // the extent is closed
	f, err := e.FS.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	good := make([]byte, fi.Size())
	if _, err := f.ReadAt(good, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	step := 211
	if testing.Short() {
		step = 1511
	}
	tried := 0
	for at := 0; at < len(good)-4096; at += step {
		b := slices.Clone(good)
		b[at] ^= 0x40
		w, err := e.FS.Create(path, "test")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		w.Close()
		e.Reopen()
		tried++
		got, err := read(e, "x", 0, -1)
		if !fault.Is(err, fault.Corrupt) || !bytes.HasPrefix(want, got) {
			t.Fatalf("byte %d of extent %x changed: %d bytes, error = %v, want Corrupt", at, id, len(got), err)
		}
	}
	t.Logf("%d changes refused", tried)
}

// TestDoubleWithoutKey: while the infrastructure key is away rows are not damaged; they
// do not open.
func TestDoubleWithoutKey(t *testing.T) {
	store := keys.NewMemory(nil)
	service, infra := objecttest.NewProvider(), objecttest.NewProvider()
	o := keys.Options{Store: store, Service: service, Infra: infra}
	ring, err := keys.Create(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	if err := ring.Initialize(ctx); err != nil {
		t.Fatal(err)
	}
	o.Infra = nil
	bare, err := keys.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	if _, _, err := bare.SealInfra(); !fault.Is(err, fault.KeyGone) {
		t.Errorf("SealInfra without the infrastructure root: error = %v, want KeyGone", err)
	}
}
