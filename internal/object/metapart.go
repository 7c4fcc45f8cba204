package object

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
)

// SealMeta seals user metadata (or another secret of a row) under d, which must become
// the first data key of the row.
func (s *Store) SealMeta(d *DEK, p keys.Protector, plaintext []byte) (Part, error) {
	if p != d.prot {
		return Part{}, errors.New("object: metadata for another protector than its data key's")
	}
	part := Part{Kind: PartMeta, Protector: p, Keyref: d.id, VID: keys.NewID()}
	var err error
	aad := partAAD(part, d.owner)
	if part.Sealed, err = envelope.SealValue(d.key, d.id, nil, aad, plaintext); err != nil {
		return Part{}, err
	}
	part.Sealed, err = s.infra(s.ClassOf(d.owner, p), aad, part.Sealed)
	return part, err
}

// OpenMeta opens the user metadata of a row. It returns nil when there is none.
func (s *Store) OpenMeta(ctx context.Context, r *Row) ([]byte, error) {
	p, ok := r.Part(PartMeta)
	if !ok {
		return nil, nil
	}
	if len(r.DEKs) == 0 || r.DEKs[0].ID != p.Keyref || r.DEKs[0].Protector != p.Protector {
		return nil, fault.New("object.OpenMeta", "", fault.Corrupt, errors.New("metadata under a foreign data key"))
	}
	d, err := s.openEntry(ctx, r, r.DEKs[0])
	if err != nil {
		return nil, err
	}
	defer d.Close()
	b, err := s.inner(r.class(), r.Owner, p)
	if err == nil {
		b, err = envelope.OpenValue(d.key, d.id, nil, partAAD(p, r.Owner), b)
	}
	if fault.Is(err, fault.KeyGone) {
		return nil, err
	}
	if err != nil {
		return nil, fault.New("object.OpenMeta", "", fault.Corrupt, err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// partAAD binds a part to what it is, so that it moves with its row and nowhere else.
func partAAD(p Part, owner keys.ID) []byte {
	return enc.Encode("coffer/part/v1", enc.Uint(uint64(p.Kind)), owner[:], p.VID[:])
}
