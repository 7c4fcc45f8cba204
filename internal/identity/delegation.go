package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/mac"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/secret"
)

// MaxDelegation is how far ahead a user delegation key may end.
const MaxDelegation = 7 * 24 * time.Hour

// Delegation says which user delegation key is meant: it has no other identity, and is
// stored nowhere. Times count in whole seconds.
type Delegation struct {
	Account  keys.ID
	ObjectID string
	TenantID string
	Start    time.Time
	Expiry   time.Time
	Service  string // "b"
	Version  string
}

// DelegationKey derives the key of d:
//
//	HMAC-SHA-256(secret of the account, enc("coffer/delegation/v1", oid, tid, start, expiry, service, version))
//
// The secret is made when an account first needs it. Replacing it (RevokeDelegations) ends
// every delegation key that the account ever gave out.
func (s *Service) DelegationKey(ctx context.Context, d Delegation) (secret.Key, error) {
	tag, err := s.derive(ctx, d)
	if err != nil {
		return secret.Key{}, err
	}
	return secret.New(tag[:]), nil
}

// Delegate gives the key of d to the principal that it names, who asks for it. It has to
// end within MaxDelegation from now.
func (s *Service) Delegate(ctx context.Context, d Delegation) ([]byte, error) {
	const op = "identity.Delegate"
	now := s.o.Now()
	if !d.Expiry.After(d.Start) || !d.Expiry.After(now) || d.Expiry.After(now.Add(MaxDelegation)) {
		return nil, fault.New(op, "", fault.InvalidInput, errors.New("a user delegation key ends after it begins, and within seven days from now"))
	}
	what := "principal " + d.ObjectID + " on account " + d.Account.String() + " until " + d.Expiry.UTC().Format(time.RFC3339)
	if err := s.before(ctx, op, what); err != nil {
		return nil, err
	}
	tag, err := s.derive(ctx, d)
	s.done(ctx, op, what, err)
	if err != nil {
		return nil, err
	}
	return tag[:], nil
}

// derive is DelegationKey without the protection of a secret.Key.
func (s *Service) derive(ctx context.Context, d Delegation) (tag [mac.Size]byte, err error) {
	const op = "identity.DelegationKey"
	oid, okO := parseUUID(d.ObjectID)
	tid, okT := parseUUID(d.TenantID)
	if !okO || !okT || d.Start.IsZero() || d.Expiry.IsZero() {
		return tag, fault.New(op, "", fault.InvalidInput, errors.New("not a delegation"))
	}
	root, err := s.delegationRoot(ctx, d.Account)
	if err != nil {
		return tag, err
	}
	tag, err = mac.Sum(root, delegationInput(oid, tid, d))
	if err != nil { // replaced meanwhile: ask again
		return tag, fault.New(op, "", fault.Busy, err)
	}
	return tag, nil
}

// delegationInput is what the secret of an account is asked about.
func delegationInput(oid, tid uuid, d Delegation) []byte {
	return enc.Encode("coffer/delegation/v1", oid[:], tid[:],
		enc.Uint(uint64(d.Start.Unix())), enc.Uint(uint64(d.Expiry.Unix())), []byte(d.Service), []byte(d.Version))
}

func (s *Service) delegationRoot(ctx context.Context, account keys.ID) (secret.Key, error) {
	find := func() (secret.Key, bool) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		d, ok := s.st.delegation[account]
		return d.key, ok
	}
	if k, ok := find(); ok {
		return k, nil
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if k, ok := find(); ok {
		return k, nil
	}
	return s.newRoot(ctx, account)
}

// RevokeDelegations ends all user delegation keys of an account, and so every SAS that
// was signed with one.
func (s *Service) RevokeDelegations(ctx context.Context, account keys.ID) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	_, err := s.newRoot(ctx, account)
	s.done(ctx, "identity.RevokeDelegations", "account "+account.String(), err)
	return err
}

// newRoot gives an account a new secret. s.changing is held.
func (s *Service) newRoot(ctx context.Context, account keys.ID) (secret.Key, error) {
	const op = "identity.DelegationKey"
	if err := s.Damaged(); err != nil {
		return secret.Key{}, err
	}
	b := make([]byte, 32)
	rand.Read(b)
	defer clear(b)
	sl, err := s.seal(b)
	if err != nil {
		return secret.Key{}, edge(op, "", err)
	}
	defer sl.dek.Close()
	err = s.store.Update(ctx, func(tx *object.Tx) error {
		return putSealed(tx, rowID(rowDelegation, uuid(account)), s.newRow(s.o.Now()), sl)
	})
	if err != nil {
		return secret.Key{}, edge(op, "", err)
	}
	k := secret.New(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.st.delegation[account]; ok {
		old.key.Destroy()
	}
	s.st.delegation[account] = delegationSecret{key: k}
	return k, nil
}

// openDelegation reads the row of an account's secret.
func (s *Service) openDelegation(ctx context.Context, r *object.Row) (delegationSecret, error) {
	if err := check(r, field{tag: tagCreated, size: 8}); err != nil {
		return delegationSecret{}, err
	}
	b, err := s.store.OpenMeta(ctx, r)
	if err != nil {
		return delegationSecret{}, err
	}
	if len(b) != 32 {
		return delegationSecret{}, errRow
	}
	return delegationSecret{key: secret.New(b)}, nil
}
