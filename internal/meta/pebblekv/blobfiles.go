package pebblekv

import (
	"errors"
	"fmt"
	"os"

	"github.com/coffer-storage/coffer/internal/fault"
)

// checkBlobFiles refuses a store whose blob files are not as the MANIFEST says. Pebble
// looks at its tables only, and panics when it meets a blob file that was missing at the
// start.
func (s *Store) checkBlobFiles() (err error) {
	version := s.db.DebugCurrentVersion()
	for {
		held, ierr := s.db.NewIter(nil) // keeps the files of a version
		if ierr != nil {
			return ierr
		}
		defer func() { err = errors.Join(err, held.Close()) }()
		now := s.db.DebugCurrentVersion()
		if now == version {
			break
		}
		version = now
	}
	for b := range version.BlobFiles.All() {
		path := s.fs.PathJoin(s.fs.LSM(), b.Physical.FileNum.String()+".blob")
		info, err := s.fs.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			err = errors.New("the file is missing; put it back or restore a backup")
		case err != nil:
			return err
		case uint64(info.Size()) != b.Physical.Size:
			err = fmt.Errorf("it has %d bytes and not the %d that were written; put the file back or restore a backup", info.Size(), b.Physical.Size)
		default:
			continue
		}
		return fault.New("pebblekv.Open", path, fault.Corrupt, err)
	}
	return nil
}
