package vault_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/crypt/crypttest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/vault"
)

// scan shows the stored rows of the table.
func scan(t testing.TB, w *world, f func(k, v []byte)) {
	t.Helper()
	p := object.Vault.Prefix
	err := w.env.Meta.View(ctx, func(r meta.Reader) error {
		return r.Scan([]byte{p}, []byte{p + 1}, false, func(k, v []byte) (bool, error) {
			f(bytes.Clone(k), bytes.Clone(v))
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// put writes a stored row.
func put(t testing.TB, w *world, k string, v []byte) {
	t.Helper()
	err := w.env.Meta.Update(context.Background(), func(tx meta.Tx) error {
		tx.Put([]byte(k), crypttest.Sealed(bytes.Clone(v)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBackup(t *testing.T) {
	w := newWorld(t)
	off := false
	old := w.key(t, ref("K"), vault.NewKey{Type: "RSA", Tags: map[string]string{"a": "b"}})
	sealed, err := w.Wrap(ctx, op, ref("k"), vault.Operation{Algorithm: oaep, Value: []byte("x")})
	is(t, "Wrap", err, success)
	r := ref("k")
	r.Version = old.Version
	_, err = w.UpdateKey(ctx, op, r, vault.KeyChange{Expires: ptr(w.env.Clock.Now().AddDate(1, 0, 0))})
	is(t, "UpdateKey", err, success)
	w.key(t, ref("k"), vault.NewKey{Type: "EC", Enabled: &off})
	_, err = w.SetRotationPolicy(ctx, op, ref("k"), vault.RotationPolicy{ExpiryTime: "P90D"})
	is(t, "SetRotationPolicy", err, success)
	before, err := w.ListVersions(ctx, op, ref("k"), "", 0)
	is(t, "ListVersions", err, success)
	blob, err := w.BackupKey(ctx, op, ref("k"))
	is(t, "BackupKey", err, success)

	_, err = w.RestoreKey(ctx, op, ref(""), blob)
	is(t, "RestoreKey over a key", err, fault.Exists)
	w.DeleteKey(ctx, op, ref("k"))
	_, err = w.RestoreKey(ctx, op, ref(""), blob)
	is(t, "RestoreKey over a deleted key", err, fault.VaultKeyDeleted)
	_, err = w.RestoreKey(ctx, op, hsm(""), blob)
	is(t, "RestoreKey into an HSM", err, fault.InvalidInput)

	w.DeleteVault(ctx, vault.Standard, "box")
	is(t, "PurgeVault", w.PurgeVault(ctx, vault.Standard, "box"), success)
	w.create(t, vault.Spec{Kind: vault.Standard, Name: "box"})
	w.env.Reopen()
	w.restart()
	_, err = w.RestoreKey(ctx, op, ref(""), blob)
	is(t, "RestoreKey after the purge of the vault", err, success)
	after, err := w.ListVersions(ctx, op, ref("k"), "", 0)
	if diff := cmp.Diff(before, after); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if p, err := w.RotationPolicy(ctx, op, ref("k")); err != nil || p.ExpiryTime != "P90D" {
		t.Errorf("RotationPolicy = %+v, %v", p, err)
	}
	got, err := w.Unwrap(ctx, op, r, vault.Operation{Algorithm: oaep, Value: sealed.Value})
	if err != nil || string(got.Value) != "x" {
		t.Errorf("Unwrap by the restored key = %q, %v", got.Value, err)
	}
}

// TestBackupForged: what is not a backup, or not one of this store, is refused whole.
func TestBackupForged(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.key(t, ref("k"), vault.NewKey{Type: "EC"})
	blob, err := w.BackupKey(ctx, op, ref("k"))
	is(t, "BackupKey", err, success)
	if bytes.Contains(blob, []byte("k\x00")) && len(blob) < 100 {
		t.Error("the backup is not sealed")
	}
	_, err = other.RestoreKey(ctx, op, ref(""), blob)
	is(t, "RestoreKey in another store", err, fault.InvalidInput)
	w.DeleteKey(ctx, op, ref("k"))
	is(t, "PurgeKey", w.PurgeKey(ctx, op, ref("k")), success)
	step := 3
	if testing.Short() {
		step = 41
	}
	for i := 0; i < len(blob); i += step {
		bad := bytes.Clone(blob)
		bad[i] ^= 4
		_, err := w.RestoreKey(ctx, op, ref(""), bad)
		is(t, "RestoreKey of damaged bytes", err, fault.InvalidInput)
	}
	for _, n := range []int{0, 4, 38, len(blob) - 1} {
		_, err := w.RestoreKey(ctx, op, ref(""), blob[:n])
		is(t, "RestoreKey of a part", err, fault.InvalidInput)
	}
	_, err = w.RestoreKey(ctx, op, ref(""), blob)
	is(t, "RestoreKey", err, success)
}
