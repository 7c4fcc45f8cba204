package object

import (
	"container/list"
	"slices"
	"sync"

	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
)

// openedSize bounds the chunks that stay opened, about 1 KiB each.
const openedSize = 1024

// openedChunks keeps chunks whose header was read and checked, the least recently used
// going first: a range read then reads its segments only, which authenticate
// themselves. A chunk stays no longer than its data key, and one without a cached data
// key not at all.
type openedChunks struct {
	mu   sync.Mutex
	used list.List // of *openedChunk, most recent first
}

// openedAt says which chunk it is and where it was read from.
type openedAt struct {
	chunk keys.ID
	place extent.Place
}

type openedChunk struct {
	at  openedAt
	key *dataKey
	o   *segment.Opened
}

func (c *openedChunks) get(k *dataKey, at openedAt) *segment.Opened {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := k.opened[at]
	if !ok {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*openedChunk).o
}

// put keeps a chunk under k, which the caller has in use.
func (c *openedChunks) put(k *dataKey, at openedAt, o *segment.Opened) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := k.opened[at]; ok {
		return
	}
	if k.opened == nil {
		k.opened = make(map[openedAt]*list.Element)
	}
	k.opened[at] = c.used.PushFront(&openedChunk{at, k, o})
	if c.used.Len() > openedSize {
		c.remove(c.used.Back())
	}
}

func (c *openedChunks) remove(e *list.Element) {
	o := c.used.Remove(e).(*openedChunk)
	delete(o.key.opened, o.at)
}

// forget drops the chunks under k, which is about to be destroyed.
func (c *openedChunks) forget(k *dataKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range k.opened {
		c.remove(e)
	}
}

// openedMapRows bounds the map rows that stay opened, about 2 KiB each.
const openedMapRows = 1024

// openedMaps keeps opened map rows, the least recently used going first. A map row is
// never changed, and who asks for one has read the content row that names its map.
type openedMaps struct {
	mu   sync.Mutex
	m    map[mapID][]*list.Element // by where they begin
	used list.List                 // of *openedMapRow, most recent first
}

type mapID struct{ owner, id keys.ID }

type openedMapRow struct {
	id    mapID
	table []keys.ID // data keys that its references counted in
	row   *Row      // read only
}

// holding returns the row of r's map that holds the byte at off, or nil.
func (c *openedMaps) holding(r *Row, off int64) *Row {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := c.m[mapID{r.Owner, r.mapped.id}]
	i, ok := slices.BinarySearchFunc(rows, off, func(e *list.Element, off int64) int {
		row := e.Value.(*openedMapRow).row
		switch {
		case int64(row.base) > off:
			return 1
		case int64(row.base)+row.Length() <= off:
			return -1
		}
		return 0
	})
	if !ok {
		return nil
	}
	o := rows[i].Value.(*openedMapRow)
	if !slices.EqualFunc(r.DEKs, o.table, func(e DEKEntry, id keys.ID) bool { return e.ID == id }) {
		return nil
	}
	c.used.MoveToFront(rows[i])
	return o.row
}

// put keeps a row of r's map. Its memory becomes the cache's.
func (c *openedMaps) put(r, row *Row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := mapID{r.Owner, r.mapped.id}
	rows := c.m[id]
	i, have := slices.BinarySearchFunc(rows, row.base, func(e *list.Element, base uint64) int {
		return int(int64(e.Value.(*openedMapRow).row.base) - int64(base))
	})
	if have {
		c.remove(rows[i])
		rows = c.m[id]
	}
	if c.m == nil {
		c.m = make(map[mapID][]*list.Element)
	}
	c.m[id] = slices.Insert(rows, i, c.used.PushFront(&openedMapRow{id, dekIDs(r.DEKs), row}))
	if c.used.Len() > openedMapRows {
		c.remove(c.used.Back())
	}
}

func (c *openedMaps) remove(e *list.Element) {
	o := c.used.Remove(e).(*openedMapRow)
	rows := slices.DeleteFunc(c.m[o.id], func(x *list.Element) bool { return x == e })
	if len(rows) == 0 {
		delete(c.m, o.id)
		return
	}
	c.m[o.id] = rows
}
