package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/name"
)

// RoleArgs are the arguments of the operations on roles.
type RoleArgs struct {
	ID        string `json:"id,omitempty"`        // remove
	Principal string `json:"principal,omitempty"` // name or id
	Role      string `json:"role,omitempty"`      // name or id
	Scope     string `json:"scope,omitempty"`     // see scopeOf
}

// RoleAssignment is a role assignment as commands show it.
type RoleAssignment struct {
	ID          string    `json:"id"`
	Role        string    `json:"role"`
	RoleID      string    `json:"roleId"`
	Principal   string    `json:"principal"` // name, or id of one that is not here
	PrincipalID string    `json:"principalId"`
	Scope       string    `json:"scope"`
	Created     time.Time `json:"created"`
}

// RoleDefinition is a built-in role.
type RoleDefinition struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	HSM         bool     `json:"hsm,omitempty"`
	Actions     []string `json:"actions,omitempty"`
	NotActions  []string `json:"notActions,omitempty"`
	DataActions []string `json:"dataActions,omitempty"`
	Assigns     []string `json:"assigns,omitempty"` // ids of the only roles that it may assign
}

// scopeOf reads what a person writes for a scope:
//
//	/...                an id, as it is
//	ACCOUNT             a storage account
//	ACCOUNT/CONTAINER   a container in it
//	vault:NAME[/KEY]    a vault, or one key of it
//	hsm:NAME[/KEY]      a Managed HSM, or one key of it
func (s *Server) scopeOf(ctx context.Context, text string) (string, error) {
	kind, rest, named := strings.Cut(text, ":")
	vault, key, one := strings.Cut(rest, "/")
	switch {
	case strings.HasPrefix(text, "/"):
		return text, nil
	case named && kind == "hsm" && vault != "":
		scope := "/hsm/" + vault
		if one {
			scope += "/keys/" + key
		}
		return scope, nil
	case named && kind == "vault" && vault != "":
		scope := "/subscriptions/" + account.DefaultSubscription + "/resourceGroups/" + account.DefaultGroup + "/providers/Microsoft.KeyVault/vaults/" + vault
		if one {
			scope += "/keys/" + key
		}
		return scope, nil
	case named:
		return "", withHint(fault.New("server.role", text, fault.InvalidInput, errors.New("not a scope")),
			"a scope is ACCOUNT, ACCOUNT/CONTAINER, vault:NAME, hsm:NAME, or an id that begins with a slash")
	}
	n, box, one := strings.Cut(text, "/")
	info, err := s.accountOf(ctx, n)
	if err != nil || !one {
		return info.ResourceID(), err
	}
	if _, err := name.ParseContainer(box); err != nil {
		return "", err
	}
	return info.ResourceID() + "/blobServices/default/containers/" + box, nil
}

// principalID finds the object id of a principal; a UUID that is none of ours is one of
// an issuer elsewhere.
func (s *Server) principalID(ctx context.Context, who string) (string, error) {
	p, err := s.store.Identity.Principal(ctx, who)
	if err == nil {
		return p.ObjectID, nil
	}
	if len(who) == 36 && strings.Count(who, "-") == 4 {
		return who, nil
	}
	return "", principalHint(err)
}

func (s *Server) assignment(ctx context.Context, a identity.RoleAssignment) RoleAssignment {
	out := RoleAssignment{ID: a.ID, RoleID: a.RoleID, Role: a.RoleID, PrincipalID: a.PrincipalID, Principal: a.PrincipalID, Scope: a.Scope, Created: a.Created}
	if r, ok := identity.FindRole(a.RoleID); ok {
		out.Role = r.Name
	}
	if p, err := s.store.Identity.Principal(ctx, a.PrincipalID); err == nil {
		out.Principal = p.Name
	}
	return out
}

func (s *Server) opRoleAssign(ctx context.Context, a RoleArgs, _ func(Progress)) (RoleAssignment, error) {
	scope, err := s.scopeOf(ctx, a.Scope)
	if err != nil {
		return RoleAssignment{}, err
	}
	who, err := s.principalID(ctx, a.Principal)
	if err != nil {
		return RoleAssignment{}, err
	}
	got, err := s.store.Identity.Assign(ctx, identity.RoleAssignment{Scope: scope, RoleID: a.Role, PrincipalID: who})
	switch {
	case fault.Is(err, fault.ResourceNotFound):
		err = withHint(err, "coffer role definitions shows the roles there are")
	case fault.Is(err, fault.Exists):
		err = withHint(err, "the principal has the role there already: coffer role list --principal "+a.Principal)
	}
	return s.assignment(ctx, got), err
}

func (s *Server) opRoleList(ctx context.Context, a RoleArgs, _ func(Progress)) ([]RoleAssignment, error) {
	var f identity.Filter
	var err error
	if a.Scope != "" {
		if f.Below, err = s.scopeOf(ctx, a.Scope); err != nil {
			return nil, err
		}
	}
	if a.Principal != "" {
		if f.PrincipalID, err = s.principalID(ctx, a.Principal); err != nil {
			return nil, err
		}
	}
	list, err := s.store.Identity.Assignments(ctx, f)
	out := []RoleAssignment{}
	for _, x := range list {
		out = append(out, s.assignment(ctx, x))
	}
	return out, err
}

func (s *Server) opRoleRemove(ctx context.Context, a RoleArgs, _ func(Progress)) (Nothing, error) {
	err := s.store.Identity.Unassign(ctx, a.ID)
	if fault.Is(err, fault.ResourceNotFound) {
		err = withHint(err, "coffer role list shows the assignments with their ids")
	}
	return Nothing{}, err
}

func (s *Server) opRoleDefinitions(context.Context, Nothing, func(Progress)) ([]RoleDefinition, error) {
	out := []RoleDefinition{}
	for _, r := range identity.Roles() {
		out = append(out, RoleDefinition{ID: r.ID, Name: r.Name, Description: r.Description, HSM: r.HSM, Actions: r.Actions, NotActions: r.NotActions, DataActions: r.DataActions, Assigns: r.Assigns})
	}
	return out, nil
}
