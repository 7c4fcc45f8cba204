package server

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/vault"
)

// customer is an account whose key lies in a vault of the same server, reached by the
// official client over TLS.
type customer struct {
	*running
	account account.Info
	key     vault.Ref
	who     *access.Caller
	grant   string // id of the role assignment
	id      identity.Principal
}

// customer makes an account with an identity, a vault with a key, and the grant.
func (r *running) customer(n name.Account) *customer {
	r.t.Helper()
	ctx := r.t.Context()
	c := &customer{running: r, who: &access.Caller{Kind: access.SharedKey, Account: n, Secure: true}}
	var err error
	if c.account, err = r.store.Accounts.Create(ctx, n, [2][]byte{}); err != nil {
		r.t.Fatal(err)
	}
	if c.id, err = r.store.Identity.CreateIdentity(ctx, identity.SystemAssigned, c.account.ResourceID(), string(n)); err != nil {
		r.t.Fatal(err)
	}
	v := r.vaultOf(vault.Spec{Kind: vault.Standard, Name: string(n), RBAC: true, PurgeProtection: true})
	c.key = vault.Ref{Kind: vault.Standard, Vault: string(n), Key: "k"}
	made, err := r.store.Vaults.CreateKey(ctx, vault.Operator(), c.key, vault.NewKey{Type: "RSA"})
	if err != nil {
		r.t.Fatal(err)
	}
	c.key.Version = made.Version
	c.permit(v)
	return c
}

func (c *customer) permit(v vault.Vault) {
	c.t.Helper()
	role, ok := identity.FindRole("Key Vault Crypto Service Encryption User")
	if !ok {
		c.t.Fatal("the role is not there")
	}
	a, err := c.store.Identity.Assign(c.t.Context(), identity.RoleAssignment{Scope: v.Scope(""), RoleID: role.ID, PrincipalID: c.id.ObjectID})
	if err != nil {
		c.t.Fatal(err)
	}
	c.grant = a.ID
}

func (c *customer) ref() keys.VaultRef {
	return keys.VaultRef{URI: c.store.Vaults.URI(vault.Standard, c.key.Vault), Key: c.key.Key, Version: c.key.Version}
}

func (c *customer) protector() keys.Protector { return c.account.Protector }

func (c *customer) put(n, text string) error {
	_, err := c.store.Blobs.PutBlob(c.t.Context(), c.who, blob.Ref{Account: c.account.Name, Container: "box", Blob: name.Blob(n)},
		blob.PutOptions{Length: int64(len(text)), Body: bytes.NewReader([]byte(text))})
	return err
}

func (c *customer) get(n string) (string, error) {
	d, err := c.store.Blobs.Open(c.t.Context(), c.who, blob.Ref{Account: c.account.Name, Container: "box", Blob: name.Blob(n)}, blob.ReadOptions{})
	if err != nil {
		return "", err
	}
	defer d.Close()
	var b bytes.Buffer
	_, err = d.WriteTo(&b)
	return b.String(), err
}

// The whole round with our own vault: put under the customer's key, away in five ways,
// and back.
func TestCustomerKeyInOurVault(t *testing.T) {
	var ahead atomic.Int64 // of the server's clock
	r := newPlace(t).serve(t, func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	pass := func(d time.Duration) { ahead.Add(int64(d)) }
	ctx := t.Context()
	c := r.customer("acme")
	if _, err := c.store.Blobs.CreateContainer(ctx, c.who, c.account.Name, "box", blob.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.put("before", "with the service's key"); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Ring.SetVaultKey(ctx, c.protector(), c.ref(), true); err != nil {
		t.Fatal(err)
	}
	if err := c.put("after", "with the customer's key"); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		for n, want := range map[string]string{"before": "with the service's key", "after": "with the customer's key"} {
			if got, err := c.get(n); err != nil || got != want {
				t.Fatalf("%s: %s = %q, %v", what, n, got, err)
			}
		}
	}
	check("live")
	for _, way := range []struct {
		name       string
		away, back func() error
		kind       fault.Kind
	}{
		{"disabled", func() error { return c.enable(false) }, func() error { return c.enable(true) }, fault.KeyGone},
		{"deleted", func() error { _, err := r.store.Vaults.DeleteKey(ctx, vault.Operator(), c.key); return err },
			func() error { _, err := r.store.Vaults.RecoverKey(ctx, vault.Operator(), c.key); return err }, fault.KeyGone},
		{"permission removed", func() error { return r.store.Identity.Unassign(ctx, c.grant) },
			func() error {
				v, err := r.store.Vaults.Vault(ctx, vault.Standard, c.key.Vault)
				if err == nil {
					c.permit(v)
				}
				return err
			}, fault.KeyGone},
		{"identity removed", func() error { return r.store.Identity.DeleteIdentity(ctx, c.account.ResourceID()) },
			func() (err error) {
				v, err := r.store.Vaults.Vault(ctx, vault.Standard, c.key.Vault)
				if err != nil {
					return err
				}
				if c.id, err = r.store.Identity.CreateIdentity(ctx, identity.SystemAssigned, c.account.ResourceID(), "acme"); err == nil {
					c.permit(v)
				}
				return err
			}, fault.CustomerTokenGone},
		{"vault deleted", func() error { _, err := r.store.Vaults.DeleteVault(ctx, vault.Standard, c.key.Vault); return err },
			func() error { _, err := r.store.Vaults.RecoverVault(ctx, vault.Standard, c.key.Vault); return err }, fault.CustomerVaultGone},
	} {
		if err := way.away(); err != nil {
			t.Fatalf("%s: %v", way.name, err)
		}
		pass(keys.DefaultKeyCache)
		_, err := c.get("after")
		if !fault.Is(err, way.kind) {
			t.Errorf("%s: %v, want %v", way.name, err, way.kind)
		}
		if err := c.put("x", "y"); err == nil {
			t.Errorf("%s: a put succeeds", way.name)
		}
		if err := way.back(); err != nil {
			t.Fatalf("%s, back: %v", way.name, err)
		}
		pass(11 * time.Second) // a key that is away is asked for every 10 s
		check(way.name + ", back")
	}
	if err := r.store.Ring.SetServiceKey(ctx, c.protector()); err != nil {
		t.Fatal(err)
	}
	check("with the service's key again")
}

func (c *customer) enable(on bool) error {
	_, err := c.store.Vaults.UpdateKey(c.t.Context(), vault.Operator(), c.key, vault.KeyChange{Enabled: &on})
	return err
}

// A key of a Managed HSM: another host, another audience and a local role, the same switch.
func TestCustomerKeyInOurHSM(t *testing.T) {
	var ahead atomic.Int64
	r := newPlace(t).serve(t, func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	ctx := t.Context()
	c := r.customer("acme")
	v := r.vaultOf(vault.Spec{Kind: vault.HSM, Name: "safe", PurgeProtection: true, Admins: []string{c.id.ObjectID}})
	c.key = vault.Ref{Kind: vault.HSM, Vault: "safe", Key: "k"}
	made, err := r.store.Vaults.CreateKey(ctx, vault.Operator(), c.key, vault.NewKey{Type: "RSA-HSM"})
	if err != nil {
		t.Fatal(err)
	}
	c.key.Version = made.Version
	ref := keys.VaultRef{URI: r.store.Vaults.URI(vault.HSM, "safe"), Key: "k", Version: made.Version}
	if !strings.Contains(ref.URI, "//safe.managedhsm.localhost:") {
		t.Errorf("the host is %s", ref.URI)
	}
	// Who may assign roles, and has one in vaults, has none for keys here.
	if err := r.store.Ring.SetVaultKey(ctx, c.protector(), ref, false); !errors.Is(err, keys.RefusedAccess) {
		t.Errorf("without a local role: %v", err)
	}
	r.assign("Managed HSM Crypto Service Encryption User", v.Scope("k"), c.id.ObjectID)
	if err := r.store.Ring.SetVaultKey(ctx, c.protector(), ref, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.store.Blobs.CreateContainer(ctx, c.who, c.account.Name, "box", blob.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.put("b", "text"); err != nil {
		t.Fatal(err)
	}
	if err := c.enable(false); err != nil {
		t.Fatal(err)
	}
	ahead.Add(int64(keys.DefaultKeyCache))
	if _, err := c.get("b"); !fault.Is(err, fault.KeyGone) {
		t.Errorf("disabled: %v", err)
	}
	if err := c.enable(true); err != nil {
		t.Fatal(err)
	}
	ahead.Add(int64(11 * time.Second))
	if got, err := c.get("b"); err != nil || got != "text" {
		t.Errorf("enabled again: %q, %v", got, err)
	}
	other := c.key
	other.Key = "aes"
	if made, err = r.store.Vaults.CreateKey(ctx, vault.Operator(), other, vault.NewKey{Type: "oct-HSM", Bits: 256}); err != nil {
		t.Fatal(err)
	}
	r.assign("Managed HSM Crypto Service Encryption User", v.Scope("aes"), c.id.ObjectID)
	ref.Key, ref.Version = "aes", made.Version
	if err := r.store.Ring.SetVaultKey(ctx, c.protector(), ref, false); !errors.Is(err, keys.RefusedType) {
		t.Errorf("a symmetric key: %v", err)
	}
}

// An identity of one account opens nothing of another one.
func TestOnlyTheOwnIdentity(t *testing.T) {
	r := newPlace(t).serve(t)
	a, b := r.customer("one"), r.customer("two")
	err := r.store.Ring.SetVaultKey(t.Context(), b.protector(), a.ref(), false)
	if !errors.Is(err, keys.RefusedAccess) {
		t.Errorf("the key of another account: %v", err)
	}
	ref := a.ref()
	ref.URI = "https://one.vault.example.com"
	if err := r.store.Ring.SetVaultKey(t.Context(), a.protector(), ref, false); !errors.Is(err, keys.RefusedHost) {
		t.Errorf("a host of somebody else: %v", err)
	}
	if err := r.store.Identity.DeleteIdentity(t.Context(), a.account.ResourceID()); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Ring.SetVaultKey(t.Context(), a.protector(), a.ref(), false); !errors.Is(err, keys.RefusedIdentity) {
		t.Errorf("without an identity: %v", err)
	}
}
