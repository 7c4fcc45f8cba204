package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/coffer-storage/coffer/internal/server"
)

type identityCmd struct {
	Create      identityCreateCmd      `cmd:"" help:"Create an identity: a program with a client secret, or a managed identity."`
	List        identityListCmd        `cmd:"" help:"List identities."`
	Show        identityShowCmd        `cmd:"" help:"Show an identity, and its secrets by their ids."`
	Secret      identitySecretCmd      `cmd:"" help:"Add a client secret, or remove one."`
	Certificate identityCertificateCmd `cmd:"" help:"Let a program sign in with the key of a certificate."`
	Attach      identityAttachCmd      `cmd:"" help:"Let programs on this machine have the tokens of a managed identity."`
	Detach      identityDetachCmd      `cmd:"" help:"Take that back."`
	Delete      identityDeleteCmd      `cmd:"" help:"Delete an identity with its roles; its tokens are refused from then on."`
	RotateKey   identityRotateCmd      `cmd:"" help:"Sign tokens with a new key from now on; tokens of the old one count to their end."`
	RevokeSas   identityRevokeCmd      `cmd:"" help:"End all user delegation keys of an account, and every SAS that was signed with one."`
}

// oneIdentity names an identity.
type oneIdentity struct {
	storeFlags
	Name string `arg:"" help:"Its name, or one of its ids."`
}

// show runs an operation that answers an identity.
func (c *oneIdentity) show(a *app, op string, args server.IdentityArgs) error {
	args.Name = c.Name
	var got server.Identity
	if err := c.call(a, op, args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{
		{"identity", got.Name}, {"kind", got.Kind}, {"object id", got.ObjectID}, {"client id", got.ClientID}, {"tenant id", got.TenantID},
		{"created", when(&got.Created)},
	}
	if got.ResourceID != "" {
		rows = append(rows, []string{"resource id", got.ResourceID}, []string{"this machine", map[bool]string{true: "has its tokens", false: "no"}[got.Machine]})
	}
	for _, s := range got.Secrets {
		rows = append(rows, []string{"secret " + s.ID, "until " + when(&s.Expires)})
	}
	a.table(rows...)
	if got.Secret != "" {
		printCredential(a, got)
	}
	return nil
}

// printCredential shows a new secret in the form that the SDKs read.
func printCredential(a *app, i server.Identity) {
	p := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	p("\nThe secret is shown this once. For the SDKs (instance discovery has to be off):")
	p("  export AZURE_TENANT_ID=%s", i.TenantID)
	p("  export AZURE_CLIENT_ID=%s", i.ClientID)
	p("  export AZURE_CLIENT_SECRET=%s", i.Secret)
	if i.Authority != "" {
		p("  export AZURE_AUTHORITY_HOST=%s", i.Authority)
	}
}

type identityCreateCmd struct {
	oneIdentity
	Managed bool `help:"A managed identity: no credentials; resources of this server use it, and programs here with --attach."`
	Attach  bool `help:"With --managed: programs on this machine may have its tokens."`
	System  bool `help:"The system-assigned managed identity of this machine: what programs here get who name none."`
}

func (c *identityCreateCmd) Run(a *app) error {
	args := server.IdentityArgs{Managed: c.Managed, System: c.System}
	if c.Attach {
		args.Machine = &c.Attach
	}
	return c.show(a, "identity.create", args)
}

type identityShowCmd struct{ oneIdentity }

func (c *identityShowCmd) Run(a *app) error {
	return c.show(a, "identity.show", server.IdentityArgs{})
}

type identityAttachCmd struct{ oneIdentity }

func (c *identityAttachCmd) Run(a *app) error {
	on := true
	return c.show(a, "identity.machine", server.IdentityArgs{Machine: &on})
}

type identityDetachCmd struct{ oneIdentity }

func (c *identityDetachCmd) Run(a *app) error {
	off := false
	return c.show(a, "identity.machine", server.IdentityArgs{Machine: &off})
}

type identityListCmd struct{ storeFlags }

func (c *identityListCmd) Run(a *app) error {
	var got []server.Identity
	if err := c.call(a, "identity.list", server.Nothing{}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"NAME", "KIND", "OBJECT ID", "CLIENT ID", "MACHINE"}}
	for _, i := range got {
		rows = append(rows, []string{i.Name, i.Kind, i.ObjectID, i.ClientID, map[bool]string{true: "yes", false: "-"}[i.Machine]})
	}
	a.table(rows...)
	return nil
}

type identitySecretCmd struct {
	oneIdentity
	Life   time.Duration `help:"How long it counts; a year when nothing is said." placeholder:"DURATION"`
	Remove string        `help:"Remove the secret with this id instead." placeholder:"ID"`
}

func (c *identitySecretCmd) Run(a *app) error {
	if c.Remove != "" {
		return c.done(a, "identity.removeSecret", server.IdentityArgs{Secret: c.Remove}, "removed", c.Remove)
	}
	args := server.IdentityArgs{}
	if c.Life < 0 {
		return errors.New("--life is a duration such as 2160h")
	}
	if c.Life > 0 {
		args.Expires = time.Now().Add(c.Life).UTC()
	}
	return c.show(a, "identity.addSecret", args)
}

// done runs an operation that answers nothing.
func (c *oneIdentity) done(a *app, op string, args server.IdentityArgs, word, what string) error {
	args.Name = c.Name
	if err := c.call(a, op, args, nil); err != nil {
		return err
	}
	if a.json {
		a.printJSON(map[string]string{word: what})
		return nil
	}
	fmt.Fprintln(a.stdout, word, what)
	return nil
}

type identityCertificateCmd struct {
	oneIdentity
	File string `arg:"" help:"Certificate in PEM, without its private key."`
}

func (c *identityCertificateCmd) Run(a *app) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil {
		return err
	}
	return c.done(a, "identity.addCertificate", server.IdentityArgs{Certificate: string(b)}, "added", c.File)
}

type identityDeleteCmd struct{ oneIdentity }

func (c *identityDeleteCmd) Run(a *app) error {
	return c.done(a, "identity.delete", server.IdentityArgs{}, "deleted", c.Name)
}

type identityRotateCmd struct{ storeFlags }

func (c *identityRotateCmd) Run(a *app) error {
	var got server.SigningKey
	if err := c.call(a, "identity.rotate", server.Nothing{}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	fmt.Fprintln(a.stdout, "tokens are signed with", got.ID)
	return nil
}

type identityRevokeCmd struct {
	storeFlags
	Account string `arg:"" help:"The account."`
}

func (c *identityRevokeCmd) Run(a *app) error {
	if err := c.call(a, "identity.revokeDelegations", server.AccountArgs{Name: c.Account}, nil); err != nil {
		return err
	}
	if a.json {
		a.printJSON(map[string]string{"revoked": c.Account})
		return nil
	}
	fmt.Fprintln(a.stdout, "revoked the user delegation keys of", c.Account)
	return nil
}
