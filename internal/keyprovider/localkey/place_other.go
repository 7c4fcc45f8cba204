//go:build !unix

package localkey

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// checkMode cannot see access lists here; the profile's directory is its owner's.
func checkMode(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", path)
	}
	return nil
}

// syncDir has no counterpart on this system: a rename is durable with its file.
func syncDir(string) error { return nil }

func sameDevice(a, b string) (bool, error) {
	return strings.EqualFold(filepath.VolumeName(a), filepath.VolumeName(b)), nil
}
