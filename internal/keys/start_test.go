package keys_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/filestore"
)

// copies is a port with copies of its own choice.
type copies []keys.Copy

func (c copies) Load(context.Context) ([]keys.Copy, error) { return c, nil }
func (copies) Swap(context.Context, uint64, []byte) error  { return keys.ErrUnchanged }
func (copies) Settle(context.Context, []byte) error        { return nil }
func copyOf(place string, b []byte) keys.Copy              { return keys.Copy{Place: place, Bytes: b} }
func (w *world) openCopies(t *testing.T, c ...keys.Copy) (*keys.Ring, error) {
	t.Helper()
	o := w.options()
	o.Store = copies(c)
	r, err := keys.Open(t.Context(), o)
	if err == nil {
		t.Cleanup(r.Close)
	}
	return r, err
}

// Every byte of the newest file, changed in turn: refused when it is the only copy, and
// put right from another copy when there is one.
func TestTamperEveryByte(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	if err := r.AddOwner(t.Context(), keys.NewID()); err != nil {
		t.Fatal(err)
	}
	good := r.Snapshot()
	step := 1
	if testing.Short() {
		step = 7
	}
	for i := 0; i < len(good); i += step {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := w.openCopies(t, copyOf("A", bad), copyOf("B", bad)); err == nil {
			t.Fatalf("byte %d: a damaged store opens", i)
		} else if k := fault.KindOf(err); k != fault.KeyStore && !(i == 4 && k == fault.NewerFormat) {
			t.Fatalf("byte %d: %v, want KeyStore", i, err)
		}
		q, err := w.openCopies(t, copyOf("A", bad), copyOf("B", good))
		if err != nil {
			t.Fatalf("byte %d: not opened from the other copy: %v", i, err)
		}
		if !bytes.Equal(q.Snapshot(), good) {
			t.Fatalf("byte %d: the wrong copy won", i)
		}
	}
	for _, n := range []int{0, 1, 50, 97, len(good) / 2, len(good) - 1} {
		if _, err := w.openCopies(t, copyOf("A", good[:n])); !fault.Is(err, fault.KeyStore) {
			t.Errorf("cut to %d bytes: %v, want KeyStore", n, err)
		}
	}
	if _, err := w.openCopies(t, copyOf("A", append(bytes.Clone(good), 0))); !fault.Is(err, fault.KeyStore) {
		t.Errorf("a byte more: %v, want KeyStore", err)
	}
}

func TestNewerFormatIsNamed(t *testing.T) {
	w := newWorld(&keys.Memory{})
	b := bytes.Clone(w.create(t).Snapshot())
	b[4] = 2
	if _, err := w.openCopies(t, copyOf("A", b)); !fault.Is(err, fault.NewerFormat) {
		t.Errorf("Open of version 2 = %v, want NewerFormat", err)
	}
}

// A damaged file on disk is written anew by Repair.
func TestRepair(t *testing.T) {
	for _, name := range []string{"keystore.A", "keystore.B"} {
		for _, how := range []string{"flip", "cut", "remove"} {
			fsys := vfs.NewMem()
			if err := fsys.MkdirAll("d", 0o700); err != nil {
				t.Fatal(err)
			}
			store, err := filestore.New(fsys, "d")
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(store)
			good := w.create(t).Snapshot()
			bad := bytes.Clone(good)
			bad[len(bad)/2] ^= 1
			switch how {
			case "flip":
				writeFile(t, fsys, "d/"+name, bad)
			case "cut":
				writeFile(t, fsys, "d/"+name, bad[:40])
			case "remove":
				if err := fsys.Remove("d/" + name); err != nil {
					t.Fatal(err)
				}
			}
			r := w.open(t)
			if err := r.Repair(t.Context()); err != nil {
				t.Fatal(err)
			}
			all, err := store.Load(t.Context())
			if err != nil || len(all) != 2 || !bytes.Equal(all[0].Bytes, good) || !bytes.Equal(all[1].Bytes, good) {
				t.Errorf("%s of %s: not repaired (%v)", how, name, err)
			}
		}
	}
}

func writeFile(t *testing.T, fsys vfs.FS, path string, b []byte) {
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

func TestStartChoosesTheNewest(t *testing.T) {
	w := newWorld(&keys.Memory{})
	r := w.create(t)
	older := bytes.Clone(r.Snapshot())
	if err := r.AddOwner(t.Context(), keys.NewID()); err != nil {
		t.Fatal(err)
	}
	newer := bytes.Clone(r.Snapshot())

	// Another history from the same moment: the same generation, other bytes.
	other := *w
	other.port = keys.NewMemory(older)
	r2 := other.open(t)
	if err := r2.AddOwner(t.Context(), keys.NewID()); err != nil {
		t.Fatal(err)
	}
	fork := r2.Snapshot()

	for _, order := range [][]keys.Copy{{copyOf("A", older), copyOf("B", newer)}, {copyOf("A", newer), copyOf("B", older)}} {
		q, err := w.openCopies(t, order...)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(q.Snapshot(), newer) {
			t.Error("the older copy won")
		}
	}
	if _, err := w.openCopies(t, copyOf("A", newer), copyOf("B", fork)); !fault.Is(err, fault.KeyStore) {
		t.Errorf("two histories = %v, want KeyStore", err)
	}
	unreadable := keys.Copy{Place: "B", Err: errors.New("I/O error")}
	if _, err := w.openCopies(t, copyOf("A", newer), unreadable); err != nil {
		t.Errorf("one unreadable copy: %v", err)
	}
	if _, err := w.openCopies(t, unreadable); !fault.Is(err, fault.KeyStore) {
		t.Errorf("only an unreadable copy = %v, want KeyStore", err)
	}
	if _, err := w.openCopies(t); !fault.Is(err, fault.ResourceNotFound) {
		t.Errorf("no copy = %v, want ResourceNotFound", err)
	}
}

func TestForeignStoreAndKeys(t *testing.T) {
	w, v := newWorld(&keys.Memory{}), newWorld(&keys.Memory{})
	a, b := w.create(t), v.create(t)
	if _, err := w.openCopies(t, copyOf("A", b.Snapshot())); !fault.Is(err, fault.KeyStore) {
		t.Errorf("another store's file = %v, want KeyStore", err)
	}
	w.provider = localkey.NewMemory()
	if _, err := w.openCopies(t, copyOf("A", a.Snapshot())); !fault.Is(err, fault.KeyStore) {
		t.Errorf("without the secret = %v, want KeyStore", err)
	}
}

func TestDevIsForEver(t *testing.T) {
	for _, dev := range []bool{false, true} {
		w := newWorld(&keys.Memory{})
		o := w.options()
		o.Dev = dev
		r, err := keys.Create(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Dev() != dev {
			t.Errorf("Dev() = %v, want %v", r.Dev(), dev)
		}
		r.Close()
		for _, ask := range []bool{false, true} {
			o.Dev = ask
			r, err := keys.Open(t.Context(), o)
			if (err == nil) != (ask == dev) || err != nil && !fault.Is(err, fault.NotAllowed) {
				t.Errorf("store dev=%v opened with dev=%v: %v", dev, ask, err)
			}
			if err == nil {
				r.Close()
			}
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	w := newWorld(&keys.Memory{})
	w.create(t)
	if _, err := keys.Create(t.Context(), w.options()); !fault.Is(err, fault.Exists) {
		t.Errorf("Create over a store = %v, want Exists", err)
	}
	o := newWorld(&keys.Memory{}).options()
	o.Infra = nil
	if _, err := keys.Create(t.Context(), o); !fault.Is(err, fault.InvalidInput) {
		t.Errorf("Create without a provider = %v, want InvalidInput", err)
	}
}

func TestWithoutInfraRoot(t *testing.T) {
	w := newWorld(&keys.Memory{})
	w.create(t)
	o := w.options()
	o.Infra = nil
	r, err := keys.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if _, _, err := r.SealVFS(); err != nil {
		t.Errorf("SealVFS = %v", err)
	}
	if _, _, err := r.SealInfra(); !fault.Is(err, fault.KeyGone) {
		t.Errorf("SealInfra = %v, want KeyGone", err)
	}
	if err := r.RotateRoot(t.Context(), keys.SRK); err != nil {
		t.Errorf("RotateRoot(SRK) = %v", err)
	}
	if err := r.RotateRoot(t.Context(), keys.IRK); !fault.Is(err, fault.KeyStore) {
		t.Errorf("RotateRoot(IRK) = %v, want KeyStore", err)
	}
}
