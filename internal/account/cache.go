package account

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	cacheFor  = time.Minute
	cacheMiss = 4096 // names remembered as not existing; accounts that exist are all kept
)

// entry is what the cache knows of a name. Once it is in the cache only until changes,
// under the lock.
type entry struct {
	until time.Time
	found bool
	info  Info
	keys  [2]secret.Key
	ids   [2]keys.ID
}

// cache remembers accounts, and that there is no such account: host names are looked
// up here with every request.
type cache struct {
	mu      sync.Mutex
	entries map[name.Account]*entry
	misses  int    // entries that were not found
	changes uint64 // counts forget, so that a look-up begun before is not kept
}

func (c *cache) get(n name.Account, now time.Time) (e *entry, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e = c.entries[n]
	if e != nil && now.Before(e.until) {
		return e, c.changes
	}
	return nil, c.changes
}

// put keeps e, or answers false if something changed since changes was read: then what
// was read may be old. Keys that the present entry has already are shared with it, so
// that there is one secret per key however often it is looked up.
func (c *cache) put(n name.Account, e *entry, changes uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes != changes {
		return false
	}
	if c.entries == nil {
		c.entries = make(map[name.Account]*entry)
	}
	if c.misses >= cacheMiss {
		c.dropMisses()
	}
	if old := c.entries[n]; old != nil {
		for i := range old.keys {
			if e.found && old.ids[i] == e.ids[i] {
				e.keys[i].Destroy()
				e.keys[i] = old.keys[i]
			} else {
				old.keys[i].Destroy()
			}
		}
		c.remove(n, old)
	}
	c.entries[n] = e
	if !e.found {
		c.misses++
	}
	return true
}

// remove takes old out. c.mu is held.
func (c *cache) remove(n name.Account, old *entry) {
	if !old.found {
		c.misses--
	}
	delete(c.entries, n)
}

// dropMisses forgets the names that do not exist: anybody can ask for any number of
// them, and that must not cost the accounts their places. c.mu is held.
func (c *cache) dropMisses() {
	for n, e := range c.entries {
		if !e.found {
			c.remove(n, e)
		}
	}
}

// expire makes the next look-up read n anew. The secrets of keys that have not changed
// stay for the requests that use them.
func (c *cache) expire(n name.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	if e := c.entries[n]; e != nil {
		e.until = time.Time{}
	}
}

// forget drops what is known of n and wipes its keys.
func (c *cache) forget(n name.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	if e := c.entries[n]; e != nil {
		e.destroy()
		c.remove(n, e)
	}
}

func (e *entry) destroy() {
	for i := range e.keys {
		e.keys[i].Destroy()
	}
}

// lookup returns the cached entry of n, or reads it.
func (s *Service) lookup(ctx context.Context, n name.Account) (*entry, error) {
	const op = "account.Get"
	now := s.now()
	e, changes := s.cache.get(n, now)
	for e == nil {
		fresh, err := s.load(ctx, n)
		if err != nil {
			return nil, edge(op, n, err)
		}
		fresh.until = now.Add(cacheFor)
		if s.cache.put(n, fresh, changes) {
			e = fresh
			break
		}
		fresh.destroy()
		e, changes = s.cache.get(n, now)
	}
	if !e.found {
		return nil, fault.New(op, string(n), fault.AccountNotFound, nil)
	}
	return e, nil
}

func (s *Service) load(ctx context.Context, n name.Account) (*entry, error) {
	r, err := s.read(ctx, n)
	if errors.Is(err, meta.ErrNotFound) {
		return &entry{}, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := decodeInfo(n, r)
	if err != nil {
		return nil, err
	}
	p, err := s.open(ctx, r)
	if err != nil {
		return nil, err
	}
	e := &entry{found: true, info: info, ids: p.id}
	for i, k := range p.key {
		e.keys[i] = secret.New(k) // wipes k
	}
	return e, nil
}

// Close wipes the cached keys.
func (s *Service) Close() {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	for n, e := range s.cache.entries {
		e.destroy()
		s.cache.remove(n, e)
	}
	s.cache.changes++
}
