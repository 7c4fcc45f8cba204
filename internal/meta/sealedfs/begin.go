package sealedfs

import (
	"errors"
	"os"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
)

// BeginStore lays the ground for a new store: the key store is not initialized and
// there is no HEAD. What an interrupted creation left is removed; where there are
// tables, extents or audit files, there was a store once, and that is refused.
func (f *FS) BeginStore() error {
	for _, dir := range []string{f.lsm, f.audit,
		f.lower.PathJoin(f.dir, "extents", "single"), f.lower.PathJoin(f.dir, "extents", "double")} {
		if err := f.refuseData(dir); err != nil {
			return err
		}
	}
	if err := f.removeLeftovers(); err != nil {
		return err
	}
	for _, dir := range []string{f.lsm, f.audit} {
		if err := f.lower.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return SyncDir(f.lower, f.dir)
}

func (f *FS) refuseData(dir string) error {
	names, err := f.lower.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, base := range names {
		n, err := parseName(base)
		inExtents := !f.live(dir) && !isTemp(base)
		if inExtents || err == nil && (n.once() || n.kind == kindAudit) {
			return fault.New("sealedfs.BeginStore", f.lower.PathJoin(dir, base), fault.Rollback, errors.New(
				"there is data of a store here, but its key store says that none was created; "+
					"put back its key store and HEAD files, or use an empty directory"))
		}
	}
	return nil
}

// removeLeftovers empties the LSM directory of logs that nothing was ever acknowledged in.
func (f *FS) removeLeftovers() error {
	names, err := f.lower.List(f.lsm)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, base := range names {
		if err := f.lower.Remove(f.lower.PathJoin(f.lsm, base)); err != nil {
			return err
		}
	}
	return SyncDir(f.lower, f.lsm)
}

// LogSyncs is the number of completed syncs of WAL files.
func (f *FS) LogSyncs() uint64 { return f.logSyncs.Load() }

// Usage is the number of plaintext bytes that were sealed under a VFSK version since
// the start; every file has a key of its own below it.
func (f *FS) Usage(kref [16]byte) uint64 { return f.usage(kref).Load() }

func (f *FS) usage(kref [16]byte) *atomic.Uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.used[kref]
	if u == nil {
		u = new(atomic.Uint64)
		f.used[kref] = u
	}
	return u
}

// Krefs counts the files of the live directories by the VFSK version they are under:
// a version that none names can be destroyed. It reads one header a file.
func (f *FS) Krefs() (map[[16]byte]int, error) {
	count := make(map[[16]byte]int)
	for _, dir := range []string{f.lsm, f.audit} {
		names, err := f.lower.List(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for _, base := range names {
			if n, err := parseName(base); err != nil || !n.sealed() {
				continue
			}
			kref, err := f.kref(f.lower.PathJoin(dir, base))
			if errors.Is(err, os.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				return nil, err
			}
			count[kref]++
		}
	}
	return count, nil
}

func (f *FS) kref(path string) ([16]byte, error) {
	r, err := f.lower.Open(path, vfs.RandomReadsOption)
	if err != nil {
		return [16]byte{}, err
	}
	defer r.Close()
	h, err := readHeader(r)
	if err != nil {
		return [16]byte{}, corrupt("sealedfs.Krefs", path, err)
	}
	return h.Kref, nil
}
