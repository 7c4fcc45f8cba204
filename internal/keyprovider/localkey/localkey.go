// Package localkey keeps slot secrets in key files: provider 1 of the key store.
//
// A key file is text, one for each root of a store, readable by its owner alone:
//
//	coffer key file 1
//	store <store id>
//	root service|infrastructure
//	pin <hash of the key that signs the key store>
//	slot <slot id>
//	secret <32 bytes in base64>
//
// Who has it and the data directory reads everything, so it lies elsewhere: Open and
// Make refuse one inside the data directory unless the store is for development.
package localkey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/secret"
)

// File is a provider over one key file.
type File struct {
	path func(store [16]byte) (string, error)
	o    Options

	mu sync.Mutex
}

var _ keyprovider.Provider = (*File)(nil)

// Options of a File.
type Options struct {
	// DataDir is where the data are; a key file inside it is refused unless Dev.
	DataDir string
	Dev     bool
}

// New returns the provider of the key file at path. It is made by Make.
func New(path string, o Options) *File {
	return &File{o: o, path: func([16]byte) (string, error) { return path, nil }}
}

// NewDefault returns the provider of the key file at the default place of whatever
// store it is asked for: see DefaultPath.
func NewDefault(root uint8, o Options) *File {
	return &File{o: o, path: func(store [16]byte) (string, error) { return DefaultPath(store, root) }}
}

// DefaultPath is where the key file of a root lies unless another place is named:
// <config>/coffer/<store id>.key for the service root and <store id>.infra.key for the
// other, where <config> is $XDG_CONFIG_HOME or ~/.config.
func DefaultPath(store [16]byte, root uint8) (string, error) {
	dir, err := DefaultDir()
	if err != nil {
		return "", err
	}
	ending := ".key"
	if root == 2 {
		ending = ".infra.key"
	}
	return filepath.Join(dir, fmt.Sprintf("%x", store)+ending), nil
}

// DefaultDir is the directory of DefaultPath.
func DefaultDir() (string, error) {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" || !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no place for key files: %w; name one with --unseal-key", err)
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "coffer"), nil
}

// InfraPath is the default place of the infrastructure key file beside a named one:
// ".infra" goes before the ending.
func InfraPath(path string) string {
	ext := filepath.Ext(path)
	return path[:len(path)-len(ext)] + ".infra" + ext
}

// Path is where the key file of a store lies.
func (f *File) Path(store [16]byte) (string, error) { return f.path(store) }

// Kind is SecretBytes.
func (f *File) Kind() keyprovider.Kind { return keyprovider.SecretBytes }

// Make adds a secret for the slot to the key file, or makes the file.
func (f *File) Make(_ context.Context, s keyprovider.Slot, pin [32]byte) (secret.Key, []byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, kf, err := f.load(s)
	if errors.Is(err, fs.ErrNotExist) {
		kf = &file{store: s.Store, root: s.Root, pin: pin}
		err = nil
	}
	if err != nil {
		return secret.Key{}, nil, err
	}
	defer kf.destroy()
	if kf.pin != pin {
		return secret.Key{}, nil, fmt.Errorf("%s: it has the pin of another key store; name another file", path)
	}
	if _, ok := kf.find(s.ID); ok {
		return secret.Key{}, nil, fmt.Errorf("%s: the slot has a secret already", path)
	}
	kf.secrets = append(kf.secrets, entry{s.ID, secret.Random(secretSize)})
	if err := write(path, kf); err != nil {
		return secret.Key{}, nil, err
	}
	u, err := clone(kf.secrets[len(kf.secrets)-1].secret)
	return u, nil, err
}

// Open reads the secret of a slot.
func (f *File) Open(_ context.Context, s keyprovider.Slot) (secret.Key, [32]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, kf, err := f.load(s)
	if err != nil {
		return secret.Key{}, [32]byte{}, err
	}
	defer kf.destroy()
	u, ok := kf.find(s.ID)
	if !ok {
		return secret.Key{}, [32]byte{}, fmt.Errorf("%s: %w", path, keyprovider.ErrNoSecret)
	}
	u, err = clone(u)
	return u, kf.pin, err
}

// Prune rewrites the key file without the secrets of other slots.
func (f *File) Prune(_ context.Context, s keyprovider.Slot, keep [][16]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, kf, err := f.load(s)
	if err != nil {
		return err
	}
	defer kf.destroy()
	left := &file{store: kf.store, root: kf.root, pin: kf.pin}
	for _, id := range keep {
		if u, ok := kf.find(id); ok {
			left.secrets = append(left.secrets, entry{id, u})
		}
	}
	if len(left.secrets) == len(kf.secrets) {
		return nil
	}
	if len(left.secrets) == 0 {
		return fmt.Errorf("%s: it would be left without a secret", path)
	}
	return write(path, left)
}

// load reads and checks the key file for a slot's store and root.
func (f *File) load(s keyprovider.Slot) (string, *file, error) {
	path, err := f.path(s.Store)
	if err != nil {
		return "", nil, err
	}
	if err := f.checkInside(path); err != nil {
		return "", nil, err
	}
	b, err := read(path)
	if err != nil {
		return path, nil, err
	}
	defer clear(b)
	kf, err := parse(b)
	if err != nil {
		return path, nil, fmt.Errorf("%s: %w", path, err)
	}
	if kf.store != s.Store || kf.root != s.Root {
		kf.destroy()
		return path, nil, fmt.Errorf("%s: it is the %s key file of store %x", path, rootNames[kf.root], kf.store)
	}
	return path, kf, nil
}

func (f *File) checkInside(path string) error {
	if f.o.Dev || f.o.DataDir == "" {
		return nil
	}
	in, err := inside(path, f.o.DataDir)
	if err != nil {
		return err
	}
	if in {
		return fmt.Errorf("%s: a key file inside the data directory protects nothing; move it out, or run with --dev", path)
	}
	return nil
}

func clone(k secret.Key) (secret.Key, error) {
	return secret.Fill(secretSize, func(b []byte) error {
		return k.Use(func(u []byte) error {
			copy(b, u)
			return nil
		})
	})
}

// read returns the bytes of a key file that only its owner can read.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkMode(path, info); err != nil {
		return nil, err
	}
	b := make([]byte, maxFile+1)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		clear(b)
		return nil, err
	}
	return b[:n], nil
}

// write replaces a key file durably; the directory is made with it.
func write(path string, kf *file) (err error) {
	b, err := kf.encode()
	if err != nil {
		return err
	}
	defer clear(b)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".coffer-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(b); err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}
