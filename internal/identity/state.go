package identity

import (
	"context"
	"errors"
	"strings"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/secret"
)

// state is everything that is asked for with each request. Records are never changed:
// a change puts a new one in place.
type state struct {
	principals  map[string]*record // by object id
	clients     map[string]string  // client id to object id
	resources   map[string]string  // ARM id, folded, to object id
	assignments map[string]RoleAssignment
	held        map[string][]string // object id to its assignments
	keys        []*signingKey       // oldest first
	delegation  map[keys.ID]delegationSecret
}

func newState() state {
	return state{
		principals: map[string]*record{}, clients: map[string]string{}, resources: map[string]string{},
		assignments: map[string]RoleAssignment{}, held: map[string][]string{}, delegation: map[keys.ID]delegationSecret{},
	}
}

func (st *state) put(p *record) {
	st.principals[p.ObjectID] = p
	st.clients[p.ClientID] = p.ObjectID
	if p.ResourceID != "" {
		st.resources[fold(p.ResourceID)] = p.ObjectID
	}
}

func (st *state) remove(p *record) {
	delete(st.principals, p.ObjectID)
	delete(st.clients, p.ClientID)
	delete(st.resources, fold(p.ResourceID))
}

func (st *state) assign(a RoleAssignment) {
	st.assignments[a.ID] = a
	st.held[a.PrincipalID] = append(st.held[a.PrincipalID], a.ID)
}

func (st *state) unassign(id string) {
	a := st.assignments[id]
	delete(st.assignments, id)
	var left []string
	for _, other := range st.held[a.PrincipalID] {
		if other != id {
			left = append(left, other)
		}
	}
	if len(left) == 0 {
		delete(st.held, a.PrincipalID)
		return
	}
	st.held[a.PrincipalID] = left
}

// fold makes ARM ids comparable: their case and a slash at the end count for nothing.
func fold(resourceID string) string {
	return strings.ToLower(strings.TrimRight(resourceID, "/"))
}

// Load reads what is stored. It comes before everything else. When it fails nobody has
// tokens or roles, and nothing can be changed.
func (s *Service) Load(ctx context.Context) error {
	const op = "identity.Load"
	st := newState()
	var rows []loaded
	err := s.store.View(ctx, func(tx *object.Tx) error {
		rows = nil
		return tx.Scan(object.Identity, s.store.StoreID(), nil, nil, false, func(k []byte, r *object.Row) (bool, error) {
			rows = append(rows, loaded{k, r})
			return true, nil
		})
	})
	for _, l := range rows {
		if err == nil {
			err = s.load(ctx, &st, l)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged = edge(op, "", err); err == nil {
		s.st = st
	}
	return s.damaged
}

// loaded is a row that Load found.
type loaded struct {
	key []byte
	row *object.Row
}

func (s *Service) load(ctx context.Context, st *state, l loaded) error {
	if len(l.key) != 17 {
		return errRow
	}
	id := uuid(l.key[1:])
	switch l.key[0] {
	case rowPrincipal:
		p, err := decodePrincipal(id, l.row)
		if err != nil {
			return err
		}
		plain, err := s.store.OpenMeta(ctx, l.row)
		if err != nil {
			return err
		}
		defer clear(plain)
		if plain != nil {
			if p.secrets, err = decodeSecrets(plain); err != nil {
				return err
			}
		}
		st.put(p)
		return nil
	case rowAssignment:
		a, err := decodeAssignment(id, l.row)
		if err == nil {
			st.assign(a)
		}
		return err
	case rowKey:
		k, err := s.openKey(ctx, id, l.row)
		if err == nil {
			st.addKey(k)
		}
		return err
	case rowDelegation:
		d, err := s.openDelegation(ctx, l.row)
		if err == nil {
			st.delegation[keys.ID(id)] = d
		}
		return err
	}
	return errRow
}

// Close wipes what is secret.
func (s *Service) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.st.delegation {
		d.key.Destroy()
	}
	s.st = newState()
}

// byClient returns the principal with that client id, or nil.
func (s *Service) byClient(clientID string) *record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.st.principals[s.st.clients[canonical(clientID)]]
}

// byObject returns the principal with that object id, or nil.
func (s *Service) byObject(objectID string) *record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.st.principals[canonical(objectID)]
}

// find returns the principal with that object id, client id, ARM id or name.
func (s *Service) find(op, id string) (*record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c := canonical(id); c != "" {
		if p := s.st.principals[c]; p != nil {
			return p, nil
		}
		if p := s.st.principals[s.st.clients[c]]; p != nil {
			return p, nil
		}
	}
	if p := s.st.principals[s.st.resources[fold(id)]]; p != nil {
		return p, nil
	}
	var found *record
	for _, p := range s.st.principals {
		if strings.EqualFold(p.Name, id) {
			if found != nil {
				return nil, fault.New(op, id, fault.PrincipalNotFound, errors.New("more than one principal has that name: use its id"))
			}
			found = p
		}
	}
	if found == nil {
		return nil, fault.New(op, id, fault.PrincipalNotFound, nil)
	}
	return found, nil
}

// Damaged reports why Load failed, if it did.
func (s *Service) Damaged() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.damaged
}

// before records what is about to be done, with who asks. What it describes must not be
// done on an error.
func (s *Service) before(ctx context.Context, operation, what string) error {
	if err := s.Damaged(); err != nil {
		return err
	}
	if s.o.Audit == nil {
		return nil
	}
	by := audit.By(ctx)
	err := s.o.Audit.Before(ctx, audit.Record{Actor: by.Actor, RequestID: by.RequestID, Operation: operation, What: what, Outcome: audit.Begin})
	if err != nil {
		return fault.New(operation, what, fault.Unavailable, err)
	}
	return nil
}

// after records what happened already.
func (s *Service) after(ctx context.Context, r audit.Record) {
	if s.o.Audit == nil {
		return
	}
	by := audit.By(ctx)
	r.Actor, r.RequestID = by.Actor, by.RequestID
	s.o.Audit.After(r)
}

// done records how something ended that before began.
func (s *Service) done(ctx context.Context, operation, what string, err error) {
	outcome := audit.OK
	if err != nil {
		outcome = fault.KindOf(err).String()
	}
	s.after(ctx, audit.Record{Operation: operation, What: what, Outcome: outcome})
}

// delegationSecret is what the delegation keys of one account come from.
type delegationSecret struct {
	key secret.Key
}

// edge turns what the store answers into the fault of this package's callers.
func edge(op, what string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	kind := meta.FaultKind(err)
	if errors.Is(err, errRow) {
		kind = fault.Corrupt
	}
	return fault.New(op, what, kind, err)
}
