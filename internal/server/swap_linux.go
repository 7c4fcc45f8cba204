package server

import (
	"os"
	"path/filepath"
	"strings"
)

// plainSwap lists swap areas that put memory on a disk in the clear.
func plainSwap() ([]string, error) { return plainAreas("/proc/swaps", "/sys/block") }

// plainAreas reads the list of areas, and what block devices are.
func plainAreas(swaps, blocks string) ([]string, error) {
	b, err := os.ReadFile(swaps)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		fields := strings.Fields(line)
		if i == 0 || len(fields) == 0 || swapIsSafe(blocks, fields[0]) {
			continue
		}
		out = append(out, fields[0])
	}
	return out, nil
}

// swapIsSafe reports whether an area is memory (zram) or lies on dm-crypt.
func swapIsSafe(blocks, area string) bool {
	if real, err := filepath.EvalSymlinks(area); err == nil {
		area = real
	}
	base := filepath.Base(area)
	if strings.HasPrefix(base, "zram") {
		return true
	}
	uuid, err := os.ReadFile(filepath.Join(blocks, base, "dm", "uuid"))
	return err == nil && strings.HasPrefix(string(uuid), "CRYPT-")
}
