package main

import (
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/coffer-storage/coffer/internal/server"
)

type groupCmd struct {
	Create groupCreateCmd `cmd:"" help:"Create a resource group."`
	List   groupListCmd   `cmd:"" help:"List the resource groups."`
	Show   groupShowCmd   `cmd:"" help:"Show one resource group and what is in it."`
	Update groupUpdateCmd `cmd:"" help:"Change the tags of a resource group."`
	Delete groupDeleteCmd `cmd:"" help:"Delete a resource group that is empty."`
}

// oneGroup names a resource group.
type oneGroup struct {
	storeFlags
	Name string `arg:"" help:"The resource group."`
}

func (c *oneGroup) run(a *app, op string, args server.GroupArgs) error {
	args.Name = c.Name
	var got server.Group
	if err := c.call(a, op, args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"resource group", got.Name}, {"location", got.Location}, {"resource id", got.Resource}}
	if !got.Created.IsZero() {
		rows = append(rows, []string{"created", when(&got.Created)})
	}
	for _, k := range slices.Sorted(maps.Keys(got.Tags)) {
		rows = append(rows, []string{"tag", k + "=" + got.Tags[k]})
	}
	for _, id := range got.Resources {
		rows = append(rows, []string{"holds", id})
	}
	a.table(rows...)
	return nil
}

type groupCreateCmd struct {
	oneGroup
	Location string            `help:"Region that clients are shown." default:"local" placeholder:"NAME"`
	Tag      map[string]string `help:"A tag; may be repeated." placeholder:"NAME=VALUE"`
}

func (c *groupCreateCmd) Run(a *app) error {
	return c.run(a, "group.create", server.GroupArgs{Location: c.Location, Tags: c.Tag})
}

type groupShowCmd struct{ oneGroup }

func (c *groupShowCmd) Run(a *app) error { return c.run(a, "group.show", server.GroupArgs{}) }

type groupUpdateCmd struct {
	oneGroup
	Tag       map[string]string `help:"Tags, in place of all there are." placeholder:"NAME=VALUE" xor:"tags"`
	ClearTags bool              `help:"No tags." xor:"tags"`
}

func (c *groupUpdateCmd) Run(a *app) error {
	if !c.ClearTags && len(c.Tag) == 0 {
		return server.WithHint(errors.New("nothing to change was named"), "--tag NAME=VALUE or --clear-tags")
	}
	return c.run(a, "group.update", server.GroupArgs{Tags: c.Tag})
}

type groupDeleteCmd struct{ oneGroup }

func (c *groupDeleteCmd) Run(a *app) error {
	if err := c.call(a, "group.delete", server.GroupArgs{Name: c.Name}, nil); err != nil {
		return err
	}
	a.deleted(c.Name)
	return nil
}

type groupListCmd struct{ storeFlags }

func (c *groupListCmd) Run(a *app) error {
	var got []server.Group
	if err := c.call(a, "group.list", nil, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"RESOURCE GROUP", "LOCATION", "TAGS"}}
	for _, g := range got {
		rows = append(rows, []string{g.Name, g.Location, strconv.Itoa(len(g.Tags))})
	}
	a.table(rows...)
	return nil
}
