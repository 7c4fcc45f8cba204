package pebblekv_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/metatest"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs/sealedfstest"
)

const dir = "data"

// create makes a new store in fs.
func create(t testing.TB, fs vfs.FS, change func(*pebblekv.Options)) *pebblekv.Store {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sealedfs.SyncDir(fs, "."); err != nil {
		t.Fatal(err)
	}
	return open(t, fs, func(o *pebblekv.Options) {
		o.Create = true
		if change != nil {
			change(o)
		}
	})
}

func options(t testing.TB, fs vfs.FS) pebblekv.Options {
	return pebblekv.Options{
		FS: fs, Dir: dir, Keys: sealedfstest.New(1), Reserve: -1,
		OnFatal: func(err error) { t.Errorf("OnFatal: %v", err) },
	}
}

func open(t testing.TB, fs vfs.FS, change func(*pebblekv.Options)) *pebblekv.Store {
	t.Helper()
	o := options(t, fs)
	if change != nil {
		change(&o)
	}
	s, err := pebblekv.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	metatest.Run(t, func(t testing.TB) metatest.Opened {
		fs := vfs.NewMem()
		s := create(t, fs, nil)
		return metatest.Opened{Store: s, Reopen: func(t testing.TB) meta.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			s = open(t, fs, nil)
			return s
		}}
	})
}
