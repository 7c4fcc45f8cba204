package account

import (
	"context"

	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// Change is a change of an account's settings; nil leaves one as it is.
type Change struct {
	ForbidCustomerKeys *bool
}

// Set changes settings of an account. On return every request sees them.
func (s *Service) Set(ctx context.Context, n name.Account, c Change) (Info, error) {
	const op = "account.Set"
	var info Info
	err := s.store.Update(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Account, s.store.StoreID(), []byte(n))
		if err != nil {
			return err
		}
		if info, err = decodeInfo(n, r); err != nil {
			return err
		}
		if c.ForbidCustomerKeys != nil {
			info.ForbidCustomerKeys = *c.ForbidCustomerKeys
		}
		info.encode(r)
		return tx.Put(object.Account, []byte(n), r)
	})
	s.cache.expire(n)
	return info, edge(op, n, err)
}
