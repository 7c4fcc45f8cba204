package proof

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// third is an account of two layers that comes and goes.
const third = name.Account("third")

// shredded are wraps of data keys as rows had them, kept by somebody who waits for the
// keys that open them.
type shredded struct{ wraps []taken }

type taken struct {
	owner keys.ID
	v     keys.Version
	e     object.DEKEntry
}

func (s *shredded) copy() *shredded { return &shredded{slices.Clone(s.wraps)} }

// take keeps the wraps under one protector, or under all of an owner.
func (s *shredded) take(st *store.Store, owner keys.ID, p keys.Protector) error {
	match := func(e object.DEKEntry) bool { return p.IsZero() || e.Protector == p }
	return st.Objects.Uses(ctx, owner, match, func(h object.Holding) error {
		for _, e := range h.Wraps {
			if v, ok := st.Ring.Lookup(e.Kref()); ok {
				s.wraps = append(s.wraps, taken{owner, v, e})
			}
		}
		return nil
	})
}

// opens says whether ring has a key that opens w. Text and label are those of the
// specification: nothing of the store's code is asked.
func (w taken) opens(ring *keys.Ring) bool {
	p := w.e.Protector.Bytes()
	aad := enc.Encode("coffer/wrap/dek/v1", enc.Uint(1), w.owner[:], p[:], w.v.Chain[:], enc.Uint(w.v.Number), w.e.ID[:])
	for _, c := range ring.Chains() {
		for _, v := range c.Versions {
			if c.Kind != keys.KEK || v.State == keys.Destroyed {
				continue
			}
			_, k, err := ring.KEKByRef(ctx, v.Protector, v.Kref)
			if err != nil {
				continue
			}
			if dek, err := keywrap.Unwrap(k, w.v.Kref, aad, w.e.Wrap); err == nil {
				dek.Destroy()
				return true
			}
		}
	}
	return false
}

// count opens every key store on a disk with the secrets, whatever copy it is, and tries
// the wraps with its keys. It reports how many key stores opened and how many wraps did
// in any of them.
func (s *shredded) count(disk *vfs.MemFS, sec *secrets) (stores, opened int, err error) {
	var rings []*keys.Ring
	paths, err := disk.List(dataDir)
	if err != nil {
		return 0, 0, err
	}
	for _, n := range paths {
		if kindOf(n) != "keys" {
			continue
		}
		b, err := disk.UnsafeGetFileDataBuffer(disk.PathJoin(dataDir, n))
		if err != nil {
			return 0, 0, err
		}
		ring, err := keys.Open(ctx, keys.Options{Store: keys.NewMemory(slices.Clone(b)), Service: sec.service, Infra: sec.infra})
		if err != nil { // an older copy, under a root that is gone
			continue
		}
		defer ring.Close()
		rings = append(rings, ring)
	}
	for _, w := range s.wraps {
		if slices.ContainsFunc(rings, w.opens) {
			opened++
		}
	}
	return len(rings), opened, nil
}

// stayGone fails if any wrap opens.
func (s *shredded) stayGone(disk *vfs.MemFS, sec *secrets) error {
	if len(s.wraps) == 0 {
		return nil
	}
	stores, opened, err := s.count(disk, sec)
	if err == nil && (opened > 0 || stores == 0) {
		err = fmt.Errorf("%d of %d wraps that were shredded open in %d key stores", opened, len(s.wraps), stores)
	}
	return err
}

// TestShreddedNeverOpens (K9) shreds a scope and an account, compacts, stops the store and
// tries what somebody can who kept all their wraps. With the whole directory and the key
// files of today none opens. An older key store opens them all with the key files as they
// were, which is the stated limit, and none once the unseal key was replaced.
func TestShreddedNeverOpens(t *testing.T) {
	t.Parallel()
	fs, sec := vfs.NewMem(), newSecrets()
	st := mustOpen(t, fs, sec)
	if _, err := makeScope(st, "scope-a"); err != nil {
		t.Fatal(err)
	}
	if err := makeThird(st); err != nil {
		t.Fatal(err)
	}
	contents := sized(10, 100, 1_000)
	for i := range contents {
		n := fmt.Sprint("blob-", i)
		if err := putUnder(st, n, content(n, 100+i%2*50_000), blob.EncryptionOptions{Scope: "scope-a"}); err != nil {
			t.Fatal(err)
		}
		if err := putIn(st, third, n, content(n, 100+i%2*50_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(st, "kept", content("kept", 50_000)); err != nil {
		t.Fatal(err)
	}
	if err := rotateScope(st, "scope-a"); err != nil {
		t.Fatal(err)
	}
	before, beforeSec := vfs.NewMem(), sec.copy()
	if _, err := vfs.Clone(fs, before, dataDir, dataDir); err != nil {
		t.Fatal(err)
	}
	gone := new(shredded)
	if err := shredScope(st, "scope-a", gone); err != nil {
		t.Fatal(err)
	}
	if err := shredThird(st, gone); err != nil {
		t.Fatal(err)
	}
	if err := st.Janitor.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := st.Meta.CompactAll(ctx); err != nil {
		t.Fatal(err)
	}
	if err := holds(st, "kept", content("kept", 50_000)); err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if want := 2 * contents; len(gone.wraps) != want {
		t.Errorf("%d wraps were kept, want %d", len(gone.wraps), want)
	}
	all := len(gone.wraps)
	gone.want(t, "all of today", fs, sec, 2, 0)
	gone.want(t, "key store of before, with the unseal key that is still in use", before, sec, 2, all)
	st = mustOpen(t, fs, sec)
	if err := st.Ring.RotateRoot(ctx, keys.SRK, keys.NewSecret()); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	gone.want(t, "all of today, with a new unseal key", fs, sec, 2, 0)
	gone.want(t, "key store of before, with the new unseal key", before, sec, 0, 0)
	gone.want(t, "all of before, the unseal key too", before, beforeSec, 2, all)
}

func (s *shredded) want(t *testing.T, what string, disk *vfs.MemFS, sec *secrets, stores, open int) {
	t.Helper()
	gotStores, got, err := s.count(disk, sec)
	t.Logf("K9: %s: %d of %d wraps open", what, got, len(s.wraps))
	if err != nil || gotStores != stores || got != open {
		t.Errorf("%s: %d key stores and %d wraps open, %v; want %d and %d", what, gotStores, got, err, stores, open)
	}
}
