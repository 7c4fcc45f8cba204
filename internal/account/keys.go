package account

import (
	"context"
	"crypto/fips140"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/secret"
)

// minStrict is the least length of a key that FIPS mode has: 112 bits.
const minStrict = 14

// pair is the two shared keys in memory, with the id that each got when it was set.
type pair struct {
	key [2][]byte
	id  [2]keys.ID
}

func newPair(given [2][]byte) (*pair, error) {
	p := &pair{}
	for i, k := range given {
		if len(k) > maxKeySize {
			return nil, errors.New("account key is too long")
		}
		if k == nil {
			k = random()
		}
		if len(k) == 0 {
			return nil, errors.New("account key is empty")
		}
		if len(k) < minStrict && fips140.Enabled() {
			return nil, errors.New("account key is shorter than 112 bits, which FIPS mode forbids for HMAC")
		}
		p.key[i] = append([]byte(nil), k...)
		p.id[i] = keys.NewID()
	}
	return p, nil
}

func (p *pair) clear() {
	for _, k := range p.key {
		clear(k)
	}
}

// encode is the plaintext of the META part: version 1, then u16 length and bytes of
// each key.
func (p *pair) encode() []byte {
	b := make([]byte, 0, 1+2*(2+maxKeySize))
	b = append(b, 1)
	for _, k := range p.key {
		b = binary.BigEndian.AppendUint16(b, uint16(len(k)))
		b = append(b, k...)
	}
	return b
}

var errPair = errors.New("account: stored keys have a wrong form")

// decodePair reads what encode made. The result shares no memory with b.
func decodePair(b []byte) (*pair, error) {
	if len(b) == 0 || b[0] != 1 {
		return nil, errPair
	}
	b = b[1:]
	p := &pair{}
	for i := range p.key {
		if len(b) < 2 {
			return nil, errPair
		}
		n := int(binary.BigEndian.Uint16(b))
		if n == 0 || n > maxKeySize || len(b) < 2+n {
			return nil, errPair
		}
		p.key[i] = append([]byte(nil), b[2:2+n]...)
		b = b[2+n:]
	}
	if len(b) != 0 {
		return nil, errPair
	}
	return p, nil
}

// sealedPair is a pair ready for a row: the part and the data key that it is under.
type sealedPair struct {
	dek  *object.DEK
	part object.Part
	id   [2]keys.ID
}

// seal seals p under a new data key of the store.
func (s *Service) seal(p *pair) (*sealedPair, error) {
	store := s.store.StoreID()
	protector := keys.Protector{Kind: keys.ProtectStore, ID: store}
	dek, err := s.store.NewDEK(store, protector)
	if err != nil {
		return nil, err
	}
	plain := p.encode()
	defer clear(plain)
	part, err := s.store.SealMeta(dek, protector, plain)
	if err != nil {
		dek.Close()
		return nil, err
	}
	return &sealedPair{dek: dek, part: part, id: p.id}, nil
}

// putKeys writes r with the keys of sp in place of those that it had.
func (s *Service) putKeys(tx *object.Tx, n name.Account, r *object.Row, sp *sealedPair) error {
	entry, err := tx.Wrap(sp.dek)
	if err != nil {
		return err
	}
	r.DEKs = []object.DEKEntry{entry}
	r.SetPart(sp.part)
	r.Set(tagKeyID, sp.id[0][:], sp.id[1][:])
	return tx.Put(object.Account, []byte(n), r)
}

// open reads the keys of an account row.
func (s *Service) open(ctx context.Context, r *object.Row) (*pair, error) {
	plain, err := s.store.OpenMeta(ctx, r)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	p, err := decodePair(plain)
	if err != nil {
		return nil, err
	}
	ids := r.All(tagKeyID)
	if len(ids) != len(p.id) {
		p.clear()
		return nil, errPair
	}
	for i := range p.id {
		if len(ids[i]) != 16 {
			p.clear()
			return nil, errPair
		}
		p.id[i] = keys.ID(ids[i])
	}
	return p, nil
}

// Keys returns both keys in base64, as connection strings have them.
func (s *Service) Keys(ctx context.Context, n name.Account) ([2]string, error) {
	var out [2]string
	r, err := s.read(ctx, n)
	if err != nil {
		return out, edge("account.Keys", n, err)
	}
	p, err := s.open(ctx, r)
	if err != nil {
		return out, edge("account.Keys", n, err)
	}
	defer p.clear()
	for i, k := range p.key {
		out[i] = base64.StdEncoding.EncodeToString(k)
	}
	return out, nil
}

// Regenerate replaces key 1 or 2 by a random one. Requests signed with the old one
// are refused from the moment of return.
func (s *Service) Regenerate(ctx context.Context, n name.Account, which int) error {
	const op = "account.Regenerate"
	if which != 1 && which != 2 {
		return fault.New(op, string(n), fault.InvalidInput, errors.New("keys are numbered 1 and 2"))
	}
	defer s.creating.Lock(n)() // the pair is read outside the transaction that replaces it
	old, err := s.read(ctx, n)
	if err != nil {
		return edge(op, n, err)
	}
	p, err := s.open(ctx, old)
	if err != nil {
		return edge(op, n, err)
	}
	defer p.clear()
	clear(p.key[which-1])
	p.key[which-1], p.id[which-1] = random(), keys.NewID()
	sp, err := s.seal(p)
	if err != nil {
		return edge(op, n, err)
	}
	defer sp.dek.Close()
	before, _ := old.Part(object.PartMeta)
	err = s.store.Update(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Account, s.store.StoreID(), []byte(n))
		if err != nil {
			return err
		}
		if now, _ := r.Part(object.PartMeta); now.VID != before.VID {
			return meta.ErrConflict // another server changed the keys meanwhile
		}
		return s.putKeys(tx, n, r, sp)
	})
	s.cache.expire(n)
	if err != nil {
		return edge(op, n, err)
	}
	_, err = s.lookup(ctx, n) // wipes the old key now, not with the next request
	return err
}

// SigningKeys returns both keys for checking signatures. They are shared and belong
// to the cache: callers use them at once, do not keep them and do not destroy them.
func (s *Service) SigningKeys(ctx context.Context, n name.Account) ([2]secret.Key, error) {
	e, err := s.lookup(ctx, n)
	if err != nil {
		return [2]secret.Key{}, err
	}
	return e.keys, nil
}

func (s *Service) read(ctx context.Context, n name.Account) (row *object.Row, err error) {
	err = s.store.View(ctx, func(tx *object.Tx) error {
		row, err = tx.Get(object.Account, s.store.StoreID(), []byte(n))
		return err
	})
	return row, err
}
