package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/server"
)

type vaultKeyCmd struct {
	Create  vaultKeyCreateCmd  `cmd:"" help:"Create a key, or a new version of one that is there."`
	List    vaultKeyListCmd    `cmd:"" help:"List the keys of a vault, or the versions of a key."`
	Show    vaultKeyShowCmd    `cmd:"" help:"Show a key."`
	Import  vaultKeyImportCmd  `cmd:"" help:"Make a key, or a new version, of a private key in a file."`
	Update  vaultKeyUpdateCmd  `cmd:"" help:"Change the dates of a key, or what it is for; the newest version unless one is named."`
	Rotate  vaultKeyRotateCmd  `cmd:"" help:"Make a new version of the same type and size."`
	Disable vaultKeyDisableCmd `cmd:"" help:"Disable a key, or one version: what it protects stops opening. Nothing is lost."`
	Enable  vaultKeyEnableCmd  `cmd:"" help:"Enable a key, or one version."`
	Delete  vaultKeyDeleteCmd  `cmd:"" help:"Delete a key; it can be recovered."`
	Recover vaultKeyRecoverCmd `cmd:"" help:"Bring a deleted key back."`
	Purge   vaultKeyPurgeCmd   `cmd:"" help:"Destroy a deleted key, for ever."`
	Backup  vaultKeyBackupCmd  `cmd:"" help:"Write all versions of a key to a file, sealed: only a vault of this store opens it."`
	Restore vaultKeyRestoreCmd `cmd:"" help:"Bring a key back from such a file."`

	RotationPolicy vaultKeyPolicyCmd `cmd:"" help:"Say when a key gets a new version by itself."`
}

// oneKey names a key in a vault.
type oneKey struct {
	storeFlags
	HSM   bool   `name:"hsm" help:"The vault is a Managed HSM."`
	Vault string `arg:"" help:"The vault."`
	Key   string `arg:"" help:"The key."`
}

func (c *oneKey) run(a *app, op string, args server.VaultKeyArgs) error {
	args.Vault, args.Key, args.HSM = c.Vault, c.Key, c.HSM
	var got server.VaultKey
	if err := c.call(a, op, args, &got); err != nil {
		return err
	}
	printVaultKey(a, got)
	return nil
}

func printVaultKey(a *app, got server.VaultKey) {
	if a.json {
		a.printJSON(got)
		return
	}
	state := "enabled"
	if !got.Enabled {
		state = "disabled"
	}
	if got.Deleted != nil {
		state = "deleted " + when(got.Deleted) + ", purged " + when(got.Purge)
	}
	kind := fmt.Sprintf("%s %d", got.Type, got.Bits)
	if got.Curve != "" {
		kind = got.Type + " " + got.Curve
	}
	a.table(
		[]string{"key", got.Name},
		[]string{"id", got.ID},
		[]string{"type", kind},
		[]string{"state", state},
		[]string{"for", strings.Join(got.Ops, " ")},
		[]string{"not before", when(got.NotBefore)},
		[]string{"expires", when(got.Expires)},
		[]string{"created", when(&got.Created)},
	)
}

// keyDates are the dates of a version.
type keyDates struct {
	NotBefore date `help:"Not to be used before: 2006-01-02, or RFC 3339." placeholder:"TIME"`
	Expires   date `help:"Not to be used from then on." placeholder:"TIME"`
}

// date is a point in time, or "none". Keys count in seconds.
type date struct{ at *time.Time }

// UnmarshalText reads one as people write it.
func (d *date) UnmarshalText(b []byte) error {
	t, ok := parseTime(string(b))
	if !ok && string(b) != "none" {
		return fmt.Errorf("%q is no time: write 2006-01-02, 2006-01-02T15:04:05Z or none", b)
	}
	t = t.Truncate(time.Second).UTC()
	d.at = &t
	return nil
}

type vaultKeyCreateCmd struct {
	oneKey
	keyDates
	Type  string   `help:"RSA, RSA-HSM, EC, EC-HSM, or oct-HSM in a Managed HSM." default:"RSA"`
	Bits  int      `help:"RSA: 2048, 3072 or 4096; oct-HSM: 128, 192 or 256."`
	Curve string   `help:"EC: P-256, P-384 or P-521."`
	Ops   []string `help:"What it is for; all that its type can do if not given." placeholder:"OP"`
}

func (c *vaultKeyCreateCmd) Run(a *app) error {
	return c.run(a, "vault.key.create", server.VaultKeyArgs{
		Type: c.Type, Bits: c.Bits, Curve: c.Curve, Ops: c.Ops, NotBefore: c.NotBefore.at, Expires: c.Expires.at,
	})
}

// oneVersion names a version, or the newest.
type oneVersion struct {
	oneKey
	Version string `arg:"" optional:"" help:"The version."`
}

type vaultKeyShowCmd struct{ oneVersion }

func (c *vaultKeyShowCmd) Run(a *app) error {
	return c.run(a, "vault.key.show", server.VaultKeyArgs{Version: c.Version})
}

type vaultKeyDisableCmd struct{ oneVersion }

func (c *vaultKeyDisableCmd) Run(a *app) error {
	return c.run(a, "vault.key.disable", server.VaultKeyArgs{Version: c.Version})
}

type vaultKeyEnableCmd struct{ oneVersion }

func (c *vaultKeyEnableCmd) Run(a *app) error {
	return c.run(a, "vault.key.enable", server.VaultKeyArgs{Version: c.Version})
}

type vaultKeyRotateCmd struct{ oneKey }

func (c *vaultKeyRotateCmd) Run(a *app) error {
	return c.run(a, "vault.key.rotate", server.VaultKeyArgs{})
}

type vaultKeyDeleteCmd struct{ oneKey }

func (c *vaultKeyDeleteCmd) Run(a *app) error {
	return c.run(a, "vault.key.delete", server.VaultKeyArgs{})
}

type vaultKeyRecoverCmd struct{ oneKey }

func (c *vaultKeyRecoverCmd) Run(a *app) error {
	return c.run(a, "vault.key.recover", server.VaultKeyArgs{})
}

type vaultKeyPurgeCmd struct {
	oneKey
	Yes bool `help:"Do it: everything that is encrypted under the key is lost." required:""`
}

func (c *vaultKeyPurgeCmd) Run(a *app) error {
	return c.call(a, "vault.key.purge", server.VaultKeyArgs{Vault: c.Vault, Key: c.Key, HSM: c.HSM}, nil)
}

type vaultKeyListCmd struct {
	storeFlags
	HSM     bool   `name:"hsm" help:"The vault is a Managed HSM."`
	Deleted bool   `help:"Those that can be recovered."`
	Vault   string `arg:"" help:"The vault."`
	Key     string `arg:"" optional:"" help:"A key: its versions are listed."`
}

func (c *vaultKeyListCmd) Run(a *app) error {
	var got []server.VaultKey
	if err := c.call(a, "vault.key.list", server.VaultKeyArgs{Vault: c.Vault, Key: c.Key, HSM: c.HSM, Deleted: c.Deleted}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"KEY", "VERSION", "TYPE", "ENABLED", "CREATED", "EXPIRES", "PURGED"}}
	for _, k := range got {
		rows = append(rows, []string{k.Name, k.Version, k.Type, fmt.Sprint(k.Enabled), when(&k.Created), when(k.Expires), when(k.Purge)})
	}
	a.table(rows...)
	return nil
}
