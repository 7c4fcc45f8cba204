package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/server"
)

type containerCmd struct {
	Create containerCreateCmd `cmd:"" help:"Create a container."`
	List   containerListCmd   `cmd:"" help:"List the containers of an account."`
	Show   containerShowCmd   `cmd:"" help:"Show one container."`
	Update containerUpdateCmd `cmd:"" help:"Change public access or metadata; the default scope is for the life of a container."`
	Delete containerDeleteCmd `cmd:"" help:"Delete a container with everything in it."`
}

// oneContainer names a container.
type oneContainer struct {
	storeFlags
	Account string `arg:"" help:"The account, or ACCOUNT/CONTAINER."`
	Name    string `arg:"" optional:"" name:"container" help:"The container."`
}

// args completes arguments with the names.
func (c *oneContainer) args(args server.ContainerArgs) (server.ContainerArgs, error) {
	var err error
	args.Account, args.Name, err = inAccount(c.Account, c.Name, "container", "box")
	return args, err
}

func (c *oneContainer) run(a *app, op string, args server.ContainerArgs) error {
	args, err := c.args(args)
	if err != nil {
		return err
	}
	var got server.Container
	if err := c.call(a, op, args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	override := "allowed"
	if got.DenyOverride {
		override = "denied"
	}
	rows := [][]string{
		{"container", got.Account + "/" + got.Name},
		{"public access", got.PublicAccess},
		{"default scope", got.DefaultScope},
		{"other scopes", override},
		{"lease", got.Lease},
		{"changed", when(&got.Modified)},
	}
	for _, k := range slices.Sorted(maps.Keys(got.Metadata)) {
		rows = append(rows, []string{"metadata", k + "=" + got.Metadata[k]})
	}
	a.table(rows...)
	return nil
}

type containerCreateCmd struct {
	oneContainer
	PublicAccess      string            `help:"Who reads without a signature: nobody (none), who knows the name of a blob (blob), or who also lists (container)." enum:"none,blob,container" default:"none"`
	DefaultScope      string            `help:"Encryption scope of what is written without one; for the life of the container." placeholder:"SCOPE"`
	DenyScopeOverride bool              `help:"Refuse writes under another scope; with --default-scope."`
	Metadata          map[string]string `help:"Metadata." placeholder:"NAME=VALUE"`
}

func (c *containerCreateCmd) Run(a *app) error {
	return c.run(a, "container.create", server.ContainerArgs{
		PublicAccess: &c.PublicAccess, DefaultScope: c.DefaultScope, DenyOverride: c.DenyScopeOverride, Metadata: c.Metadata,
	})
}

type containerShowCmd struct{ oneContainer }

func (c *containerShowCmd) Run(a *app) error {
	return c.run(a, "container.show", server.ContainerArgs{})
}

type containerUpdateCmd struct {
	oneContainer
	PublicAccess  *string           `help:"none, blob or container." placeholder:"WHAT"`
	Metadata      map[string]string `help:"Metadata, in place of all there is." placeholder:"NAME=VALUE" xor:"metadata"`
	ClearMetadata bool              `help:"No metadata." xor:"metadata"`
}

func (c *containerUpdateCmd) Run(a *app) error {
	args := server.ContainerArgs{PublicAccess: c.PublicAccess}
	if c.ClearMetadata || len(c.Metadata) > 0 {
		args.Metadata = map[string]string{}
		maps.Copy(args.Metadata, c.Metadata)
	}
	if args.PublicAccess == nil && args.Metadata == nil {
		return server.WithHint(errors.New("nothing to change was named"), "--public-access none, --metadata NAME=VALUE or --clear-metadata")
	}
	return c.run(a, "container.update", args)
}

type containerDeleteCmd struct {
	oneContainer
	Yes bool `help:"Do it: every blob in it is lost." required:""`
}

func (c *containerDeleteCmd) Run(a *app) error {
	args, err := c.args(server.ContainerArgs{})
	if err != nil {
		return err
	}
	if err := c.call(a, "container.delete", args, nil); err != nil {
		return err
	}
	a.deleted(args.Account + "/" + args.Name)
	return nil
}

// deleted says what was deleted.
func (a *app) deleted(what string) {
	if a.json {
		a.printJSON(map[string]string{"deleted": what})
		return
	}
	fmt.Fprintln(a.stdout, "deleted", what)
}

type containerListCmd struct {
	storeFlags
	Account string `arg:"" help:"The account."`
	Prefix  string `help:"Names with this beginning." placeholder:"TEXT"`
}

func (c *containerListCmd) Run(a *app) error {
	var got []server.Container
	if err := c.call(a, "container.list", server.ContainerArgs{Account: c.Account, Prefix: c.Prefix}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"CONTAINER", "PUBLIC ACCESS", "DEFAULT SCOPE", "OTHER SCOPES", "LEASE", "CHANGED"}}
	for _, b := range got {
		override := map[bool]string{false: "allowed", true: "denied"}[b.DenyOverride]
		rows = append(rows, []string{b.Name, b.PublicAccess, b.DefaultScope, override, b.Lease, when(&b.Modified)})
	}
	a.table(rows...)
	return nil
}

type blobServiceCmd struct {
	Show   blobServiceShowCmd   `cmd:"" help:"Show the settings."`
	Update blobServiceUpdateCmd `cmd:"" help:"Change settings."`
}

// oneBlobService names an account.
type oneBlobService struct {
	storeFlags
	Account string `arg:"" help:"The account."`
}

func (c *oneBlobService) run(a *app, op string, args server.BlobServiceArgs) error {
	args.Account = c.Account
	var got server.BlobService
	if err := c.call(a, op, args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{
		{"account", got.Account}, {"default version", orDash(got.DefaultVersion)},
		{"soft delete", map[bool]string{false: "off (not served yet)", true: "on"}[got.SoftDelete]},
	}
	for _, r := range got.CORS {
		rows = append(rows, []string{"cors rule", fmt.Sprintf("%s from %s, %d s", strings.Join(r.Methods, ","), strings.Join(r.Origins, ","), r.MaxAge)})
	}
	a.table(rows...)
	return nil
}

type blobServiceShowCmd struct{ oneBlobService }

func (c *blobServiceShowCmd) Run(a *app) error {
	return c.run(a, "account.blobService", server.BlobServiceArgs{})
}

type blobServiceUpdateCmd struct {
	oneBlobService
	DefaultVersion *string `help:"Version of requests that name none." placeholder:"DATE"`
	Cors           string  `help:"File with all CORS rules, as \"cors\" of show --json; [] is none; - is stdin." placeholder:"FILE"`
}

const maxCORSFile = 64 << 10 // bytes

func (c *blobServiceUpdateCmd) Run(a *app) error {
	args := server.BlobServiceArgs{DefaultVersion: c.DefaultVersion}
	if c.Cors != "" {
		b, err := readFile(a, c.Cors, maxCORSFile)
		if err != nil {
			return err
		}
		args.CORS = new([]server.CORSRule)
		if err := json.Unmarshal(b, args.CORS); err != nil {
			return server.WithHint(fmt.Errorf("%s: %w", c.Cors, err), "coffer account blob-service show ACCOUNT --json shows the form, as \"cors\"")
		}
	}
	if args.DefaultVersion == nil && args.CORS == nil {
		return server.WithHint(errors.New("nothing to change was named"), "--default-version DATE or --cors FILE")
	}
	return c.run(a, "account.setBlobService", args)
}
