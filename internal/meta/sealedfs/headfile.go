package sealedfs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// headState is what the next HEAD is made of.
type headState struct {
	// Under FS.headMu.
	seq    uint64 // of the last HEAD on disk
	format uint32 // of the store: the older one until the engine has brought it up to date
	closed bool   // a clean HEAD was written; nothing may follow it

	// Under FS.mu.
	listed  map[fileRef]uint64      // the files of the next HEAD, with what is known to be durable
	writers map[fileRef]*appendFile // files of the live directories that this process made
}

// headName is the file that a HEAD of number seq goes to: A and B in turn.
func headName(seq uint64) string {
	if seq%2 == 1 {
		return "HEAD.A"
	}
	return "HEAD.B"
}

// live reports whether a directory is one that HEAD describes.
func (f *FS) live(dir string) bool { return dir == f.lsm || dir == f.audit }

func entryType(k kind) (EntryType, bool) {
	switch k {
	case kindLog:
		return EntryWAL, true
	case kindAudit:
		return EntryAudit, true
	case kindManifest:
		return EntryManifest, true
	default:
		return 0, false
	}
}

// noteCreated remembers a new file until a sync of its directory makes it durable:
// only then may HEAD demand it.
func (f *FS) noteCreated(path string, n name, w *appendFile) {
	dir := f.lower.PathDir(path)
	t, ok := entryType(n.kind)
	if !ok || !f.live(dir) {
		return
	}
	ref := fileRef{t, n.number}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.head.writers[ref] = w
	if t != EntryManifest { // that one comes into force by its marker
		f.created[dir] = append(f.created[dir], ref)
	}
}

// noteMarker remembers that a marker names MANIFEST-n.
func (f *FS) noteMarker(path string, n uint64) {
	dir := f.lower.PathDir(path)
	if dir != f.lsm {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.created[dir] = append(f.created[dir], fileRef{EntryManifest, n})
}

// syncDir syncs a directory and, if names that HEAD must list became durable by
// that, writes HEAD before it returns.
func (f *FS) syncDir(path string, dir vfs.File) error {
	if !f.live(path) {
		return dir.Sync()
	}
	if err := f.usable(); err != nil {
		return f.fatal(err)
	}
	f.mu.Lock()
	refs := f.created[path]
	delete(f.created, path)
	f.mu.Unlock()
	if err := dir.Sync(); err != nil {
		return f.fatal(fmt.Errorf("sync of directory %s: %w", path, err))
	}
	if len(refs) == 0 {
		return nil
	}
	f.mu.Lock()
	for _, ref := range refs {
		f.list(ref)
	}
	f.mu.Unlock()
	err := f.writeHead(false)
	if err != nil && !errors.Is(err, errHeadClosed) {
		return f.fatal(fmt.Errorf("write of HEAD: %w", err))
	}
	return err
}

// list makes a durable file part of HEAD. Under mu.
func (f *FS) list(ref fileRef) {
	if _, ok := f.head.writers[ref]; !ok && ref.typ != EntryManifest {
		return // removed again before it was durable
	}
	if ref.typ != EntryWAL {
		// One of these at a time: the one in force, the newest.
		maps.DeleteFunc(f.head.listed, func(r fileRef, _ uint64) bool { return r.typ == ref.typ })
	}
	f.head.listed[ref] = 0
}

// unlist makes HEAD forget a file before it is removed or replaced.
func (f *FS) unlist(path string, n name) error {
	t, ok := entryType(n.kind)
	if !ok || !f.live(f.lower.PathDir(path)) {
		return nil
	}
	ref := fileRef{t, n.number}
	f.mu.Lock()
	_, listed := f.head.listed[ref]
	if listed && t == EntryManifest {
		f.mu.Unlock()
		return fmt.Errorf("%w: removal of the MANIFEST in force", errRefused)
	}
	delete(f.head.listed, ref)
	delete(f.head.writers, ref)
	f.mu.Unlock()
	if !listed {
		return nil
	}
	return f.writeHead(false)
}

// entries is the list for the next HEAD.
func (f *FS) entries() []Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	es := make([]Entry, 0, len(f.head.listed))
	for ref, seq := range f.head.listed {
		if w := f.head.writers[ref]; w != nil {
			seq = w.syncedSeq()
		}
		es = append(es, Entry{ref.typ, ref.n, seq})
	}
	sortEntries(es)
	return es
}

var errHeadClosed = errors.New("sealedfs: HEAD says clean already")

// writeHead writes the next HEAD. When the outcome is not known, nothing can be
// promised any more: that is fatal.
func (f *FS) writeHead(clean bool) error {
	err := f.tryHead(clean)
	if errors.Is(err, errUncertain) && !errors.Is(err, errFailed) {
		return f.fatal(fmt.Errorf("write of HEAD: %w", err))
	}
	return err
}

func (f *FS) tryHead(clean bool) error {
	f.headMu.Lock()
	defer f.headMu.Unlock()
	if err := f.usable(); err != nil {
		return err
	}
	if f.head.closed {
		return errHeadClosed
	}
	h := Head{Clean: clean, StoreID: f.keys.StoreID(), Format: f.head.format, Seq: f.head.seq + 1, Entries: f.entries()}
	h.Generation, h.Sum = f.keys.Generation()
	b, err := SealFile(f.keys, "HEAD", h.Bytes())
	if err != nil {
		return err
	}
	if err := WriteAtomic(f.lower, f.lower.PathJoin(f.dir, headName(h.Seq)), b); err != nil {
		return err
	}
	f.head.seq = h.Seq
	f.head.closed = clean
	return nil
}

// Started writes HEAD with clean 0, after the engine has opened, and removes the
// MANIFESTs that are not in force: the engine keeps one, which would hold on to an old
// key. From now on failures end the process.
func (f *FS) Started() error {
	f.headMu.Lock()
	f.head.format = Format
	f.headMu.Unlock()
	if err := f.writeHead(false); err != nil {
		return err
	}
	if err := f.removeOldManifests(); err != nil {
		return err
	}
	f.mu.Lock()
	f.started = true
	f.mu.Unlock()
	return nil
}

func (f *FS) removeOldManifests() error {
	marked, err := f.marked()
	if err != nil {
		return err
	}
	names, err := f.lower.List(f.lsm)
	if err != nil {
		return err
	}
	for _, base := range names {
		if n, err := parseName(base); err == nil && n.kind == kindManifest && n.number < marked {
			if err := f.Remove(f.lower.PathJoin(f.lsm, base)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// AfterSwap makes HEAD name the key-store generation that was just made durable.
func (f *FS) AfterSwap() error { return f.writeHead(false) }

// Stopped closes the audit files and writes HEAD with clean 1 and exact seqs. The
// engine is closed already.
func (f *FS) Stopped() error {
	f.mu.Lock()
	f.started, f.opts.Opening = false, nil // a failure is an error again: the next start finds clean 0
	open := slices.Collect(maps.Values(f.writers))
	f.mu.Unlock()
	for _, w := range open {
		if err := w.Close(); err != nil {
			return err
		}
	}
	if err := f.failedWriter(); err != nil {
		return err
	}
	if err := f.settle(); err != nil {
		return err
	}
	return f.writeHead(true)
}

// failedWriter returns the error of a listed file that could not be finished: nobody
// knows where it ends, so that the seq in HEAD is not exact.
func (f *FS) failedWriter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ref := range f.head.listed {
		if w := f.head.writers[ref]; w != nil {
			if err := w.failed(); err != nil {
				return fmt.Errorf("the end of a %v is not known: %w", ref.typ, err)
			}
		}
	}
	return nil
}

// settle finds the exact end of listed files that this process has not written: what
// was readable of them at the start is made durable, and counts from now on.
func (f *FS) settle() error {
	for _, e := range f.entries() {
		ref := fileRef{e.Type, e.Number}
		f.mu.Lock()
		own := f.head.writers[ref] != nil
		f.mu.Unlock()
		if own {
			continue
		}
		path := f.entryPath(e.Type, e.Number)
		if err := syncFile(f.lower, path); err != nil {
			return err
		}
		tail, err := f.scan(path)
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.head.listed[ref] = tail.Seq
		f.mu.Unlock()
	}
	return nil
}

func syncFile(lower vfs.FS, path string) error {
	// Some systems sync a file only through a handle that could write.
	r, err := lower.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(r.Sync(), r.Close())
}
