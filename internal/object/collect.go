package object

import (
	"context"
	"slices"
	"sync"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
)

// Collected counts what a pass of the collector did.
type Collected struct {
	Contents int   // garbage rows finished
	Chunks   int   // chunk rows removed
	Extents  int   // extents unlinked
	Bytes    int64 // of those
	Moved    int   // chunks moved out of extents that were mostly dead
	Deferred int   // left for later: a reader, a writer or a fence is in the way
	Damaged  int   // left because a row does not open
}

// Add sums up.
func (c *Collected) Add(o Collected) {
	c.Contents += o.Contents
	c.Chunks += o.Chunks
	c.Extents += o.Extents
	c.Bytes += o.Bytes
	c.Moved += o.Moved
	c.Deferred += o.Deferred
	c.Damaged += o.Damaged
}

const (
	// collectRows is how many garbage rows or extents are looked at together.
	collectRows = 256
	// collectSlice is how many chunks one transaction frees.
	collectSlice = 512
)

// deferrals remember since when a garbage row waits for Readers, so that only those
// that began before can hold it up. Lost at a restart, as the Readers are.
type deferrals struct {
	mu sync.Mutex
	m  map[string]uint64
}

// since returns the epoch of the first try on key.
func (d *deferrals) since(key []byte, epoch uint64) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, ok := d.m[string(key)]; ok {
		return e
	}
	return epoch
}

func (d *deferrals) keep(key []byte, epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.m == nil {
		d.m = make(map[string]uint64)
	}
	d.m[string(key)] = epoch
}

func (d *deferrals) forget(key []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.m, string(key))
}

// Collect frees the chunks of released contents and the extents that nothing lives in,
// and moves chunks out of extents that are mostly dead. It may be cut off anywhere: the
// rows say what is left to do.
func (s *Store) Collect(ctx context.Context) (Collected, error) {
	ctx = meta.WithReclaim(ctx)
	total, err := s.collectGarbage(ctx)
	if err == nil {
		var c Collected
		c, err = s.collectExtents(ctx)
		total.Add(c)
	}
	return total, classify("object.Collect", err)
}

// Backlog counts the garbage rows and the extents that wait for collection, up to limit
// of each.
func (s *Store) Backlog(ctx context.Context, limit int) (contents, extents int, err error) {
	count := func(tx *Tx, t Table, lo, hi []byte) (n int, err error) {
		err = tx.r.Scan(t.key(lo), t.end(hi), false, func(_, _ []byte) (bool, error) {
			n++
			return n < limit, nil
		})
		return n, err
	}
	err = s.View(ctx, func(tx *Tx) (err error) {
		if contents, err = count(tx, Garbage, []byte{garbagePrefix}, []byte{garbagePrefix + 1}); err != nil {
			return err
		}
		extents, err = count(tx, Dead, nil, nil)
		return err
	})
	return contents, extents, err
}

// collectGarbage goes over all garbage rows that there are now.
func (s *Store) collectGarbage(ctx context.Context) (total Collected, err error) {
	lo := []byte{garbagePrefix}
	for {
		batch, next, err := s.garbageFrom(ctx, lo)
		if err != nil {
			return total, err
		}
		// Every snapshot that began before these rows were read is over after this.
		epoch, err := s.held.quiesce(ctx)
		if err != nil {
			return total, err
		}
		var small []garbage // of one transaction
		size := 0
		for _, g := range batch {
			switch {
			case s.garbageHeld(g, epoch):
				total.Deferred++
				continue
			case g.small():
				if size += len(g.chunks); size > collectSlice {
					if err := s.freeSmall(ctx, small, &total); err != nil {
						return total, err
					}
					small, size = small[:0], len(g.chunks)
				}
				small = append(small, g)
				continue
			}
			n, err := s.free(ctx, g)
			total.Chunks += n
			if fault.Is(err, fault.Corrupt) { // of a map row: the others go on
				total.Damaged++
				continue
			}
			if err != nil {
				return total, err
			}
			total.Contents++
			s.deferred.forget(g.key)
		}
		if err := s.freeSmall(ctx, small, &total); err != nil {
			return total, err
		}
		if next == nil {
			return total, nil
		}
		lo = next
	}
}

// garbageFrom reads some garbage rows and says where to go on. Those that do not open
// are passed over: they were reported, and must not stop the others.
func (s *Store) garbageFrom(ctx context.Context, lo []byte) (batch []garbage, next []byte, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		return tx.r.Scan(Garbage.key(lo), Garbage.end([]byte{garbagePrefix + 1}), false, func(k, v []byte) (bool, error) {
			key := slices.Clone(k[1:])
			if len(batch) == collectRows {
				next = key
				return false, nil
			}
			r, err := s.openRow(Garbage, s.id, key, slices.Clone(v), nil)
			if err != nil {
				return true, nil
			}
			if g, err := parseGarbage(key, r); err == nil {
				batch = append(batch, g)
			}
			return true, nil
		})
	})
	return batch, next, err
}

// garbageHeld reports whether a Reader may still need what g names.
func (s *Store) garbageHeld(g garbage, epoch uint64) bool {
	since := s.deferred.since(g.key, epoch)
	for _, id := range g.deks {
		if s.held.dekHeld(id, since) {
			s.deferred.keep(g.key, since)
			return true
		}
	}
	return false
}

// small reports whether g names all its chunks, and few: it is freed together with others.
// A commit for each would fall behind clients that overwrite small contents in parallel.
func (g garbage) small() bool { return g.how == 0 && len(g.chunks) <= collectSlice/8 }

// freeSmall frees garbage rows in one transaction.
func (s *Store) freeSmall(ctx context.Context, gs []garbage, total *Collected) error {
	if len(gs) == 0 {
		return nil
	}
	chunks := 0
	err := s.Update(ctx, func(tx *Tx) error {
		chunks = 0
		for _, g := range gs {
			n, err := tx.freeAll(g.owner, g.chunks)
			if err != nil {
				return err
			}
			chunks += n
			tx.Delete(Garbage, g.key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range gs {
		s.deferred.forget(g.key)
	}
	total.Contents += len(gs)
	total.Chunks += chunks
	return nil
}

// free frees one garbage row: slice by slice, the row itself last.
func (s *Store) free(ctx context.Context, g garbage) (chunks int, err error) {
	for batch := range slices.Chunk(g.chunks, collectSlice) {
		n, err := s.freeChunks(ctx, g.owner, batch)
		chunks += n
		if err != nil {
			return chunks, err
		}
	}
	for g.how != 0 {
		n, more, err := s.freeMapRow(ctx, g)
		chunks += n
		if err != nil {
			return chunks, err
		}
		if !more {
			break
		}
	}
	return chunks, s.Update(ctx, func(tx *Tx) error {
		tx.Delete(Garbage, g.key)
		return nil
	})
}

func (s *Store) freeChunks(ctx context.Context, owner keys.ID, chunks []keys.ID) (freed int, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		freed, err = tx.freeAll(owner, chunks)
		return err
	})
	return freed, err
}

func (tx *Tx) freeAll(owner keys.ID, chunks []keys.ID) (freed int, err error) {
	for _, id := range chunks {
		ok, err := tx.freeChunk(owner, id)
		if err != nil {
			return freed, err
		}
		if ok {
			freed++
		}
	}
	return freed, nil
}

// freeMapRow frees the first map row that is left, with its chunks if g says so.
func (s *Store) freeMapRow(ctx context.Context, g garbage) (freed int, more bool, err error) {
	r := &Row{Owner: g.owner, mapped: mapping{id: g.mapID, count: 1}}
	for _, id := range g.deks {
		r.DEKs = append(r.DEKs, DEKEntry{ID: id}) // only their order counts here
	}
	err = s.Update(ctx, func(tx *Tx) error {
		freed, more = 0, false
		var row *Row
		err := tx.mapRows(r, mapKey(g.owner, g.mapID, 0), func(found *Row) (bool, error) {
			row = found
			return false, nil
		})
		if err != nil || row == nil {
			return err
		}
		more = true
		tx.Delete(Map, mapKey(g.owner, g.mapID, int64(row.base)+row.Length()))
		if g.how == mapRowsOnly {
			return nil
		}
		var ids []keys.ID
		for _, p := range row.pieces {
			for _, ref := range p.Refs {
				ids = append(ids, ref.Chunk)
			}
		}
		freed, err = tx.freeAll(g.owner, ids)
		return err
	})
	return freed, more, err
}
