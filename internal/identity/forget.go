package identity

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

// Forget removes the role assignments at a scope and below it, and the managed identity
// of the resource there, if it has one. Whoever deletes a resource, or makes one where
// another may have been, calls it: what was granted on the one must not count on the other.
func (s *Service) Forget(ctx context.Context, scope string) error {
	const op = "identity.Forget"
	if len(fold(scope)) < 2 || scope[0] != '/' {
		return fault.New(op, scope, fault.InvalidInput, errors.New("not the scope of one resource"))
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	var gone []RoleAssignment
	for _, a := range s.st.assignments {
		if covers(scope, a.Scope) {
			gone = append(gone, a)
		}
	}
	for _, a := range gone {
		s.st.unassign(a.ID)
	}
	owner := s.st.principals[s.st.resources[fold(scope)]]
	s.mu.Unlock()
	if len(gone) > 0 {
		err := edge(op, scope, s.store.Update(reclaim(ctx), func(tx *object.Tx) error {
			for _, a := range gone {
				id, _ := parseUUID(a.ID)
				tx.Delete(object.Identity, rowID(rowAssignment, id))
			}
			return nil
		}))
		if err != nil { // they are there still, and so they count
			s.mu.Lock()
			for _, a := range gone {
				s.st.assign(a)
			}
			s.mu.Unlock()
		}
		s.done(ctx, op, "roles on "+scope, err)
		if err != nil {
			return err
		}
	}
	if owner == nil || owner.Kind != SystemAssigned {
		return nil
	}
	return s.drop(ctx, op, owner)
}
