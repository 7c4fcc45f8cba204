package proof

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/crypt/recordtest"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/scope"
	"github.com/coffer-storage/coffer/internal/secret"
	"github.com/coffer-storage/coffer/internal/server/backup"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// TestNoPlaintextUnderOwnKeys (C1) stores canaries under every kind of key: the account's,
// a scope's and customers', with one layer, with a scope of two and in an account of two.
// It searches disk, log, a backup and what is restored from it for the canaries, and for
// the customers' keys, which are canaries themselves.
func TestNoPlaintextUnderOwnKeys(t *testing.T) {
	for _, v := range []struct {
		name    string
		account name.Account
		double  bool // the scope
	}{{"single", account, false}, {"double scope", account, true}, {"double account", twice, false}} {
		t.Run(v.name, func(t *testing.T) { ownKeys(t, v.account, v.double) })
	}
}

func ownKeys(t *testing.T, acct name.Account, double bool) {
	base := t.TempDir()
	dir := filepath.Join(base, dataDir)
	rec := newRecording()
	recordtest.Listen(t, rec.hear)
	var log bytes.Buffer
	sec := newSecrets()
	o := sec.options(vfs.Default)
	o.Dir = dir
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	st, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			st.Close()
		}
	}()
	if err := furnish(st); err != nil {
		t.Fatal(err)
	}
	if err := ownAccount(st, acct, double); err != nil {
		t.Fatal(err)
	}
	p, customers := plantOwn(t, st, acct, sized(15, 60, 3_000))
	search(t, dir, p, "serving")
	search(t, dir, customers, "serving, keys of customers")
	if err := st.Meta.CompactAll(ctx); err != nil {
		t.Fatal(err)
	}
	set, restored := filepath.Join(base, "set"), filepath.Join(base, "restored")
	quiet := func(string, int64, int64) {}
	if _, err := backup.Create(ctx, st, set, time.Now(), quiet); err != nil {
		t.Fatal(err)
	}
	opener := func(ctx context.Context, port keys.Port) (*keys.Ring, error) {
		return keys.Open(ctx, keys.Options{Store: port, Service: sec.service, Infra: sec.infra})
	}
	if _, err := backup.Restore(ctx, vfs.Default, set, restored, opener, quiet); err != nil {
		t.Fatal(err)
	}
	closed = true
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, set, restored} {
		search(t, d, p, filepath.Base(d))
		search(t, d, customers, filepath.Base(d)+", keys of customers")
	}
	for form, needle := range encodings(mark) {
		if bytes.Contains(log.Bytes(), needle) {
			t.Errorf("the log tells a canary (%s)", form)
		}
	}
	control(t, rec, p)
}

// ownAccount makes what account, container and scope are not there yet.
func ownAccount(st *store.Store, acct name.Account, double bool) error {
	if acct != account {
		if _, err := st.Accounts.CreateDouble(ctx, acct, [2][]byte{}); err != nil {
			return err
		}
		if _, err := st.Blobs.CreateContainer(ctx, callerOf(acct), acct, box, blob.ContainerOptions{}); err != nil {
			return err
		}
	}
	info, err := st.Accounts.Get(ctx, acct)
	if err == nil {
		_, err = st.Scopes.Create(ctx, info.ID, "scope-a", scope.Options{Double: double})
	}
	return err
}

// plantOwn stores objects, under each kind of key by turns, every fourth in blocks and
// one more block staged. It returns their canaries, and the customers' keys.
func plantOwn(t *testing.T, st *store.Store, acct name.Account, objects int) (p, customers *planted) {
	t.Helper()
	p, customers = new(planted), new(planted)
	who := callerOf(acct)
	for i := range objects {
		var enc blob.EncryptionOptions
		switch i % 3 {
		case 1:
			enc.Scope = "scope-a"
		case 2:
			key := []byte((canary("k") + canary("k"))[:32])
			customers.contents = append(customers.contents, string(key))
			var err error
			if enc.Key, err = blob.NewCustomerKey(secret.New(key)); err != nil {
				t.Fatal(err)
			}
		}
		n, meta, text := canary("n"), canary("m"), canary("b")
		p.names, p.values, p.contents = append(p.names, n), append(p.values, meta), append(p.contents, text)
		size := []int{100, 100_000}[i/3%2]
		err := ownPut(st, who, blob.Ref{Account: acct, Container: box, Blob: name.Blob(n)},
			bytes.Repeat([]byte(text), size/len(text)+1), meta, enc, i%4 == 0)
		if err != nil {
			t.Fatal(err)
		}
		enc.Key.Destroy()
	}
	return p, customers
}

// ownPut stores one blob, whole or as two blocks with a third one left staged.
func ownPut(st *store.Store, who *access.Caller, r blob.Ref, data []byte, meta string, enc blob.EncryptionOptions, blocks bool) error {
	m := blob.Metadata{{Name: "note", Value: meta}}
	if !blocks {
		_, err := st.Blobs.PutBlob(ctx, who, r, blob.PutOptions{Length: int64(len(data)), Body: bytes.NewReader(data), Metadata: m, Encryption: enc})
		return err
	}
	half := len(data) / 2
	var list []blob.BlockListEntry
	for i, part := range [][]byte{data[:half], data[half:], data} {
		id := blockID(string(rune('a' + i)))
		if i == 2 { // after the list
			_, err := st.Blobs.PutBlockList(ctx, who, r, blob.ListOptions{Entries: list, Metadata: m, Encryption: enc})
			if err != nil {
				return err
			}
		}
		_, err := st.Blobs.PutBlock(ctx, who, r, blob.BlockOptions{ID: id, Length: int64(len(part)), Body: bytes.NewReader(part), Encryption: enc})
		if err != nil {
			return err
		}
		list = append(list, blob.BlockListEntry{ID: id, Where: blob.Uncommitted})
	}
	return nil
}
