package main

import (
	"fmt"

	"github.com/coffer-storage/coffer/internal/server"
)

type roleCmd struct {
	Assign      roleAssignCmd      `cmd:"" help:"Give an identity a role on a scope and everything below it."`
	List        roleListCmd        `cmd:"" help:"List role assignments."`
	Remove      roleRemoveCmd      `cmd:"" help:"Take a role assignment away; it counts from the next request on."`
	Definitions roleDefinitionsCmd `cmd:"" help:"List the roles there are."`
}

type roleAssignCmd struct {
	storeFlags
	Principal string `arg:"" help:"Name of the identity, or its object id; also of a principal of an issuer elsewhere."`
	Role      string `arg:"" help:"Name of the role, or its id: \"Storage Blob Data Contributor\"."`
	Scope     string `arg:"" help:"ACCOUNT, ACCOUNT/CONTAINER, vault:NAME, vault:NAME/KEY, hsm:NAME, hsm:NAME/KEY, or a resource id."`
}

func (c *roleAssignCmd) Run(a *app) error {
	var got server.RoleAssignment
	args := server.RoleArgs{Principal: c.Principal, Role: c.Role, Scope: c.Scope}
	if err := c.call(a, "role.assign", args, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	a.table([]string{"assignment", got.ID}, []string{"principal", got.Principal}, []string{"role", got.Role}, []string{"scope", got.Scope})
	return nil
}

type roleListCmd struct {
	storeFlags
	Principal string `help:"Of this identity only." placeholder:"NAME"`
	Scope     string `help:"At this scope or below it only." placeholder:"SCOPE"`
}

func (c *roleListCmd) Run(a *app) error {
	var got []server.RoleAssignment
	if err := c.call(a, "role.list", server.RoleArgs{Principal: c.Principal, Scope: c.Scope}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"ID", "PRINCIPAL", "ROLE", "SCOPE"}}
	for _, r := range got {
		rows = append(rows, []string{r.ID, r.Principal, r.Role, r.Scope})
	}
	a.table(rows...)
	return nil
}

type roleRemoveCmd struct {
	storeFlags
	ID string `arg:"" help:"Id of the assignment."`
}

func (c *roleRemoveCmd) Run(a *app) error {
	if err := c.call(a, "role.remove", server.RoleArgs{ID: c.ID}, nil); err != nil {
		return err
	}
	if a.json {
		a.printJSON(map[string]string{"removed": c.ID})
		return nil
	}
	fmt.Fprintln(a.stdout, "removed", c.ID)
	return nil
}

type roleDefinitionsCmd struct{ storeFlags }

func (c *roleDefinitionsCmd) Run(a *app) error {
	var got []server.RoleDefinition
	if err := c.call(a, "role.definitions", server.Nothing{}, &got); err != nil {
		return err
	}
	if a.json {
		a.printJSON(got)
		return nil
	}
	rows := [][]string{{"ROLE", "ID", "WHAT IT GIVES"}}
	for _, r := range got {
		rows = append(rows, []string{r.Name, r.ID, r.Description})
	}
	a.table(rows...)
	return nil
}
