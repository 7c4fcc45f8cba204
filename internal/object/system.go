package object

import (
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/keys"
)

// sealSYS seals a SYS under the owner's Active SYSK.
func (s *Store) sealSYS(owner keys.ID, aad, plain []byte) ([]byte, error) {
	kref, k, err := s.ring.System(owner)
	if err != nil {
		return nil, err
	}
	return envelope.SealValue(k, kref, &s.salter, aad, plain)
}

// openSYS opens a SYS. The key must be one of the owner's.
func (s *Store) openSYS(owner keys.ID, aad, sealed []byte) (kref keys.ID, plain []byte, err error) {
	kref, err = envelope.ValueKeyref(sealed)
	if err != nil {
		return kref, nil, err
	}
	k, err := s.ring.SystemByRef(owner, kref)
	if err != nil {
		return kref, nil, err
	}
	plain, err = envelope.OpenValue(k, kref, &s.opened, aad, sealed)
	return kref, plain, err
}
