package sealedfs

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// WriteHeads writes both HEAD files for a data directory that was put together from
// a backup, or for the backup itself: they list what lies in dir/lsm and dir/audit,
// which must be complete and closed, and name the key store of k.
func WriteHeads(lower vfs.FS, dir string, k Keys) error {
	f := New(lower, dir, k, Options{})
	h := Head{Clean: true, StoreID: k.StoreID(), Format: Format}
	h.Generation, h.Sum = k.Generation()
	var err error
	if h.Entries, err = f.survey(); err != nil {
		return err
	}
	for h.Seq = 1; h.Seq <= 2; h.Seq++ {
		b, err := SealFile(k, "HEAD", h.Bytes())
		if err != nil {
			return err
		}
		if err := WriteAtomic(lower, lower.PathJoin(dir, headName(h.Seq)), b); err != nil {
			return err
		}
	}
	return nil
}

// survey lists what HEAD would list, by reading it.
func (f *FS) survey() ([]Entry, error) {
	var es []Entry
	add := func(t EntryType, n uint64) error {
		tail, err := f.scan(f.entryPath(t, n))
		es = append(es, Entry{t, n, tail.Seq})
		return err
	}
	marked, err := f.marked()
	if err != nil {
		return nil, err
	}
	if marked == 0 {
		return nil, rollback("MANIFEST", "no marker names one: the set is not complete")
	}
	if err := add(EntryManifest, marked); err != nil {
		return nil, err
	}
	names, err := f.lower.List(f.lsm)
	if err != nil {
		return nil, err
	}
	for _, base := range names {
		n, err := parseName(base)
		if err != nil {
			return nil, fmt.Errorf("sealedfs: survey: %w", err)
		}
		if n.kind == kindLog {
			if err := add(EntryWAL, n.number); err != nil {
				return nil, err
			}
		}
	}
	audits, err := f.Audits()
	if err != nil {
		return nil, err
	}
	if len(audits) > 0 {
		if err := add(EntryAudit, audits[len(audits)-1]); err != nil {
			return nil, err
		}
	}
	sortEntries(es)
	return es, nil
}
