package filestore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/filestore"
)

// fileOf has the head of a key store of a generation, which is all that the driver reads.
func fileOf(generation uint64, mark byte) []byte {
	b := make([]byte, 200)
	copy(b, "CFKS\x01\x01")
	binary.BigEndian.PutUint64(b[24:], generation)
	b[150] = mark
	return b
}

func newStore(t *testing.T, fsys vfs.FS, dirs ...string) *filestore.Store {
	t.Helper()
	for _, d := range dirs {
		if err := fsys.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s, err := filestore.New(fsys, dirs[0], dirs[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, fsys vfs.FS, path string) []byte {
	t.Helper()
	f, err := fsys.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, fsys vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestSwapTakesTurns(t *testing.T) {
	fsys := vfs.NewMem()
	s := newStore(t, fsys, "data")
	if copies, err := s.Load(t.Context()); err != nil || len(copies) != 0 {
		t.Fatalf("Load of nothing = %v, %v", copies, err)
	}
	for g := uint64(1); g <= 5; g++ {
		next := fileOf(g, 0)
		if err := s.Swap(t.Context(), g-1, next); err != nil {
			t.Fatal(err)
		}
		a, b := read(t, fsys, "data/keystore.A"), read(t, fsys, "data/keystore.B")
		if bytes.Equal(a, next) == bytes.Equal(b, next) {
			t.Errorf("generation %d: want it in one file", g)
		}
		if g > 1 && !bytes.Equal(a, fileOf(g-1, 0)) && !bytes.Equal(b, fileOf(g-1, 0)) {
			t.Errorf("generation %d: the one before is gone", g)
		}
	}
	if err := s.Swap(t.Context(), 3, fileOf(4, 0)); !errors.Is(err, keys.ErrUnchanged) {
		t.Errorf("Swap of an older generation = %v, want ErrUnchanged", err)
	}
	if err := s.Swap(t.Context(), 0, fileOf(1, 0)); !errors.Is(err, keys.ErrUnchanged) {
		t.Errorf("Swap over an existing store = %v, want ErrUnchanged", err)
	}
}

func TestSettleReachesEveryPlace(t *testing.T) {
	fsys := vfs.NewMem()
	s := newStore(t, fsys, "data", "two", "three")
	if err := s.Swap(t.Context(), 0, fileOf(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context(), fileOf(1, 0)); err != nil {
		t.Fatal(err)
	}
	copies, err := s.Load(t.Context())
	if err != nil || len(copies) != 6 {
		t.Fatalf("Load = %d copies, %v; want 6", len(copies), err)
	}
	for _, c := range copies {
		if !bytes.Equal(c.Bytes, fileOf(1, 0)) || c.Err != nil {
			t.Errorf("%s differs (%v)", c.Place, c.Err)
		}
	}
	if err := fsys.RemoveAll("two"); err != nil {
		t.Fatal(err)
	}
	write(t, fsys, "three/keystore.A", []byte("damage"))
	if err := s.Settle(t.Context(), fileOf(1, 0)); err == nil {
		t.Error("Settle without a place succeeds")
	}
	if got := read(t, fsys, "three/keystore.A"); !bytes.Equal(got, fileOf(1, 0)) {
		t.Error("Settle stops at the first failure")
	}
}

func TestLoadCleansUp(t *testing.T) {
	fsys := vfs.NewMem()
	s := newStore(t, fsys, "data")
	write(t, fsys, "data/keystore.tmp-0011", []byte("half"))
	write(t, fsys, "data/other", []byte("x"))
	if ok, err := filestore.Exists(fsys, "data"); ok || err != nil {
		t.Errorf("Exists = %v, %v", ok, err)
	}
	if _, err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	names, _ := fsys.List("data")
	if len(names) != 1 || names[0] != "other" {
		t.Errorf("left: %v", names)
	}
	write(t, fsys, "data/keystore.B", fileOf(1, 0))
	if ok, err := filestore.Exists(fsys, "data"); !ok || err != nil {
		t.Errorf("Exists = %v, %v", ok, err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := filestore.New(vfs.NewMem(), "a", "b", "c", "d"); err == nil {
		t.Error("four places are accepted")
	}
	if _, err := filestore.New(vfs.NewMem(), "a", "b", "a"); err == nil {
		t.Error("a place counts twice")
	}
}
