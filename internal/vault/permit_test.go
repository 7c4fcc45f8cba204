package vault_test

import (
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/vault"
)

// calls are all calls on a key, with their words and actions; each runs on a fresh key.
var calls = []struct {
	name, policy, action, hsmAction string
	run                             func(w *world, c vault.Caller, r vault.Ref) error
}{
	{"get", "get", "keys/read", "keys/read/action", func(w *world, c vault.Caller, r vault.Ref) error { _, err := w.GetKey(ctx, c, r); return err }},
	{"list", "list", "keys/read", "keys/read/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.ListKeys(ctx, c, r, "", 0)
		return err
	}},
	{"versions", "list", "keys/read", "keys/read/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.ListVersions(ctx, c, r, "", 0)
		return err
	}},
	{"create", "create", "keys/create/action", "keys/create", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.CreateKey(ctx, c, r, vault.NewKey{Type: "EC"})
		return err
	}},
	{"update", "update", "keys/update/action", "keys/write/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.UpdateKey(ctx, c, r, vault.KeyChange{})
		return err
	}},
	{"rotate", "rotate", "keys/rotate/action", "keys/rotate/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.RotateKey(ctx, c, r)
		return err
	}},
	{"backup", "backup", "keys/backup/action", "keys/backup/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.BackupKey(ctx, c, r)
		return err
	}},
	{"get policy", "getrotationpolicy", "keyrotationpolicies/read", "keys/read/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.RotationPolicy(ctx, c, r)
		return err
	}},
	{"set policy", "setrotationpolicy", "keyrotationpolicies/write", "keys/write/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.SetRotationPolicy(ctx, c, r, vault.RotationPolicy{})
		return err
	}},
	{"sign", "sign", "keys/sign/action", "keys/sign/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.Sign(ctx, c, r, vault.Operation{Algorithm: "ES256", Value: make([]byte, 32)})
		return err
	}},
	{"verify", "verify", "keys/verify/action", "keys/verify/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.Verify(ctx, c, r, vault.Operation{Algorithm: "ES256", Value: make([]byte, 32)})
		return err
	}},
	{"delete", "delete", "keys/delete", "keys/delete", func(w *world, c vault.Caller, r vault.Ref) error { _, err := w.DeleteKey(ctx, c, r); return err }},
	{"get deleted", "get", "keys/read", "keys/deletedKeys/read/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.DeletedKey(ctx, c, r)
		return err
	}},
	{"list deleted", "list", "keys/read", "keys/deletedKeys/read/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.ListDeleted(ctx, c, r, "", 0)
		return err
	}},
	{"recover", "recover", "keys/recover/action", "keys/deletedKeys/recover/action", func(w *world, c vault.Caller, r vault.Ref) error {
		_, err := w.RecoverKey(ctx, c, r)
		return err
	}},
	{"purge", "purge", "keys/purge/action", "keys/deletedKeys/delete", func(w *world, c vault.Caller, r vault.Ref) error {
		w.DeleteKey(ctx, op, r)
		return w.PurgeKey(ctx, c, r)
	}},
}

// TestPermissions: exactly the word or the action of a call opens it, in each of the
// three ways of deciding, and nothing else does.
func TestPermissions(t *testing.T) {
	w := newWorld(t)
	w.create(t, vault.Spec{Kind: vault.Standard, Name: "ruled", RBAC: true})
	ruled, _ := w.Vault(ctx, vault.Standard, "ruled")
	var words []string
	for _, c := range calls {
		words = append(words, c.policy)
	}
	allow := func(keys ...string) {
		policies := []vault.AccessPolicy{{ObjectID: bob.ObjectID, Keys: keys}}
		if _, err := w.UpdateVault(ctx, vault.Standard, "box", vault.Change{Policies: &policies}); err != nil {
			t.Fatal(err)
		}
	}
	w.key(t, ref("k"), vault.NewKey{Type: "EC"})
	for _, c := range calls {
		var others []string
		for _, word := range words {
			if word != c.policy {
				others = append(others, word)
			}
		}
		allow(others...)
		is(t, c.name+" without its word", c.run(w, bob, ref("k")), fault.VaultPolicyForbids)
		allow(strings.ToUpper(c.policy))
		is(t, c.name+" with its word", c.run(w, bob, ref("k")), success)
	}
	w.key(t, ref("k"), vault.NewKey{Type: "EC"})
	for _, c := range calls {
		allow("all")
		want := success
		if c.policy == "purge" { // not in "all"
			want = fault.VaultPolicyForbids
		}
		is(t, c.name+" with all", c.run(w, bob, ref("k")), want)
	}
	for _, tt := range []struct {
		r            vault.Ref
		prefix, base string
		action       func(i int) string
	}{
		{vault.Ref{Kind: vault.Standard, Vault: "ruled", Key: "k"}, "Microsoft.KeyVault/vaults/", ruled.ResourceID, func(i int) string { return calls[i].action }},
		{hsm("k"), "Microsoft.KeyVault/managedHsm/", "/hsm/safe", func(i int) string { return calls[i].hsmAction }},
	} {
		w.key(t, tt.r, vault.NewKey{Type: "EC"})
		for i, c := range calls {
			scope := tt.base + "/keys/k"
			if strings.HasPrefix(c.name, "list") {
				scope = tt.base
			}
			clear(w.roles)
			is(t, c.name+" without a role", c.run(w, bob, tt.r), fault.VaultRoleForbids)
			w.roles[bob.ObjectID+" "+tt.prefix+tt.action(i)+" "+scope] = true
			is(t, c.name+" with the action", c.run(w, bob, tt.r), success)
		}
	}
	is(t, "nobody", calls[0].run(w, vault.Caller{}, ref("k")), fault.VaultPolicyForbids)
}

// A policy for one program of a principal is for no other.
func TestApplicationID(t *testing.T) {
	w := newWorld(t)
	w.key(t, ref("k"), vault.NewKey{Type: "EC"})
	policies := []vault.AccessPolicy{{ObjectID: bob.ObjectID, ApplicationID: "C2", Keys: []string{"get"}}}
	if _, err := w.UpdateVault(ctx, vault.Standard, "box", vault.Change{Policies: &policies}); err != nil {
		t.Fatal(err)
	}
	_, err := w.GetKey(ctx, bob, ref("k"))
	is(t, "the program", err, success)
	other := bob
	other.ClientID = "c3"
	_, err = w.GetKey(ctx, other, ref("k"))
	is(t, "another program", err, fault.VaultPolicyForbids)
}
