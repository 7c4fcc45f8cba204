package proof

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// twice is the account with two layers.
const twice = name.Account("twice")

func twiceRef(n int) blob.Ref {
	return blob.Ref{Account: twice, Container: box, Blob: name.Blob(fmt.Sprint("b", n))}
}

// newTwice is a store with a double account and its blobs.
func newTwice(t testing.TB, fs vfs.FS, sec *secrets) *store.Store {
	t.Helper()
	st := mustOpen(t, fs, sec)
	if _, err := st.Accounts.CreateDouble(ctx, twice, [2][]byte{}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Blobs.CreateContainer(ctx, callerOf(twice), twice, box, blob.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, n := range townSizes {
		data := content(fmt.Sprint("twice", n), n)
		if _, err := st.Blobs.PutBlob(ctx, callerOf(twice), twiceRef(n), blob.PutOptions{
			Length: int64(n), Body: bytes.NewReader(data), Metadata: blob.Metadata{{Name: "note", Value: "twice"}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func readTwice(st *store.Store, n int) ([]byte, error) {
	d, err := st.Blobs.Open(ctx, callerOf(twice), twiceRef(n), blob.ReadOptions{})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var b bytes.Buffer
	_, err = d.WriteTo(&b)
	return b.Bytes(), err
}

func mustReadTwice(t testing.TB, st *store.Store) {
	t.Helper()
	for _, n := range townSizes {
		got, err := readTwice(st, n)
		if err != nil || !bytes.Equal(got, content(fmt.Sprint("twice", n), n)) {
			t.Errorf("blob of %d bytes: %d bytes, %v", n, len(got), err)
		}
	}
}

// TestDoubleAfterRestart: what a double account holds is there after a restart, and
// verify opens both layers of all of it.
func TestDoubleAfterRestart(t *testing.T) {
	t.Parallel()
	fs, sec := vfs.NewMem(), newSecrets()
	st := newTwice(t, fs, sec)
	mustReadTwice(t, st)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = mustOpen(t, fs, sec)
	defer st.Close()
	mustReadTwice(t, st)
	rep, err := st.Objects.Verify(ctx, object.VerifyOptions{Damage: func(d object.Damage) { t.Error(d) }})
	if err != nil || rep.Double == 0 {
		t.Errorf("Verify: %d things of class double, %v", rep.Double, err)
	}
	t.Logf("both layers of %d rows and chunks opened", rep.Double)
}

// TestDoubleLayersAreThere: without the infrastructure key, nothing of a double account
// has the form of what the first layer makes.
func TestDoubleLayersAreThere(t *testing.T) {
	t.Parallel()
	fs, sec := vfs.NewMem(), newSecrets()
	st := newTwice(t, fs, sec)
	defer st.Close()
	info, err := st.Accounts.Get(ctx, twice)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	err = st.Meta.View(ctx, func(r meta.Reader) error {
		for _, tab := range object.Tables() {
			if !tab.Owned {
				continue
			}
			lo := append([]byte{tab.Prefix}, info.ID[:]...)
			err := r.Scan(lo, append(bytes.Clone(lo), bytes.Repeat([]byte{255}, 40)...), false, func(_, v []byte) (bool, error) {
				rows++
				sys, rest, err := envelope.SplitRow(v)
				if err != nil || !envelope.IsInfra(sys) || len(rest) > 0 && rest[0] != 2 {
					t.Errorf("row of table %s has a layer less (%v)", tab.Name, err)
				}
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || rows < 2*len(townSizes) {
		t.Errorf("%d rows seen, %v", rows, err)
	}
	t.Logf("%d rows, all in INFRA-1", rows)
	paths := st.Extents.(interface{ Path(extent.Info) string })
	found := 0
	err = st.Extents.List(func(i extent.Info) error {
		found++
		b := readAll(t, fs, paths.Path(i))
		if i.Class != extent.Double || string(b[:4]) != "CFX1" || bytes.Contains(b, []byte("CFC1")) {
			t.Errorf("extent of class %d: begins with %q", i.Class, b[:4])
		}
		return nil
	})
	if err != nil || found != 2 {
		t.Errorf("%d extents, %v", found, err)
	}
}

// TestDoubleRowStripped: who has the service's keys, but not the infrastructure's, puts
// a row with one layer in the place of one with two. It is refused, because the key
// store says that the account has two.
func TestDoubleRowStripped(t *testing.T) {
	t.Parallel()
	fs, sec := vfs.NewMem(), newSecrets()
	st := newTwice(t, fs, sec)
	defer st.Close()
	info, err := st.Accounts.Get(ctx, twice)
	if err != nil {
		t.Fatal(err)
	}
	tab := object.Blob
	var key []byte
	if err := st.Meta.View(ctx, func(r meta.Reader) error {
		return r.Scan(append([]byte{tab.Prefix}, info.ID[:]...), []byte{tab.Prefix + 1}, false, func(k, _ []byte) (bool, error) {
			key = bytes.Clone(k)
			return false, nil
		})
	}); err != nil || key == nil {
		t.Fatal(err)
	}
	kref, k, err := st.Ring.System(info.ID)
	if err != nil {
		t.Fatal(err)
	}
	id := st.Ring.StoreID()
	aad := enc.Encode("coffer/row/v1", id[:], []byte(tab.Name), key[1:])
	for _, class := range []byte{byte(extent.Single), byte(extent.Double)} {
		sys := envelope.EncodeFields([]envelope.Field{{Tag: 1, Value: []byte{class}}})
		sealed, err := envelope.SealValue(k, kref, nil, aad, sys)
		if err != nil {
			t.Fatal(err)
		}
		err = st.Meta.Update(ctx, func(tx meta.Tx) error {
			tx.Put(key, crypttest.Sealed(envelope.EncodeRow(envelope.Row{SYS: sealed}).Bytes()))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = st.Objects.View(ctx, func(tx *object.Tx) error {
			_, err := tx.Get(tab, info.ID, key[1:])
			return err
		})
		if !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), "layers") {
			t.Errorf("row that says class %d and has one layer: error = %v, want Corrupt", class, err)
		}
	}
}

// TestDoubleExtentsOffline changes bytes of extents while the store is stopped: reads
// refuse, and verify names the blob's chunk.
func TestDoubleExtentsOffline(t *testing.T) {
	t.Parallel()
	fs, sec := vfs.NewMem(), newSecrets()
	st := newTwice(t, fs, sec)
	var files []string
	paths := st.Extents.(interface{ Path(extent.Info) string })
	if err := st.Extents.List(func(i extent.Info) error { files = append(files, paths.Path(i)); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(newSeed(t), 7))
	tries := sized(2, 8, 200)
	for _, file := range files {
		good := readAll(t, fs, file)
		for i := range tries {
			at := rng.IntN(min(len(good), 40_000)) // both files have a chunk there
			if i == 0 {
				at = 80 // the commitment
			}
			b := bytes.Clone(good)
			b[at] ^= 1 << rng.IntN(8)
			writeAll(t, fs, file, b)
			st := mustOpen(t, fs, sec)
			rep, err := st.Objects.Verify(context.Background(), object.VerifyOptions{})
			if err != nil || rep.Damaged == 0 {
				t.Errorf("byte %d of an extent changed: verify finds %d, %v", at, rep.Damaged, err)
			}
			refused := 0
			for _, n := range townSizes {
				got, err := readTwice(st, n)
				if fault.Is(err, fault.Corrupt) {
					refused++
				} else if err != nil {
					t.Errorf("blob of %d bytes: %v", n, err)
				}
				if !bytes.HasPrefix(content(fmt.Sprint("twice", n), n), got) {
					t.Errorf("byte %d changed: wrong bytes came out", at)
				}
			}
			if refused != 1 {
				t.Errorf("byte %d changed: %d blobs refused, want 1", at, refused)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		}
		writeAll(t, fs, file, good)
	}
}

// TestDoubleRotationAtEveryCut rotates the infrastructure key with power cuts: after
// each, the store opens and everything that was acknowledged reads.
func TestDoubleRotationAtEveryCut(t *testing.T) {
	t.Parallel()
	fs, sec := vfs.NewCrashableMem(), newSecrets()
	st := newTwice(t, fs, sec)
	rng := rand.New(rand.NewPCG(newSeed(t), 8))
	cuts := sized(2, 10, 100)
	for i := range cuts {
		var chain keys.ID
		for _, c := range st.Ring.Chains() {
			if c.Kind == keys.IDK {
				chain = c.ID
			}
		}
		done := make(chan error, 1)
		go func() { _, err := st.Ring.Rotate(ctx, chain); done <- err }()
		if i%2 == 0 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		mem := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
		if i%2 == 1 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		again := mustOpen(t, mem, sec)
		mustReadTwice(t, again)
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}
