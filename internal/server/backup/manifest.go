package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// The plaintext of the file "manifest", which is a SEAL-1 file under the store's key:
//
//	 0  1  version 1
//	 1 16  store id
//	17  8  generation of the key store in the set
//	25  8  commit number: every commit up to it is in the set
//	33  8  created, ns since 1970
//	41  4  count
//	45     count entries in ascending order of paths:
//	       u16 length of path, path with slashes, u64 size, SHA-256 (32)
const (
	manifestVersion = 1
	headSize        = 45
	maxPathLen      = 255
	entryFixed      = 2 + 8 + 32
)

// Manifest lists what a set holds.
type Manifest struct {
	Store      [16]byte
	Generation uint64
	Sequence   uint64
	Created    time.Time
	Files      []File
}

// File is one file of a set.
type File struct {
	Path string // relative, with slashes
	Size uint64
	Sum  [32]byte
}

// ErrForm is any breach of the manifest's form.
var ErrForm = errors.New("backup: the manifest has a wrong form")

// Encode writes the manifest; Files must be in order.
func (m *Manifest) Encode() []byte {
	b := make([]byte, 0, headSize+len(m.Files)*(entryFixed+64))
	b = append(b, manifestVersion)
	b = append(b, m.Store[:]...)
	b = binary.BigEndian.AppendUint64(b, m.Generation)
	b = binary.BigEndian.AppendUint64(b, m.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Created.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Files)))
	for _, f := range m.Files {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f.Path)))
		b = append(b, f.Path...)
		b = binary.BigEndian.AppendUint64(b, f.Size)
		b = append(b, f.Sum[:]...)
	}
	return b
}

// ParseManifest reads what Encode writes, and nothing else.
func ParseManifest(b []byte) (*Manifest, error) {
	if len(b) < headSize || b[0] != manifestVersion {
		return nil, fmt.Errorf("%w: head", ErrForm)
	}
	m := &Manifest{
		Store:      [16]byte(b[1:17]),
		Generation: binary.BigEndian.Uint64(b[17:]),
		Sequence:   binary.BigEndian.Uint64(b[25:]),
		Created:    time.Unix(0, int64(binary.BigEndian.Uint64(b[33:]))).UTC(),
	}
	count := int(binary.BigEndian.Uint32(b[41:]))
	b = b[headSize:]
	if count > len(b)/entryFixed {
		return nil, fmt.Errorf("%w: count", ErrForm)
	}
	m.Files = make([]File, 0, count)
	for range count {
		f, rest, err := parseEntry(b)
		if err != nil {
			return nil, err
		}
		if n := len(m.Files); n > 0 && m.Files[n-1].Path >= f.Path {
			return nil, fmt.Errorf("%w: order", ErrForm)
		}
		m.Files, b = append(m.Files, f), rest
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: length", ErrForm)
	}
	return m, nil
}

func parseEntry(b []byte) (File, []byte, error) {
	if len(b) < 2 {
		return File{}, nil, fmt.Errorf("%w: entry", ErrForm)
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > maxPathLen || len(b) < entryFixed+n {
		return File{}, nil, fmt.Errorf("%w: entry", ErrForm)
	}
	f := File{Path: string(b[2 : 2+n])}
	b = b[2+n:]
	f.Size, f.Sum = binary.BigEndian.Uint64(b), [32]byte(b[8:40])
	if !safe(f.Path) {
		return File{}, nil, fmt.Errorf("%w: path", ErrForm)
	}
	return f, b[40:], nil
}

// safe reports whether a path stays inside the set, in one spelling, on every system.
func safe(p string) bool {
	if p == "" || p == "." || path.Clean(p) != p || path.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../") {
		return false
	}
	return !strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 || r > 0x7e || strings.ContainsRune(`\:*?"<>|`, r) })
}

func sortFiles(fs []File) {
	slices.SortFunc(fs, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
}
