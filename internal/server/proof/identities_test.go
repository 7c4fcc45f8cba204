package proof

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/server/backup"
	"github.com/coffer-storage/coffer/internal/server/store"
)

// resident gives a store one row of every kind that the identity service has, and
// returns what of it is secret.
func resident(t testing.TB, st *store.Store, n string) (found secretBytes) {
	t.Helper()
	p, text, err := st.Identity.CreatePrincipal(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Identity.Assign(ctx, identity.RoleAssignment{Scope: "/subscriptions/" + n, RoleID: "Owner", PrincipalID: p.ObjectID}); err != nil {
		t.Fatal(err)
	}
	token, _, err := st.Identity.Issue(ctx, p.ObjectID, "https://storage.azure.com")
	if err != nil {
		t.Fatal(err)
	}
	info, err := st.Accounts.Get(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	value, err := st.Identity.Delegate(ctx, identity.Delegation{
		Account: info.ID, ObjectID: p.ObjectID, TenantID: identity.Tenant, Start: time.Now(), Expiry: time.Now().Add(time.Hour), Service: "b", Version: "2026-12-06",
	})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[bytes.LastIndexByte([]byte(token), '.')+1:])
	if err != nil {
		t.Fatal(err)
	}
	random, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return append(found, []byte(token), []byte(text), random, signature[:64], value)
}

// sealedSecrets opens what the rows of the identity service keep sealed: hashes of
// secrets, private keys, and what delegation keys come from.
func sealedSecrets(t testing.TB, st *store.Store) (found secretBytes) {
	t.Helper()
	var rows []*object.Row
	err := st.Objects.View(ctx, func(tx *object.Tx) error {
		rows = nil
		return tx.Scan(object.Identity, st.Objects.StoreID(), nil, nil, false, func(_ []byte, r *object.Row) (bool, error) {
			rows = append(rows, r)
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		b, err := st.Objects.OpenMeta(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(b) >= 32; b = b[32:] { // any part of it is enough to give it away
			found = append(found, b[:32])
		}
	}
	return found
}

// TestNoIdentityInTheClear (C1) searches the data directory, a backup and the log for
// tokens, client secrets, private keys and delegation keys, and for names of principals.
func TestNoIdentityInTheClear(t *testing.T) {
	base := t.TempDir()
	var log bytes.Buffer
	sec := newSecrets()
	o := sec.options(vfs.Default)
	o.Dir = filepath.Join(base, dataDir)
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	st, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := furnish(st); err != nil {
		t.Fatal(err)
	}
	var known secretBytes
	var names []string
	for range sized(5, 20, 500) {
		n := canary("p")
		names = append(names, n)
		known = append(known, resident(t, st, n)...)
	}
	if _, err := st.Identity.RotateKey(ctx); err != nil {
		t.Fatal(err)
	}
	sealed := sealedSecrets(t, st)
	if len(sealed) < 2*30 { // two private keys alone are that
		t.Fatalf("%d pieces of what is sealed: the rows are not found", len(sealed))
	}
	known = append(known, sealed...)
	set := filepath.Join(base, "set")
	if _, err := backup.Create(ctx, st, set, time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{o.Dir, set} {
		searchKeys(t, dir, known)
		everyFile(t, dir, func(path string, data []byte) {
			for _, n := range names {
				if bytes.Contains(data, []byte(n)) {
					t.Errorf("%s holds the name of a principal", path)
				}
			}
		})
	}
	for _, c := range known.texts() {
		if bytes.Contains(log.Bytes(), []byte(c)) {
			t.Error("the log has a secret of the identity service")
		}
	}
	for i, b := range known {
		if bytes.Contains(log.Bytes(), b) {
			t.Errorf("the log has secret %d", i)
		}
	}
	t.Logf("C1: %d secrets of the identity service, %d names", len(known), len(names))
}

// TestIdentityTamper changes rows of the identity service at every byte: each is found,
// and a store with one gives nobody a token.
func TestIdentityTamper(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	resident(t, w.Store, "one")
	ks, vs := w.rows(t, object.Identity)
	if len(ks) != 4 {
		t.Fatalf("%d rows of the identity service, want one of each kind", len(ks))
	}
	tried, step := 0, sized(13, 3, 1)
	for i, k := range ks {
		for at := 0; at < len(vs[i]); at += step {
			bad := bytes.Clone(vs[i])
			bad[at] ^= 1 << (at % 8)
			w.set(t, k, bad)
			fresh := identity.New(w.Objects, identity.Options{})
			if err := fresh.Load(ctx); !fault.Is(err, fault.Corrupt) {
				t.Errorf("row %d with byte %d changed: Load = %v, want Corrupt", i, at, err)
			}
			if list, err := fresh.Principals(ctx); err != nil || len(list) > 0 {
				t.Errorf("row %d with byte %d changed: principals %v, %v", i, at, list, err)
			}
			tried++
		}
		w.set(t, k, vs[i])
	}
	for i := range ks { // one row in the place of another
		w.set(t, ks[i], vs[(i+1)%len(vs)])
		if err := identity.New(w.Objects, identity.Options{}).Load(ctx); !fault.Is(err, fault.Corrupt) {
			t.Errorf("row %d in another's place: Load = %v, want Corrupt", i, err)
		}
		w.set(t, ks[i], vs[i])
	}
	if err := identity.New(w.Objects, identity.Options{}).Load(ctx); err != nil {
		t.Errorf("as it was: %v", err)
	}
	t.Logf("%d changes", tried)
}
