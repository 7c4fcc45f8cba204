package object

import (
	"container/list"
	"context"
	"errors"
	"sync/atomic"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/secret"
)

// DEK is an opened data key. Close is required; the key is zeroed when the last user,
// the cache included, has closed it.
type DEK struct {
	*dataKey
	closed atomic.Bool
}

// dataKey is what the users of one opened key share.
type dataKey struct {
	id    keys.ID
	owner keys.ID
	prot  keys.Protector
	key   secret.Key
	users atomic.Int32

	customer *CustomerKey // with protector CPK: what wraps the key

	chunks *openedChunks              // of a cached key: those opened under it
	opened map[openedAt]*list.Element // under chunks.mu
}

// ID names the key: it is in every chunk reference.
func (d *DEK) ID() keys.ID { return d.id }

// Owner is the account that the key belongs to.
func (d *DEK) Owner() keys.ID { return d.owner }

// Protector is whose KEK wraps the key.
func (d *DEK) Protector() keys.Protector { return d.prot }

// Close gives the key back. Closing again does nothing.
func (d *DEK) Close() {
	if !d.closed.Swap(true) {
		d.release()
	}
}

// lend makes a handle for one more user.
func (k *dataKey) lend() *DEK {
	k.users.Add(1)
	return &DEK{dataKey: k}
}

func (k *dataKey) release() {
	if k.users.Add(-1) == 0 {
		if k.chunks != nil {
			k.chunks.forget(k)
		}
		k.key.Destroy()
	}
}

// NewDEK draws a data key. It is stored by Tx.Wrap.
func (s *Store) NewDEK(owner keys.ID, p keys.Protector) (*DEK, error) {
	k := &dataKey{id: keys.NewID(), owner: owner, prot: p, key: secret.Random(keywrap.KeySize)}
	return k.lend(), nil
}

// OpenDEK opens a wrapped data key, or finds it in the cache. Either way it fails while
// its protector may not be used.
func (s *Store) OpenDEK(ctx context.Context, owner keys.ID, e DEKEntry) (*DEK, error) {
	if e.Form != FormWrap {
		return nil, fault.New("object.OpenDEK", "", fault.UsesCustomerSpecifiedEncryption, nil)
	}
	for range maxValidations {
		d, err := s.openDEK(ctx, owner, e)
		if !errors.Is(err, secret.ErrDestroyed) {
			return d, err
		}
	}
	return nil, fault.New("object.OpenDEK", "", fault.Busy, secret.ErrDestroyed)
}

// openDEK answers secret.ErrDestroyed when the KEK was wiped under its hands.
func (s *Store) openDEK(ctx context.Context, owner keys.ID, e DEKEntry) (*DEK, error) {
	v, kek, err := s.ring.KEKByRef(ctx, e.Protector, e.Kref())
	if err != nil {
		return nil, keyFault("object.OpenDEK", err)
	}
	at := dekAt{e.ID, owner, e.Protector, v.Epoch}
	if d := s.deks.get(at); d != nil {
		s.counters.DEKHits.Add(1)
		return d, nil
	}
	s.counters.DEKMisses.Add(1)
	key, err := keywrap.Unwrap(kek, v.Kref, wrapAAD(owner, v, e.Protector, e.ID), e.Wrap)
	if errors.Is(err, secret.ErrDestroyed) {
		return nil, err
	}
	if err != nil {
		return nil, fault.New("object.OpenDEK", "", fault.Corrupt, err)
	}
	d := s.deks.put(at, &dataKey{id: e.ID, owner: owner, prot: e.Protector, key: key})
	if s.ring.DropEpoch(e.Protector) != v.Epoch { // dropped meanwhile: it must not stay
		s.deks.drop(e.Protector)
	}
	return d, nil
}

// keyFault gives an error of the key hierarchy a kind.
func keyFault(op string, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok || errors.Is(err, keys.ErrValidate) {
		return err
	}
	return fault.New(op, "", fault.KeyGone, err)
}

// wrapSuite is WRAP-1.
const wrapSuite = 1

// wrapAAD binds a wrap to its owner, key version and data key.
func wrapAAD(owner keys.ID, v keys.Version, p keys.Protector, dek keys.ID) []byte {
	pb := p.Bytes()
	return enc.Encode("coffer/wrap/dek/v1", enc.Uint(wrapSuite), owner[:], pb[:],
		v.Chain[:], enc.Uint(v.Number), dek[:])
}

// Wrap wraps d for its row, under the version that the protector row names in this
// transaction. The wrap was opened again before Wrap returns.
func (tx *Tx) Wrap(d *DEK) (DEKEntry, error) {
	if d.prot.Kind == keys.ProtectCPK {
		return tx.s.wrapCustomer(d)
	}
	pr, err := tx.protector(d.prot)
	if err != nil {
		return DEKEntry{}, err
	}
	if pr.admin != keys.Enabled { // the same as Permit
		return DEKEntry{}, fault.New("object.Wrap", "", fault.KeyGone, pr.refusal())
	}
	w, err := tx.wrap(d, pr.active)
	if err != nil {
		return DEKEntry{}, err
	}
	tx.s.counters.Wraps.Add(1)
	return w, nil
}

// kek opens a KEK for this transaction, without waiting for a vault.
func (tx *Tx) kek(p keys.Protector, kref keys.ID) (keys.Version, secret.Key, error) {
	h, err := tx.hold(p)
	if err != nil {
		return keys.Version{}, secret.Key{}, err
	}
	v, k, err := h.KEKByRef(tx.ctx, kref)
	return v, k, needs(p, err)
}

// wrap wraps d under one version of its protector's KEK.
func (tx *Tx) wrap(d *DEK, kref keys.ID) (DEKEntry, error) {
	v, kek, err := tx.kek(d.prot, kref)
	if err != nil {
		return DEKEntry{}, keyFault("object.Wrap", err)
	}
	w, err := keywrap.Wrap(kek, v.Kref, wrapAAD(d.owner, v, d.prot, d.id), d.key)
	if errors.Is(err, secret.ErrDestroyed) {
		return DEKEntry{}, &needsValidation{d.prot}
	}
	if err != nil {
		return DEKEntry{}, err
	}
	return DEKEntry{ID: d.id, Protector: d.prot, Form: FormWrap, WrappedAt: tx.s.now().UTC(), Wrap: w[:]}, nil
}
