package fileextent

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// startWriteback asks the kernel to begin writing a range. It promises nothing, so its
// errors are those of the sync that follows.
func startWriteback(f vfs.File, off, n int64) {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		_ = unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE)
	}
}

// dropPages gives the memory back in which the kernel keeps a synced file: it is for
// what is read, and the next upload writes in memory that is in use already, which a
// virtual machine need not ask its host for. It promises nothing.
func dropPages(f vfs.File) {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		_ = unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED)
	}
}
