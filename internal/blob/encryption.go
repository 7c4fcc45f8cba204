package blob

import (
	"context"
	"encoding/base64"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Headers that the details of refusals name.
const (
	headerKey   = "x-ms-encryption-key"
	headerScope = "x-ms-encryption-scope"
)

// CustomerKey is a customer-provided key for the time of one request. Whoever made it
// destroys it when the request is over.
type CustomerKey = object.CustomerKey

// NewCustomerKey takes over k, which has 32 bytes.
func NewCustomerKey(k secret.Key) (*CustomerKey, error) { return object.NewCustomerKey(k) }

// cover is what the content of a request is, or shall be, protected with:
//
//	customer-provided key, else scope of the header, else scope of the SAS,
//	else default scope of the container, else the account's key
type cover struct {
	protector keys.Protector
	key       *CustomerKey // with protector CPK
	scope     string       // with the protector of a scope
	class     extent.Class
}

// hash is what is stored of the customer-provided key; nil without one.
func (c cover) hash() []byte {
	if c.key == nil {
		return nil
	}
	h := c.key.Hash()
	return h[:]
}

// ask checks what a request asks of encryption, as far as that can be told without the
// container, and remembers it. A write also obeys the scope of the caller's SAS.
func (k *call) ask(ctx context.Context, o EncryptionOptions, write bool) error {
	ses := ""
	if write && k.who != nil && k.who.SAS != nil {
		ses = k.who.SAS.EncryptionScope
	}
	switch {
	case o.Key != nil && (k.who == nil || !k.who.Secure):
		return k.header(headerKey)
	case o.Key != nil && (o.Scope != "" || ses != ""):
		return k.header(headerKey)
	case o.Scope != "" && ses != "" && o.Scope != ses:
		return k.header(headerScope)
	case o.Key != nil && write && k.acct.ForbidCustomerKeys:
		return k.fault(fault.CustomerKeyNotPermitted)
	}
	k.asked = o
	if o.Scope == "" {
		k.asked.Scope = ses
	}
	if !write || k.asked.Scope == "" || k.asked.Scope == AccountKeyScope {
		return nil
	}
	// That there is no such scope is said by cover, after the container's policy.
	k.scope, k.scopeErr = k.s.scopes.Find(ctx, k.acct.ID, k.asked.Scope)
	if k.scopeErr != nil && !fault.Is(k.scopeErr, fault.ScopeNotFound) {
		return k.scopeErr
	}
	return nil
}

func (k *call) header(name string) error {
	return k.fault(fault.InvalidHeaderValue, fault.Detail{Name: "HeaderName", Value: name})
}

// cover applies the container's policy to what was asked for. The policy is
// authorization: it is decided before a key is touched, and before anything in the
// container is looked at.
func (k *call) cover(tx *object.Tx, box *container) (cover, error) {
	c := cover{protector: k.acct.Protector, class: k.acct.Class()}
	switch asked := k.asked.Scope; {
	case k.asked.Key != nil && box.deny, asked != "" && box.deny && asked != box.defaultScope():
		return cover{}, k.fault(fault.ForbiddenByEncryptionPolicy)
	case k.asked.Key != nil:
		c.protector, c.key = keys.CPK, k.asked.Key
		return c, nil
	case asked == AccountKeyScope:
		return c, nil
	case asked != "":
		if k.scopeErr != nil {
			return cover{}, k.scopeErr
		}
		return k.scoped(tx, c, asked, k.scope.Protector(), k.scope.Double)
	case box.scope != nil:
		return k.scoped(tx, c, box.scope.name, box.scope.protector(), box.scope.double)
	}
	return c, nil
}

// scoped is the cover of a scope, if its keys may be used.
func (k *call) scoped(tx *object.Tx, c cover, scope string, p keys.Protector, double bool) (cover, error) {
	if err := tx.Permit(p); err != nil {
		return cover{}, err
	}
	c.protector, c.scope = p, scope
	if double {
		c.class = extent.Double
	}
	return c, nil
}

// conflict says what is wrong when content under one protection meets a request that
// comes to another one; there is no third answer than yes.
func (c cover) conflict(p keys.Protector, hash []byte) (fault.Kind, bool) {
	same := c.protector == p && (p != keys.CPK || keywrap.SameDigest(c.hash(), hash))
	switch {
	case same:
		return 0, false
	case !customerSpecified(c.protector):
		return fault.UsesCustomerSpecifiedEncryption, true
	case !customerSpecified(p):
		return fault.DoesNotUseCustomerSpecifiedEncryption, true
	}
	return fault.CustomerSpecifiedEncryptionMismatch, true
}

// customerSpecified is the protocol's word for customer-provided keys and scopes
// together.
func customerSpecified(p keys.Protector) bool { return p == keys.CPK || p.Kind == keys.ProtectScope }

// match checks that a request that changes f is under f's own protection, and gives f's
// row the key to open it with.
func (k *call) match(f *found, c cover) error {
	if kind, bad := c.conflict(f.row.DEKs[0].Protector, f.row.CPKHash); bad {
		return k.fault(kind)
	}
	return k.edge(f.row.SetCustomerKey(c.key))
}

// unlock checks that a read brings what f asks of a reader: the key if a customer
// provided it. A scope is not asked for; naming another one than f's is refused.
func (k *call) unlock(tx *object.Tx, f *found) error {
	if len(f.row.DEKs) == 0 {
		return errRow
	}
	p := f.row.DEKs[0].Protector
	if err := tx.Need(p); err != nil {
		return err
	}
	switch {
	case k.asked.Key != nil:
		c := cover{protector: keys.CPK, key: k.asked.Key}
		if kind, bad := c.conflict(p, f.row.CPKHash); bad {
			return k.fault(kind)
		}
	case k.asked.Scope != "" && k.asked.Scope != scopeOf(f.row):
		if !customerSpecified(p) {
			return k.fault(fault.DoesNotUseCustomerSpecifiedEncryption)
		}
		return k.fault(fault.CustomerSpecifiedEncryptionMismatch)
	}
	return k.edge(f.row.SetCustomerKey(k.asked.Key))
}

// scopeOf is the scope that a blob is under, the account's key included.
func scopeOf(r *object.Row) string {
	if s := r.Get(tagScope); s != nil {
		return string(s)
	}
	if r.CPKHash != nil {
		return ""
	}
	return AccountKeyScope
}

// newDEK draws a data key for content under c.
func (k *call) newDEK(ctx context.Context, c cover) (*object.DEK, error) {
	// Wrapped by the commit, but refused now: the body shall not be read in vain.
	if err := k.s.store.Usable(ctx, c.protector); err != nil {
		return nil, k.edge(err)
	}
	if c.key != nil {
		dek, err := k.s.store.NewCustomerDEK(k.acct.ID, c.key)
		return dek, k.edge(err)
	}
	dek, err := k.s.store.NewDEK(k.acct.ID, c.protector)
	return dek, k.edge(err)
}

// openDEK opens a data key under c that is stored.
func (k *call) openDEK(ctx context.Context, c cover, e object.DEKEntry) (*object.DEK, error) {
	if c.key != nil {
		dek, err := k.s.store.OpenCustomerDEK(k.acct.ID, e, c.key)
		return dek, k.edge(err)
	}
	dek, err := k.s.store.OpenDEK(ctx, k.acct.ID, e)
	return dek, k.edge(err)
}

// encryption describes c for an answer.
func (c cover) encryption(e object.DEKEntry) Encryption {
	out := Encryption{Scope: c.scope, Protector: c.protector, Kref: e.Kref()}
	if h := c.hash(); h != nil {
		out.KeySHA256 = base64.StdEncoding.EncodeToString(h)
	}
	return out
}
