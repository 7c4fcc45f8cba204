package vaulthttp

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/vault"
)

// Roles keeps role assignments. The identity service is one.
type Roles interface {
	Assign(ctx context.Context, a identity.RoleAssignment) (identity.RoleAssignment, error)
	Unassign(ctx context.Context, id string) error
	Assignments(ctx context.Context, f identity.Filter) ([]identity.RoleAssignment, error)
}

const (
	provider        = "providers"
	providerName    = "microsoft.authorization"
	assignmentsWord = "roleassignments"
	definitionsWord = "roledefinitions"
)

// roleRoutes are those of local roles, by verb, collection and whether one is named.
var roleRoutes = map[string]*route{
	"GET roleassignments":        {op: "ListRoleAssignments", serve: (*Handler).listAssignments},
	"GET roleassignments one":    {op: "GetRoleAssignment", serve: (*Handler).getAssignment},
	"PUT roleassignments one":    {op: "CreateRoleAssignment", serve: (*Handler).assign},
	"DELETE roleassignments one": {op: "DeleteRoleAssignment", serve: (*Handler).unassign},
	"GET roledefinitions":        {op: "ListRoleDefinitions", serve: (*Handler).listDefinitions},
	"GET roledefinitions one":    {op: "GetRoleDefinition", serve: (*Handler).getDefinition},
}

// findRole finds {scope}/providers/Microsoft.Authorization/roleAssignments/{name}. The
// scope, / or /keys or /keys/NAME, brings slashes of its own.
func findRole(verb string, path []string) (*route, []string) {
	words := slices.DeleteFunc(slices.Clone(path), func(s string) bool { return s == "" })
	at := slices.IndexFunc(words, func(s string) bool { return strings.EqualFold(s, provider) })
	if at < 0 || at > 2 || len(words) < at+3 || !strings.EqualFold(words[at+1], providerName) {
		return nil, nil
	}
	key, name := verb+" "+strings.ToLower(words[at+2]), ""
	if len(words) == at+4 {
		key, name = key+" one", words[at+3]
	} else if len(words) > at+4 {
		return nil, nil
	}
	rt := roleRoutes[key]
	if rt == nil {
		return nil, nil
	}
	return rt, []string{"/" + strings.Join(words[:at], "/"), name}
}

// manage checks that local roles are there and that the caller may do action with them.
func (h *Handler) manage(r *request, scope, action string) (vault.Vault, error) {
	if r.kind != vault.HSM || h.o.Roles == nil {
		return vault.Vault{}, wireError{http.StatusNotFound, "NotFound", "Local roles are there on Managed HSMs only.", ""}
	}
	if scope != "/" && !strings.EqualFold(scope, "/keys") && !strings.HasPrefix(strings.ToLower(scope), "/keys/") {
		return vault.Vault{}, badBody("The scope is /, /keys or /keys/NAME.")
	}
	return h.o.Vaults.MayAssign(r.Context(), r.caller, r.vault, action)
}

// full is the scope by which the identity service knows a local one.
func full(v vault.Vault, scope string) string {
	if scope == "/" {
		return vault.HSMScope(v.Name)
	}
	return vault.HSMScope(v.Name) + scope
}

// assignmentForm is a role assignment.
type assignmentForm struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Properties struct {
		Scope            string `json:"scope"`
		RoleDefinitionID string `json:"roleDefinitionId"`
		PrincipalID      string `json:"principalId"`
	} `json:"properties"`
}

const definitionPath = "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/"

func showAssignment(v vault.Vault, a identity.RoleAssignment) assignmentForm {
	scope := strings.TrimPrefix(strings.ToLower(a.Scope), vault.HSMScope(v.Name))
	if scope == "" {
		scope = "/"
	}
	f := assignmentForm{Name: a.ID, Type: "Microsoft.Authorization/roleAssignments"}
	f.ID = strings.TrimSuffix(scope, "/") + "/providers/Microsoft.Authorization/roleAssignments/" + a.ID
	f.Properties.Scope, f.Properties.RoleDefinitionID, f.Properties.PrincipalID = scope, definitionPath+a.RoleID, a.PrincipalID
	return f
}

func (h *Handler) assign(r *request, p []string) (answer, error) {
	v, err := h.manage(r, p[0], "roleAssignments/write/action")
	if err != nil {
		return answer{}, err
	}
	var f assignmentForm
	if err := readBody(r, maxBody, &f); err != nil {
		return answer{}, err
	}
	a, err := h.o.Roles.Assign(r.Context(), identity.RoleAssignment{
		ID: p[1], Scope: full(v, p[0]), RoleID: f.Properties.RoleDefinitionID, PrincipalID: f.Properties.PrincipalID})
	if fault.Is(err, fault.Exists) {
		return answer{}, wireError{http.StatusConflict, "RoleAssignmentExists", "The role assignment already exists.", ""}
	}
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusCreated, showAssignment(v, a)}, nil
}

// local finds an assignment of this HSM by its id; those of others are not there.
func (h *Handler) local(r *request, v vault.Vault, id string) (identity.RoleAssignment, error) {
	list, err := h.o.Roles.Assignments(r.Context(), identity.Filter{Below: vault.HSMScope(v.Name)})
	if err != nil {
		return identity.RoleAssignment{}, err
	}
	for _, a := range list {
		if strings.EqualFold(a.ID, id) {
			return a, nil
		}
	}
	return identity.RoleAssignment{}, wireError{http.StatusNotFound, "RoleAssignmentNotFound", "The role assignment was not found.", ""}
}

func (h *Handler) getAssignment(r *request, p []string) (answer, error) {
	v, err := h.manage(r, p[0], "roleAssignments/read/action")
	if err != nil {
		return answer{}, err
	}
	a, err := h.local(r, v, p[1])
	return answer{http.StatusOK, showAssignment(v, a)}, err
}

func (h *Handler) unassign(r *request, p []string) (answer, error) {
	v, err := h.manage(r, p[0], "roleAssignments/delete/action")
	if err != nil {
		return answer{}, err
	}
	a, err := h.local(r, v, p[1])
	if err == nil {
		err = h.o.Roles.Unassign(r.Context(), a.ID)
	}
	return answer{http.StatusOK, showAssignment(v, a)}, err
}

func (h *Handler) listAssignments(r *request, p []string) (answer, error) {
	v, err := h.manage(r, p[0], "roleAssignments/read/action")
	if err != nil {
		return answer{}, err
	}
	list, err := h.o.Roles.Assignments(r.Context(), identity.Filter{Below: full(v, p[0])})
	out := []assignmentForm{}
	for _, a := range list {
		out = append(out, showAssignment(v, a))
	}
	return answer{http.StatusOK, map[string]any{"value": out}}, err
}

// definitionForm is a role.
type definitionForm struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Properties struct {
		RoleName    string           `json:"roleName"`
		Description string           `json:"description"`
		Type        string           `json:"type"`
		Permissions []permissionForm `json:"permissions"`
		Scopes      []string         `json:"assignableScopes"`
	} `json:"properties"`
}

type permissionForm struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

func showDefinition(role identity.Role) definitionForm {
	f := definitionForm{ID: definitionPath + role.ID, Name: role.ID, Type: "Microsoft.Authorization/roleDefinitions"}
	f.Properties.RoleName, f.Properties.Description, f.Properties.Type = role.Name, role.Description, "AKVBuiltInRole"
	list := func(s []string) []string { return append([]string{}, s...) }
	f.Properties.Permissions = []permissionForm{{list(role.Actions), list(role.NotActions), list(role.DataActions), list(role.NotDataActions)}}
	f.Properties.Scopes = []string{"/"}
	return f
}

func (h *Handler) listDefinitions(r *request, p []string) (answer, error) {
	if _, err := h.manage(r, p[0], "roleDefinitions/read/action"); err != nil {
		return answer{}, err
	}
	out := []definitionForm{}
	for _, role := range identity.Roles() {
		if role.HSM {
			out = append(out, showDefinition(role))
		}
	}
	return answer{http.StatusOK, map[string]any{"value": out}}, nil
}

func (h *Handler) getDefinition(r *request, p []string) (answer, error) {
	if _, err := h.manage(r, p[0], "roleDefinitions/read/action"); err != nil {
		return answer{}, err
	}
	role, ok := identity.FindRole(p[1])
	if !ok || !role.HSM {
		return answer{}, wireError{http.StatusNotFound, "RoleDefinitionNotFound", "The role definition was not found.", ""}
	}
	return answer{http.StatusOK, showDefinition(role)}, nil
}
