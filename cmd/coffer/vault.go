package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/server"
)

type vaultCmd struct {
	Create  vaultCreateCmd  `cmd:"" help:"Create a vault, or with --hsm a Managed HSM (in software)."`
	List    vaultListCmd    `cmd:"" help:"List vaults, or Managed HSMs."`
	Show    vaultShowCmd    `cmd:"" help:"Show one vault."`
	Allow   vaultAllowCmd   `cmd:"" help:"Set what a principal may do with the keys of a vault that has access policies."`
	Deny    vaultDenyCmd    `cmd:"" help:"Remove the access policy of a principal."`
	Protect vaultProtectCmd `cmd:"" help:"Switch purge protection on, for ever. Customer-managed keys need it."`
	Delete  vaultDeleteCmd  `cmd:"" help:"Delete a vault: its keys are unusable at once, and it can be recovered."`
	Recover vaultRecoverCmd `cmd:"" help:"Bring a deleted vault back with all its keys."`
	Purge   vaultPurgeCmd   `cmd:"" help:"Destroy a deleted vault and all its keys, for ever."`
	Key     vaultKeyCmd     `cmd:"" help:"Create, rotate, disable and delete keys of a vault."`
}

// oneVault names a vault.
type oneVault struct {
	storeFlags
	HSM  bool   `name:"hsm" help:"A Managed HSM."`
	Name string `arg:"" help:"The vault."`
}

func (c *oneVault) run(a *app, op string, args server.VaultArgs) error {
	args.Name, args.HSM = c.Name, c.HSM
	var got server.VaultInfo
	if err := c.call(a, op, args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	state := "in use"
	if got.Deleted != nil {
		state = "deleted " + when(got.Deleted) + ", purged " + when(got.Purge)
	}
	protection := "off: customer-managed keys need it (coffer vault protect)"
	if got.PurgeProtection {
		protection = "on"
	}
	rows := [][]string{
		{"vault", got.Name + " (" + got.Kind + ", " + got.Platform + ")"},
		{"address", got.URI},
		{"state", state},
		{"resource", got.ResourceID},
		{"who may", got.Authorization + ", at " + got.Scope},
		{"soft delete", fmt.Sprintf("%d days", got.SoftDeleteDays)},
		{"purge protection", protection},
		{"created", when(&got.Created)},
	}
	for _, p := range got.Policies {
		rows = append(rows, []string{"policy", p.Principal + ": " + strings.Join(p.Keys, " ")})
	}
	a.table(rows...)
	if got.Deleted == nil {
		if hint := nameHint(got.URI, net.DefaultResolver.LookupHost); hint != "" {
			fmt.Fprintln(a.stderr, hint)
		}
	}
	return nil
}

// nameHint says what to do when this machine does not find a vault's name: not every
// resolver sends what is below localhost here. "" when it does, or when the name is one
// for DNS.
func nameHint(uri string, lookup func(context.Context, string) ([]string, error)) string {
	const patience = 300 * time.Millisecond
	u, err := url.Parse(uri)
	if err != nil || !strings.HasSuffix(u.Hostname(), ".localhost") {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := lookup(ctx, u.Hostname()); err == nil {
		return ""
	}
	return "hint: this machine does not find the name " + u.Hostname() + ". The server needs no name for its own vaults; clients do:\n" +
		"  echo '127.0.0.1 " + u.Hostname() + "' | sudo tee -a /etc/hosts"
}

type vaultCreateCmd struct {
	oneVault
	PurgeProtection bool     `help:"Nobody can purge the vault or its keys before their time. For ever."`
	RetentionDays   int      `help:"How long deleted keys can be recovered, 7 to 90." default:"90"`
	AccessPolicies  bool     `help:"Access policies decide who may do what, instead of roles."`
	Admin           []string `help:"Managed HSM: a principal that may assign roles there; may be repeated." placeholder:"ID|NAME"`
	Location        string   `help:"Region that management clients are shown." default:"local"`
}

func (c *vaultCreateCmd) Run(a *app) error {
	return c.run(a, "vault.create", server.VaultArgs{PurgeProtection: c.PurgeProtection, Days: c.RetentionDays,
		Policies: c.AccessPolicies, Admins: c.Admin, Location: c.Location})
}

type vaultShowCmd struct{ oneVault }

func (c *vaultShowCmd) Run(a *app) error { return c.run(a, "vault.show", server.VaultArgs{}) }

type vaultProtectCmd struct{ oneVault }

func (c *vaultProtectCmd) Run(a *app) error { return c.run(a, "vault.protect", server.VaultArgs{}) }

type vaultDeleteCmd struct{ oneVault }

func (c *vaultDeleteCmd) Run(a *app) error { return c.run(a, "vault.delete", server.VaultArgs{}) }

type vaultRecoverCmd struct{ oneVault }

func (c *vaultRecoverCmd) Run(a *app) error { return c.run(a, "vault.recover", server.VaultArgs{}) }

type vaultAllowCmd struct {
	oneVault
	Principal string   `arg:"" help:"Object id, client id or name of the principal."`
	Keys      []string `help:"What it may do: get, list, create, wrapKey, unwrapKey, .. or all." default:"get,wrapKey,unwrapKey"`
}

func (c *vaultAllowCmd) Run(a *app) error {
	return c.run(a, "vault.allow", server.VaultArgs{Principal: c.Principal, Permissions: c.Keys})
}

type vaultDenyCmd struct {
	oneVault
	Principal string `arg:"" help:"Object id, client id or name of the principal."`
}

func (c *vaultDenyCmd) Run(a *app) error {
	return c.run(a, "vault.allow", server.VaultArgs{Principal: c.Principal})
}

type vaultPurgeCmd struct {
	oneVault
	Yes bool `help:"Do it: everything that is encrypted under its keys is lost." required:""`
}

func (c *vaultPurgeCmd) Run(a *app) error {
	return c.call(a, "vault.purge", server.VaultArgs{Name: c.Name, HSM: c.HSM}, nil)
}

type vaultListCmd struct {
	storeFlags
	HSM     bool `name:"hsm" help:"Managed HSMs."`
	Deleted bool `help:"Those that can be recovered."`
}

func (c *vaultListCmd) Run(a *app) error {
	var got []server.VaultInfo
	if err := c.call(a, "vault.list", server.VaultArgs{HSM: c.HSM, Deleted: c.Deleted}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"VAULT", "ADDRESS", "WHO MAY", "PURGE PROTECTION", "CREATED", "PURGED"}}
	for _, v := range got {
		rows = append(rows, []string{v.Name, v.URI, v.Authorization, fmt.Sprint(v.PurgeProtection), when(&v.Created), when(v.Purge)})
	}
	a.table(rows...)
	return nil
}
