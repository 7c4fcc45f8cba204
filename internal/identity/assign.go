package identity

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

// maxScope bounds the scope of a role assignment, in bytes.
const maxScope = 1024

// Assign adds a role assignment and returns it as it is kept. The same role, scope and
// principal again is Exists, with the assignment that is there.
func (s *Service) Assign(ctx context.Context, a RoleAssignment) (RoleAssignment, error) {
	const op = "identity.Assign"
	a, id, err := s.normal(op, a)
	if err != nil {
		return RoleAssignment{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if old, err := s.clash(op, a); err != nil {
		return old, err
	}
	what := "role " + a.RoleID + " on " + a.Scope + " for " + a.PrincipalID
	if err := s.before(ctx, op, what); err != nil {
		return RoleAssignment{}, err
	}
	err = edge(op, a.ID, s.store.Update(ctx, func(tx *object.Tx) error {
		r := s.newRow(a.Created)
		encodeAssignment(a, r)
		return tx.Put(object.Identity, rowID(rowAssignment, id), r)
	}))
	if err == nil {
		s.mu.Lock()
		s.st.assign(a)
		s.mu.Unlock()
	}
	s.done(ctx, op, what, err)
	return a, err
}

// normal brings an assignment into the form that is kept.
func (s *Service) normal(op string, a RoleAssignment) (RoleAssignment, uuid, error) {
	bad := func(why string) (RoleAssignment, uuid, error) {
		return RoleAssignment{}, uuid{}, fault.New(op, "", fault.InvalidInput, errors.New(why))
	}
	id := newUUID()
	if a.ID != "" {
		var ok bool
		if id, ok = parseUUID(a.ID); !ok {
			return bad("the name of a role assignment is a UUID")
		}
	}
	role, ok := FindRole(a.RoleID)
	if !ok {
		return RoleAssignment{}, uuid{}, fault.New(op, a.RoleID, fault.ResourceNotFound, errors.New("no such role"))
	}
	principal := canonical(a.PrincipalID)
	if principal == "" {
		return bad("a principal is named by the UUID of its object")
	}
	if a.Scope != "/" {
		a.Scope = strings.TrimRight(a.Scope, "/")
	}
	control := func(r rune) bool { return unicode.IsControl(r) }
	if !strings.HasPrefix(a.Scope, "/") || len(a.Scope) > maxScope || !utf8.ValidString(a.Scope) || strings.ContainsFunc(a.Scope, control) || strings.Contains(a.Scope, "//") {
		return bad("a scope is a path that begins with a slash")
	}
	if role.HSM != !inARM(a.Scope) {
		return bad("roles of a Managed HSM are for its own paths, all others for resources")
	}
	return RoleAssignment{ID: id.String(), Scope: a.Scope, RoleID: role.ID, PrincipalID: principal, Created: s.o.Now().UTC()}, id, nil
}

// inARM reports whether a scope is one of the resource manager; others are local to
// something, such as a Managed HSM.
func inARM(scope string) bool {
	return scope == "/" || covers("/subscriptions", scope) || covers("/providers", scope)
}

// clash looks for what stands in the way of a.
func (s *Service) clash(op string, a RoleAssignment) (RoleAssignment, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if old, ok := s.st.assignments[a.ID]; ok {
		return old, fault.New(op, a.ID, fault.Exists, nil)
	}
	for _, id := range s.st.held[a.PrincipalID] {
		old := s.st.assignments[id]
		if old.RoleID == a.RoleID && strings.EqualFold(old.Scope, a.Scope) {
			return old, fault.New(op, id, fault.Exists, nil)
		}
	}
	if len(s.st.assignments) >= MaxAssignments {
		return RoleAssignment{}, fault.New(op, "", fault.NotAllowed, errors.New("there are as many role assignments as there may be"))
	}
	return RoleAssignment{}, nil
}

// Unassign removes a role assignment, or answers ResourceNotFound. It counts no more
// when this returns.
func (s *Service) Unassign(ctx context.Context, id string) error {
	const op = "identity.Unassign"
	u, _ := parseUUID(id)
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	a, ok := s.st.assignments[u.String()]
	if ok {
		s.st.unassign(a.ID)
	}
	s.mu.Unlock()
	if !ok {
		return fault.New(op, id, fault.ResourceNotFound, nil)
	}
	err := edge(op, id, s.store.Update(reclaim(ctx), func(tx *object.Tx) error {
		tx.Delete(object.Identity, rowID(rowAssignment, u))
		return nil
	}))
	if err != nil { // it is there still, and so it counts
		s.mu.Lock()
		s.st.assign(a)
		s.mu.Unlock()
	}
	s.done(ctx, op, "role "+a.RoleID+" on "+a.Scope+" for "+a.PrincipalID, err)
	return err
}

// Filter chooses role assignments. Empty fields choose all.
type Filter struct {
	Scope       string // at exactly this scope
	Above       string // that count at this scope: at it or above
	Below       string // at this scope or below
	Along       string // at this scope, above or below: not beside it
	PrincipalID string
}

func (f Filter) fits(a RoleAssignment) bool {
	return (f.Scope == "" || strings.EqualFold(strings.TrimRight(a.Scope, "/"), strings.TrimRight(f.Scope, "/"))) &&
		(f.Above == "" || covers(a.Scope, f.Above)) &&
		(f.Below == "" || covers(f.Below, a.Scope)) &&
		(f.Along == "" || covers(f.Along, a.Scope) || covers(a.Scope, f.Along)) &&
		(f.PrincipalID == "" || a.PrincipalID == canonical(f.PrincipalID))
}

// Assignments returns role assignments, ordered by id.
func (s *Service) Assignments(ctx context.Context, f Filter) ([]RoleAssignment, error) {
	var list []RoleAssignment
	s.mu.RLock()
	for _, a := range s.st.assignments {
		if f.fits(a) {
			list = append(list, a)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b RoleAssignment) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Allowed reports whether a principal may do an action, or with data a data action, at a
// scope: whether a role gives it that is assigned there or above.
func (s *Service) Allowed(ctx context.Context, principalID, action string, data bool, scope string) bool {
	return s.holds(principalID, scope, func(r *Role) bool { return r.gives(action, data) })
}

// MayAssign reports whether a principal may do an action on assignments of a role at a
// scope. Allowed does not know which role it is about, and some assign only some.
func (s *Service) MayAssign(ctx context.Context, principalID, action, roleID, scope string) bool {
	return s.holds(principalID, scope, func(r *Role) bool {
		return r.gives(action, false) && (r.Assigns == nil || slices.Contains(r.Assigns, canonical(roleID)))
	})
}

// holds reports whether a principal has a role at a scope or above for which ok is true.
func (s *Service) holds(principalID, scope string, ok func(*Role) bool) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, id := range s.st.held[canonical(principalID)] {
		a := s.st.assignments[id]
		if covers(a.Scope, scope) && ok(byID[a.RoleID]) {
			return true
		}
	}
	return false
}

// covers reports whether the scope below is the same path as above, or one under it. The root covers what the resource manager knows, and nothing that is local to a
// Managed HSM.
func covers(above, below string) bool {
	if above == "/" {
		return inARM(below)
	}
	above, below = strings.TrimRight(above, "/"), strings.TrimRight(below, "/")
	if len(below) < len(above) || !strings.EqualFold(below[:len(above)], above) {
		return false
	}
	return len(below) == len(above) || below[len(above)] == '/'
}
