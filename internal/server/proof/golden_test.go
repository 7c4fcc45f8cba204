package proof

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// goldens are stores that earlier builds made, one for each format, with their keys.
const goldens = "../testdata/golden/format-*.tar.gz"

// golden is one of them, taken apart.
type golden struct {
	t    *testing.T
	disk *vfs.MemFS // synced
	keys map[string][]byte
}

func openGolden(t *testing.T, file string) *golden {
	t.Helper()
	g := &golden{t: t, disk: vfs.NewCrashableMem(), keys: map[string][]byte{}}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if base, ok := strings.CutPrefix(h.Name, "keys/"); ok {
			g.keys[base] = b
			continue
		}
		if err := g.disk.MkdirAll(filepath.Dir(h.Name), 0o700); err != nil {
			t.Fatal(err)
		}
		writeAll(t, g.disk, h.Name, b)
	}
	// As after a stop long ago: all of it is durable.
	g.disk = g.disk.CrashClone(wholeDisk())
	return g
}

// open opens a disk of the golden store, with key files of its own.
func (g *golden) open(fs vfs.FS) (*store.Store, error) {
	dir := g.t.TempDir()
	for base, b := range g.keys {
		if err := os.WriteFile(filepath.Join(dir, base), b, 0o600); err != nil {
			return nil, err
		}
	}
	keyFile := filepath.Join(dir, "unseal.key")
	o := newSecrets().options(fs)
	o.NoCreate = true
	o.Service = localkey.New(keyFile, localkey.Options{})
	o.Infra = localkey.New(localkey.InfraPath(keyFile), localkey.Options{})
	return store.Open(context.Background(), o)
}

// contents reads all blobs.
func (g *golden) contents(st *store.Store) map[string]value {
	g.t.Helper()
	all := map[string]value{}
	list, err := namesIn(st, name.Container("box"))
	if err != nil {
		g.t.Fatal(err)
	}
	for _, n := range list {
		v, err := look(st, "box/"+n)
		if err != nil {
			g.t.Errorf("%s: %v", n, err)
		}
		all[n] = v
	}
	return all
}

// whole checks that a store holds what the golden one does, all of it authentic.
func (g *golden) whole(st *store.Store, want map[string]value) {
	g.t.Helper()
	now := g.contents(st)
	for n, v := range want {
		if !now[n].equal(v) {
			g.t.Errorf("%s = %v, want %v", n, now[n], v)
		}
	}
	rep, err := st.Objects.Verify(ctx, object.VerifyOptions{Damage: func(d object.Damage) { g.t.Errorf("damaged: %v", d) }})
	if err != nil || rep.Contents == 0 {
		g.t.Errorf("verify = %+v, %v", rep, err)
	}
}

// TestGoldenStoresSurvivePowerCuts opens a store of every format, which brings it up to
// date, and cuts the power at every event of that, and at some of the opening after it.
// Each time the store opens and is whole.
func TestGoldenStoresSurvivePowerCuts(t *testing.T) {
	t.Parallel()
	list, err := filepath.Glob(goldens)
	if err != nil || len(list) == 0 {
		t.Fatalf("there is no golden store: %v", err)
	}
	for _, file := range list {
		t.Run(filepath.Base(file), func(t *testing.T) {
			g := openGolden(t, file)
			st, err := g.open(g.disk.CrashClone(wholeDisk()))
			if err != nil {
				t.Fatal(err)
			}
			want := g.contents(st)
			if len(want) < 3 {
				t.Errorf("the golden store has only %d blobs", len(want))
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			// The directories of extents are made without a sync each: half way is enough.
			made := g.disk.CrashClone(wholeDisk())
			for i := 0; i < 256; i += 2 {
				if err := made.MkdirAll(filepath.Join("data/extents/single", string("0123456789abcdef"[i/16])+string("0123456789abcdef"[i%16])), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			n, again := openingCuts(t, func() (*vfs.MemFS, func(vfs.FS) (*store.Store, error)) {
				return made, g.open
			}, func(_ *testing.T, st *store.Store) {
				g.whole(st, want)
				if err := put(st, "new", []byte("bytes")); err != nil {
					t.Error(err)
				}
			})
			t.Logf("%d blobs, %d cuts while it was opened and closed, %d more in the opening after one", len(want), n, again)
			if n < 20 || again < n/20 {
				t.Errorf("only %d and %d cuts", n, again)
			}
		})
	}
}
