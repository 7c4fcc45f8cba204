// Package filestore keeps the key store in files: keystore.A and keystore.B in the data
// directory, and such a pair in up to two further places.
//
// Generation g+1 is written atomically over the file that does not hold g: private
// temporary name, write, fsync, rename, fsync of the directory. It is durable when the
// first place has it. Settle then brings every other file up to it, so a damaged or lost
// copy costs nothing. Which copy is valid is not known here: package keys holds the keys.
package filestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// Names of the two files, and how temporary names begin.
const (
	nameA     = "keystore.A"
	nameB     = "keystore.B"
	tmpPrefix = "keystore.tmp-"
)

// MaxPlaces is how many places a key store can have.
const MaxPlaces = 3

// Store is a keys.Port over directories.
type Store struct {
	fs     vfs.FS
	places []string
}

var _ keys.Port = (*Store)(nil)

// New returns the store of a data directory and of further places, which must exist.
// The places hold nothing else of the name keystore.*.
func New(fsys vfs.FS, dir string, further ...string) (*Store, error) {
	if len(further)+1 > MaxPlaces {
		return nil, fmt.Errorf("key store: %d places, limit %d", len(further)+1, MaxPlaces)
	}
	s := &Store{fs: fsys, places: append([]string{dir}, further...)}
	for i, p := range s.places {
		for _, q := range s.places[:i] {
			if p == q {
				return nil, fmt.Errorf("key store: place %s is named twice", p)
			}
		}
	}
	return s, nil
}

// Load reads every file that exists, and removes temporary names of a crash.
func (s *Store) Load(ctx context.Context) ([]keys.Copy, error) {
	var out []keys.Copy
	for i, dir := range s.places {
		if err := s.clean(dir); err != nil {
			if i == 0 {
				return nil, err
			}
			out = append(out, keys.Copy{Place: dir, Err: err})
			continue
		}
		for _, name := range []string{nameA, nameB} {
			path := s.fs.PathJoin(dir, name)
			b, err := s.read(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			out = append(out, keys.Copy{Place: path, Bytes: b, Err: err})
		}
	}
	return out, ctx.Err()
}

func (s *Store) clean(dir string) error {
	names, err := s.fs.List(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, tmpPrefix) {
			if err := s.fs.Remove(s.fs.PathJoin(dir, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// read returns a file of at most the size that a key store can have.
func (s *Store) read(path string) ([]byte, error) {
	f, err := s.fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, cfks.MaxFile+1))
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Swap writes next over the file of the first place that does not hold oldGeneration.
func (s *Store) Swap(_ context.Context, oldGeneration uint64, next []byte) error {
	dir := s.places[0]
	target, err := s.target(dir, oldGeneration)
	if err != nil {
		return err
	}
	return s.write(dir, target, next)
}

// target chooses the file to write over. Finding another generation than the caller
// does means that somebody else wrote: nothing is touched.
func (s *Store) target(dir string, old uint64) (string, error) {
	a, aErr := s.generation(dir, nameA)
	b, bErr := s.generation(dir, nameB)
	if err := errors.Join(aErr, bErr); err != nil {
		return "", fmt.Errorf("%w: %w", keys.ErrUnchanged, err)
	}
	if max(a, b) != old {
		return "", fmt.Errorf("%w: %s holds generation %d, expected %d", keys.ErrUnchanged, dir, max(a, b), old)
	}
	if a == old && b != old {
		return nameB, nil
	}
	return nameA, nil
}

// generation is what a file claims to be; 0 when it is not there or has another form.
func (s *Store) generation(dir, name string) (uint64, error) {
	b, err := s.read(s.fs.PathJoin(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	g, _ := cfks.Generation(b)
	return g, err
}

// write replaces a file. Until the rename, a failure leaves everything as it was.
func (s *Store) write(dir, name string, b []byte) error {
	tmp, err := s.writeTemp(dir, b)
	if err != nil {
		return fmt.Errorf("%w: %w", keys.ErrUnchanged, err)
	}
	if err := s.fs.Rename(tmp, s.fs.PathJoin(dir, name)); err != nil {
		return err
	}
	return s.syncDir(dir)
}

// writeTemp writes b durably under a new name. A failed fsync spoils that file, so it
// is removed and never tried again.
func (s *Store) writeTemp(dir string, b []byte) (path string, err error) {
	var r [8]byte
	rand.Read(r[:])
	path = s.fs.PathJoin(dir, tmpPrefix+hex.EncodeToString(r[:]))
	f, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = s.fs.Remove(path)
		}
	}()
	// An in-memory file system may scribble over what it was given.
	_, err = f.Write(bytes.Clone(b))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return path, err
}

func (s *Store) syncDir(dir string) error {
	d, err := s.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// Settle writes current over every file of every place that differs from it. It goes on
// after a failure and reports all of them.
func (s *Store) Settle(_ context.Context, current []byte) error {
	var errs []error
	for _, dir := range s.places {
		for _, name := range []string{nameA, nameB} {
			path := s.fs.PathJoin(dir, name)
			if b, err := s.read(path); err == nil && bytes.Equal(b, current) {
				continue
			}
			if err := s.write(dir, name, current); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", path, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Exists reports whether a directory holds a key store.
func Exists(fsys vfs.FS, dir string) (bool, error) {
	for _, name := range []string{nameA, nameB} {
		switch _, err := fsys.Stat(fsys.PathJoin(dir, name)); {
		case err == nil:
			return true, nil
		case !errors.Is(err, os.ErrNotExist):
			return false, err
		}
	}
	return false, nil
}
