package fileextent

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/coffer-storage/coffer/internal/extent"
)

// tree is the files of one class, in 256 directories by the first byte of their id.
type tree struct {
	class extent.Class
	root  string
	dirs  [dirCount]group

	mu   sync.Mutex // held while it is made
	made atomic.Bool
}

// treeOf is the tree of a class that a chunk goes to. It is made when it is not there.
func (s *Store) treeOf(c extent.Class) (*tree, error) {
	switch {
	case c == extent.Single:
		return s.single, nil
	case c == extent.Double && s.o.Infra != nil:
		return s.double, s.makeTree(s.double)
	case c == extent.Double:
		return nil, errDouble
	}
	return nil, fmt.Errorf("fileextent: class %d", c)
}

// trees are those that are there.
func (s *Store) trees() []*tree {
	if s.double.made.Load() {
		return []*tree{s.single, s.double}
	}
	return []*tree{s.single}
}

// makeTree makes a tree, durable before the first extent lies in it: every directory
// that may have a new entry is synced, up to the one that was there before. The first
// three always: a process that died here may have made them.
func (s *Store) makeTree(t *tree) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made.Load() {
		return nil
	}
	dirs := []string{t.root}
	for d := t.root; len(dirs) < 3 || !s.exists(d); {
		up := s.fs.PathDir(d)
		if up == d {
			break
		}
		d = up
		dirs = append(dirs, d)
	}
	for i := range dirCount {
		if err := s.fs.MkdirAll(s.dir(t, byte(i)), 0o700); err != nil {
			return err
		}
	}
	for _, d := range dirs {
		if err := s.syncDir(d); err != nil {
			return err
		}
	}
	t.made.Store(true)
	return nil
}

func (s *Store) dir(t *tree, first byte) string {
	return s.fs.PathJoin(t.root, hex.EncodeToString([]byte{first}))
}

func (s *Store) path(t *tree, id [16]byte, suffix string) string {
	return s.fs.PathJoin(s.dir(t, id[0]), hex.EncodeToString(id[:])+suffix)
}

// placePath is the file that holds a chunk: its length says which kind it is.
func (s *Store) placePath(p extent.Place) string {
	t := s.single
	if p.Double {
		t = s.double
	}
	if p.Length >= extent.OwnSize {
		return s.path(t, p.Extent, "")
	}
	return s.path(t, p.Extent, sharedSuffix)
}

// eachName calls f for every file.
func (s *Store) eachName(f func(t *tree, dir, name string) error) error {
	for _, t := range s.trees() {
		for i := range dirCount {
			dir := s.dir(t, byte(i))
			names, err := s.fs.List(dir)
			if err != nil {
				return err
			}
			for _, name := range names {
				if err := f(t, dir, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// newID draws the id of an extent, in a directory that is sound.
func (s *Store) newID(t *tree) ([16]byte, error) {
	var id [16]byte
	for range 64 {
		rand.Read(id[:])
		if t.dirs[id[0]].failed() == nil {
			return id, nil
		}
	}
	return id, fmt.Errorf("fileextent: no sound directory: %w", t.dirs[id[0]].failed())
}

func (s *Store) syncDir(dir string) error {
	d, err := s.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncDirOf makes the name of an extent durable, together with others in its directory.
func (s *Store) syncDirOf(t *tree, id [16]byte) error {
	return t.dirs[id[0]].sync(func() error { return s.syncDir(s.dir(t, id[0])) })
}
