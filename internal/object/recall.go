package object

import (
	"sync"

	"github.com/coffer-storage/coffer/internal/keys"
)

// recallMax bounds the rows that are kept opened.
const recallMax = 1024

// recalled keeps rows of tables that change seldom and are read all the time, opened. An
// entry is good for snapshots of the version that it was read from, and for no other one.
type recalled struct {
	mu sync.Mutex
	m  map[string]recalledRow // by key in meta
}

type recalledRow struct {
	version uint64
	owner   keys.ID
	system  keys.ID // SYSK version
	value   any
}

func (c *recalled) get(key []byte, version uint64) (recalledRow, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[string(key)]
	return e, ok && e.version == version
}

// put keeps e, in the place of any other when there are too many.
func (c *recalled) put(key []byte, e recalledRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[string]recalledRow)
	}
	if old, have := c.m[string(key)]; have && old.version > e.version {
		return
	} else if !have && len(c.m) >= recallMax {
		for other := range c.m {
			delete(c.m, other)
			break
		}
	}
	c.m[string(key)] = e
}

// Recall is Get and decode for rows of tables that change seldom. The value may be the
// one of an earlier call and must not be changed. The owner's system key must be there as
// it must for Get; rows with the second layer are not kept.
func Recall[T any](tx *Tx, t Table, owner keys.ID, key []byte, decode func(*Row) (T, error)) (T, error) {
	at := t.key(key)
	version, named := tx.r.Version(at)
	if named {
		if e, ok := tx.s.recalled.get(at, version); ok && e.owner == owner {
			if _, err := tx.s.ring.SystemByRef(owner, e.system); err == nil {
				return e.value.(T), nil
			}
		}
	}
	r, err := tx.Get(t, owner, key)
	if err != nil {
		var none T
		return none, err
	}
	v, err := decode(r)
	if err == nil && named && r.infra == (keys.ID{}) {
		tx.s.recalled.put(at, recalledRow{version, owner, r.system, v})
	}
	return v, err
}
