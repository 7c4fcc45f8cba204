package object

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
)

// collectExtents looks at every extent in which something died.
func (s *Store) collectExtents(ctx context.Context) (total Collected, err error) {
	if err := s.noteDead(ctx, s.held.takeSuspects()); err != nil {
		return total, err
	}
	var lo []byte
	for {
		ids, err := s.deadFrom(ctx, lo)
		if err != nil || len(ids) == 0 {
			return total, err
		}
		var empty []extent.Info
		var gone [][16]byte
		for _, id := range ids {
			info, err := s.extents.Stat(id)
			if errors.Is(err, extent.ErrNotFound) { // unlinked by a run that was cut off
				gone = append(gone, id)
				continue
			}
			if err != nil {
				return total, err
			}
			c, none, err := s.collectExtent(ctx, id, info)
			total.Add(c)
			if fault.Is(err, fault.Corrupt) { // a place row does not open: the extent stays
				total.Damaged++
				continue
			}
			if err != nil {
				return total, err
			}
			if none {
				empty = append(empty, info)
			}
		}
		unlinked, c, err := s.unlink(ctx, empty)
		total.Add(c)
		if err == nil {
			err = s.forgetDead(ctx, append(gone, unlinked...))
		}
		if err != nil {
			return total, err
		}
		lo = append(slices.Clone(ids[len(ids)-1][:]), 0)
	}
}

// noteDead writes dead rows.
func (s *Store) noteDead(ctx context.Context, ids [][16]byte) error {
	for batch := range slices.Chunk(ids, collectRows) {
		err := s.Update(ctx, func(tx *Tx) error {
			for _, id := range batch {
				if err := tx.markDead(id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) deadFrom(ctx context.Context, lo []byte) (ids [][16]byte, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		ids = ids[:0]
		// The key says it all; whether anything lives there is looked up anyway.
		return tx.r.Scan(Dead.key(lo), Dead.end(nil), false, func(key, _ []byte) (bool, error) {
			if len(key) == 17 {
				ids = append(ids, [16]byte(key[1:]))
			}
			return len(ids) < collectRows, nil
		})
	})
	return ids, err
}

// collectExtent says whether no chunk lives in an extent, empties one that is mostly
// dead, and leaves one alone that is not, or that is in use.
func (s *Store) collectExtent(ctx context.Context, id [16]byte, info extent.Info) (c Collected, none bool, err error) {
	if s.held.busy(id) {
		c.Deferred++
		return c, false, nil
	}
	// If nothing goes into it any more, this snapshot has all that will ever live there.
	living, err := s.living(ctx, id)
	if err != nil {
		return c, false, err
	}
	live := liveBytes(living)
	if info.Open {
		if live*2 < info.Size {
			s.extents.Seal(id) // the next pass goes on with it
		}
		c.Deferred++
		return c, false, nil
	}
	switch {
	case len(living) == 0:
		return c, true, nil
	case live*2 >= info.Size:
		return c, false, s.forgetIfHalf(ctx, id, info.Size)
	}
	for _, p := range living {
		moved, err := s.move(ctx, p)
		if err != nil {
			return c, false, err
		}
		if moved {
			c.Moved++
		} else {
			c.Deferred++
		}
	}
	// The next pass unlinks it, when those who read from it now have finished.
	return c, false, nil
}

func liveBytes(ps []placed) (n int64) {
	for _, p := range ps {
		n += int64(p.place.Length)
	}
	return n
}

// living returns the chunks that live in an extent.
func (s *Store) living(ctx context.Context, id [16]byte) (ps []placed, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		ps, err = tx.living(id)
		return err
	})
	return ps, err
}

func (tx *Tx) living(id [16]byte) (ps []placed, err error) {
	err = tx.Scan(Place, tx.s.id, id[:], prefixEnd(id[:]), false, func(key []byte, r *Row) (bool, error) {
		p, err := parsePlaced(key, r)
		ps = append(ps, p)
		return true, err
	})
	return ps, err
}

// prefixEnd is the upper end of the keys that begin with p, or nil if there is none.
func prefixEnd(p []byte) []byte {
	end := slices.Clone(p)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// unlink removes extents that no row names, and says which. A fence that goes up after
// the look does not mind: its checkpoint is younger than the rows, so it does not name
// them either.
func (s *Store) unlink(ctx context.Context, empty []extent.Info) (unlinked [][16]byte, c Collected, err error) {
	if len(empty) == 0 {
		return nil, c, nil
	}
	if _, err := s.held.quiesce(ctx); err != nil {
		return nil, c, err
	}
	up, err := s.fenced(ctx)
	if err != nil {
		return nil, c, err
	}
	for _, info := range empty {
		if up || s.held.busy(info.ID) {
			c.Deferred++
			continue
		}
		if err := s.extents.Remove(info.ID); err != nil && !errors.Is(err, extent.ErrNotFound) {
			return unlinked, c, err
		}
		unlinked = append(unlinked, info.ID)
		c.Extents++
		c.Bytes += info.Size
	}
	return unlinked, c, nil
}

// forgetDead takes extents that are gone off the list.
func (s *Store) forgetDead(ctx context.Context, ids [][16]byte) error {
	if len(ids) == 0 {
		return nil
	}
	return s.Update(ctx, func(tx *Tx) error {
		for _, id := range ids {
			tx.Delete(Dead, id[:])
		}
		return nil
	})
}

// forgetIfHalf takes an extent off the list while half of it lives. Its next death puts
// it there again; one that comes at the same time conflicts with this transaction.
func (s *Store) forgetIfHalf(ctx context.Context, id [16]byte, size int64) error {
	return s.Update(ctx, func(tx *Tx) error {
		ps, err := tx.living(id)
		if err != nil {
			return err
		}
		if liveBytes(ps)*2 >= size {
			tx.Delete(Dead, id[:])
		}
		return nil
	})
}

// move copies the ciphertext of a chunk to another extent. It needs no key but, in class
// double, that of the second layer.
func (s *Store) move(ctx context.Context, p placed) (moved bool, err error) {
	info, err := s.chunkAt(ctx, p)
	if err != nil || info == nil {
		return err == nil, err // died meanwhile: as good as moved
	}
	if info.state == ChunkQuarantined {
		return false, nil
	}
	class := extent.Single
	if p.place.Double {
		class = extent.Double
	}
	w, err := s.extents.Create(ctx, class, int64(info.stored))
	if err != nil {
		return false, err
	}
	to := w.Extent()
	s.held.count(s.held.pending, to, +1)
	defer s.held.count(s.held.pending, to, -1)
	src := io.NewSectionReader(placeReader{s.extents, p.place}, 0, int64(info.stored))
	crc, err := segment.AdoptStream(src, int64(info.stored), w.Write)
	if err != nil || crc != info.crc {
		w.Abort()
		s.held.suspected(to)
		if err != nil && !errors.Is(err, segment.ErrFormat) && !errors.Is(err, extent.ErrDamaged) {
			return false, err
		}
		return false, s.damagedAt(ctx, p)
	}
	place, err := w.Commit()
	if err != nil {
		s.held.suspected(to)
		return false, err
	}
	s.counters.MovedBytes.Add(int64(info.stored))
	err = s.Update(ctx, func(tx *Tx) error { return tx.rePlace(p, place) })
	if err != nil {
		s.held.suspected(to)
	}
	return err == nil, err
}

// chunkAt reads the chunk row of a place, or nil when the chunk is not there any more.
func (s *Store) chunkAt(ctx context.Context, p placed) (info *chunkInfo, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		info = nil
		r, err := tx.Get(Chunk, p.owner, chunkKey(p.owner, p.chunk))
		if err != nil {
			return notFoundIsNil(err)
		}
		if r.chunk.place == p.place {
			info = r.chunk
		}
		return nil
	})
	return info, err
}

// rePlace gives a chunk its new place, if it lives where it was.
func (tx *Tx) rePlace(p placed, to extent.Place) error {
	key := chunkKey(p.owner, p.chunk)
	r, err := tx.Get(Chunk, p.owner, key)
	if err := notFoundIsNil(err); err != nil {
		return err
	}
	if err != nil || r.chunk.place != p.place {
		return tx.markDead(to.Extent) // the copy is garbage
	}
	r.chunk.place = to
	if err := tx.Put(Chunk, key, r); err != nil {
		return err
	}
	tx.Delete(Place, placeKey(p.place, p.owner, p.chunk))
	return tx.putPlace(to, p.owner, p.chunk)
}

// damagedAt handles a chunk that cannot be moved because it is damaged: it stays where
// it is, and its extent stays too.
func (s *Store) damagedAt(ctx context.Context, p placed) error {
	s.report(p.owner, p.chunk, segment.ErrFormat)
	return s.quarantine(ctx, p.owner, p.chunk)
}

// FindOrphans goes over all extents and notes those that no row names: written before a
// crash that came before their commit. Collect removes them. It returns how many.
func (s *Store) FindOrphans(ctx context.Context) (n int, err error) {
	var batch [][16]byte
	check := func() error {
		orphans, err := s.orphans(ctx, batch)
		batch = batch[:0]
		if err != nil {
			return err
		}
		n += len(orphans)
		return s.noteDead(ctx, orphans)
	}
	err = s.extents.List(func(i extent.Info) error {
		if i.Open || s.held.busy(i.ID) {
			return ctx.Err()
		}
		if batch = append(batch, i.ID); len(batch) == collectRows {
			return check()
		}
		return ctx.Err()
	})
	if err == nil {
		err = check()
	}
	return n, classify("object.FindOrphans", err)
}

// orphans returns those of ids without a place row.
func (s *Store) orphans(ctx context.Context, ids [][16]byte) (orphans [][16]byte, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		orphans = orphans[:0]
		for _, id := range ids {
			used := false
			err := tx.r.Scan(Place.key(id[:]), Place.end(prefixEnd(id[:])), false, func(_, _ []byte) (bool, error) {
				used = true
				return false, nil
			})
			if err != nil {
				return err
			}
			if !used {
				orphans = append(orphans, id)
			}
		}
		return nil
	})
	return orphans, err
}

// report tells of a damaged chunk.
func (s *Store) report(owner, chunk keys.ID, err error) {
	s.counters.Quarantined.Add(1)
	s.onCorrupt(Damage{Table: Chunk, Key: chunkKey(owner, chunk), Chunk: chunk, Err: err})
}
