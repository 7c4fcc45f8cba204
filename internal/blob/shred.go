package blob

import (
	"context"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// Used is one thing that a key protects.
type Used struct {
	Name   string // CONTAINER/BLOB
	Staged bool   // blocks that wait for their list
	Length int64
	Wraps  []object.DEKEntry
}

// Uses calls f for every blob of an account that has a data key which match picks, and
// for every blob with staged blocks that has, in the order of containers' ids and names.
// It is for the operator, and fails rather than leave something out.
func (s *Service) Uses(ctx context.Context, a account.Info, match func(object.DEKEntry) bool, f func(Used) error) error {
	boxes := make(map[keys.ID]string)
	err := s.store.View(ctx, func(tx *object.Tx) error {
		clear(boxes)
		return tx.Scan(object.Container, a.ID, a.ID[:], account.After(a.ID[:]), false, func(key []byte, r *object.Row) (bool, error) {
			box, err := decodeContainer(r)
			if err == nil {
				boxes[box.id] = string(key[16:])
			}
			return true, err
		})
	})
	if err != nil {
		return edge("blob.Uses", string(a.Name), err)
	}
	err = s.store.Uses(ctx, a.ID, match, func(u object.Holding) error {
		if len(u.Key) < 32 {
			return errRow
		}
		box, ok := boxes[keys.ID(u.Key[16:32])]
		if !ok { // its container was deleted; Collect has not come to it yet
			box = "(deleted container)"
		}
		return f(Used{Name: box + "/" + string(u.Key[32:]), Staged: u.Table == object.Staging, Length: u.Length, Wraps: u.Wraps})
	})
	return edge("blob.Uses", string(a.Name), err)
}

// ForgetAccount removes an account whose keys are destroyed: nothing in it opens any
// more, so its rows go unread. The space comes back as Collect goes along.
func (s *Service) ForgetAccount(ctx context.Context, a account.Info) error {
	err := s.store.ForgetOwner(ctx, a.ID, func(tx *object.Tx) error {
		tx.Delete(object.Settings, settingsKey(a.ID))
		s.accounts.Remove(tx, a.Name)
		return account.Drop(tx, s.store.StoreID(), account.DroppedKeys, a.ID, a.ID)
	})
	s.accounts.Forget(a.Name)
	return edge("blob.ForgetAccount", string(a.Name), err)
}

// FinishShred forgets accounts whose keys were destroyed by a run that did not come to
// it. Start-up calls it, and Collect.
func (s *Service) FinishShred(ctx context.Context) error {
	list, err := s.accounts.List(ctx)
	if err != nil {
		return err
	}
	for _, a := range list {
		if !s.store.Shredded(a.Protector) {
			continue
		}
		if err := s.ForgetAccount(ctx, a); err != nil {
			return err
		}
	}
	return nil
}
