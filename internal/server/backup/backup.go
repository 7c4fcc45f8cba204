// Package backup makes, checks and restores backup sets: a copy of data and keys that is
// consistent while the store serves.
//
//	fence up: no extent is removed from here on
//	checkpoint of the LSM, through its sealed file system     lsm/
//	key store, as it is after the checkpoint                  keystore.A, keystore.B
//	every extent there is: linked, or copied                  extents/
//	trail and sealed small files                              audit/ tls/
//	HEAD for that checkpoint and that key store               HEAD.A, HEAD.B
//	manifest: SHA-256 of every file, sealed; written last     manifest
//	fence down
//
// A set has no plaintext and no unseal key: it opens with the key files or the recovery
// kit of its store. Without its manifest a set is incomplete and is refused; that is the
// answer to every crash on the way.
package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta/sealedfs"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// ManifestName is the file that makes a set complete.
const ManifestName = "manifest"

const renewEvery = 30 * time.Second // the fence stands for two minutes

// Result describes a set.
type Result struct {
	Manifest
	Bytes  int64
	Linked int64 // files that share their blocks with the store
}

// Progress is told how many bytes are done. It may be nil.
type Progress func(stage string, done, total int64)

func (p Progress) tell(stage string, done, total int64) {
	if p != nil {
		p(stage, done, total)
	}
}

// Create makes a set of s in dir, which must be empty or not there, on the file system
// of the store.
func Create(ctx context.Context, s *store.Store, dir string, now time.Time, progress Progress) (Result, error) {
	if err := emptyDir(s.FS, "backup.Create", dir, s.Dir); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fence, err := s.Objects.Fence(ctx, "backup")
	if err != nil {
		return Result{}, err
	}
	stop := keepUp(ctx, cancel, fence)
	c := creator{ctx: ctx, s: s, dir: dir, progress: progress}
	err = c.copyAll(now)
	stop()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return c.result, errors.Join(err, fence.Close(context.WithoutCancel(ctx)))
}

// fence is the part of object.Fence that keeps it up.
type fence interface {
	Renew(ctx context.Context) error
}

// keepUp renews the fence until stop; when it falls, the backup is given up.
func keepUp(ctx context.Context, giveUp context.CancelCauseFunc, f fence) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(renewEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if err := f.Renew(ctx); err != nil {
					giveUp(fault.New("backup.Create", "", fault.NotAllowed, fmt.Errorf("the fence fell, extents may be gone: %w", err)))
					return
				}
			case <-done:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// emptyDir makes dir, which must be empty and not lie in other.
func emptyDir(disk vfs.FS, op, dir, other string) error {
	if rel, err := filepath.Rel(other, dir); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return fault.New(op, dir, fault.NotAllowed, fmt.Errorf("it lies inside %s and would be lost with it", other))
	}
	if err := mkdirSynced(disk, dir); err != nil {
		return err
	}
	names, err := disk.List(dir)
	if err == nil && len(names) > 0 {
		err = fault.New(op, dir, fault.Exists, errors.New("the directory is not empty"))
	}
	return err
}

// mkdirSynced makes dir, and makes durable that its parents name it: a set, or a restored
// store, that was reported as done is there after a power cut.
func mkdirSynced(disk vfs.FS, dir string) error {
	if _, err := disk.Stat(dir); err == nil {
		return nil
	}
	parent := disk.PathDir(dir)
	if parent != dir {
		if err := mkdirSynced(disk, parent); err != nil {
			return err
		}
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return sealedfs.SyncDir(disk, parent)
}

// creator makes one set.
type creator struct {
	ctx      context.Context
	s        *store.Store
	dir      string
	progress Progress
	result   Result
	extents  []extent.Info
	total    int64
}

// path is where a file of the set lies.
func (c *creator) path(rel string) string { return c.s.FS.PathJoin(c.dir, rel) }

func (c *creator) copyAll(now time.Time) error {
	c.result.Sequence = c.s.Meta.Sequence()
	c.result.Created, c.result.Store = now.UTC(), c.s.Ring.StoreID()
	for _, d := range []string{"audit", "tls", "extents"} {
		if err := c.s.FS.MkdirAll(c.path(d), 0o700); err != nil {
			return err
		}
	}
	if err := c.s.Meta.Checkpoint(c.path("lsm")); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	// After the checkpoint: rows name only key versions that are in it.
	frozen := freeze(c.s.Ring)
	c.result.Generation = frozen.generation
	for _, step := range []func() error{c.copyExtents, c.copyTrail, c.copyTLS} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := sealedfs.WriteHeads(c.s.FS, c.dir, frozen); err != nil {
		return fmt.Errorf("HEAD: %w", err)
	}
	for _, n := range []string{"keystore.A", "keystore.B"} {
		if err := sealedfs.WriteAtomic(c.s.FS, c.path(n), bytes.Clone(frozen.bytes)); err != nil {
			return err
		}
	}
	return c.writeManifest(frozen)
}

// frozenKeys is the key store at one moment, for HEAD and manifest.
type frozenKeys struct {
	*keys.Ring
	generation uint64
	sum        [32]byte
	bytes      []byte
}

func (f *frozenKeys) Generation() (uint64, [32]byte) { return f.generation, f.sum }

// freeze takes a snapshot that belongs to its generation.
func freeze(r *keys.Ring) *frozenKeys {
	for {
		generation, sum := r.Generation()
		b := r.Snapshot()
		if sha256.Sum256(b) == sum {
			return &frozenKeys{Ring: r, generation: generation, sum: sum, bytes: b}
		}
	}
}

// pather is the part of the file driver that knows where extents lie.
type pather interface {
	Path(extent.Info) string
}

// copyExtents takes every extent that is there. Those that still take chunks are copied
// as long as they are now: what comes later no row of the checkpoint names.
func (c *creator) copyExtents() error {
	where, ok := c.s.Extents.(pather)
	if !ok {
		return errors.New("backup: the extents are not in files")
	}
	err := c.s.Extents.List(func(i extent.Info) error {
		if i.Open && !i.Shared {
			return nil // has no name yet, and no row
		}
		c.extents = append(c.extents, i)
		c.total += i.Size
		return c.ctx.Err()
	})
	if err != nil {
		return err
	}
	var done int64
	for _, i := range c.extents {
		c.progress.tell("copy", done, c.total)
		from := where.Path(i)
		rel, err := filepath.Rel(c.s.Dir, from)
		if err != nil {
			return err
		}
		size := i.Size
		if i.Open { // ranges that were reserved and are not written yet have no row
			st, err := c.s.FS.Stat(from)
			if err != nil {
				return err
			}
			size = min(size, st.Size())
		}
		if err := c.take(from, rel, size, !i.Open); err != nil {
			return err
		}
		done += i.Size
	}
	return nil
}

// take links or copies one file of exactly size bytes.
func (c *creator) take(from, rel string, size int64, mayLink bool) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	to := c.path(rel)
	if err := c.s.FS.MkdirAll(c.s.FS.PathDir(to), 0o700); err != nil {
		return err
	}
	if mayLink && c.s.FS.Link(from, to) == nil {
		c.result.Linked++
		return nil
	}
	in, err := c.s.FS.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeFile(c.s.FS, to, io.LimitReader(in, size), size)
}

// writeFile writes a new file of exactly size bytes, durably.
func writeFile(disk vfs.FS, to string, in io.Reader, size int64) error {
	out, err := disk.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	if err == nil && n != size {
		err = fmt.Errorf("%s: %d bytes of %d: %w", to, n, size, io.ErrUnexpectedEOF)
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// copyTrail copies the audit files; the newest is cut where it is now.
func (c *creator) copyTrail() error { return c.copyDir("audit", ".aud") }

func (c *creator) copyTLS() error { return c.copyDir("tls", "") }

func (c *creator) copyDir(dir, suffix string) error {
	names, err := c.s.FS.List(c.s.FS.PathJoin(c.s.Dir, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		if !strings.HasSuffix(n, suffix) || strings.Contains(n, ".tmp-") {
			continue
		}
		rel := c.s.FS.PathJoin(dir, n)
		from := c.s.FS.PathJoin(c.s.Dir, rel)
		info, err := lstat(c.s.FS, from)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		if err := c.take(from, rel, info.Size(), false); err != nil {
			return err
		}
	}
	return nil
}

// writeManifest hashes what is there, makes it durable and seals the list.
func (c *creator) writeManifest(k sealedfs.Keys) error {
	var done int64
	err := walk(c.s.FS, c.dir, func(rel string, size int64) error {
		f := File{Path: rel, Size: uint64(size)}
		c.progress.tell("hash", done, 0)
		var err error
		if f.Sum, err = hashFile(c.ctx, c.s.FS, c.path(rel), size); err != nil {
			return err
		}
		c.result.Files = append(c.result.Files, f)
		done += size
		return nil
	})
	if err != nil {
		return err
	}
	c.result.Bytes = done
	sortFiles(c.result.Files)
	if err := syncTree(c.s.FS, c.dir); err != nil {
		return err
	}
	sealed, err := sealedfs.SealFile(k, ManifestName, c.result.Manifest.Encode())
	if err != nil {
		return err
	}
	return sealedfs.WriteAtomic(c.s.FS, c.path(ManifestName), sealed)
}

// walk calls do for every file of a set but the manifest, with slashes in its path.
func walk(disk vfs.FS, dir string, do func(rel string, size int64) error) error {
	return walkTree(disk, dir, "", func(string) error { return nil }, func(rel string, info fs.FileInfo) error {
		switch {
		case rel == ManifestName:
			return nil
		case !info.Mode().IsRegular():
			return fmt.Errorf("backup: %s is no file of a set", rel)
		}
		return do(rel, info.Size())
	})
}

// walkTree calls onDir for the directory rel of dir ("" is dir itself) and for all under
// it, and onFile for whatever else is there, in the order of names.
func walkTree(disk vfs.FS, dir, rel string, onDir func(path string) error, onFile func(rel string, info fs.FileInfo) error) error {
	at := disk.PathJoin(dir, rel)
	names, err := disk.List(at)
	if err != nil {
		return err
	}
	if err := onDir(at); err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		info, err := lstat(disk, disk.PathJoin(at, n))
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = walkTree(disk, dir, path.Join(rel, n), onDir, onFile)
		} else {
			err = onFile(path.Join(rel, n), info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lstat follows no link; only the file system of the operating system has any.
func lstat(disk vfs.FS, path string) (fs.FileInfo, error) {
	if disk == vfs.Default {
		return os.Lstat(path)
	}
	return disk.Stat(path)
}

func hashFile(ctx context.Context, disk vfs.FS, path string, size int64) (sum [32]byte, err error) {
	in, err := disk.Open(path)
	if err != nil {
		return sum, err
	}
	defer in.Close()
	h := sha256.New()
	n, err := io.Copy(h, &cancelable{ctx, in})
	if err == nil && n != size {
		err = fmt.Errorf("backup: %s changes while it is read", path)
	}
	return [32]byte(h.Sum(nil)), err
}

// cancelable ends a long copy with its context.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// syncTree makes the names in all directories durable.
func syncTree(disk vfs.FS, dir string) error {
	return walkTree(disk, dir, "", func(path string) error { return sealedfs.SyncDir(disk, path) },
		func(string, fs.FileInfo) error { return nil })
}
