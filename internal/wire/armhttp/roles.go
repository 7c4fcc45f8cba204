package armhttp

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

const (
	rolesPath  = "/providers/Microsoft.Authorization"
	roleAction = "Microsoft.Authorization/roleAssignments/"
	roleType   = "Microsoft.Authorization/roleAssignments"
	defType    = "Microsoft.Authorization/roleDefinitions"
)

// roleRoutes are below any scope; find has cut it off.
var roleRoutes = []route{
	{method: "GET", pattern: rolesPath + "/roleAssignments", action: roleAction + "read", serve: (*Handler).listAssignments},
	{method: "GET", pattern: rolesPath + "/roleAssignments/{n}", action: roleAction + "read", serve: (*Handler).getAssignment},
	{method: "PUT", pattern: rolesPath + "/roleAssignments/{n}", action: roleAction + "write", serve: (*Handler).putAssignment},
	{method: "DELETE", pattern: rolesPath + "/roleAssignments/{n}", action: roleAction + "delete", serve: (*Handler).deleteAssignment},
	{method: "GET", pattern: rolesPath + "/roleDefinitions", action: "Microsoft.Authorization/roleDefinitions/read", serve: (*Handler).listRoles},
	{method: "GET", pattern: rolesPath + "/roleDefinitions/{n}", action: "Microsoft.Authorization/roleDefinitions/read", serve: (*Handler).getRole},
}

type assignmentForm struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	Type       string               `json:"type"`
	Properties assignmentProperties `json:"properties"`
}

type assignmentProperties struct {
	Scope     string `json:"scope"`
	Role      string `json:"roleDefinitionId"`
	Principal string `json:"principalId"`
	Kind      string `json:"principalType,omitempty"`
	Created   string `json:"createdOn,omitempty"`
	Updated   string `json:"updatedOn,omitempty"`
}

func roleID(r *request, id string) string {
	sub := account.DefaultSubscription
	if p := strings.SplitN(r.at["scope"], "/", 4); len(p) > 2 && strings.EqualFold(p[1], "subscriptions") {
		sub = p[2]
	}
	return "/subscriptions/" + sub + rolesPath + "/roleDefinitions/" + id
}

func (h *Handler) showAssignment(r *request, a identity.RoleAssignment) assignmentForm {
	return assignmentForm{
		ID: strings.TrimSuffix(a.Scope, "/") + rolesPath + "/roleAssignments/" + a.ID, Name: a.ID, Type: roleType,
		Properties: assignmentProperties{a.Scope, roleID(r, a.RoleID), a.PrincipalID, "ServicePrincipal", stamp(a.Created), stamp(a.Created)},
	}
}

var byPrincipal = regexp.MustCompile(`(?i)^\s*(?:principalId\s+eq\s+'([^']*)'|assignedTo\('([^']*)'\))\s*$`)

func (h *Handler) listAssignments(r *request) (int, any, error) {
	if err := h.identities(); err != nil {
		return 0, nil, err
	}
	f := identity.Filter{}
	switch v := r.query("$filter"); {
	case v == "":
		f.Below = r.at["scope"]
	case strings.EqualFold(strings.TrimSpace(v), "atScope()"):
		f.Above = r.at["scope"]
	default:
		m := byPrincipal.FindStringSubmatch(v)
		if m == nil {
			return 0, nil, badValue("$filter", "It is atScope(), principalId eq '..' or assignedTo('..').")
		}
		f.Along, f.PrincipalID = r.at["scope"], m[1]+m[2]
	}
	list, err := h.o.Identities.Assignments(r.Context(), f)
	out := []assignmentForm{}
	for _, a := range list {
		out = append(out, h.showAssignment(r, a))
	}
	return http.StatusOK, collection{Value: out}, err
}

// assignment finds the one that a path names.
func (h *Handler) assignment(r *request) (identity.RoleAssignment, error) {
	if err := h.identities(); err != nil {
		return identity.RoleAssignment{}, err
	}
	list, err := h.o.Identities.Assignments(r.Context(), identity.Filter{Scope: r.at["scope"]})
	if err != nil {
		return identity.RoleAssignment{}, err
	}
	for _, a := range list {
		if strings.EqualFold(a.ID, r.at["n"]) {
			return a, nil
		}
	}
	return identity.RoleAssignment{}, armError{http.StatusNotFound, "RoleAssignmentNotFound", "The role assignment '" + clip(r.at["n"]) + "' is not found."}
}

func (h *Handler) getAssignment(r *request) (int, any, error) {
	a, err := h.assignment(r)
	return http.StatusOK, h.showAssignment(r, a), err
}

// putAssignment assigns a role. The same again is the same; another under the same name,
// or the same under another name, is refused.
func (h *Handler) putAssignment(r *request) (int, any, error) {
	if err := h.identities(); err != nil {
		return 0, nil, err
	}
	var b struct {
		Properties assignmentProperties `json:"properties"`
	}
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	role := b.Properties.Role[strings.LastIndexByte(b.Properties.Role, '/')+1:]
	found, ok := identity.FindRole(role)
	if !ok {
		return 0, nil, armError{http.StatusBadRequest, "RoleDefinitionDoesNotExist", "The specified role definition with ID '" + clip(role) + "' does not exist."}
	}
	if err := h.mayAssign(r, found.ID); err != nil {
		return 0, nil, err
	}
	if _, err := h.o.Identities.Principal(r.Context(), b.Properties.Principal); err != nil {
		return 0, nil, armError{http.StatusBadRequest, "PrincipalNotFound", "Principal " + clip(b.Properties.Principal) + " does not exist in the directory."}
	}
	a, err := h.o.Identities.Assign(r.Context(), identity.RoleAssignment{
		ID: r.at["n"], Scope: r.at["scope"], RoleID: role, PrincipalID: b.Properties.Principal,
	})
	if fault.Is(err, fault.Exists) {
		if strings.EqualFold(a.ID, r.at["n"]) && strings.EqualFold(a.PrincipalID, b.Properties.Principal) &&
			strings.EqualFold(a.RoleID, role) && strings.EqualFold(a.Scope, r.at["scope"]) {
			return http.StatusOK, h.showAssignment(r, a), nil
		}
		return 0, nil, armError{http.StatusConflict, "RoleAssignmentExists", "The role assignment already exists. The ID of the existing role assignment is " + strings.ReplaceAll(a.ID, "-", "") + "."}
	}
	return http.StatusCreated, h.showAssignment(r, a), err
}

// mayAssign refuses a caller whose roles let him assign some roles, but not this one.
func (h *Handler) mayAssign(r *request, role string) error {
	if r.caller.operator || h.o.Identities.MayAssign(r.Context(), r.caller.claims.ObjectID, r.route.action, role, r.at["scope"]) {
		return nil
	}
	return forbidden(r, r.route.action, r.at["scope"])
}

func (h *Handler) deleteAssignment(r *request) (int, any, error) {
	a, err := h.assignment(r)
	if err != nil {
		if e, ok := err.(armError); ok && e.code == "RoleAssignmentNotFound" {
			return http.StatusNoContent, nil, nil
		}
		return 0, nil, err
	}
	if err := h.mayAssign(r, a.RoleID); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.showAssignment(r, a), h.o.Identities.Unassign(r.Context(), a.ID)
}

type roleForm struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Properties roleProperties `json:"properties"`
}

type roleProperties struct {
	Name        string           `json:"roleName"`
	Type        string           `json:"type"`
	Description string           `json:"description"`
	Scopes      []string         `json:"assignableScopes"`
	Permissions []rolePermission `json:"permissions"`
}

type rolePermission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
	Condition      string   `json:"condition,omitempty"`
	ConditionForm  string   `json:"conditionVersion,omitempty"`
}

// condition says in the language of conditions which roles x may assign.
func condition(x identity.Role) (text, form string) {
	if x.Assigns == nil {
		return "", ""
	}
	part := func(action, of string) string {
		return "((!(ActionMatches{'" + roleAction + action + "'})) OR (" + of + "[" + roleType + ":RoleDefinitionId] ForAnyOfAnyValues:GuidEquals{" + strings.Join(x.Assigns, ", ") + "}))"
	}
	return part("write", "@Request") + " AND " + part("delete", "@Resource"), "2.0"
}

func (r *request) showRole(x identity.Role) roleForm {
	list := func(s []string) []string {
		if s == nil {
			return []string{}
		}
		return s
	}
	cond, form := condition(x)
	return roleForm{roleID(r, x.ID), x.ID, defType, roleProperties{
		x.Name, "BuiltInRole", x.Description, []string{"/"},
		[]rolePermission{{list(x.Actions), list(x.NotActions), list(x.DataActions), list(x.NotDataActions), cond, form}},
	}}
}

var byRoleName = regexp.MustCompile(`(?i)^\s*roleName\s+eq\s+'([^']*)'\s*$`)

func (h *Handler) listRoles(r *request) (int, any, error) {
	want := ""
	if m := byRoleName.FindStringSubmatch(r.query("$filter")); m != nil {
		want = m[1]
	}
	out := []roleForm{}
	for _, x := range identity.Roles() {
		if !x.HSM && (want == "" || strings.EqualFold(want, x.Name)) {
			out = append(out, r.showRole(x))
		}
	}
	return http.StatusOK, collection{Value: out}, nil
}

func (h *Handler) getRole(r *request) (int, any, error) {
	x, ok := identity.FindRole(r.at["n"])
	if !ok || x.HSM {
		return 0, nil, armError{http.StatusNotFound, "RoleDefinitionDoesNotExist", "The specified role definition with ID '" + clip(r.at["n"]) + "' does not exist."}
	}
	return http.StatusOK, r.showRole(x), nil
}
