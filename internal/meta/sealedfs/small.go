package sealedfs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/fault"
)

// maxSmall bounds a small file before it is read.
const maxSmall = 64 << 20

func tempName(path string) string {
	var b [8]byte
	rand.Read(b[:])
	return path + tempMark + hex.EncodeToString(b[:])
}

func fileAAD(k Keys, path string) []byte {
	id := k.StoreID()
	return enc.Encode("coffer/file/v1", id[:], []byte(path))
}

// SealFile seals a small file of the data directory: SEAL-1 under the store's SYSK.
// path is relative to the data directory, with slashes, without .A or .B.
func SealFile(k Keys, path string, plaintext []byte) ([]byte, error) {
	kref, key, err := k.SealStore()
	if err != nil {
		return nil, err
	}
	return keywrap.Seal(key, kref, fileAAD(k, path), plaintext)
}

// OpenFile opens what SealFile made for the same path. What does not open is
// fault.Corrupt.
func OpenFile(k Keys, path string, sealed []byte) ([]byte, error) {
	kref, err := keywrap.Keyref(sealed)
	if err != nil {
		return nil, fault.New("sealedfs.OpenFile", path, fault.Corrupt, err)
	}
	key, err := k.OpenStore(kref)
	if err != nil {
		return nil, err
	}
	b, err := keywrap.Open(key, kref, fileAAD(k, path), sealed)
	if err != nil {
		return nil, fault.New("sealedfs.OpenFile", path, fault.Corrupt, err)
	}
	return b, nil
}

// ReadSmall reads a whole small file.
func ReadSmall(lower vfs.FS, path string) ([]byte, error) {
	r, err := lower.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSmall {
		return nil, fault.New("sealedfs.ReadSmall", path, fault.Corrupt, errors.New("file is too large"))
	}
	b := make([]byte, info.Size())
	_, err = io.ReadFull(r, b)
	return b, err
}

// errUncertain marks a write that may or may not have reached the disk.
var errUncertain = errors.New("outcome unknown")

// WriteAtomic writes a small file: private temporary name, fsync, rename, fsync of
// the directory. b may be overwritten.
func WriteAtomic(lower vfs.FS, path string, b []byte) error {
	tmp := tempName(path)
	w, err := lower.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		_ = lower.Remove(tmp)
		return err
	}
	if err := lower.Rename(tmp, path); err != nil {
		_ = lower.Remove(tmp)
		return errors.Join(errUncertain, err)
	}
	if err := SyncDir(lower, lower.PathDir(path)); err != nil {
		return errors.Join(errUncertain, err)
	}
	return nil
}

// SyncDir makes the names in a directory durable.
func SyncDir(lower vfs.FS, dir string) error {
	d, err := lower.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock takes the store's lock (LOCK in the data directory, which exists) and removes
// what an interrupted write left (*.tmp-*): step 1 of opening, before the key store
// is read.
func Lock(lower vfs.FS, dir string) (io.Closer, error) {
	l, err := lower.Lock(lower.PathJoin(dir, "LOCK"))
	if err != nil {
		return nil, fault.New("sealedfs.Lock", dir, fault.Busy,
			fmt.Errorf("another process has the store open; stop it first (%w)", err))
	}
	for _, sub := range []string{"", LSMDir, AuditDir, "tls"} {
		if err := removeTemps(lower, lower.PathJoin(dir, sub)); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

func removeTemps(lower vfs.FS, dir string) error {
	names, err := lower.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		if isTemp(n) {
			if err := lower.Remove(lower.PathJoin(dir, n)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
