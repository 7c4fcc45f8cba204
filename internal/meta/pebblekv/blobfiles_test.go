package pebblekv_test

import (
	"bytes"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/meta/pebblekv"
)

// TestBlobFileGone: a read hears that the values are gone, everything else is still
// served, and the next start is refused. So is one on a blob file that is longer.
func TestBlobFileGone(t *testing.T) {
	fs := vfs.NewMem()
	s := create(t, fs, nil)
	large := strings.Repeat("large", 1_000)
	put(t, s, 1, large, "small")
	must(t, s.CompactAll(t.Context()))
	blobs := ""
	names, err := fs.List(path.Join(dir, "lsm"))
	must(t, err)
	for _, n := range names {
		if strings.HasSuffix(n, ".blob") {
			blobs = path.Join(dir, "lsm", n)
		}
	}
	whole, err := fs.UnsafeGetFileDataBuffer(blobs)
	must(t, err)
	must(t, fs.Remove(blobs))
	get := func(k string) (v []byte, err error) {
		err = s.View(t.Context(), func(r meta.Reader) error {
			v, err = r.Get([]byte(k))
			return err
		})
		return v, err
	}
	if v, err := get(large); !fault.Is(err, fault.Corrupt) || v != nil {
		t.Errorf("Get = %d bytes, %v, want Corrupt", len(v), err)
	}
	if _, err := get("small"); err != nil {
		t.Errorf("Get of another = %v", err)
	}
	must(t, s.Close())
	for _, what := range []string{"gone", "longer"} {
		if what == "longer" {
			f, err := fs.Create(blobs, vfs.WriteCategoryUnspecified)
			must(t, err)
			_, err = f.Write(append(bytes.Clone(whole), make([]byte, 100)...))
			must(t, err)
			must(t, f.Close())
		}
		for _, readOnly := range []bool{false, true} {
			o := options(t, fs)
			o.ReadOnly = readOnly
			if _, err := pebblekv.Open(t.Context(), o); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), ".blob") {
				t.Errorf("%s, read only %v: Open = %v, want Corrupt", what, readOnly, err)
			}
		}
	}
}
