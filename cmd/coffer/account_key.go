package main

import (
	"github.com/coffer-storage/coffer/internal/server"
)

type accountShowCmd struct {
	storeFlags
	Name string `arg:"" help:"The account."`
}

func (c *accountShowCmd) Run(a *app) error {
	return c.one(a, "account.show", server.AccountArgs{Name: c.Name})
}

type accountUpdateCmd struct {
	storeFlags
	Name       string `arg:"" help:"The account."`
	VaultKey   string `help:"Key of a vault: VAULT/KEY of ours, or its address; with a version it stays at that one. Content is not rewritten." placeholder:"KEY"`
	Identity   string `help:"Who asks the vault: system (the account's own identity) or a user-assigned one." placeholder:"NAME"`
	Grant      bool   `help:"Let the identity use the key, in a vault of ours."`
	ServiceKey bool   `help:"Back to the service's own key."`
	ForbidCpk  *bool  `negatable:"" help:"Refuse writes under customer-provided keys."`

	RequireCmk    *bool `negatable:"" help:"Refuse to be without a customer-managed key, the account and its scopes."`
	RequireDouble *bool `negatable:"" help:"Refuse to be without infrastructure encryption."`
}

func (c *accountUpdateCmd) Run(a *app) error {
	return c.one(a, "account.update", server.AccountArgs{
		Name: c.Name, VaultKey: c.VaultKey, Identity: c.Identity, Grant: c.Grant, ServiceKey: c.ServiceKey,
		ForbidCPK: c.ForbidCpk, RequireCMK: c.RequireCmk, RequireDouble: c.RequireDouble,
	})
}

type accountRevokeCmd struct {
	storeFlags
	Name string `arg:"" help:"The account."`
}

func (c *accountRevokeCmd) Run(a *app) error {
	return c.one(a, "account.revokeNow", server.AccountArgs{Name: c.Name})
}

// customerRows describe a customer-managed key.
func customerRows(k *server.CustomerKeyReport) [][]string {
	if k == nil {
		return nil
	}
	version := "stays at this version"
	if k.Follow {
		version = "new versions are taken by themselves"
	}
	state := k.State
	if k.Reason != "" {
		state += " (" + k.Reason + ")"
	}
	who := k.Identity
	if who == "" {
		who = "the account's own identity"
	}
	rows := [][]string{
		{"customer's key", k.Address}, {"", version}, {"", "asked for by " + who}, {"key state", state},
		{"revocation", "seen after " + k.Cache + " at most; coffer account revoke-now ends it at once"},
	}
	if k.Expires != nil {
		rows = append(rows, []string{"key expires", when(k.Expires)})
	}
	return rows
}
