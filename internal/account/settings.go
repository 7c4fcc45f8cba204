package account

import (
	"context"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// Change is a change of an account's settings; nil leaves one as it is.
type Change struct {
	ForbidCustomerKeys *bool
}

// Set changes settings of an account. On return every request sees them.
func (s *Service) Set(ctx context.Context, n name.Account, c Change) (Info, error) {
	return s.Update(ctx, n, func(info *Info) error {
		if c.ForbidCustomerKeys != nil {
			info.ForbidCustomerKeys = *c.ForbidCustomerKeys
		}
		return nil
	})
}

// Update changes what may change of an account: its settings and its resource. change
// may run several times. On return every request sees it.
func (s *Service) Update(ctx context.Context, n name.Account, change func(*Info) error) (Info, error) {
	const op = "account.Update"
	var info Info
	err := s.store.Update(ctx, func(tx *object.Tx) error {
		r, err := tx.Get(object.Account, s.store.StoreID(), []byte(n))
		if err != nil {
			return err
		}
		if info, err = decodeInfo(n, r); err != nil {
			return err
		}
		was := info
		if err := change(&info); err != nil {
			return err
		}
		if err := info.Resource.check(); err != nil {
			return fault.New(op, string(n), fault.InvalidInput, err)
		}
		info.ID, info.Name, info.Created, info.Protector, info.Double = was.ID, was.Name, was.Created, was.Protector, was.Double
		info.encode(r)
		return tx.Put(object.Account, []byte(n), r)
	})
	s.cache.expire(n)
	return info, edge(op, n, err)
}
