package object

import (
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
)

// sealSYS seals a SYS under the owner's Active SYSK, and by class under the
// infrastructure key.
func (s *Store) sealSYS(owner keys.ID, class extent.Class, aad, plain []byte) ([]byte, error) {
	kref, k, err := s.ring.System(owner)
	if err != nil {
		return nil, err
	}
	inner, err := envelope.SealValue(k, kref, &s.salter, aad, plain)
	if err != nil {
		return nil, err
	}
	return s.infra(class, aad, inner)
}

// openSYS opens a SYS. The key must be one of the owner's. infra names that of the second
// layer, where there is one.
func (s *Store) openSYS(owner keys.ID, aad, sealed []byte) (kref, infra keys.ID, plain []byte, err error) {
	if envelope.IsInfra(sealed) {
		if infra, sealed, err = s.openInfra(aad, sealed); err != nil {
			return kref, infra, nil, err
		}
	}
	kref, err = envelope.ValueKeyref(sealed)
	if err != nil {
		return kref, infra, nil, err
	}
	k, err := s.ring.SystemByRef(owner, kref)
	if err != nil {
		return kref, infra, nil, err
	}
	plain, err = envelope.OpenValue(k, kref, &s.opened, aad, sealed)
	return kref, infra, plain, err
}
