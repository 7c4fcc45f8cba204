package object

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

// scrubKey is the key of the scrub's cursor row.
var scrubKey = []byte{'c'}

// Scrubbed says what a slice of the scrub did.
type Scrubbed struct {
	Chunks  int
	Bytes   int64
	Damaged int
	Wrapped bool // came to the end and will begin again
}

// Scrub reads stored chunks, about budget bytes of them, and compares their checksums,
// from where it stopped the last time. It needs no data key, so it goes on while a
// protector is disabled; what it finds it marks as quarantined and reports.
func (s *Store) Scrub(ctx context.Context, budget int64) (did Scrubbed, err error) {
	ctx = meta.WithReclaim(ctx)
	lo, err := s.scrubFrom(ctx)
	if err != nil {
		return did, classify("object.Scrub", err)
	}
	for did.Bytes < budget {
		key, r, err := s.nextChunk(ctx, lo)
		if err != nil {
			return did, classify("object.Scrub", err)
		}
		if key == nil {
			did.Wrapped, lo = true, nil
			break
		}
		if err := s.scrub(ctx, key, r, &did); err != nil {
			return did, classify("object.Scrub", err)
		}
		lo = append(key, 0)
	}
	return did, classify("object.Scrub", s.Update(ctx, func(tx *Tx) error {
		if lo == nil {
			tx.Delete(Cursor, scrubKey)
			return nil
		}
		row := &Row{Owner: s.id}
		row.Set(cursorKey, lo)
		return tx.Put(Cursor, scrubKey, row)
	}))
}

func (s *Store) scrubFrom(ctx context.Context) (lo []byte, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		r, err := tx.Get(Cursor, s.id, scrubKey)
		if err != nil {
			return notFoundIsNil(err)
		}
		lo = r.Get(cursorKey)
		return nil
	})
	return lo, err
}

// nextChunk is the first chunk from lo on whose row opens; key is nil at the end.
func (s *Store) nextChunk(ctx context.Context, lo []byte) (key []byte, row *Row, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		key, row = nil, nil
		return tx.r.Scan(Chunk.key(lo), Chunk.end(nil), false, func(k, v []byte) (bool, error) {
			if len(k) != 33 {
				return true, nil
			}
			key = append([]byte(nil), k[1:]...)
			row, err = s.openRow(Chunk, keys.ID(key[:16]), key, append([]byte(nil), v...), nil)
			return err != nil, nil // openRow has reported it
		})
	})
	if row == nil {
		key = nil
	}
	return key, row, err
}

func (s *Store) scrub(ctx context.Context, key []byte, r *Row, did *Scrubbed) error {
	did.Chunks++
	did.Bytes += int64(r.chunk.stored)
	err := s.checksum(r)
	if err == nil || r.chunk.state == ChunkQuarantined {
		return nil
	}
	if !isDamage(err) {
		return err
	}
	owner, id := keys.ID(key[:16]), keys.ID(key[16:])
	moved, rerr := s.movedAway(ctx, owner, id, r)
	if moved || rerr != nil {
		return rerr
	}
	did.Damaged++
	s.report(owner, id, err)
	return s.quarantine(ctx, owner, id)
}

// isDamage tells what is wrong with stored bytes from other errors.
func isDamage(err error) bool {
	return errors.Is(err, errCRC) || errors.Is(err, extent.ErrNotFound) || errors.Is(err, extent.ErrDamaged) ||
		fault.Is(err, fault.Corrupt)
}

// movedAway reports whether a chunk died or moved since its row was read: then what was
// read there says nothing.
func (s *Store) movedAway(ctx context.Context, owner, id keys.ID, r *Row) (bool, error) {
	now, err := s.chunkAt(ctx, placed{owner: owner, chunk: id, place: r.chunk.place})
	return now == nil, err
}
