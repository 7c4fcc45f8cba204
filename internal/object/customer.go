package object

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/secret"
)

// CustomerKey is a customer-provided key for as long as the request lasts that brought
// it. It enters no cache; Destroy is required.
type CustomerKey struct {
	key  secret.Key
	hash [32]byte
}

// NewCustomerKey takes over k, which has 32 bytes.
func NewCustomerKey(k secret.Key) (*CustomerKey, error) {
	hash, err := keywrap.Digest(k)
	if err != nil {
		return nil, err
	}
	return &CustomerKey{k, hash}, nil
}

// Hash is the SHA-256 of the key: what is stored of it.
func (c *CustomerKey) Hash() [32]byte { return c.hash }

// Destroy wipes the key. A nil key is fine.
func (c *CustomerKey) Destroy() {
	if c != nil {
		c.key.Destroy()
	}
}

var errNoCustomerKey = errors.New("content under a customer-provided key, and none was given")

// NewCustomerDEK draws a data key that will be wrapped under ck.
func (s *Store) NewCustomerDEK(owner keys.ID, ck *CustomerKey) (*DEK, error) {
	if ck == nil {
		return nil, errNoCustomerKey
	}
	d, err := s.NewDEK(owner, keys.CPK)
	if err == nil {
		d.customer = ck
	}
	return d, err
}

// OpenCustomerDEK opens a data key of a customer wrap. Callers have compared the key's
// hash before: what fails here is damage, and no wrong key.
func (s *Store) OpenCustomerDEK(owner keys.ID, e DEKEntry, ck *CustomerKey) (*DEK, error) {
	const op = "object.OpenDEK"
	if e.Form != FormCPK {
		return nil, fault.New(op, "", fault.Internal, errors.New("not a customer wrap"))
	}
	if ck == nil {
		return nil, fault.New(op, "", fault.UsesCustomerSpecifiedEncryption, nil)
	}
	key, err := keywrap.UnwrapCustomer(ck.key, owner, e.ID, customerAAD(owner, e.ID), e.Wrap)
	if errors.Is(err, secret.ErrDestroyed) { // the request is over
		return nil, fault.New(op, "", fault.Canceled, err)
	}
	if err != nil {
		return nil, fault.New(op, "", fault.Corrupt, err)
	}
	return (&dataKey{id: e.ID, owner: owner, prot: keys.CPK, key: key, customer: ck}).lend(), nil
}

// customerAAD is wrapAAD without a KEK: chain zero, version 0.
func customerAAD(owner, dek keys.ID) []byte {
	pb := keys.CPK.Bytes()
	return enc.Encode("coffer/wrap/dek/v1", enc.Uint(wrapSuite), owner[:], pb[:], make([]byte, 16), enc.Uint(0), dek[:])
}

// wrapCustomer wraps d under the key that its request brought.
func (s *Store) wrapCustomer(d *DEK) (DEKEntry, error) {
	if d.customer == nil {
		return DEKEntry{}, errNoCustomerKey
	}
	w, err := keywrap.WrapCustomer(d.customer.key, d.owner, d.id, customerAAD(d.owner, d.id), d.key)
	if err != nil {
		return DEKEntry{}, err
	}
	return DEKEntry{ID: d.id, Protector: keys.CPK, Form: FormCPK, WrappedAt: s.now().UTC(), Wrap: w[:]}, nil
}

// SetCustomerKey gives the row the key that its reader has brought: Open and OpenMeta
// use it. It fails as the protocol wants it when the row is under another key or none.
func (r *Row) SetCustomerKey(ck *CustomerKey) error {
	const op = "object.SetCustomerKey"
	switch {
	case ck == nil && r.CPKHash == nil:
	case ck == nil:
		return fault.New(op, "", fault.UsesCustomerSpecifiedEncryption, nil)
	case r.CPKHash == nil:
		return fault.New(op, "", fault.DoesNotUseCustomerSpecifiedEncryption, nil)
	case !keywrap.SameDigest(ck.hash[:], r.CPKHash):
		return fault.New(op, "", fault.CustomerSpecifiedEncryptionMismatch, nil)
	}
	r.customer = ck
	return nil
}

// openEntry opens a data key of r, with the key of its customer where it has one.
func (s *Store) openEntry(ctx context.Context, r *Row, e DEKEntry) (*DEK, error) {
	if e.Form == FormCPK {
		return s.OpenCustomerDEK(r.Owner, e, r.customer)
	}
	return s.OpenDEK(ctx, r.Owner, e)
}
