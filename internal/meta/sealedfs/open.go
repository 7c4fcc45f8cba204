package sealedfs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	"github.com/coffer-storage/coffer/internal/crypt/vfsframe"
	"github.com/coffer-storage/coffer/internal/fault"
)

// ErrNoHead says that there is no HEAD file: the store was never created.
var ErrNoHead = errors.New("sealedfs: no HEAD")

// Expect says what Check may put up with.
type Expect struct {
	// Uninitialized: the key store says that creation did not end; one HEAD is enough.
	Uninitialized bool
	// AcceptRollback goes on where HEAD or the logs were lost or put back. It is
	// audited by the caller. The key store must fit all the same.
	AcceptRollback bool
}

// Check does steps 3 to 5 of opening: HEAD, what it says of the key store, and the
// logs that it lists. After it FS goes on from this HEAD. Nothing is written.
// The error is ErrNoHead, a *fault.Error that says what to do next, or the disk's.
func (f *FS) Check(e Expect) (Head, error) {
	h, err := f.readHeads(e)
	if err != nil {
		return Head{}, err
	}
	if h.Seq > 0 {
		if err := f.checkHead(&h); err != nil {
			return Head{}, err
		}
	}
	seqs, err := f.checkFiles(&h)
	if err != nil && !(e.AcceptRollback && fault.Is(err, fault.Rollback)) {
		return Head{}, err
	}
	if err != nil {
		f.opts.Logger.Warn("accepted: the store is older than it was, or parts are missing", "cause", err.Error())
	}
	f.headMu.Lock()
	f.head.seq = h.Seq
	if h.Seq > 0 {
		f.head.format = h.Format
	}
	f.headMu.Unlock()
	f.mu.Lock()
	f.head.listed = seqs
	f.mu.Unlock()
	return h, nil
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

func rollback(what, text string) error {
	return fault.New("sealedfs.Open", what, fault.Rollback, errors.New(text))
}

func newer(format uint32) error {
	return fault.New("sealedfs.Open", "HEAD", fault.NewerFormat, fmt.Errorf(
		"the store has format %d and this program knows up to %d; install the version of coffer that wrote it, or a later one",
		format, Format))
}

const restoreHint = "put the files back as they were, restore a backup, or, if you know that the store was set back on purpose, start once with --accept-rollback"

// hinted says what to do about damage.
func hinted(what string, err error) error {
	if !fault.Is(err, fault.Corrupt) {
		return err
	}
	return fault.New("sealedfs.Open", what, fault.Corrupt, fmt.Errorf("%w; %s", err, restoreHint))
}

// readHeads reads both files; the newer counts.
func (f *FS) readHeads(e Expect) (Head, error) {
	var heads []Head
	var missing, broken []string
	for _, base := range []string{"HEAD.A", "HEAD.B"} {
		h, err := f.readHead(base)
		switch {
		case err == nil:
			heads = append(heads, h)
		case errors.Is(err, os.ErrNotExist):
			missing = append(missing, base)
		case fault.Is(err, fault.NewerFormat):
			return Head{}, err
		case isFault(err): // of the file, or of the key that it names
			f.opts.Logger.Warn("HEAD does not open", "file", base, "cause", err.Error())
			broken = append(broken, base)
		default:
			return Head{}, err
		}
	}
	switch {
	case len(missing) == 2 && !e.AcceptRollback:
		return Head{}, ErrNoHead
	case len(heads) == 0 && e.AcceptRollback:
		return Head{}, nil
	case len(heads) == 0:
		return Head{}, fault.New("sealedfs.Open", "HEAD", fault.Corrupt, errors.New("no HEAD file opens; "+restoreHint))
	case len(heads) == 1 && len(broken) == 1 && !e.AcceptRollback:
		return Head{}, fault.New("sealedfs.Open", broken[0], fault.Corrupt, errors.New("the file does not open; "+restoreHint))
	case len(heads) == 1:
		if !e.Uninitialized && !e.AcceptRollback {
			return Head{}, rollback(missing[0], "the file is missing; "+restoreHint)
		}
		return heads[0], nil
	}
	older, newest := heads[0], heads[1]
	if older.Seq > newest.Seq {
		older, newest = newest, older
	}
	if older.Seq+1 != newest.Seq && !e.AcceptRollback {
		return Head{}, rollback("HEAD", fmt.Sprintf("HEAD.A and HEAD.B have numbers %d and %d, which never stood side by side; %s",
			older.Seq, newest.Seq, restoreHint))
	}
	return newest, nil
}

func (f *FS) readHead(base string) (Head, error) {
	b, err := ReadSmall(f.lower, f.lower.PathJoin(f.dir, base))
	if err != nil {
		return Head{}, err
	}
	plain, err := OpenFile(f.keys, "HEAD", b)
	if err != nil {
		return Head{}, err
	}
	h, err := ParseHead(plain)
	if err == nil && headName(h.Seq) != base {
		err = fault.New("sealedfs.Open", base, fault.Corrupt, errors.New("the file belongs to the other name"))
	}
	return h, err
}

// checkHead is step 4: is it this store, this format, and a key store not older?
func (f *FS) checkHead(h *Head) error {
	if h.StoreID != f.keys.StoreID() {
		return rollback("HEAD", "HEAD and key store belong to different stores; "+restoreHint)
	}
	if h.Format > Format {
		return newer(h.Format)
	}
	gen, sum := f.keys.Generation()
	const hint = "the store would run with keys that it no longer trusts or without keys that it needs; " +
		"put back the newest key-store file, or use `coffer keys restore --older`"
	switch {
	case gen < h.Generation:
		return rollback("keystore", fmt.Sprintf("its generation is %d, HEAD has seen %d: %s", gen, h.Generation, hint))
	case gen == h.Generation && sum != h.Sum:
		return rollback("keystore", fmt.Sprintf("generation %d has other bytes than HEAD has seen: %s", gen, hint))
	}
	return nil
}

// checkFiles is step 5. It returns how far each listed file is known to be durable:
// what HEAD said, or what the frames themselves say; not what happens to be readable,
// which a power cut may still take.
func (f *FS) checkFiles(h *Head) (map[fileRef]uint64, error) {
	known := make(map[fileRef]uint64)
	var failed error
	note := func(err error) {
		if failed == nil || fault.Is(failed, fault.Rollback) && !fault.Is(err, fault.Rollback) {
			failed = err
		}
	}
	marked, err := f.marked()
	if err != nil {
		return nil, err
	}
	for _, e := range h.Entries {
		path := f.entryPath(e.Type, e.Number)
		if e.Type == EntryManifest {
			switch {
			case marked == 0:
				note(rollback("MANIFEST", "the marker that names it is missing; "+restoreHint))
				continue
			case marked < e.Number:
				note(rollback("MANIFEST", fmt.Sprintf("the marker names number %d, HEAD has seen %d; %s", marked, e.Number, restoreHint)))
				continue
			case marked > e.Number:
				continue // below
			}
		}
		tail, err := f.scan(path)
		if err == nil && (tail.Seq < e.Seq || h.Clean && tail.Seq != e.Seq) {
			err = rollback(f.lower.PathBase(path), fmt.Sprintf("the %s ends at frame %d, HEAD has seen %d; %s",
				e.Type, tail.Seq, e.Seq, restoreHint))
		}
		if errors.Is(err, os.ErrNotExist) {
			err = rollback(f.lower.PathBase(path), fmt.Sprintf("the %s is missing; %s", e.Type, restoreHint))
		}
		if err != nil {
			note(hinted(path, err))
			continue
		}
		known[fileRef{e.Type, e.Number}] = max(e.Seq, tail.Synced)
	}
	if e, ok := h.entry(EntryManifest); marked > 0 && (!ok || marked > e.Number) {
		// It came into force after the last HEAD.
		tail, err := f.scan(f.entryPath(EntryManifest, marked))
		if err != nil {
			note(hinted("MANIFEST", err))
		} else {
			known[fileRef{EntryManifest, marked}] = tail.Synced
		}
	}
	return known, failed
}

// Marker returns the value that an engine's marker has, or "".
func (f *FS) Marker(marker string) (string, error) {
	value, err := atomicfs.ReadMarker(f.lower, f.lsm, marker)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", hinted("marker", fault.New("sealedfs.Marker", marker, fault.Corrupt, err))
	}
	return value, nil
}

// marked returns N of the MANIFEST that the marker names, or 0.
func (f *FS) marked() (uint64, error) {
	value, err := f.Marker("manifest")
	if err != nil || value == "" {
		return 0, err
	}
	n, err := parseName(value)
	if err != nil || n.kind != kindManifest {
		return 0, fault.New("sealedfs.Open", "marker", fault.Corrupt, fmt.Errorf("it names %q, which is no MANIFEST; %s", value, restoreHint))
	}
	return n.number, nil
}

// entryPath returns where a listed file lies; the names are those that are written.
func (f *FS) entryPath(t EntryType, n uint64) string {
	switch t {
	case EntryWAL:
		return f.lower.PathJoin(f.lsm, fmt.Sprintf("%06d.log", n))
	case EntryManifest:
		return f.lower.PathJoin(f.lsm, fmt.Sprintf("MANIFEST-%06d", n))
	default:
		return f.lower.PathJoin(f.audit, fmt.Sprintf("%06d.aud", n))
	}
}

// scan reads a class 2 file to its end.
func (f *FS) scan(path string) (vfsframe.Tail, error) {
	var tail vfsframe.Tail
	err := f.frames(path, func(vfsframe.Tail) {}, func([]byte) error { return nil }, &tail)
	return tail, err
}

// frames calls visit for every frame of a class 2 file.
func (f *FS) frames(path string, torn func(vfsframe.Tail), visit func([]byte) error, tail *vfsframe.Tail) error {
	n, err := parseName(f.lower.PathBase(path))
	if err != nil {
		return err
	}
	lower, err := f.lower.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer lower.Close()
	r, err := f.open(path, n, lower)
	if err != nil {
		return corrupt("sealedfs.Open", f.lower.PathBase(path), err)
	}
	s := r.(*appendReader).s
	for {
		p, err := s.Next()
		if err == io.EOF {
			*tail = s.Tail()
			torn(*tail)
			return nil
		}
		if err != nil {
			return corrupt("sealedfs.Read", f.lower.PathBase(path), err)
		}
		if err := visit(p); err != nil {
			return err
		}
	}
}
