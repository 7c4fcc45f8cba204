package main

import (
	"fmt"
	"strings"

	"github.com/coffer-storage/coffer/internal/server"
)

type accountCmd struct {
	Create     accountCreateCmd     `cmd:"" help:"Create a storage account with random keys."`
	List       accountListCmd       `cmd:"" help:"List accounts."`
	Keys       accountKeysCmd       `cmd:"" help:"Show the keys of an account."`
	Regenerate accountRegenerateCmd `cmd:"" help:"Replace a key of an account; what it signed is refused from then on."`
	Show       accountShowCmd       `cmd:"" help:"Show an account: its key, identity and policies."`
	Update     accountUpdateCmd     `cmd:"" help:"Put an account under a key of a vault, or back; give it an identity; set policies."`
	RevokeNow  accountRevokeCmd     `cmd:"" help:"Forget at once what vaults unwrapped for an account: the next use asks the vault."`
	Set        accountSetCmd        `cmd:"" help:"Change settings of an account."`
	Delete     accountDeleteCmd     `cmd:"" help:"Delete an account that has no containers."`

	BlobService blobServiceCmd `cmd:"" help:"Show and change the settings of an account's blob service."`
}

type accountCreateCmd struct {
	storeFlags
	Name string `arg:"" help:"3 to 24 lower case letters and digits."`
	Keys string `help:"File with one or two keys, base64, one a line, instead of random ones; - is stdin." placeholder:"FILE"`

	VaultKey string `help:"Key of a vault that the account is under from the start: VAULT/KEY, or its address." placeholder:"KEY"`
	Identity string `help:"User-assigned identity that asks the vault; with --vault-key." placeholder:"NAME"`
	Kind     string `help:"StorageV2, BlockBlobStorage, BlobStorage or Storage." placeholder:"KIND"`
	SKU      string `help:"Name of the redundancy that clients are shown; there is one copy." name:"sku" placeholder:"NAME"`
	Location string `help:"Region that clients are shown." placeholder:"NAME"`
	Group    string `help:"Resource group." name:"resource-group" placeholder:"NAME"`

	InfrastructureEncryption bool `help:"Encrypt everything in it a second time, under a key from the infrastructure root; for the life of the account."`
}

func (c *accountCreateCmd) Run(a *app) error {
	args := server.AccountArgs{
		Name: c.Name, Double: c.InfrastructureEncryption, VaultKey: c.VaultKey, Identity: c.Identity,
		Kind: c.Kind, SKU: c.SKU, Location: c.Location, Group: c.Group,
	}
	if c.Keys != "" {
		var err error
		if args.Keys, err = readLines(a, c.Keys); err != nil {
			return err
		}
	}
	return c.one(a, "account.create", args)
}

// readLines reads the lines of a small file that are not empty.
func readLines(a *app, file string) ([]string, error) {
	b, err := readFile(a, file, 1<<16)
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(string(b))
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s is empty", file)
	}
	return lines, nil
}

type accountKeysCmd struct {
	storeFlags
	Name string `arg:"" help:"The account."`
}

func (c *accountKeysCmd) Run(a *app) error {
	return c.one(a, "account.keys", server.AccountArgs{Name: c.Name})
}

type accountSetCmd struct {
	storeFlags
	Name      string `arg:"" help:"The account."`
	ForbidCpk *bool  `negatable:"" help:"Refuse writes under customer-provided keys; --no-forbid-cpk allows them."`

	AllowPublicAccess *bool `negatable:"" help:"Let containers be public (allowBlobPublicAccess); --no-allow-public-access closes them all."`

	RequireCmk    *bool `negatable:"" help:"Refuse to be without a customer-managed key, the account and its scopes."`
	RequireDouble *bool `negatable:"" help:"Refuse to be without infrastructure encryption."`
}

func (c *accountSetCmd) Run(a *app) error {
	return c.one(a, "account.set", server.AccountArgs{
		Name: c.Name, ForbidCPK: c.ForbidCpk, AllowPublic: c.AllowPublicAccess, RequireCMK: c.RequireCmk, RequireDouble: c.RequireDouble,
	})
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
	if got.Double {
		rows = append(rows, []string{"encryption", "two layers (infrastructure encryption)"})
	}
	for i, k := range got.Keys {
		rows = append(rows, []string{fmt.Sprintf("key %d", i+1), k})
	}
	rows = append(rows, customerRows(got.CustomerKey)...)
	if got.Identity != "" {
		rows = append(rows, []string{"identity", got.Identity})
	}
	if got.ForbidCPK {
		rows = append(rows, []string{"customer-provided keys", "forbidden"})
	}
	if !got.AllowPublic {
		rows = append(rows, []string{"public containers", "forbidden"})
	}
	if got.RequireCMK {
		rows = append(rows, []string{"customer-managed key", "required"})
	}
	if got.RequireDouble {
		rows = append(rows, []string{"infrastructure encryption", "required"})
	}
	rows = append(rows, []string{"kind", got.Kind + ", " + got.SKU + ": " + got.Redundancy})
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
	a.deleted(c.Name)
	return nil
}
