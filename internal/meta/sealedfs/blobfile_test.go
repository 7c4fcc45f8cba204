package sealedfs

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/coffer-storage/coffer/internal/meta/sealedfs/sealedfstest"
)

// TestUnwrittenBlobs: the engine hears that a blob file is not whole when it closes a
// table, and no MANIFEST is written before the file is gone.
func TestUnwrittenBlobs(t *testing.T) {
	for _, op := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSync} {
		full := false
		f := New(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(o errorfs.Op) error {
			if full && o.Kind == op && strings.Contains(o.Path, ".blob") {
				return syscall.ENOSPC
			}
			return nil
		})), "d", sealedfstest.New(1), Options{})
		must(t, f.lower.MkdirAll("d", 0o700))
		must(t, f.BeginStore())
		create := func(base string) vfs.File {
			w, err := f.Create("d/lsm/"+base, vfs.WriteCategoryUnspecified)
			must(t, err)
			return w
		}
		halfBlob := func(base string) {
			w := create(base)
			full = true
			if n, err := w.Write(make([]byte, 10_000)); n != 10_000 || err != nil {
				t.Errorf("%v: Write = %d, %v", op, n, err)
			}
			if err := w.Close(); err != nil {
				t.Errorf("%v: Close = %v", op, err)
			}
			full = false
		}

		manifest := create("MANIFEST-000001")
		table := create("000002.sst")
		halfBlob("000003.blob")
		if err := table.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v: close of the table = %v", op, err)
		}
		must(t, f.Remove("d/lsm/000003.blob"))
		must(t, create("000004.sst").Close())
		_, err := manifest.Write([]byte("names 4"))
		must(t, err)

		halfBlob("000005.blob")
		if _, err := manifest.Write([]byte("names 5")); !errors.Is(err, syscall.ENOSPC) || f.usable() == nil {
			t.Errorf("%v: write of the MANIFEST = %v, latched %v", op, err, f.usable())
		}
	}
}
