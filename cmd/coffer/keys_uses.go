package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/coffer-storage/coffer/internal/server"
)

// whichKey names the key of an account or of a scope.
type whichKey struct {
	What string `arg:"" enum:"account,scope" help:"account or scope."`
	Name string `arg:"" help:"The account, or ACCOUNT/SCOPE."`
}

type keysUsesCmd struct {
	storeFlags
	whichKey
	Limit int `help:"List at most so many names; 0 lists all." default:"0"`
}

func (c *keysUsesCmd) Run(a *app) error {
	var got server.UsesReport
	if err := c.call(a, "keys.uses", server.UsesArgs{What: c.What, Name: c.Name, Limit: c.Limit}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	a.uses(got)
	return nil
}

// uses prints what a key protects.
func (a *app) uses(got server.UsesReport) {
	fmt.Fprintf(a.stdout, "%s is %s and protects %d contents (%s) and %d blobs with staged blocks\n",
		got.What, got.State, got.Contents, size(got.Bytes), got.Staged)
	if got.Double {
		fmt.Fprintln(a.stdout, "around all of it is a second layer, under the infrastructure key")
	}
	rows := [][]string{{"VERSION", "REF", "STATE", "DATA KEYS"}}
	for _, k := range got.Counts {
		rows = append(rows, []string{fmt.Sprint(k.Version), k.Ref, k.State, fmt.Sprint(k.Uses)})
	}
	a.table(rows...)
	for _, n := range got.Names {
		fmt.Fprintln(a.stdout, "  "+n)
	}
	if got.More > 0 {
		fmt.Fprintf(a.stdout, "  and %d more\n", got.More)
	}
}

type keysDestroyCmd struct {
	storeFlags
	whichKey
	Shred   bool   `required:"" help:"Destroy all versions of the key at once: what it protects is lost for ever."`
	Confirm string `help:"The name again, instead of typing it." placeholder:"NAME"`
	Limit   int    `help:"List at most so many names; 0 lists all." default:"0"`
}

// Run shows what is lost, has the name typed, and destroys.
func (c *keysDestroyCmd) Run(a *app) error {
	var list server.UsesReport
	if err := c.call(a, "keys.losses", server.UsesArgs{What: c.What, Name: c.Name, Limit: c.Limit}, &list); err != nil {
		return err
	}
	if !a.json {
		a.uses(list)
	}
	typed := c.Confirm
	if typed == "" {
		fmt.Fprintf(a.stderr, "all of this will be lost for ever. Type %s to destroy its keys: ", c.Name)
		typed, _ = bufio.NewReader(a.stdin).ReadString('\n')
		typed = strings.TrimSpace(typed)
	}
	var got server.DestroyReport
	args := server.DestroyArgs{What: c.What, Name: c.Name, Confirm: typed, Contents: list.Contents, Staged: list.Staged}
	if err := c.call(a, "keys.destroy", args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	fmt.Fprintf(a.stdout, "destroyed by %s on %s: %s, %d versions; %d contents are lost\n",
		got.By, when(&got.At), got.What, len(got.Keys), got.Contents)
	for _, r := range got.Remains {
		fmt.Fprintln(a.stdout, "note: "+r)
	}
	return nil
}

type keysTreeCmd struct {
	storeFlags
	SVG string `name:"svg" help:"Draw it into this file instead." placeholder:"FILE"`
}

func (c *keysTreeCmd) Run(a *app) error {
	var got server.KeyTree
	if err := c.call(a, "keys.tree", server.Nothing{}, &got); err != nil {
		return err
	}
	switch {
	case c.SVG != "":
		return os.WriteFile(c.SVG, []byte(treeSVG(&got)), 0o600)
	case a.json:
		a.printJSON(got)
	default:
		for _, l := range treeLines(&got) {
			fmt.Fprintln(a.stdout, l.prefix+l.text)
		}
	}
	return nil
}
