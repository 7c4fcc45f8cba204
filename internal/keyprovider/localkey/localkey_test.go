package localkey

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keyprovider/keyprovidertest"
	"github.com/coffer-storage/coffer/internal/secret"
)

func TestFileSuite(t *testing.T) {
	keyprovidertest.Run(t, func(t *testing.T) func() keyprovider.Provider {
		path := filepath.Join(t.TempDir(), "new", "unseal.key")
		return func() keyprovider.Provider { return New(path, Options{}) }
	})
}

func TestDefaultSuite(t *testing.T) {
	keyprovidertest.Run(t, func(t *testing.T) func() keyprovider.Provider {
		t.Setenv("XDG_CONFIG_HOME", t.TempDir())
		return func() keyprovider.Provider { return NewDefault(1, Options{}) }
	})
}

func TestMemorySuite(t *testing.T) {
	keyprovidertest.Run(t, func(t *testing.T) func() keyprovider.Provider {
		m := NewMemory()
		return func() keyprovider.Provider { return m }
	})
}

var slotA = keyprovider.Slot{Store: [16]byte{1}, ID: [16]byte{2}, Root: 1}

func TestFileIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	path := filepath.Join(t.TempDir(), "sub", "u.key")
	p := New(path, Options{})
	if _, _, err := p.Make(t.Context(), slotA, [32]byte{}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if info, _ := os.Stat(filepath.Dir(path)); info.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %v, want 0700", info.Mode())
	}
	for _, tt := range []struct {
		mode fs.FileMode
		ok   bool
	}{{0o600, true}, {0o400, true}, {0o640, false}, {0o604, false}, {0o700, false}, {0o620, false}} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		_, _, err := p.Open(t.Context(), slotA)
		if (err == nil) != tt.ok {
			t.Errorf("Open with mode %o = %v", tt.mode, err)
		}
		if err != nil && !strings.Contains(err.Error(), "chmod 0600 "+path) {
			t.Errorf("Open with mode %o = %q, which does not name chmod", tt.mode, err)
		}
	}
}

func TestFileLiesElsewhere(t *testing.T) {
	data := t.TempDir()
	in := filepath.Join(data, "u.key")
	if _, _, err := New(in, Options{DataDir: data}).Make(t.Context(), slotA, [32]byte{}); err == nil {
		t.Error("Make in the data directory succeeds")
	}
	if _, _, err := New(in, Options{DataDir: data, Dev: true}).Make(t.Context(), slotA, [32]byte{}); err != nil {
		t.Errorf("Make in the data directory of a development store = %v", err)
	}
	if _, _, err := New(in, Options{DataDir: data}).Open(t.Context(), slotA); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open in the data directory = %v, want a refusal", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(data, link); err != nil {
		t.Skip(err)
	}
	if _, _, err := New(filepath.Join(link, "u.key"), Options{DataDir: data}).Open(t.Context(), slotA); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open through a link = %v, want a refusal", err)
	}
	if in, err := inside(data+"-other", data); in || err != nil {
		t.Errorf("inside(sibling) = %v, %v", in, err)
	}
}

func TestPaths(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/conf")
	store := [16]byte{0xAB, 1}
	for root, want := range map[uint8]string{
		1: "/conf/coffer/ab010000000000000000000000000000.key",
		2: "/conf/coffer/ab010000000000000000000000000000.infra.key",
	} {
		if got, err := DefaultPath(store, root); err != nil || filepath.ToSlash(got) != want {
			t.Errorf("DefaultPath(%d) = %q, %v; want %q", root, got, err, want)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", "relative") // to be ignored, says the standard
	t.Setenv("HOME", "/home/x")
	if got, _ := DefaultDir(); runtime.GOOS == "linux" && got != "/home/x/.config/coffer" {
		t.Errorf("DefaultDir() = %q", got)
	}
	for path, want := range map[string]string{"/a/u.key": "/a/u.infra.key", "/a.b/u": "/a.b/u.infra", "u.tar.key": "u.tar.infra.key"} {
		if got := InfraPath(path); got != want {
			t.Errorf("InfraPath(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestCheckPlace(t *testing.T) {
	shm, err := fsKind("/dev/shm")
	if err != nil || shm != "tmpfs" {
		t.Skip("no tmpfs here")
	}
	if kind, _ := fsKind("."); kind != "" {
		t.Skip("the tree lies on ", kind)
	}
	wd, _ := os.Getwd()
	if err := CheckPlace("/dev/shm/none/u.key", wd); err == nil || !strings.Contains(err.Error(), "--unseal-key") {
		t.Errorf("CheckPlace(tmpfs, disk) = %v, want a refusal that names the flag", err)
	}
	if err := CheckPlace("/dev/shm/none/u.key", "/dev/shm/data"); err != nil {
		t.Errorf("CheckPlace(tmpfs, tmpfs) = %v", err)
	}
	if err := CheckPlace(filepath.Join(wd, "u.key"), filepath.Join(wd, "data")); err != nil {
		t.Errorf("CheckPlace(disk, disk) = %v", err)
	}
	if same, err := SameDevice("/dev/shm/none/u.key", wd); err != nil || same {
		t.Errorf("SameDevice(tmpfs, disk) = %v, %v", same, err)
	}
}

func sample() *file {
	return &file{store: [16]byte{1}, root: 2, pin: [32]byte{3}, secrets: []entry{
		{[16]byte{4}, secret.New(bytes.Repeat([]byte{5}, 32))},
		{[16]byte{6}, secret.New(bytes.Repeat([]byte{7}, 32))},
	}}
}

// Every byte of a key file counts: changed, it is refused, or it is another store, slot,
// pin or secret; it never reads as before.
func TestFileTamper(t *testing.T) {
	b, err := sample().encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		for _, bit := range []byte{1, 0x20, 0x80} {
			c := bytes.Clone(b)
			c[i] ^= bit
			f, err := parse(c)
			if err != nil {
				continue
			}
			again, err := f.encode()
			if err != nil || !bytes.Equal(again, c) {
				t.Fatalf("byte %d: a file has two spellings", i)
			}
		}
	}
	for n := range b {
		if f, err := parse(b[:n]); err == nil && len(f.secrets) == 2 {
			t.Errorf("a file cut to %d bytes is whole", n)
		}
	}
	if _, err := parse([]byte(strings.Replace(string(b), "key file 1", "key file 2", 1))); !errors.Is(err, ErrForm) {
		t.Errorf("parse of a newer version = %v", err)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	b, _ := sample().encode()
	text := string(b)
	lines := strings.Split(text, "\n")
	for i := range lines {
		cut := append(append([]string{}, lines[:i]...), lines[i+1:]...)
		_, err := parse([]byte(strings.Join(cut, "\n")))
		if err == nil {
			t.Fatalf("parse without line %d succeeds", i)
		}
		if s := fmt.Sprintf("%v %+v", err, err); strings.Contains(s, "BQUF") || strings.Contains(s, "BwcH") {
			t.Errorf("error %q shows a secret", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, err := sample().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(firstLine + "\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		kf, err := parse(b)
		if err != nil {
			if kf != nil {
				t.Error("a failure returned a file")
			}
			return
		}
		again, err := kf.encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("parse has two spellings: %q", b)
		}
	})
}
