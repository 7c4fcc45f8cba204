package server

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestPlainSwap: what puts memory on a disk in the clear is named, and nothing else.
func TestPlainSwap(t *testing.T) {
	dir := t.TempDir()
	blocks := filepath.Join(dir, "block")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(blocks, "dm-0/dm/uuid"), "CRYPT-PLAIN-swap\n")
	write(filepath.Join(blocks, "dm-1/dm/uuid"), "LVM-abc\n")
	write(filepath.Join(dir, "dm-0"), "")
	crypt := filepath.Join(dir, "mapper-swap")
	if err := os.Symlink(filepath.Join(dir, "dm-0"), crypt); err != nil {
		t.Fatal(err)
	}
	const head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	for _, tt := range []struct {
		name, swaps string
		want        []string
	}{
		{"none", head, nil},
		{"in memory", head + "/dev/zram0 partition 1 0 100\n", nil},
		{"encrypted", head + "/dev/dm-0 partition 1 0 -2\n", nil},
		{"encrypted, by a name", head + crypt + " partition 1 0 -2\n", nil},
		{"a volume", head + "/dev/dm-1 partition 1 0 -2\n", []string{"/dev/dm-1"}},
		{"a file and a partition", head + "/swapfile file 1 0 -2\n/dev/sda2 partition 1 0 -3\n", []string{"/swapfile", "/dev/sda2"}},
		{"one of two", head + "/dev/zram0 partition 1 0 100\n/dev/sda2 partition 1 0 -3\n", []string{"/dev/sda2"}},
	} {
		file := filepath.Join(dir, "swaps")
		write(file, tt.swaps)
		if got, err := plainAreas(file, blocks); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
	if _, err := plainAreas(filepath.Join(dir, "missing"), blocks); err == nil {
		t.Error("a system without a list of areas is no error")
	}
}
