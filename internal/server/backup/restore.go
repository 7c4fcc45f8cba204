package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
)

// Opener opens the key store of a set, kept in port, with key files or a kit.
type Opener func(ctx context.Context, port keys.Port) (*keys.Ring, error)

// Verify authenticates the set in dir, on a disk: key store, manifest, the hash of every
// file, and that HEAD and logs agree.
func Verify(ctx context.Context, disk vfs.FS, dir string, open Opener, progress Progress) (Result, error) {
	ring, m, err := openSet(ctx, disk, dir, open)
	if err != nil {
		return Result{}, err
	}
	defer ring.Close()
	r := Result{Manifest: *m}
	if err := onlyListed(disk, dir, m); err != nil {
		return r, err
	}
	var total int64
	for _, f := range m.Files {
		total += int64(f.Size)
	}
	for _, f := range m.Files {
		progress.tell("verify", r.Bytes, total)
		got, err := hashFile(ctx, disk, disk.PathJoin(dir, f.Path), int64(f.Size))
		if err != nil {
			return r, damaged(dir, f.Path, err)
		}
		if got != f.Sum {
			return r, damaged(dir, f.Path, errors.New("its hash is not the one in the manifest"))
		}
		r.Bytes += int64(f.Size)
	}
	if _, err := sealedfs.New(disk, dir, ring, sealedfs.Options{}).Check(sealedfs.Expect{}); err != nil {
		return r, err
	}
	return r, nil
}

func damaged(dir, rel string, err error) error {
	return fault.New("backup.Verify", filepath.Join(dir, rel), fault.Corrupt, err)
}

// openSet opens the key store of a set and its manifest.
func openSet(ctx context.Context, disk vfs.FS, dir string, open Opener) (*keys.Ring, *Manifest, error) {
	const op = "backup.Verify"
	sealed, err := readFile(disk, disk.PathJoin(dir, ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fault.New(op, dir, fault.Corrupt, errors.New("there is no manifest: this is no backup set, or one that was not finished"))
	}
	if err != nil {
		return nil, nil, err
	}
	b, err := readFile(disk, disk.PathJoin(dir, "keystore.A"))
	if err != nil {
		return nil, nil, err
	}
	ring, err := open(ctx, keys.NewMemory(b))
	if err != nil {
		return nil, nil, err
	}
	m, err := openManifest(ring, sealed, b)
	if err != nil {
		ring.Close()
		return nil, nil, fault.New(op, filepath.Join(dir, ManifestName), fault.Corrupt, err)
	}
	return ring, m, nil
}

func openManifest(ring *keys.Ring, sealed, keyStore []byte) (*Manifest, error) {
	plain, err := sealedfs.OpenFile(ring, ManifestName, sealed)
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(plain)
	if err != nil {
		return nil, err
	}
	if m.Store != ring.StoreID() {
		return nil, errors.New("the manifest is of another store")
	}
	generation, sum := ring.Generation()
	if m.Generation != generation || sum != sha256.Sum256(keyStore) {
		return nil, fmt.Errorf("the key store has generation %d, the manifest says %d", generation, m.Generation)
	}
	return m, nil
}

// onlyListed refuses files that the manifest does not list.
func onlyListed(disk vfs.FS, dir string, m *Manifest) error {
	return walk(disk, dir, func(rel string, _ int64) error {
		_, ok := slices.BinarySearchFunc(m.Files, rel, func(f File, p string) int { return strings.Compare(f.Path, p) })
		if !ok {
			return damaged(dir, rel, errors.New("the manifest does not list this file"))
		}
		return nil
	})
}

// readFile reads a small file of a set.
func readFile(disk vfs.FS, path string) ([]byte, error) {
	in, err := disk.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(in)
}

// lastFiles are written last, in this order: without them a start refuses the directory.
var lastFiles = []string{"keystore.A", "keystore.B", "HEAD.A", "HEAD.B"}

// Restore copies the set in dir to the empty directory data of the same file system, checking every byte on the
// way. The caller then opens the store, records the restore and clears the marks that it made void.
func Restore(ctx context.Context, disk vfs.FS, dir, data string, open Opener, progress Progress) (Result, error) {
	if err := emptyDir(disk, "backup.Restore", data, dir); err != nil {
		return Result{}, err
	}
	ring, m, err := openSet(ctx, disk, dir, open)
	if err != nil {
		return Result{}, err
	}
	defer ring.Close()
	if err := onlyListed(disk, dir, m); err != nil {
		return Result{}, err
	}
	r := Result{Manifest: *m}
	var total int64
	for _, f := range m.Files {
		total += int64(f.Size)
	}
	last := map[string][]byte{}
	for _, f := range m.Files {
		progress.tell("restore", r.Bytes, total)
		if slices.Contains(lastFiles, f.Path) {
			if last[f.Path], err = readChecked(disk, dir, f); err != nil {
				return r, err
			}
		} else if err := restoreFile(ctx, disk, dir, data, f); err != nil {
			return r, err
		}
		r.Bytes += int64(f.Size)
	}
	if err := syncTree(disk, data); err != nil {
		return r, err
	}
	for _, n := range lastFiles {
		if err := sealedfs.WriteAtomic(disk, disk.PathJoin(data, n), last[n]); err != nil {
			return r, err
		}
	}
	return r, nil
}

// readChecked reads a small file and checks it.
func readChecked(disk vfs.FS, dir string, f File) ([]byte, error) {
	b, err := readFile(disk, disk.PathJoin(dir, f.Path))
	if err == nil && sha256.Sum256(b) != f.Sum {
		err = errors.New("its hash is not the one in the manifest")
	}
	if err != nil {
		return nil, damaged(dir, f.Path, err)
	}
	return b, nil
}

// restoreFile copies one file; what was copied is what the manifest lists, or nothing.
func restoreFile(ctx context.Context, disk vfs.FS, dir, data string, f File) error {
	in, err := disk.Open(disk.PathJoin(dir, f.Path))
	if err != nil {
		return damaged(dir, f.Path, err)
	}
	defer in.Close()
	to := disk.PathJoin(data, f.Path)
	if err := disk.MkdirAll(disk.PathDir(to), 0o700); err != nil {
		return err
	}
	h := sha256.New()
	if err := writeFile(disk, to, io.TeeReader(&cancelable{ctx, in}, h), int64(f.Size)); err != nil {
		return err
	}
	if !bytes.Equal(h.Sum(nil), f.Sum[:]) {
		_ = disk.Remove(to)
		return damaged(dir, f.Path, errors.New("its hash is not the one in the manifest"))
	}
	return nil
}
