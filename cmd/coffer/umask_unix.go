//go:build unix

package main

import (
	"slices"
	"syscall"
)

// privateFiles makes every file of this process readable by its owner only: stores,
// backups, kits. What cse downloads is an ordinary file of the user's.
func privateFiles(args []string) {
	if slices.Contains(args[:min(1, len(args))], "cse") {
		return
	}
	syscall.Umask(0o077)
}
