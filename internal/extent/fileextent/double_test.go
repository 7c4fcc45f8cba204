package fileextent

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/crypt/infraext"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/extent/extenttest"
)

// putDouble writes b as one chunk of class double.
func putDouble(t testing.TB, s *Store, b []byte) extent.Place {
	t.Helper()
	w, err := s.Create(context.Background(), extent.Double, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for piece := range slices.Chunk(b, 70_001) {
		if err := w.Write(crypttest.Sealed(piece)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func openDouble(t testing.TB, fs vfs.FS, keys *infraKeys, suite infraext.Suite) *Store {
	t.Helper()
	s, err := Open(Options{FS: fs, Dir: "x", Infra: keys, Suite: suite, AllowXTS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// file reads the file of an extent.
func file(t testing.TB, s *Store, id [16]byte) (name string, b []byte) {
	t.Helper()
	i, err := s.Stat(id)
	if err != nil {
		t.Fatal(err)
	}
	name = s.Path(i)
	f, err := s.fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b = make([]byte, fi.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return name, b
}

func overwrite(t testing.TB, s *Store, name string, b []byte) {
	t.Helper()
	f, err := s.fs.Create(name, writeCategory)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.handles.drop(name)
}

func eachDouble(t *testing.T, f func(t *testing.T, s *Store, keys *infraKeys)) {
	for _, k := range kinds {
		if k.class == extent.Double {
			t.Run(k.name, func(t *testing.T) {
				keys := newInfraKeys()
				f(t, openDouble(t, vfs.NewMem(), keys, k.suite), keys)
			})
		}
	}
}

// TestDoubleLayout: chunks start on sectors, what is stored is not what was written, and
// the file has the length that the suite says.
func TestDoubleLayout(t *testing.T) {
	eachDouble(t, func(t *testing.T, s *Store, keys *infraKeys) {
		var want int64
		for i, n := range []int64{100, 4096, 40_000, extent.OwnSize - 1} {
			b := extenttest.Fill(byte(i), n)
			p := putDouble(t, s, b)
			if p.Offset != uint64(want) || p.Length != uint64(n) {
				t.Errorf("chunk of %d bytes at %+v, want offset %d", n, p, want)
			}
			want += infraext.Padded(n)
			_, stored := file(t, s, p.Extent)
			if bytes.Contains(stored, b[:64]) {
				t.Error("the chunk lies in the file as it was written")
			}
			if got := s.o.Suite.Offset(want / infraext.SectorSize); int64(len(stored)) != got {
				t.Errorf("file of %d bytes, want %d", len(stored), got)
			}
		}
		own := putDouble(t, s, extenttest.Fill(9, 3<<20+1))
		info, err := s.Stat(own.Extent)
		if err != nil || info.Class != extent.Double || info.Shared || info.Size != s.o.Suite.Offset(infraext.Sectors(3<<20+1)) {
			t.Errorf("own extent = %+v, %v", info, err)
		}
		if kref, _, _ := keys.SealInfra(); info.Infra != kref || info.Algorithm != s.o.Suite.String() {
			t.Errorf("own extent is under %x by %s", info.Infra, info.Algorithm)
		}
		if got := s.Usage([16]byte{1}); got != 100+4096+40_000+extent.OwnSize-1+3<<20+1 {
			t.Errorf("Usage = %d", got)
		}
	})
}

// TestDoubleRotation: new extents are under the new version of the key, also while a
// shared one is open; the old ones are still read.
func TestDoubleRotation(t *testing.T) {
	eachDouble(t, func(t *testing.T, s *Store, keys *infraKeys) {
		first := putDouble(t, s, extenttest.Fill(1, 100))
		keys.rotate()
		second := putDouble(t, s, extenttest.Fill(2, 100))
		third := putDouble(t, s, extenttest.Fill(3, extent.OwnSize))
		if first.Extent == second.Extent {
			t.Error("an extent under the old key took another chunk")
		}
		for i, p := range []extent.Place{first, second, third} {
			info, err := s.Stat(p.Extent)
			if want := byte(min(i+1, 2)); err != nil || info.Infra != [16]byte{want} {
				t.Errorf("extent %d is under version %d, want %d (%v)", i, info.Infra[0], want, err)
			}
			extenttest.Check(t, s, p, extenttest.Fill(byte(i+1), int64(p.Length)))
		}
	})
}

// TestDoubleTamper: a changed header is damage; a changed sector is damage in suite 2
// and other bytes, in that sector only, in suite 1.
func TestDoubleTamper(t *testing.T) {
	eachDouble(t, func(t *testing.T, s *Store, keys *infraKeys) {
		want := extenttest.Fill(1, extent.OwnSize+5000)
		p := putDouble(t, s, want)
		name, good := file(t, s, p.Extent)
		got := make([]byte, len(want))
		for _, at := range []int{0, 4, 5, 6, 8, 23, 24, 40, 72, 103, 104, 4095} {
			b := slices.Clone(good)
			b[at] ^= 1
			overwrite(t, s, name, b)
			if err := s.ReadAt(p, got, 0); !errors.Is(err, extent.ErrDamaged) {
				t.Errorf("byte %d of the header changed: error = %v, want ErrDamaged", at, err)
			}
		}
		b := slices.Clone(good)
		b[s.o.Suite.Offset(7)+100] ^= 1
		overwrite(t, s, name, b)
		err := s.ReadAt(p, got, 0)
		if s.o.Suite == infraext.CBC {
			if !errors.Is(err, extent.ErrDamaged) {
				t.Errorf("unit changed: error = %v, want ErrDamaged", err)
			}
		} else {
			const sector = infraext.SectorSize
			if err != nil || bytes.Equal(got[7*sector:8*sector], want[7*sector:8*sector]) {
				t.Errorf("sector changed: error = %v, or nothing has changed", err)
			}
			if !bytes.Equal(got[:7*sector], want[:7*sector]) || !bytes.Equal(got[8*sector:], want[8*sector:]) {
				t.Error("other sectors have changed too")
			}
		}
		if err := s.ReadAt(p, got[:100], 8*infraext.SectorSize); err != nil {
			t.Errorf("another sector: %v", err)
		}
		overwrite(t, s, name, good[:len(good)-1])
		if err := s.ReadAt(p, got, 0); !errors.Is(err, extent.ErrNotFound) {
			t.Errorf("last byte cut: error = %v, want ErrNotFound", err)
		}
		// Another extent's file under this name.
		q := putDouble(t, s, want)
		_, other := file(t, s, q.Extent)
		overwrite(t, s, name, other)
		if err := s.ReadAt(p, got, 0); !errors.Is(err, extent.ErrDamaged) {
			t.Errorf("another extent in its place: error = %v, want ErrDamaged", err)
		}
		// A single place with a double extent's id.
		p.Double = false
		if err := s.ReadAt(p, got, 0); !errors.Is(err, extent.ErrNotFound) {
			t.Errorf("read as class single: error = %v, want ErrNotFound", err)
		}
	})
}

// TestDoubleKeys: without keys, or with a destroyed one, nothing is written or read.
func TestDoubleKeys(t *testing.T) {
	fs, keys := vfs.NewMem(), newInfraKeys()
	s := openDouble(t, fs, keys, infraext.XTS)
	p := putDouble(t, s, extenttest.Fill(1, 100))
	extenttest.Check(t, s, p, extenttest.Fill(1, 100))

	bare, err := Open(Options{FS: fs, Dir: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	if _, err := bare.Create(context.Background(), extent.Double, 10); err == nil {
		t.Error("Create of class double without keys succeeded")
	}
	if err := bare.ReadAt(p, make([]byte, 10), 0); err == nil {
		t.Error("ReadAt of class double without keys succeeded")
	}
	keys.list[0].Destroy()
	if err := s.ReadAt(p, make([]byte, 10), 0); err == nil || errors.Is(err, extent.ErrDamaged) {
		t.Errorf("ReadAt after the key was destroyed: error = %v", err)
	}
	for _, n := range []int64{100, extent.OwnSize} {
		w, err := s.Create(context.Background(), extent.Double, n)
		if err != nil {
			continue
		}
		err = w.Write(crypttest.Sealed(make([]byte, n)))
		if err == nil {
			_, err = w.Commit()
		}
		w.Abort()
		if err == nil {
			t.Errorf("chunk of %d bytes was written under a destroyed key", n)
		}
	}
}
