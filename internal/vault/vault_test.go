package vault_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/vault"
)

func TestVaults(t *testing.T) {
	w := newWorld(t)
	v, err := w.Vault(ctx, vault.Standard, "BOX")
	if err != nil || v.Name != "box" || v.SoftDeleteDays != 90 || v.RecoveryLevel() != "Recoverable+Purgeable" {
		t.Fatalf("Vault = %+v, %v", v, err)
	}
	_, err = w.CreateVault(ctx, vault.Spec{Kind: vault.Standard, Name: "Box"})
	is(t, "CreateVault of a name that is taken", err, fault.Exists)
	w.create(t, vault.Spec{Kind: vault.HSM, Name: "box"}) // another name space
	for _, n := range []string{"", "ab", "1abc", "a--b", "abc-", "has space", "abcdefghijklmnopqrstuvwxy"} {
		_, err := w.CreateVault(ctx, vault.Spec{Kind: vault.Standard, Name: n})
		is(t, "CreateVault("+n+")", err, fault.InvalidInput)
	}
	for _, days := range []int{1, 6, 91} {
		_, err := w.CreateVault(ctx, vault.Spec{Kind: vault.Standard, Name: "other", SoftDeleteDays: days})
		is(t, "CreateVault with odd days", err, fault.InvalidInput)
	}
	on, off := true, false
	_, err = w.UpdateVault(ctx, vault.Standard, "box", vault.Change{PurgeProtection: &on, Tags: map[string]string{"a": "b"}})
	is(t, "UpdateVault", err, success)
	_, err = w.UpdateVault(ctx, vault.Standard, "box", vault.Change{PurgeProtection: &off})
	is(t, "purge protection off", err, fault.NotAllowed)
	w.restart()
	got, err := w.Vault(ctx, vault.Standard, "box")
	want := v
	want.PurgeProtection, want.Tags = true, map[string]string{"a": "b"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("after a restart: %v\n%s", err, diff)
	}
	list, err := w.Vaults(ctx, vault.Standard)
	if err != nil || len(list) != 1 {
		t.Errorf("Vaults = %v, %v", list, err)
	}
}

func TestVaultLife(t *testing.T) {
	w := newWorld(t)
	k := w.key(t, ref("k"), vault.NewKey{Type: "RSA"})
	sealed, err := w.Wrap(ctx, op, ref("k"), vault.Operation{Algorithm: "RSA-OAEP-256", Value: []byte("secret")})
	is(t, "Wrap", err, success)
	_, err = w.DeleteVault(ctx, vault.Standard, "box")
	is(t, "DeleteVault", err, success)
	_, err = w.GetKey(ctx, op, ref("k"))
	is(t, "GetKey in a deleted vault", err, fault.VaultNotFound)
	_, err = w.Unwrap(ctx, op, ref("k"), vault.Operation{Algorithm: "RSA-OAEP-256", Value: sealed.Value})
	is(t, "Unwrap in a deleted vault", err, fault.VaultNotFound)
	_, err = w.CreateVault(ctx, vault.Spec{Kind: vault.Standard, Name: "box"})
	is(t, "CreateVault over a deleted one", err, fault.Exists)
	gone, err := w.DeletedVaults(ctx, vault.Standard)
	if err != nil || len(gone) != 1 || gone[0].Deletion.Purge.Sub(gone[0].Deletion.Deleted) != 90*24*time.Hour {
		t.Errorf("DeletedVaults = %+v, %v", gone, err)
	}
	_, err = w.RecoverVault(ctx, vault.Standard, "box")
	is(t, "RecoverVault", err, success)
	out, err := w.Unwrap(ctx, op, ref("k"), vault.Operation{Algorithm: "RSA-OAEP-256", Value: sealed.Value})
	if err != nil || string(out.Value) != "secret" || out.Ref.Version != k.Version {
		t.Errorf("Unwrap after recovery = %+v, %v", out, err)
	}
	is(t, "PurgeVault of a live one", w.PurgeVault(ctx, vault.Standard, "box"), fault.VaultNotFound)
	v, _ := w.Vault(ctx, vault.Standard, "box")
	w.DeleteVault(ctx, vault.Standard, "box")
	is(t, "PurgeVault", w.PurgeVault(ctx, vault.Standard, "box"), success)
	info, _ := w.env.Ring.Protector(v.Protector())
	if info.Admin != keys.Shredded {
		t.Errorf("the protector of a purged vault is %v", info.Admin)
	}
	if n := rows(t, w); n != 1 { // the HSM
		t.Errorf("%d rows are left", n)
	}
	w.create(t, vault.Spec{Kind: vault.Standard, Name: "box"})
	_, err = w.GetKey(ctx, op, ref("k"))
	is(t, "GetKey in the new vault", err, fault.VaultKeyNotFound)
}

// TestPurgeCutOff: a purge that a crash cuts off after the keys are destroyed cannot be
// undone, and is finished by the next tick.
func TestPurgeCutOff(t *testing.T) {
	w := newWorld(t)
	w.key(t, ref("k"), vault.NewKey{Type: "EC"})
	w.DeleteVault(ctx, vault.Standard, "box")
	w.onPurge = func() error { return errors.New("the power is gone") }
	if err := w.PurgeVault(ctx, vault.Standard, "box"); err == nil {
		t.Fatal("the purge went on")
	}
	w.env.Reopen()
	w.restart()
	_, err := w.RecoverVault(ctx, vault.Standard, "box")
	is(t, "RecoverVault of destroyed keys", err, fault.VaultNotFound)
	w.onPurge = nil
	is(t, "Tick", w.Tick(ctx), success)
	_, err = w.DeletedVault(ctx, vault.Standard, "box")
	is(t, "the vault is gone", err, fault.VaultNotFound)
	if n := rows(t, w); n != 1 {
		t.Errorf("%d rows are left", n)
	}
}

func rows(t *testing.T, w *world) int {
	t.Helper()
	n := 0
	err := w.env.View(ctx, func(tx *object.Tx) error {
		return tx.Scan(object.Vault, w.env.StoreID(), nil, nil, false, func([]byte, *object.Row) (bool, error) {
			n++
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPurgeProtection(t *testing.T) {
	w := newWorld(t)
	w.create(t, vault.Spec{Kind: vault.Standard, Name: "firm", PurgeProtection: true, SoftDeleteDays: 7})
	r := vault.Ref{Kind: vault.Standard, Vault: "firm", Key: "k"}
	w.key(t, r, vault.NewKey{Type: "EC"})
	got, err := w.DeleteKey(ctx, op, r)
	if err != nil || got.Deletion == nil || got.RecoveryLevel != "CustomizedRecoverable" {
		t.Fatalf("DeleteKey = %+v, %v", got, err)
	}
	is(t, "PurgeKey", w.PurgeKey(ctx, op, r), fault.NotAllowed)
	_, err = w.CreateKey(ctx, op, r, vault.NewKey{Type: "EC"})
	is(t, "CreateKey over a deleted key", err, fault.VaultKeyDeleted)
	w.env.Clock.Add(7*24*time.Hour - time.Second)
	is(t, "Tick", w.Tick(ctx), success)
	_, err = w.DeletedKey(ctx, op, r)
	is(t, "before its time the key is there", err, success)
	w.env.Clock.Add(time.Second)
	is(t, "Tick", w.Tick(ctx), success)
	_, err = w.DeletedKey(ctx, op, r)
	is(t, "after its time it is purged", err, fault.VaultKeyNotFound)
	w.DeleteVault(ctx, vault.Standard, "firm")
	is(t, "PurgeVault", w.PurgeVault(ctx, vault.Standard, "firm"), fault.NotAllowed)
	w.env.Clock.Add(7 * 24 * time.Hour)
	is(t, "Tick", w.Tick(ctx), success)
	_, err = w.DeletedVault(ctx, vault.Standard, "firm")
	is(t, "the vault is purged", err, fault.VaultNotFound)
}

func TestKeyLife(t *testing.T) {
	w := newWorld(t)
	first := w.key(t, ref("Key-1"), vault.NewKey{Type: "rsa", Tags: map[string]string{"x": "y"}, Ops: []string{"wrapkey", "unwrapKey"}})
	if first.Type != "RSA" || first.Bits != 2048 || !first.Enabled || len(first.N) != 256 || !bytes.Equal(first.E, []byte{1, 0, 1}) {
		t.Errorf("CreateKey = %+v", first)
	}
	if diff := cmp.Diff([]string{"wrapKey", "unwrapKey"}, first.Ops); diff != "" {
		t.Error(diff)
	}
	second, err := w.RotateKey(ctx, op, ref("key-1"))
	if err != nil || second.Version == first.Version || second.Name() != first.Name() || !cmp.Equal(second.Ops, first.Ops) {
		t.Fatalf("RotateKey = %+v, %v", second, err)
	}
	w.restart()
	newest, err := w.GetKey(ctx, op, ref("KEY-1"))
	if diff := cmp.Diff(second, newest); diff != "" || err != nil {
		t.Errorf("GetKey after a restart: %v\n%s", err, diff)
	}
	old := ref("key-1")
	old.Version = first.Version
	if got, err := w.GetKey(ctx, op, old); err != nil || got.Version != first.Version {
		t.Errorf("GetKey of a version = %+v, %v", got, err)
	}
	for _, bad := range []string{"0123456789abcdef0123456789abcdef", "x", "0"} {
		r := ref("key-1")
		r.Version = bad
		_, err := w.GetKey(ctx, op, r)
		is(t, "GetKey of version "+bad, err, fault.VaultKeyNotFound)
	}
	page, err := w.ListVersions(ctx, op, ref("key-1"), "", 1)
	if err != nil || len(page.Keys) != 1 || page.Keys[0].Version != second.Version || page.Next != first.Version {
		t.Errorf("ListVersions = %+v, %v", page, err)
	}
	page, err = w.ListVersions(ctx, op, ref("key-1"), page.Next, 1)
	if err != nil || len(page.Keys) != 1 || page.Keys[0].Version != first.Version || page.Next != "" {
		t.Errorf("second page = %+v, %v", page, err)
	}
	off := false
	exp := w.env.Clock.Now().Add(time.Hour)
	got, err := w.UpdateKey(ctx, op, old, vault.KeyChange{Enabled: &off, Expires: &exp})
	if err != nil || got.Enabled || !got.Expires.Equal(exp) || got.Tags["x"] != "y" {
		t.Errorf("UpdateKey = %+v, %v", got, err)
	}
	if got, _ := w.GetKey(ctx, op, ref("key-1")); !got.Enabled {
		t.Error("another version was disabled too")
	}
	_, err = w.DeleteKey(ctx, op, ref("key-1"))
	is(t, "DeleteKey", err, success)
	_, err = w.DeleteKey(ctx, op, ref("key-1"))
	is(t, "second DeleteKey", err, fault.VaultKeyNotFound)
	_, err = w.GetKey(ctx, op, ref("key-1"))
	is(t, "GetKey of a deleted key", err, fault.VaultKeyNotFound)
	gone, err := w.ListDeleted(ctx, op, ref(""), "", 0)
	if err != nil || len(gone.Keys) != 1 || gone.Keys[0].Deletion == nil {
		t.Errorf("ListDeleted = %+v, %v", gone, err)
	}
	_, err = w.RecoverKey(ctx, op, ref("key-1"))
	is(t, "RecoverKey", err, success)
	if page, err := w.ListKeys(ctx, op, ref(""), "", 0); err != nil || len(page.Keys) != 1 {
		t.Errorf("ListKeys = %+v, %v", page, err)
	}
	is(t, "PurgeKey of a live key", w.PurgeKey(ctx, op, ref("key-1")), fault.VaultKeyNotFound)
	w.DeleteKey(ctx, op, ref("key-1"))
	is(t, "PurgeKey", w.PurgeKey(ctx, op, ref("key-1")), success)
	if n := rows(t, w); n != 2 {
		t.Errorf("%d rows are left", n)
	}
}

func TestListPages(t *testing.T) {
	w := newWorld(t)
	for _, n := range []string{"c", "a", "b-2", "b"} {
		w.key(t, ref(n), vault.NewKey{Type: "EC"})
	}
	var got []string
	from := ""
	for range 9 {
		page, err := w.ListKeys(ctx, op, ref(""), from, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Keys {
			got = append(got, k.Name())
		}
		if from = page.Next; from == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "b-2", "c"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCreateRefuses(t *testing.T) {
	w := newWorld(t)
	day := 24 * time.Hour
	now := w.env.Clock.Now()
	tests := []struct {
		name string
		r    vault.Ref
		k    vault.NewKey
	}{
		{"no type", ref("k"), vault.NewKey{}},
		{"AES in a vault", ref("k"), vault.NewKey{Type: "oct-HSM"}},
		{"size", ref("k"), vault.NewKey{Type: "RSA", Bits: 1024}},
		{"curve", ref("k"), vault.NewKey{Type: "EC", Curve: "P-256K"}},
		{"exponent", ref("k"), vault.NewKey{Type: "RSA", Exponent: 3}},
		{"operation", ref("k"), vault.NewKey{Type: "EC", Ops: []string{"encrypt"}}},
		{"exportable", ref("k"), vault.NewKey{Type: "EC", Exportable: true}},
		{"dates", ref("k"), vault.NewKey{Type: "EC", NotBefore: now.Add(day), Expires: now}},
		{"far date", ref("k"), vault.NewKey{Type: "EC", Expires: now.AddDate(500, 0, 0)}},
		{"name", ref("a_b"), vault.NewKey{Type: "EC"}},
		{"no name", ref(""), vault.NewKey{Type: "EC"}},
		{"AES size", hsm("k"), vault.NewKey{Type: "oct-HSM", Bits: 512}},
	}
	for _, tt := range tests {
		_, err := w.CreateKey(ctx, op, tt.r, tt.k)
		is(t, tt.name, err, fault.InvalidInput)
	}
	_, err := w.CreateKey(ctx, op, vault.Ref{Kind: vault.Standard, Vault: "nowhere", Key: "k"}, vault.NewKey{Type: "EC"})
	is(t, "no vault", err, fault.VaultNotFound)
}

// What the trail cannot have does not happen, and what a private key gave stays inside.
func TestTrail(t *testing.T) {
	w := newWorld(t)
	w.trail.take()
	w.key(t, ref("k"), vault.NewKey{Type: "RSA"})
	sealed, err := w.Wrap(ctx, alice, ref("k"), vault.Operation{Algorithm: "RSA-OAEP-256", Value: []byte("x")})
	is(t, "Wrap", err, success)
	_, err = w.Unwrap(ctx, alice, ref("k"), vault.Operation{Algorithm: "RSA-OAEP-256", Value: sealed.Value})
	is(t, "Unwrap", err, success)
	_, err = w.Sign(ctx, alice, ref("k"), vault.Operation{Algorithm: "RS256", Value: make([]byte, 32)})
	is(t, "Sign", err, fault.VaultPolicyForbids)
	_, err = w.GetKey(ctx, alice, ref("k"))
	is(t, "GetKey", err, success)
	_, err = w.GetKey(ctx, bob, ref("k"))
	is(t, "GetKey", err, fault.VaultPolicyForbids)
	who := "principal " + alice.ObjectID
	want := []string{
		"server vault.createKey vault/box/keys/k begin",
		"server vault.createKey vault/box/keys/k ok",
		who + " vault.wrapKey vault/box/keys/k ok",
		who + " vault.unwrapKey vault/box/keys/k ok",
		who + " vault.sign vault/box/keys/k VaultPolicyForbids",
		"principal " + bob.ObjectID + " vault.getKey vault/box/keys/k VaultPolicyForbids",
	}
	if diff := cmp.Diff(want, w.trail.take()); diff != "" {
		t.Error(diff)
	}
	w.trail.fail = errors.New("the disk is gone")
	out, err := w.Unwrap(ctx, alice, ref("k"), vault.Operation{Algorithm: "RSA-OAEP-256", Value: sealed.Value})
	is(t, "Unwrap without a trail", err, fault.Unavailable)
	if out.Value != nil {
		t.Error("the result was given out without its record")
	}
	_, err = w.DeleteKey(ctx, op, ref("k"))
	is(t, "DeleteKey without a trail", err, fault.Unavailable)
	w.trail.fail = nil
	_, err = w.GetKey(ctx, op, ref("k"))
	is(t, "the key is still there", err, success)
}
