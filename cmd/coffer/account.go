package main

import (
	"fmt"

	"github.com/coffer-storage/coffer/internal/server"
)

type accountCmd struct {
	Create     accountCreateCmd     `cmd:"" help:"Create a storage account with random keys."`
	List       accountListCmd       `cmd:"" help:"List accounts."`
	Keys       accountKeysCmd       `cmd:"" help:"Show the keys of an account."`
	Regenerate accountRegenerateCmd `cmd:"" help:"Replace a key of an account; what it signed is refused from then on."`
	Delete     accountDeleteCmd     `cmd:"" help:"Delete an account that has no containers."`
}

type accountCreateCmd struct {
	storeFlags
	Name string `arg:"" help:"3 to 24 lower case letters and digits."`
}

func (c *accountCreateCmd) Run(a *app) error {
	return c.one(a, "account.create", server.AccountArgs{Name: c.Name})
}

type accountKeysCmd struct {
	storeFlags
	Name string `arg:"" help:"The account."`
}

func (c *accountKeysCmd) Run(a *app) error {
	return c.one(a, "account.keys", server.AccountArgs{Name: c.Name})
}

type accountRegenerateCmd struct {
	storeFlags
	Name  string `arg:"" help:"The account."`
	Which int    `arg:"" help:"1 or 2."`
}

func (c *accountRegenerateCmd) Run(a *app) error {
	return c.one(a, "account.regenerate", server.AccountArgs{Name: c.Name, Which: c.Which})
}

// one runs an operation that answers an account with its keys.
func (f *storeFlags) one(a *app, name string, args server.AccountArgs) error {
	var got server.Account
	if err := f.call(a, name, args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"account", got.Name}, {"protected by", got.Protector}}
	for i, k := range got.Keys {
		rows = append(rows, []string{fmt.Sprintf("key %d", i+1), k})
	}
	if got.Endpoint != "" {
		rows = append(rows, []string{"blob endpoint", got.Endpoint})
	}
	a.table(rows...)
	return nil
}

type accountListCmd struct{ storeFlags }

func (c *accountListCmd) Run(a *app) error {
	var got []server.Account
	if err := c.call(a, "account.list", server.Nothing{}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"NAME", "ID", "CREATED", "PROTECTED BY"}}
	for _, acc := range got {
		rows = append(rows, []string{acc.Name, acc.ID, when(&acc.Created), acc.Protector})
	}
	a.table(rows...)
	return nil
}

type accountDeleteCmd struct {
	storeFlags
	Name  string `arg:"" help:"The account."`
	Force bool   `help:"Delete its containers and blobs too."`
}

func (c *accountDeleteCmd) Run(a *app) error {
	if err := c.call(a, "account.delete", server.AccountArgs{Name: c.Name, Force: c.Force}, nil); err != nil {
		return err
	}
	if a.json {
		a.printJSON(map[string]string{"deleted": c.Name})
		return nil
	}
	fmt.Fprintln(a.stdout, "deleted", c.Name)
	return nil
}
