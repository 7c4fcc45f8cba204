package proof

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/server/store"
)

var updateGolden = flag.Bool("golden", false, "make the golden store of the present format anew")

// goldens are the checked-in stores, one for each format that was ever released. They
// lie beside their key files, as only a development store may.
const goldens = "testdata/golden"

// goldenBlobs are what each of them holds.
var goldenBlobs = map[string]int{
	"empty": 0, "small": 100, "dir/inline": 32_768, "dir/shared": 32_769, "dir/Ünïcode name": 10, "blocks": 120_000,
}

// goldenOptions opens the store that was copied to fs with its key files.
func goldenOptions(fs vfs.FS, dir string) store.Options {
	keyFile := filepath.Join(dir, "unseal.key")
	o := newSecrets().options(fs)
	o.Dev = true
	o.Service = localkey.New(keyFile, localkey.Options{Dev: true})
	o.Infra = localkey.New(localkey.InfraPath(keyFile), localkey.Options{Dev: true})
	return o
}

// TestGoldenStores opens a store of every format and reads what it must hold; then the
// store takes a write and rotates its keys, and is opened again.
func TestGoldenStores(t *testing.T) {
	t.Parallel()
	if *updateGolden {
		makeGolden(t, filepath.Join(goldens, "format-1"))
	}
	dirs, err := filepath.Glob(filepath.Join(goldens, "format-*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("there is no golden store: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			// The key files are copied too: opening may write beside them.
			keyDir := t.TempDir()
			for _, n := range []string{"unseal.key", "unseal.infra.key"} {
				b, err := os.ReadFile(filepath.Join(dir, n))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(keyDir, n), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			fs := vfs.NewMem()
			if _, err := vfs.Clone(vfs.Default, fs, filepath.Join(dir, "data"), dataDir); err != nil {
				t.Fatal(err)
			}
			for round := range 2 {
				o := goldenOptions(fs, keyDir)
				o.NoCreate = true
				st, err := store.Open(ctx, o)
				if err != nil {
					t.Fatal(err)
				}
				checkGolden(t, st)
				if round == 0 {
					if err := put(st, "new", []byte("bytes")); err != nil {
						t.Error(err)
					}
					if err := rotateKEK(st, chain(t, st, keys.KEK)); err != nil {
						t.Error(err)
					}
				}
				if err := st.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func checkGolden(t *testing.T, st *store.Store) {
	t.Helper()
	for name, n := range goldenBlobs {
		data, m, err := get(st, name)
		want := value{content(name, n), metaOf(name)}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := value{data: data}
		for _, p := range m {
			got.meta = p.Value
		}
		if name == "blocks" {
			want.meta = ""
		}
		if !got.equal(want) {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}

// makeGolden writes a store. It is a new one each time: keys and nonces are random.
func makeGolden(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fs := vfs.NewMem()
	st, err := store.Open(ctx, goldenOptions(fs, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := furnish(st); err != nil {
		t.Fatal(err)
	}
	for name, n := range goldenBlobs {
		if name == "blocks" {
			err = putBlocks(st, name, content(name, n), 50_000)
		} else {
			err = put(st, name, content(name, n), blob.MetaPair{Name: "Name", Value: metaOf(name)})
		}
		if err != nil {
			t.Fatal(err)
		}
		// Some of it lies in tables, the rest in logs.
		if name == "small" {
			if err := st.Meta.CompactAll(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := vfs.Clone(fs, vfs.Default, dataDir, filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
}

// metaOf is what the metadata of a golden blob says.
func metaOf(name string) string { return fmt.Sprintf("%x", name) }
