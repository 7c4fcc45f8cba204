package localkey

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CheckPlace refuses a place for key files that does not outlive the machine or the
// container while the data do: a key file on overlay or tmpfs beside data on a disk.
// Neither needs to exist yet.
func CheckPlace(keyPath, dataDir string) error {
	key, err := fsKind(existing(keyPath))
	if err != nil {
		return err
	}
	data, err := fsKind(existing(dataDir))
	if err != nil {
		return err
	}
	if key != "" && data == "" {
		return fmt.Errorf("the key file %s would lie on %s, which is gone before the data are: "+
			"name a lasting place outside the data directory with --unseal-key FILE", keyPath, key)
	}
	return nil
}

// SameDevice reports whether a key file lies on the disk that holds the data: who takes
// the disk has both.
func SameDevice(keyPath, dataDir string) (bool, error) {
	return sameDevice(existing(keyPath), existing(dataDir))
}

// existing is the nearest parent of path that is there.
func existing(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return "."
	}
	for {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		up := filepath.Dir(path)
		if up == path {
			return path
		}
		path = up
	}
}

// inside reports whether path lies in dir, links followed.
func inside(path, dir string) (bool, error) {
	path, err := resolve(path)
	if err != nil {
		return false, err
	}
	dir, err = resolve(dir)
	if err != nil {
		return false, err
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return false, nil // on another volume
	}
	return rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)), nil
}

// resolve follows the links of the part of path that exists.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	base := existing(path)
	real, err := filepath.EvalSymlinks(base)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", err
	}
	rest, err := filepath.Rel(base, path)
	if err != nil {
		return "", err
	}
	return filepath.Join(real, rest), nil
}
