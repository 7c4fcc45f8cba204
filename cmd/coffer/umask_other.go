//go:build !unix

package main

// privateFiles does nothing: access follows the directory's.
func privateFiles([]string) {}
