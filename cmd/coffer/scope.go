package main

import (
	"fmt"
	"strings"

	"github.com/coffer-storage/coffer/internal/server"
)

type scopeCmd struct {
	Create  scopeCreateCmd  `cmd:"" help:"Create an encryption scope: a key of its own inside an account."`
	List    scopeListCmd    `cmd:"" help:"List the scopes of an account."`
	Show    scopeShowCmd    `cmd:"" help:"Show one scope."`
	Update  scopeUpdateCmd  `cmd:"" help:"Put a scope under a key of a vault, or back under the service's key."`
	Disable scopeDisableCmd `cmd:"" help:"Stop every read and write under a scope; running downloads are cut off. Nothing is lost."`
	Enable  scopeEnableCmd  `cmd:"" help:"Bring a disabled scope back."`
}

// oneScope names a scope.
type oneScope struct {
	storeFlags
	Account string `arg:"" help:"The account, or ACCOUNT/SCOPE."`
	Name    string `arg:"" optional:"" name:"scope" help:"The scope."`
}

// names splits what was given, ACCOUNT SCOPE or ACCOUNT/SCOPE.
func (c *oneScope) names() (account, scope string, err error) {
	return inAccount(c.Account, c.Name, "scope", "tenant-a")
}

// inAccount splits the name of a thing in an account: one word, or ACCOUNT/NAME.
func inAccount(account, n, what, example string) (string, string, error) {
	given := account
	if n == "" {
		account, n, _ = strings.Cut(account, "/")
	}
	if account == "" || n == "" {
		return "", "", server.WithHint(fmt.Errorf("%q names no %s", given, what),
			"name it as ACCOUNT/"+strings.ToUpper(what)+", as in devstoreaccount1/"+example)
	}
	return account, n, nil
}

func (c *oneScope) run(a *app, op string, args server.ScopeArgs) error {
	var err error
	if args.Account, args.Name, err = c.names(); err != nil {
		return err
	}
	var got server.Scope
	if err := c.call(a, op, args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{
		{"scope", got.Account + "/" + got.Name},
		{"state", got.State},
		{"key", fmt.Sprintf("%s version %d (%s), managed by the %s", got.Key.Chain, got.Key.Version, got.Key.Ref, got.Source)},
		{"encryption", layers(got.Double)},
		{"created", when(&got.Created)},
		{"changed", when(&got.Modified)},
	}
	a.table(append(rows, customerRows(got.CustomerKey)...)...)
	return nil
}

func layers(double bool) string {
	if double {
		return "two layers (infrastructure encryption)"
	}
	return "one layer"
}

type scopeCreateCmd struct {
	oneScope

	InfrastructureEncryption bool `help:"Encrypt everything under it a second time, under a key from the infrastructure root; for the life of the scope."`

	VaultKey string `help:"Key of a vault that the scope is under: VAULT/KEY, or its address. The account's identity asks for it." placeholder:"KEY"`
	Grant    bool   `help:"Let the account's identity use the key, in a vault of ours."`
}

func (c *scopeCreateCmd) Run(a *app) error {
	return c.run(a, "scope.create", server.ScopeArgs{Double: c.InfrastructureEncryption, VaultKey: c.VaultKey, Grant: c.Grant})
}

type scopeUpdateCmd struct {
	oneScope
	VaultKey   string `help:"Key of a vault: VAULT/KEY, or its address. Content is not rewritten." placeholder:"KEY"`
	Grant      bool   `help:"Let the account's identity use the key, in a vault of ours."`
	ServiceKey bool   `help:"Back to the service's own key."`
}

func (c *scopeUpdateCmd) Run(a *app) error {
	return c.run(a, "scope.update", server.ScopeArgs{VaultKey: c.VaultKey, Grant: c.Grant, ServiceKey: c.ServiceKey})
}

type scopeShowCmd struct{ oneScope }

func (c *scopeShowCmd) Run(a *app) error { return c.run(a, "scope.show", server.ScopeArgs{}) }

type scopeDisableCmd struct{ oneScope }

func (c *scopeDisableCmd) Run(a *app) error { return c.run(a, "scope.disable", server.ScopeArgs{}) }

type scopeEnableCmd struct{ oneScope }

func (c *scopeEnableCmd) Run(a *app) error { return c.run(a, "scope.enable", server.ScopeArgs{}) }

type scopeListCmd struct {
	storeFlags
	Account string `arg:"" help:"The account."`
}

func (c *scopeListCmd) Run(a *app) error {
	var got []server.Scope
	if err := c.call(a, "scope.list", server.ScopeArgs{Account: c.Account}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"SCOPE", "STATE", "KEY VERSION", "MANAGED BY", "LAYERS", "CREATED"}}
	for _, s := range got {
		rows = append(rows, []string{s.Name, s.State, fmt.Sprint(s.Key.Version), s.Source, map[bool]string{false: "1", true: "2"}[s.Double], when(&s.Created)})
	}
	a.table(rows...)
	return nil
}
