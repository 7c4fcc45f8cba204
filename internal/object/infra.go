package object

import (
	"errors"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
)

// This file is the second (infrastructure) layer of values. Every row of an account
// with the flag, and every row of a content under a scope with it, is of class double:
// INFRA-1 is around SYS and around each part. Chunks in extents get theirs from the
// driver. The key store alone says who has the flag, so a row cannot lose the layer.

// errClass says that the layers of something are not those that it should have.
var errClass = errors.New("object: another number of layers than the class has")

// ClassOf is the class of what an owner stores under a protector: double if either has
// infrastructure encryption.
func (s *Store) ClassOf(owner keys.ID, p keys.Protector) extent.Class {
	if s.ring.Double(keys.AccountProtector(owner)) || s.ring.Double(p) {
		return extent.Double
	}
	return extent.Single
}

// least is the lowest class that a row may have.
func (s *Store) least(r *Row) extent.Class {
	if s.ring.Double(keys.AccountProtector(r.Owner)) {
		return extent.Double
	}
	for _, e := range r.DEKs {
		if s.ring.Double(e.Protector) {
			return extent.Double
		}
	}
	for _, p := range r.Parts {
		if s.ring.Double(p.Protector) {
			return extent.Double
		}
	}
	return extent.Single
}

// classOf is the class that r is written with.
func (s *Store) classOf(r *Row) extent.Class { return max(r.class(), s.least(r)) }

// class is r.Class, or Single.
func (r *Row) class() extent.Class { return max(r.Class, extent.Single) }

// infra puts the second layer around a sealed value, if the class has it.
func (s *Store) infra(class extent.Class, aad, inner []byte) ([]byte, error) {
	if class != extent.Double {
		return inner, nil
	}
	kref, k, err := s.ring.SealInfra()
	if err != nil {
		return nil, keyFault("object.SealInfra", err)
	}
	return envelope.SealInfra(k, kref, &s.salter, aad, inner)
}

// openInfra takes the second layer off a value that has it.
func (s *Store) openInfra(aad, sealed []byte) (kref keys.ID, inner []byte, err error) {
	kref, err = envelope.InfraKeyref(sealed)
	if err != nil {
		return kref, nil, err
	}
	k, err := s.ring.OpenInfra(kref)
	if err != nil {
		return kref, nil, err
	}
	inner, err = envelope.OpenInfra(k, kref, &s.opened, aad, sealed)
	return kref, inner, err
}

// inner is a part without the second layer, in the form that its entry promises.
func (s *Store) inner(class extent.Class, owner keys.ID, p Part) ([]byte, error) {
	if class != extent.Double {
		return p.Sealed, nil // its form was checked with the row
	}
	_, b, err := s.openInfra(partAAD(p, owner), p.Sealed)
	if err != nil {
		return nil, err
	}
	return b, p.checkInner(b)
}
