//go:build !unix

package pebblekv

func openFiles() int { return maxOpenFiles }
