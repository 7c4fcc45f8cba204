package server

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "make the golden store of the present format anew")

// goldenStores are stores that earlier builds made, one for each format. They are kept
// and opened for ever; until the first release the newest may be made anew, together with
// a bump of its number.
var goldenStores = []string{"testdata/golden/format-1.tar.gz", "testdata/golden/format-2.tar.gz"}

func TestGoldenStoresOpen(t *testing.T) {
	if *update {
		makeGolden(t, goldenStores[len(goldenStores)-1])
	}
	for _, file := range goldenStores {
		t.Run(filepath.Base(file), func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, file, dir)
			p := place{data: filepath.Join(dir, "data"), key: filepath.Join(dir, "keys", "unseal.key"), log: &logBuffer{}}
			var v VerifyReport
			p.call(t, "verify", VerifyArgs{}, &v)
			if !v.Clean() || v.Chunks < 3 {
				t.Fatalf("verify = %+v", v)
			}
			var in Inspection
			p.call(t, "inspect", Target{"devstoreaccount1", "box", "large"}, &in)
			if in.Key.Version != 1 {
				t.Errorf("the blob is under KEK version %d, want 1: it was written before the rotation was swept", in.Key.Version)
			}
			r := p.serve(t)
			r.mustHoldAll()
			r.put("/box/new", []byte("new"))
			r.stop()
			p.serve(t).mustHoldAll()
		})
	}
}

// makeGolden packs a store that was stopped cleanly, with its keys.
func makeGolden(t *testing.T, file string) {
	t.Helper()
	dir := t.TempDir()
	p := place{data: filepath.Join(dir, "data"), key: filepath.Join(dir, "keys", "unseal.key"), log: &logBuffer{}}
	r := p.serve(t)
	r.fill()
	p.call(t, "recovery.prove", RecoveryArgs{Given: p.recovery(t)}, nil)
	p.call(t, "keys.rotate", RotateArgs{What: "vfs"}, nil)
	p.call(t, "account.create", AccountArgs{Name: "another"}, nil)
	r.put("/box/inline", bytes.Repeat([]byte("inline"), 1_000))
	r.stop()
	p.serve(t).stop() // what was in the log goes into a table and a blob file
	pack(t, dir, file)
}

func pack(t *testing.T, dir, file string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "reserve" || d.Name() == "bundle.pem" {
			return err // directories are made again; zeros and public roots need no space here
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(rel), Mode: 0o600, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err := errors.Join(err, w.Close(), z.Close(), os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, file, dir string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatalf("%v; make it with: go test ./internal/server -run Golden -update", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for r := tar.NewReader(z); ; n++ {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil || strings.Contains(h.Name, "..") {
			t.Fatal(h, err)
		}
		to := filepath.Join(dir, filepath.FromSlash(h.Name))
		content, err := io.ReadAll(r)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if n < 10 {
		t.Fatalf("%s holds %d files", file, n)
	}
}
