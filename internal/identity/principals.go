package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

// CreatePrincipal makes a service principal with a first secret, which is shown this
// once. Names are unique; a second one is Exists.
func (s *Service) CreatePrincipal(ctx context.Context, name string) (p Principal, text string, err error) {
	const op = "identity.CreatePrincipal"
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := checkName(op, name); err != nil {
		return Principal{}, "", err
	}
	if _, err := s.find(op, name); err == nil {
		return Principal{}, "", fault.New(op, name, fault.Exists, nil)
	}
	r := s.newPrincipal(ServicePrincipal, name)
	hash, text := newSecret(r.Created, time.Time{})
	r.secrets = []secretHash{hash}
	if err := s.add(ctx, op, r); err != nil {
		return Principal{}, "", err
	}
	return r.Principal, text, nil
}

// CreateIdentity makes the managed identity of a resource. If there is one it is
// returned as it is.
func (s *Service) CreateIdentity(ctx context.Context, kind Kind, resourceID, name string) (Principal, error) {
	const op = "identity.CreateIdentity"
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := checkName(op, name); err != nil {
		return Principal{}, err
	}
	if !kind.Managed() || !strings.HasPrefix(resourceID, "/") || len(resourceID) > maxResource || !utf8.ValidString(resourceID) || fold(resourceID) == "" {
		return Principal{}, fault.New(op, name, fault.InvalidInput, errors.New("a managed identity needs the id of a resource"))
	}
	if p, err := s.Identity(ctx, resourceID); err == nil {
		if p.Kind != kind {
			return Principal{}, fault.New(op, resourceID, fault.Exists, errors.New("the resource has an identity of another kind"))
		}
		return p, nil
	}
	r := s.newPrincipal(kind, name)
	r.ResourceID = strings.TrimRight(resourceID, "/")
	return r.Principal, s.add(ctx, op, r)
}

// checkName refuses what cannot be shown in a line.
func checkName(op, name string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) }
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) || strings.TrimSpace(name) != name || canonical(name) != "" || name[0] == '/' {
		return fault.New(op, "", fault.InvalidInput, errors.New("a name has 1 to 120 printable characters, is no UUID and begins with no slash"))
	}
	return nil
}

func (s *Service) newPrincipal(kind Kind, name string) *record {
	id := newUUID()
	return &record{id: id, Principal: Principal{
		ObjectID: id.String(), ClientID: newUUID().String(), TenantID: Tenant,
		Kind: kind, Name: name, Created: s.o.Now().UTC(),
	}}
}

// add stores a new principal. s.changing is held.
func (s *Service) add(ctx context.Context, op string, r *record) error {
	s.mu.RLock()
	n := len(s.st.principals)
	s.mu.RUnlock()
	if n >= MaxPrincipals {
		return fault.New(op, r.Name, fault.NotAllowed, errors.New("there are as many principals as there may be"))
	}
	return s.commit(ctx, op, r)
}

// commit writes r, with its record in the trail, and shows it. s.changing is held.
func (s *Service) commit(ctx context.Context, op string, r *record) error {
	what := r.Kind.String() + " " + r.ObjectID + " " + r.Name
	if err := s.before(ctx, op, what); err != nil {
		return err
	}
	err := edge(op, r.ObjectID, s.writePrincipal(ctx, r))
	if err == nil {
		s.mu.Lock()
		s.st.put(r)
		s.mu.Unlock()
	}
	s.done(ctx, op, what, err)
	return err
}

// change replaces a principal by one that f changed.
func (s *Service) change(ctx context.Context, op, id string, f func(*record) error) (Principal, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	old, err := s.find(op, id)
	if err != nil {
		return Principal{}, err
	}
	r := *old
	r.secrets, r.Certs = slices.Clone(old.secrets), slices.Clone(old.Certs)
	if err := f(&r); err != nil {
		return Principal{}, err
	}
	return r.Principal, s.commit(ctx, op, &r)
}

// SetMachine says whether programs on this machine may have the tokens of a managed
// identity, without any credential.
func (s *Service) SetMachine(ctx context.Context, id string, on bool) (Principal, error) {
	const op = "identity.SetMachine"
	return s.change(ctx, op, id, func(p *record) error {
		if !p.Kind.Managed() {
			return fault.New(op, p.ObjectID, fault.NotAllowed, errors.New("a service principal has credentials: give the program those"))
		}
		p.Machine = on
		return nil
	})
}

// Bounds of the tags of a resource, as Azure has them.
const (
	maxTags    = 50
	maxTagName = 512
	maxTagText = 256
)

// TagMap returns the tags of a user-assigned identity.
func (p Principal) TagMap() map[string]string {
	m := map[string]string{}
	if p.Tags != "" && json.Unmarshal([]byte(p.Tags), &m) != nil {
		return nil
	}
	return m
}

// encodeTags spells tags in the one way in which they are kept.
func encodeTags(m map[string]string) (string, error) {
	if len(m) == 0 {
		return "", nil
	}
	long := len(m) > maxTags
	for k, v := range m {
		long = long || k == "" || utf8.RuneCountInString(k) > maxTagName || utf8.RuneCountInString(v) > maxTagText
	}
	if long {
		return "", errors.New("a resource has at most 50 tags, with names of 1 to 512 characters and values of at most 256")
	}
	b, err := json.Marshal(m)
	return string(b), err
}

// CheckTags says why a resource cannot have these tags, or nil.
func CheckTags(m map[string]string) error {
	_, err := encodeTags(m)
	return err
}

// SetTags replaces the tags of a user-assigned identity.
func (s *Service) SetTags(ctx context.Context, resourceID string, tags map[string]string) (Principal, error) {
	const op = "identity.SetTags"
	p, err := s.Identity(ctx, resourceID)
	if err != nil {
		return Principal{}, err
	}
	text, err := encodeTags(tags)
	if err != nil || p.Kind != UserAssigned {
		return Principal{}, fault.New(op, resourceID, fault.InvalidInput, err)
	}
	if text == p.Tags {
		return p, nil
	}
	return s.change(ctx, op, p.ObjectID, func(r *record) error {
		r.Tags = text
		return nil
	})
}

// Principals returns all principals in the order of their names.
func (s *Service) Principals(ctx context.Context) ([]Principal, error) {
	s.mu.RLock()
	list := make([]Principal, 0, len(s.st.principals))
	for _, p := range s.st.principals {
		list = append(list, p.Principal)
	}
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b Principal) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ObjectID, b.ObjectID))
	})
	return list, nil
}

// Principal returns the principal with that object id, client id, ARM id or name, or
// PrincipalNotFound.
func (s *Service) Principal(ctx context.Context, id string) (Principal, error) {
	p, err := s.find("identity.Principal", id)
	if err != nil {
		return Principal{}, err
	}
	return p.Principal, nil
}

// Identity returns the managed identity with that ARM id, whatever its case, or
// PrincipalNotFound. The id of a system-assigned one is that of its resource.
func (s *Service) Identity(ctx context.Context, resourceID string) (Principal, error) {
	s.mu.RLock()
	p := s.st.principals[s.st.resources[fold(resourceID)]]
	s.mu.RUnlock()
	if p == nil {
		return Principal{}, fault.New("identity.Identity", resourceID, fault.PrincipalNotFound, nil)
	}
	return p.Principal, nil
}

// DeletePrincipal removes a principal and its role assignments. Its tokens are refused
// from then on.
func (s *Service) DeletePrincipal(ctx context.Context, id string) error {
	const op = "identity.DeletePrincipal"
	s.changing.Lock()
	defer s.changing.Unlock()
	p, err := s.find(op, id)
	if err != nil {
		return err
	}
	return s.drop(ctx, op, p)
}

// DeleteIdentity removes a managed identity as DeletePrincipal does.
func (s *Service) DeleteIdentity(ctx context.Context, resourceID string) error {
	const op = "identity.DeleteIdentity"
	s.changing.Lock()
	defer s.changing.Unlock()
	p, err := s.Identity(ctx, resourceID)
	if err != nil {
		return err
	}
	return s.drop(ctx, op, s.byObject(p.ObjectID))
}

// drop removes p. It reduces access, so it acts first: nothing of p counts any more
// before it is gone from the disk. s.changing is held.
func (s *Service) drop(ctx context.Context, op string, p *record) error {
	s.mu.Lock()
	held := slices.Clone(s.st.held[p.ObjectID])
	assignments := make([]RoleAssignment, 0, len(held))
	for _, id := range held {
		assignments = append(assignments, s.st.assignments[id])
		s.st.unassign(id)
	}
	s.st.remove(p)
	s.mu.Unlock()
	err := s.store.Update(reclaim(ctx), func(tx *object.Tx) error {
		tx.Delete(object.Identity, rowID(rowPrincipal, p.id))
		for _, id := range held {
			u, _ := parseUUID(id)
			tx.Delete(object.Identity, rowID(rowAssignment, u))
		}
		return nil
	})
	if err = edge(op, p.ObjectID, err); err != nil { // it is there still, and so it counts
		s.mu.Lock()
		s.st.put(p)
		for _, a := range assignments {
			s.st.assign(a)
		}
		s.mu.Unlock()
	}
	s.done(ctx, op, p.Kind.String()+" "+p.ObjectID+" "+p.Name, err)
	return err
}
