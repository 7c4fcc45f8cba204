//go:build !linux

package fileextent

import "github.com/cockroachdb/pebble/v2/vfs"

// startWriteback is for Linux: elsewhere the sync does it all.
func startWriteback(vfs.File, int64, int64) {}

func dropPages(vfs.File) {}
