//go:build unix

package pebblekv

import "syscall"

// openFiles is how many files the engine keeps open: half of what the process may have,
// for connections and contents need some, too.
func openFiles() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil || l.Cur/2 > maxOpenFiles {
		return maxOpenFiles
	}
	return int(l.Cur / 2)
}
