package sealedfs

import (
	"errors"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
)

// AppendFile is an audit file that is being written: one authenticated frame per
// Append. It is safe in parallel.
type AppendFile struct{ w *appendFile }

// CreateAudit creates audit/N.aud. It is durable, and HEAD lists it as the newest,
// before the call returns. n must be above all that there are.
func (f *FS) CreateAudit(n uint64) (*AppendFile, error) {
	have, err := f.Audits()
	if err != nil {
		return nil, err
	}
	if len(have) > 0 && have[len(have)-1] >= n {
		return nil, os.ErrExist
	}
	path := f.entryPath(EntryAudit, n)
	w, err := f.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	dir, err := f.OpenDir(f.audit)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return &AppendFile{w.(*appendFile)}, nil
}

// Append writes one frame (p is not empty and at most 1 MiB). It is durable after
// Sync. An error is final.
func (a *AppendFile) Append(p []byte) error {
	if len(p) == 0 || len(p) > vfsframe.MaxAppend {
		return vfsframe.ErrFormat
	}
	_, err := a.w.Write(p)
	return err
}

// Sync makes all frames durable. An error is final: it is never tried again.
func (a *AppendFile) Sync() error { return a.w.Sync() }

// Size is the number of bytes on disk so far.
func (a *AppendFile) Size() int64 { return a.w.size() }

// Close syncs and writes the end frame.
func (a *AppendFile) Close() error { return a.w.Close() }

// Audits returns the numbers of the audit files there are, ascending.
func (f *FS) Audits() ([]uint64, error) {
	names, err := f.lower.List(f.audit)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ns []uint64
	for _, base := range names {
		if n, err := parseName(base); err == nil && n.kind == kindAudit {
			ns = append(ns, n.number)
		}
	}
	slices.Sort(ns)
	return ns, nil
}

// ReadAudit calls visit for every frame of audit/N.aud in order; p is valid only
// during the call. The tail rule applies; of a file that is being written, the frames
// that are complete are read.
func (f *FS) ReadAudit(n uint64, visit func(p []byte) error) error {
	path := f.entryPath(EntryAudit, n)
	var tail vfsframe.Tail
	return f.frames(path, func(t vfsframe.Tail) { f.torn(path, t) }, visit, &tail)
}
