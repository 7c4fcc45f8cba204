package blob

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

const (
	sliceRows   = 200       // rows that one transaction of Collect releases
	expiryEvery = time.Hour // between two looks for staged blocks that nobody committed
	maxDropped  = 1000      // dropped things that one call of Collect looks at
)

// collector is what Collect remembers between calls.
type collector struct {
	expired atomic.Int64 // when staging was last looked through, ns
}

// dropped is one thing that was dropped whole.
type dropped struct {
	kind      byte
	owner, id keys.ID
}

func (d dropped) key() []byte { return account.DropKey(d.kind, d.owner, d.id) }

var errDropKey = errors.New("blob: garbage row has a wrong key")

func parseDropped(key []byte) (dropped, error) {
	if len(key) != 2+32 {
		return dropped{}, errDropKey
	}
	return dropped{kind: key[1], owner: keys.ID(key[2:18]), id: keys.ID(key[18:34])}, nil
}

// Collect is one step of the janitor: it releases the rows of containers, accounts and
// stagings that were dropped whole, at most about budget of them, and from time to time
// drops blocks that nobody committed. It reports whether there is more to do. A crash
// at any point leaves a state from which the next call goes on.
func (s *Service) Collect(ctx context.Context, budget int) (more bool, err error) {
	const op = "blob.Collect"
	ctx = meta.WithReclaim(ctx)
	if err := s.FinishShred(ctx); err != nil {
		return false, edge(op, "", err)
	}
	if err := s.expire(ctx); err != nil {
		return false, edge(op, "", err)
	}
	list, err := s.listDropped(ctx)
	if err != nil {
		return false, edge(op, "", err)
	}
	// One thing that cannot be released must not stand in the way of the others.
	var failed error
	for _, d := range list {
		for done := false; !done; {
			if budget <= 0 {
				return true, edge(op, "", failed)
			}
			var n int
			n, done, err = s.collect(ctx, d, min(budget, sliceRows))
			if err != nil {
				failed = errors.Join(failed, err)
				break
			}
			budget -= max(n, 1)
		}
		if ctx.Err() != nil {
			break
		}
	}
	// What was released may have dropped other things: a container its stagings.
	return len(list) > 0 && failed == nil, edge(op, "", failed)
}

func (s *Service) listDropped(ctx context.Context) (list []dropped, err error) {
	err = s.store.View(ctx, func(tx *object.Tx) error {
		list = nil
		return tx.Scan(object.Garbage, s.store.StoreID(), []byte{'C'}, []byte{'C' + 1}, false, func(key []byte, _ *object.Row) (bool, error) {
			d, err := parseDropped(key)
			list = append(list, d)
			return len(list) < maxDropped, err
		})
	})
	return list, err
}

// collect releases up to n rows of d in one transaction, and d's own row when nothing
// is left of it.
func (s *Service) collect(ctx context.Context, d dropped, n int) (rows int, done bool, err error) {
	if d.kind == account.DroppedKeys {
		return s.collectPlaces(ctx, d, n)
	}
	release := map[byte]func(*object.Tx, dropped, int) (int, bool, error){
		account.DroppedContainer: s.collectContainer,
		account.DroppedStaging:   s.collectStaging,
		account.DroppedAccount:   s.collectAccount,
	}[d.kind]
	if release == nil {
		return 0, false, errDropKey
	}
	err = s.store.Update(ctx, func(tx *object.Tx) error {
		rows, done, err = release(tx, d, n)
		if err == nil && done {
			tx.Delete(object.Garbage, d.key())
		}
		return err
	})
	return rows, done, err
}

// collectPlaces frees the extents of an account whose keys are destroyed.
func (s *Service) collectPlaces(ctx context.Context, d dropped, n int) (rows int, done bool, err error) {
	rows, done, err = s.store.ForgetPlaces(ctx, d.owner, n)
	if err != nil || !done {
		return rows, false, err
	}
	return rows, true, s.store.Update(ctx, func(tx *object.Tx) error {
		tx.Delete(object.Garbage, d.key())
		return nil
	})
}

// slice calls f for up to n rows of t under prefix and deletes them. It reports whether
// these were all.
func slice(tx *object.Tx, t object.Table, owner keys.ID, prefix []byte, n int, f func(*object.Row) error) (rows int, done bool, err error) {
	done = true
	var found [][]byte
	err = tx.Scan(t, owner, prefix, account.After(prefix), false, func(key []byte, r *object.Row) (bool, error) {
		if len(found) == n {
			done = false
			return false, nil
		}
		found = append(found, append([]byte(nil), key...))
		return true, f(r)
	})
	for _, key := range found {
		tx.Delete(t, key)
	}
	return len(found), done, err
}

func (s *Service) collectContainer(tx *object.Tx, d dropped, n int) (int, bool, error) {
	prefix := blobKey(d.owner, d.id, "")
	blobs, done, err := slice(tx, object.Blob, d.owner, prefix, n, func(r *object.Row) error {
		return tx.Release(r, nil)
	})
	if err != nil || !done || blobs == n {
		return blobs, false, err
	}
	staged, done, err := slice(tx, object.Staging, d.owner, prefix, n-blobs, func(r *object.Row) error {
		st, err := decodeStaging(r)
		if err != nil {
			return err
		}
		return account.Drop(tx, s.store.StoreID(), account.DroppedStaging, d.owner, st.id)
	})
	return blobs + staged, done, err
}

func (s *Service) collectStaging(tx *object.Tx, d dropped, n int) (int, bool, error) {
	var refs []object.Ref
	rows, done, err := slice(tx, object.Block, d.owner, stagedKeys(d.owner, d.id), n, func(r *object.Row) error {
		return tx.Pieces(r, func(p object.Piece) (bool, error) {
			refs = append(refs, p.Refs...)
			return true, nil
		})
	})
	if err != nil {
		return 0, false, err
	}
	return rows, done, tx.ReleaseRefs(d.owner, refs)
}

func (s *Service) collectAccount(tx *object.Tx, d dropped, n int) (int, bool, error) {
	tx.Delete(object.Settings, settingsKey(d.owner))
	tx.DeleteRange(object.Scope, d.owner[:], account.After(d.owner[:]))
	return slice(tx, object.Container, d.owner, d.owner[:], n, func(r *object.Row) error {
		box, err := decodeContainer(r)
		if err != nil {
			return err
		}
		return account.Drop(tx, s.store.StoreID(), account.DroppedContainer, d.owner, box.id)
	})
}

// expire drops the staging of blobs for which no block has come for a long time.
func (s *Service) expire(ctx context.Context) error {
	now := s.now()
	last := s.collector.expired.Load()
	if last != 0 && now.UnixNano()-last < int64(expiryEvery) {
		return nil
	}
	accounts, err := s.accounts.List(ctx)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if err := s.expireAccount(ctx, a.ID, now.Add(-s.stagingLife)); err != nil {
			return err
		}
	}
	s.collector.expired.Store(now.UnixNano())
	return nil
}

func (s *Service) expireAccount(ctx context.Context, owner keys.ID, before time.Time) error {
	lo, hi := owner[:], account.After(owner[:])
	for lo != nil {
		from := lo
		var next []byte
		err := s.store.Update(ctx, func(tx *object.Tx) error {
			next = nil
			seen := 0
			var old [][]byte
			err := tx.Scan(object.Staging, owner, from, hi, false, func(key []byte, r *object.Row) (bool, error) {
				if seen++; seen > sliceRows {
					next = append([]byte(nil), key...)
					return false, nil
				}
				st, err := decodeStaging(r)
				if err != nil || !st.touched.Before(before) {
					return true, err
				}
				old = append(old, append([]byte(nil), key...))
				return true, account.Drop(tx, s.store.StoreID(), account.DroppedStaging, owner, st.id)
			})
			for _, key := range old {
				tx.Delete(object.Staging, key)
			}
			return err
		})
		if err != nil {
			return err
		}
		lo = next
	}
	return nil
}
