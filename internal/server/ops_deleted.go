package server

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// This file is about keys that nothing names any more. Deleting an account leaves its
// keys: a backup made before needs them. A creation that was cut off leaves keys too,
// since they come before the row. Neither protects anything in this store; they are
// named by their id, and destroyed by command like others.

// unnamed finds the protector that an id names, if no account or scope has it.
func (s *Server) unnamed(ctx context.Context, make func(keys.ID) keys.Protector, n string) (keys.Protector, bool) {
	id, err := keys.ParseID(n)
	if err != nil {
		return keys.Protector{}, false
	}
	info, ok := s.store.Ring.Protector(make(id))
	if !ok {
		return keys.Protector{}, false
	}
	names, err := s.ownerNames(ctx)
	return info.Protector, err == nil && names[id] == ""
}

// leftOf reports what a deleted account still has: nothing, once all is collected.
// Until then its keys are needed.
func (s *Server) leftOf(ctx context.Context, owner keys.ID) error {
	return s.store.Meta.View(ctx, func(r meta.Reader) error {
		for _, t := range object.Tables() {
			if !t.Owned {
				continue
			}
			lo := append([]byte{t.Prefix}, owner[:]...)
			hi := append(append([]byte{t.Prefix}, owner[:]...), 0xff)
			err := r.Scan(lo, hi, false, func([]byte, []byte) (bool, error) {
				return false, withHint(fault.New("server.keysDestroy", owner.String(), fault.Busy,
					errors.New("what the deleted account held is still being collected")), "try again in a minute")
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// usesOfDeleted is the list for keys of a deleted account, which protect nothing here.
func (s *Server) usesOfDeleted(ctx context.Context, info keys.ProtectorInfo, what string) (UsesReport, error) {
	r := UsesReport{What: what + " (deleted)", State: info.Admin.String(), Names: []string{}, Counts: []KeyUse{}}
	if err := s.leftOf(ctx, info.Owner); err != nil {
		return r, err
	}
	r.Keys = s.versionsOf(info.Chain)
	return r, nil
}
