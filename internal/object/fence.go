package object

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

const (
	// FenceLife is how long a fence stands without being renewed.
	FenceLife = 2 * time.Minute
	// FenceRenewal is how often its owner renews it.
	FenceRenewal = 30 * time.Second
)

// Fields of a fence row.
const (
	fenceOwner  = FirstField     // who put it up, for messages
	fenceExpiry = FirstField + 1 // u64 ns
)

// Fence stops the removal of extents while it stands: a backup puts it up, takes its
// checkpoint of meta and copies the extents that the checkpoint names.
type Fence struct {
	s     *Store
	id    keys.ID
	owner string
}

// Fence puts up a fence.
func (s *Store) Fence(ctx context.Context, owner string) (*Fence, error) {
	f := &Fence{s: s, id: keys.NewID(), owner: owner}
	err := s.Update(meta.WithReclaim(ctx), func(tx *Tx) error { return f.put(tx) })
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Fence) put(tx *Tx) error {
	r := &Row{Owner: f.s.id}
	r.Set(fenceOwner, []byte(f.owner))
	r.Set(fenceExpiry, binary.BigEndian.AppendUint64(nil, uint64(f.s.now().Add(FenceLife).UnixNano())))
	return tx.Put(Fences, f.id[:], r)
}

// Renew prolongs the fence. It fails when it has fallen: extents may be gone, and the
// backup must be given up.
func (f *Fence) Renew(ctx context.Context) error {
	return f.s.Update(meta.WithReclaim(ctx), func(tx *Tx) error {
		r, err := tx.Get(Fences, f.s.id, f.id[:])
		if err := notFoundIsNil(err); err != nil {
			return err
		}
		if err != nil || !f.s.stands(r) {
			return fault.New("object.Fence", f.owner, fault.NotAllowed, errors.New("the fence has expired"))
		}
		return f.put(tx)
	})
}

// Close takes the fence down.
func (f *Fence) Close(ctx context.Context) error {
	return f.s.Update(meta.WithReclaim(ctx), func(tx *Tx) error {
		tx.Delete(Fences, f.id[:])
		return nil
	})
}

// stands reports whether a fence row has not expired.
func (s *Store) stands(r *Row) bool {
	e := r.Get(fenceExpiry)
	return len(e) == 8 && s.now().Before(time.Unix(0, int64(binary.BigEndian.Uint64(e))))
}

// fenced reports whether any fence stands.
func (s *Store) fenced(ctx context.Context) (up bool, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		up = false
		return tx.Scan(Fences, s.id, nil, nil, false, func(_ []byte, r *Row) (bool, error) {
			up = s.stands(r)
			return !up, nil
		})
	})
	return up, err
}

// DropFences removes the rows of fences that have fallen.
func (s *Store) DropFences(ctx context.Context) error {
	return s.Update(meta.WithReclaim(ctx), func(tx *Tx) error {
		return tx.Scan(Fences, s.id, nil, nil, false, func(key []byte, r *Row) (bool, error) {
			if !s.stands(r) {
				tx.Delete(Fences, key)
			}
			return true, nil
		})
	})
}
