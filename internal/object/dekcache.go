package object

import (
	"container/list"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
)

const (
	dekCacheSize = 10_000
	dekCacheLife = 5 * time.Minute
)

// dekAt is the whole context of an opened key: two contexts never share an entry.
type dekAt struct {
	dek, owner keys.ID
	prot       keys.Protector
	epoch      uint64 // of the protector: what was opened before a drop stays unfound
}

// dekCache keeps opened data keys, the least recently used going first, none longer
// than dekCacheLife.
type dekCache struct {
	now    func() time.Time
	chunks openedChunks // under the keys of the cache

	mu   sync.Mutex
	m    map[dekAt]*list.Element
	used list.List // of *cachedDEK, most recent first
}

type cachedDEK struct {
	at    dekAt
	key   *dataKey
	until time.Time
}

func newDEKCache(now func() time.Time) *dekCache {
	return &dekCache{now: now, m: make(map[dekAt]*list.Element)}
}

// get lends the key, or returns nil.
func (c *dekCache) get(at dekAt) *DEK {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[at]
	if !ok {
		return nil
	}
	if k := e.Value.(*cachedDEK); c.now().Before(k.until) {
		c.used.MoveToFront(e)
		return k.key.lend()
	}
	c.remove(e)
	return nil
}

// put adds a key and lends it. Another one that came first wins.
func (c *dekCache) put(at dekAt, k *dataKey) *DEK {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.m[at]; ok {
		k.key.Destroy()
		return e.Value.(*cachedDEK).key.lend()
	}
	k.users.Add(1) // the cache
	k.chunks = &c.chunks
	c.m[at] = c.used.PushFront(&cachedDEK{at, k, c.now().Add(dekCacheLife)})
	if c.used.Len() > dekCacheSize {
		c.remove(c.used.Back())
	}
	return k.lend()
}

func (c *dekCache) remove(e *list.Element) {
	k := c.used.Remove(e).(*cachedDEK)
	delete(c.m, k.at)
	k.key.release()
}

// dropExpired zeroes what nobody asked for any more.
func (c *dekCache) dropExpired() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for e := c.used.Back(); e != nil; {
		prev := e.Prev()
		if !now.Before(e.Value.(*cachedDEK).until) {
			c.remove(e)
		}
		e = prev
	}
}

// drop forgets the keys of one protector.
func (c *dekCache) drop(p keys.Protector) {
	c.dropIf(func(at dekAt) bool { return at.prot == p })
}

func (c *dekCache) clear() { c.dropIf(func(dekAt) bool { return true }) }

func (c *dekCache) dropIf(f func(dekAt) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, e := range c.m {
		if f(at) {
			c.remove(e)
		}
	}
}

// DropKeys forgets the cached data keys of a protector: when it was disabled, or a KEK
// was destroyed.
func (s *Store) DropKeys(p keys.Protector) { s.deks.drop(p) }

// DropExpired zeroes cached data keys whose time is over. The janitor calls it.
func (s *Store) DropExpired() { s.deks.dropExpired() }
