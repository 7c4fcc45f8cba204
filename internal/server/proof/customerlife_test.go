package proof

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/server/store"
	"github.com/coffer-storage/coffer/internal/vault"
)

// Steps of customerLife that others ask for.
const (
	clMakeKey = iota
	clAccount
	clPut
	clScope
	clPutScoped
	clNewVersion
	clTake
	clRotateKEK
	clDisable
	clRevoke
	clEnable
	clSwitch
	clRecover
	clImport
	clDelete
	clUndelete
	clRotateVault
	clRoot
	clScopeBack
	clRestoreKey
	clAccountBack
	clEnd
)

var (
	operator = vault.Operator()
	newKey   = vault.Ref{Kind: vault.Standard, Vault: "box", Key: "new"}
	restored = vault.Ref{Kind: vault.Standard, Vault: "other", Key: "new"}
	imported = vault.Ref{Kind: vault.HSM, Vault: "safe", Key: "imported"}
)

// customerLife is the life of an account and of a scope under keys of vaults in the same
// process, and of those vaults.
var customerLife = life{
	begin: func(st *store.Store) error {
		if _, err := newOwnVault(st); err != nil {
			return err
		}
		for _, s := range []vault.Spec{
			{Kind: vault.Standard, Name: "box", PurgeProtection: true}, {Kind: vault.Standard, Name: "other", PurgeProtection: true},
			{Kind: vault.HSM, Name: "safe"},
		} {
			if _, err := st.Vaults.CreateVault(ctx, s); err != nil {
				return err
			}
			if s.Kind == vault.HSM {
				continue
			}
			if _, err := st.Vaults.CreateKey(ctx, operator, vaultRef(ownRef(s.Name, "k")), vault.NewKey{Type: "RSA"}); err != nil {
				return err
			}
		}
		if _, err := makeScope(st, "scope-a"); err != nil {
			return err
		}
		return errors.Join(put(st, "plain", content("p", 1_000)),
			putUnder(st, "scoped", content("scoped", 50_000), blob.EncryptionOptions{Scope: "scope-a"}))
	},
	steps: []lifeStep{
		clMakeKey: {"make a key", func(st *store.Store, _ *shredded) error {
			_, err := st.Vaults.CreateKey(ctx, operator, newKey, vault.NewKey{Type: "EC"})
			return err
		}},
		clAccount: {"put the account under the vault", func(st *store.Store, _ *shredded) error { return setAccountKey(st, "box") }},
		clPut: {"put", func(st *store.Store, _ *shredded) error {
			return put(st, "under", content("under", 50_000), blob.MetaPair{Name: "of", Value: "it"})
		}},
		clScope: {"put the scope under another vault", func(st *store.Store, _ *shredded) error { return setScopeKey(st, "other") }},
		clPutScoped: {"put under the scope", func(st *store.Store, _ *shredded) error {
			return putUnder(st, "scoped-too", content("scoped-too", 50_000), blob.EncryptionOptions{Scope: "scope-a"})
		}},
		clNewVersion: {"make a new version", func(st *store.Store, _ *shredded) error {
			_, err := st.Vaults.RotateKey(ctx, operator, vaultRef(ownRef("box", "k")))
			return err
		}},
		clTake: {"take the new version", func(st *store.Store, _ *shredded) error { return setAccountKey(st, "box") }},
		clRotateKEK: {"rotate the account's key", func(st *store.Store, _ *shredded) error {
			id, err := accountID(st)
			if err != nil {
				return err
			}
			p, _ := st.Ring.Protector(keys.AccountProtector(id))
			return rotateKEK(st, p.Chain)
		}},
		clDisable: {"disable the scope's key", func(st *store.Store, _ *shredded) error { return enableKey(st, false) }},
		clRevoke:  {"revoke now", func(st *store.Store, _ *shredded) error { return revokeScope(st) }},
		clEnable:  {"enable it", func(st *store.Store, _ *shredded) error { return enableKey(st, true) }},
		clSwitch:  {"switch the account to the other vault", func(st *store.Store, _ *shredded) error { return setAccountKey(st, "other") }},
		clRecover: {"recover the key of before", func(st *store.Store, _ *shredded) error {
			id, err := accountID(st)
			if err != nil {
				return err
			}
			return st.Ring.RecoverPrevious(ctx, keys.AccountProtector(id))
		}},
		clImport: {"import a key", func(st *store.Store, _ *shredded) error {
			_, err := st.Vaults.ImportKey(ctx, operator, imported, &vault.Material{Type: "oct-HSM", K: content("imported", 32)}, vault.NewKey{Type: "oct-HSM"})
			return err
		}},
		clDelete: {"delete a key", func(st *store.Store, _ *shredded) error {
			_, err := st.Vaults.DeleteKey(ctx, operator, newKey)
			return err
		}},
		clUndelete: {"bring it back", func(st *store.Store, _ *shredded) error {
			_, err := st.Vaults.RecoverKey(ctx, operator, newKey)
			return err
		}},
		clRotateVault: {"rotate the vault's own key", func(st *store.Store, _ *shredded) error {
			v, err := st.Vaults.Vault(ctx, vault.Standard, "box")
			if err != nil {
				return err
			}
			p, _ := st.Ring.Protector(v.Protector())
			return rotateKEK(st, p.Chain)
		}},
		clRoot:      {"rotate the service root", func(st *store.Store, _ *shredded) error { return st.Ring.RotateRoot(ctx, keys.SRK) }},
		clScopeBack: {"put the scope back under the service's key", func(st *store.Store, _ *shredded) error { return setScopeKey(st, "") }},
		clRestoreKey: {"restore a key into another vault", func(st *store.Store, _ *shredded) error {
			b, err := st.Vaults.BackupKey(ctx, operator, newKey)
			if err == nil {
				_, err = st.Vaults.RestoreKey(ctx, operator, restored, b)
			}
			return err
		}},
		clAccountBack: {"put the account back under the service's key", func(st *store.Store, _ *shredded) error { return setAccountKey(st, "") }},
	},
	after: afterCustomerCut,
}

// setAccountKey puts the account under the key of a vault as the resource does; "" is the
// service's.
func setAccountKey(st *store.Store, vaultName string) error {
	id, err := accountID(st)
	if err != nil {
		return err
	}
	p := keys.AccountProtector(id)
	if vaultName == "" {
		err = st.Ring.SetServiceKey(ctx, p)
	} else {
		err = st.Ring.SetVaultKey(ctx, p, ownRef(vaultName, "k"), true)
	}
	if err != nil {
		return err
	}
	return st.Objects.MirrorProtector(ctx, p)
}

func setScopeKey(st *store.Store, vaultName string) error {
	id, err := accountID(st)
	if err != nil {
		return err
	}
	var ref *keys.VaultRef
	if vaultName != "" {
		r := ownRef(vaultName, "k")
		ref = &r
	}
	_, err = st.Scopes.SetKey(ctx, id, "scope-a", ref, false)
	return err
}

func enableKey(st *store.Store, on bool) error {
	r := vaultRef(ownRef("other", "k"))
	k, err := st.Vaults.GetKey(ctx, operator, r)
	if err != nil {
		return err
	}
	_, err = st.Vaults.UpdateKey(ctx, operator, k.Ref, vault.KeyChange{Enabled: &on})
	return err
}

func revokeScope(st *store.Store) error {
	a, err := findScope(st, "scope-a")
	if err != nil {
		return err
	}
	return st.Ring.RevokeNow(ctx, a.Protector())
}

// TestCustomersSurvivePowerCut cuts the power at every event that changes the disk while
// an account and a scope go under keys of vaults in the same process and back: keys are
// made, taken, rotated, disabled, enabled, switched, recovered, imported, deleted, restored. What
// was answered holds: the key in force is the one before the step that was cut or the one after it, everything
// opens that may, a disabled key opens nothing, keys of vaults are there, and the next
// change goes through.
func TestCustomersSurvivePowerCut(t *testing.T) {
	t.Parallel()
	cutLives(t, customerLife, sized(1, 1, 3), sized(29, 13, 1))
}

func afterCustomerCut(st *store.Store, step int) error {
	if _, err := newOwnVault(st); err != nil {
		return err
	}
	if err := customerVaults(st, step); err != nil {
		return err
	}
	if err := customerStates(st, step); err != nil {
		return err
	}
	// What may be read; the scope's key was disabled between.
	for n, done := range map[string]int{"plain": -1, "under": clPut} {
		if err := readAfter(st, n, 1_000, step, done); err != nil {
			return err
		}
	}
	_, _, err := get(st, "scoped")
	away := step > clDisable && step < clEnable
	if away && !fault.Is(err, fault.KeyGone) || err != nil && (step < clDisable || step > clEnable) {
		return fmt.Errorf("scoped content: %v", err)
	}
	if err := enableKey(st, true); err != nil {
		return err
	}
	if step >= clScope && step <= clScopeBack {
		if err := revokeScope(st); err != nil && !fault.Is(err, fault.NotAllowed) { // under the service's key
			return err
		}
	}
	for n, done := range map[string]int{"scoped": -1, "scoped-too": clPutScoped} {
		if err := readAfter(st, n, 50_000, step, done); err != nil {
			return err
		}
	}
	// The next change goes through, and everything opens under it.
	for _, to := range []string{"other", "box"} {
		if err := setAccountKey(st, to); err != nil {
			return fmt.Errorf("the next change: %w", err)
		}
	}
	if err := holds(st, "plain", content("p", 1_000)); err != nil {
		return err
	}
	return put(st, "new", content("new", 50_000))
}

// readAfter reads a blob that was put in a step.
func readAfter(st *store.Store, n string, size, step, done int) error {
	got, m, err := get(st, n)
	seed := n
	switch n {
	case "plain":
		seed = "p"
	case "under":
		size = 50_000
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", n, err)
	case got == nil && step <= done:
		return nil
	case !bytes.Equal(got, content(seed, size)), n == "under" && (len(m) != 1 || m[0].Value != "it"):
		return fmt.Errorf("%s: %s, %v", n, describe(got), m)
	}
	return nil
}

// customerStates checks which keys are in force.
func customerStates(st *store.Store, step int) error {
	id, err := accountID(st)
	if err != nil {
		return err
	}
	a, err := findScope(st, "scope-a")
	if err != nil {
		return err
	}
	versions := func(box string) (list []string, err error) {
		page, err := st.Vaults.ListVersions(ctx, operator, vaultRef(ownRef(box, "k")), "", 25)
		for _, k := range page.Keys {
			list = append(list, ownRef(box, "k").String()+"/"+k.Version)
		}
		return list, err
	}
	box, err := versions("box")
	if err != nil {
		return err
	}
	other, err := versions("other")
	if err != nil {
		return err
	}
	if len(other) != 1 || len(box) != 2 && step > clNewVersion || len(box) != 1 && step < clNewVersion {
		return fmt.Errorf("%d and %d versions", len(box), len(other))
	}
	// A version may be there that was not answered; which is the older one tells what is in force.
	const service, first, second, elsewhere = "", "first", "second", "elsewhere"
	inForce := func(p keys.Protector) (string, error) {
		i, ok := st.Ring.CustomerKey(p)
		uri := i.Ref.String()
		switch {
		case !ok:
			return service, nil
		case uri == other[0]:
			return elsewhere, nil
		case strings.HasPrefix(uri, ownRef("box", "k").String()+"/"):
			v := vaultRef(ownRef("box", "k"))
			v.Version = uri[strings.LastIndexByte(uri, '/')+1:]
			newest, err := st.Vaults.GetKey(ctx, operator, vaultRef(ownRef("box", "k")))
			if err != nil {
				return "", err
			}
			if len(box) == 2 && newest.Version == v.Version {
				return second, nil
			}
			return first, nil
		}
		return "", fmt.Errorf("%v is under %s", p, uri)
	}
	check := func(p keys.Protector, changes map[int]string) error {
		want := []string{service}
		for n := range clEnd {
			if to, ok := changes[n]; ok && n < step {
				want = []string{to}
			} else if ok && n == step {
				want = append(want, to)
			}
		}
		got, err := inForce(p)
		if err != nil {
			return err
		}
		for _, w := range want {
			if w == got {
				return nil
			}
		}
		return fmt.Errorf("%v is under %q, want one of %q", p, got, want)
	}
	return errors.Join(
		check(keys.AccountProtector(id), map[int]string{clAccount: first, clTake: second, clSwitch: elsewhere, clRecover: second, clAccountBack: service}),
		check(a.Protector(), map[int]string{clScope: elsewhere, clScopeBack: service}),
	)
}

// customerVaults checks the keys of the vaults, and that they work.
func customerVaults(st *store.Store, step int) error {
	sign := func(r vault.Ref) error {
		out, err := st.Vaults.Sign(ctx, operator, r, vault.Operation{Algorithm: "ES256", Value: make([]byte, 32)})
		if err != nil {
			return err
		}
		ok, err := st.Vaults.Verify(ctx, operator, r, vault.Operation{Algorithm: "ES256", Value: make([]byte, 32), Signature: out.Value})
		if err == nil && !ok.Valid {
			err = errors.New("a signature that is none")
		}
		return err
	}
	err := sign(newKey)
	_, deleted := st.Vaults.DeletedKey(ctx, operator, newKey)
	switch {
	case err == nil && (step <= clDelete || step >= clUndelete):
	case fault.Is(err, fault.VaultKeyNotFound) && step == clMakeKey:
	case fault.Is(err, fault.VaultKeyNotFound) && deleted == nil && step >= clDelete && step <= clUndelete:
	default:
		return fmt.Errorf("key %s: %v; as a deleted one: %v", newKey.Key, err, deleted)
	}
	if err := sign(restored); err != nil && (step > clRestoreKey || !fault.Is(err, fault.VaultKeyNotFound)) {
		return fmt.Errorf("restored key: %w", err)
	}
	in := content("wrapped", 32)
	w, err := st.Vaults.Wrap(ctx, operator, imported, vault.Operation{Algorithm: "A256KW", Value: bytes.Clone(in)})
	if err != nil {
		if step > clImport || !fault.Is(err, fault.VaultKeyNotFound) {
			return fmt.Errorf("imported key: %w", err)
		}
		return nil
	}
	out, err := st.Vaults.Unwrap(ctx, operator, imported, vault.Operation{Algorithm: "A256KW", Value: w.Value})
	if err != nil || !bytes.Equal(out.Value, in) {
		return fmt.Errorf("imported key: %x, %w", out.Value, err)
	}
	return nil
}
