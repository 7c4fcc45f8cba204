package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/server"
)

type keysCmd struct {
	List    keysListCmd    `cmd:"" help:"List keys, protectors and the ways to open the roots."`
	Rotate  keysRotateCmd  `cmd:"" help:"Make a new version of a key; no content is rewritten."`
	Tree    keysTreeCmd    `cmd:"" help:"Draw the key hierarchy, with how many contents each key protects."`
	Uses    keysUsesCmd    `cmd:"" help:"List exactly what the key of an account or scope protects."`
	Destroy keysDestroyCmd `cmd:"" help:"Destroy the key of an account or scope: what it protects is lost for ever."`
	Recover keysRecoverCmd `cmd:"" help:"Put the customer's key of before back into force, for the day on which the new one is lost."`
	Drill   keysDrillCmd   `cmd:"" help:"Open a copy of the key store and a data key of every protector."`
}

type keysListCmd struct{ storeFlags }

func (c *keysListCmd) Run(a *app) error {
	var got server.KeysReport
	if err := c.call(a, "keys.list", server.Nothing{}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	fmt.Fprintf(a.stdout, "store %s, key store generation %d, identity %s\n\n", got.Store, got.Generation, got.Identity)
	rows := [][]string{{"KEY", "OF", "VERSION", "REF", "STATE", "CREATED", "DUE"}}
	for _, ch := range got.Chains {
		for i, v := range ch.Versions {
			row := []string{ch.Kind, ch.For, fmt.Sprint(v.Number), v.Ref, v.State, when(&v.Created), "-"}
			if i == len(ch.Versions)-1 {
				row[6] = when(ch.Due)
			}
			rows = append(rows, row)
		}
	}
	a.table(rows...)
	fmt.Fprintln(a.stdout)
	a.table(slotRows(got.Slots)...)
	return nil
}

func slotRows(slots []server.KeySlot) [][]string {
	rows := [][]string{{"ROOT", "OPENED BY", "SLOT", "NAME", "PROVED"}}
	for _, s := range slots {
		proved := when(s.Proved)
		if s.Stale {
			proved += ", for an older root: prove again"
		}
		rows = append(rows, []string{s.Root, s.Provider, s.ID, orDash(s.Name), proved})
	}
	return rows
}

type keysRotateCmd struct {
	storeFlags
	What string `arg:"" help:"account NAME (its KEK), scope ACCOUNT/NAME, system NAME (its system key), vault NAME or hsm NAME (the key over its private keys), store (the key over the server's own: access keys, identities, backups of vault keys), vfs, infra, root or infra-root."`
	Name string `arg:"" optional:"" help:"The account, scope, vault or HSM."`
	Wait bool   `help:"Wait until every data key is wrapped under the new version."`

	NewUnsealKey bool `help:"With a root: replace its unseal key too, so that no key store of before opens with the key file. Copy the file anew."`
}

func (c *keysRotateCmd) Run(a *app) error {
	if needs := slices.Contains([]string{"account", "scope", "system", "vault", "hsm"}, c.What); needs != (c.Name != "") {
		return fmt.Errorf("keys rotate %s %s: account, scope, system, vault and hsm take a name, the others take none",
			c.What, strings.TrimSpace(c.Name))
	}
	var got server.RotateReport
	if err := c.call(a, "keys.rotate", server.RotateArgs{What: c.What, Account: c.Name, Wait: c.Wait, NewUnsealKey: c.NewUnsealKey}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	if strings.HasSuffix(c.What, "root") {
		fmt.Fprintf(a.stdout, "%s: replaced, and wrapped anew for every slot; key store generation %d\n", got.What, got.Generation)
		if c.NewUnsealKey {
			fmt.Fprintln(a.stdout, "its unseal key is a new one: copies of the key file that were made before do not open this store any more")
		}
		fmt.Fprintln(a.stdout, "the recovery kit still opens the new root; prove it again with: coffer recovery prove")
		return nil
	}
	fmt.Fprintf(a.stdout, "%s: version %d (%s) is active\n", got.What, got.Key.Version, got.Key.Ref)
	switch {
	case got.Pending:
		fmt.Fprintln(a.stdout, "data keys are wrapped anew in the background; content is not rewritten")
	case got.Rewraps > 0:
		fmt.Fprintf(a.stdout, "%d data keys wrapped anew; content is not rewritten\n", got.Rewraps)
	}
	return nil
}

type keysRecoverCmd struct {
	storeFlags
	whichKey
	Previous bool `required:"" help:"The key that was in force before the present one; its vault has to unwrap with it. It is kept for 24 hours after a change."`
}

func (c *keysRecoverCmd) Run(a *app) error {
	var got server.RecoverKeyReport
	if err := c.call(a, "keys.recover", server.RecoverKeyArgs{What: c.What, Name: c.Name}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	fmt.Fprintf(a.stdout, "%s: %s is in force again; the one after it is gone\n", got.What, got.Customer.Address)
	if got.Customer.Follow {
		fmt.Fprintln(a.stdout, "it follows new versions of that key: disable a version that must not come back, or name one with --vault-key VAULT/KEY/VERSION")
	}
	return nil
}

type keysDrillCmd struct{ storeFlags }

func (c *keysDrillCmd) Run(a *app) error {
	var got server.DrillReport
	if err := c.call(a, "keys.drill", server.Nothing{}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
	} else {
		fmt.Fprintf(a.stdout, "opened from a copy: roots %s; %d protectors; %d data keys\n",
			strings.Join(got.Roots, ", "), len(got.Protectors), got.Opened)
		for _, f := range got.Failed {
			fmt.Fprintf(a.stdout, "FAILED: %s: %s\n", f.Where, f.What)
		}
	}
	if len(got.Failed) > 0 {
		return exitError(exitDamage)
	}
	return nil
}
