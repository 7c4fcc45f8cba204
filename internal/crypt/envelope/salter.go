package envelope

import (
	"container/list"
	"crypto/cipher"
	"crypto/rand"
	"sync"

	"github.com/coffer-storage/coffer/internal/crypt/internal/cbchs"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Bounds of one salt, which keep the chance of a repeated nonce under 2^-49.
const (
	saltValues = 1 << 24
	saltBytes  = 64 << 30
)

// cacheSize bounds the derived keys that a Salter or a Cache holds.
const cacheSize = 4096

// derived is what a key and a salt give: one of the two, by suite.
type derived struct {
	gcm cipher.AEAD
	cbc *cbchs.Cipher
}

// derive makes the key of one salt.
func derive(k secret.Key, suite byte, keyref, salt [16]byte) (derived, error) {
	var d derived
	err := k.Use(func(key []byte) error {
		if suite == suiteInfra {
			d.cbc = deriveInfra(key, keyref, salt)
		} else {
			d.gcm = deriveValue(key, keyref, salt)
		}
		return nil
	})
	return d, err
}

// alive returns the error of using a key that was destroyed. A derived key must not
// outlive the key it came from.
func alive(k secret.Key) error { return k.Use(func([]byte) error { return nil }) }

// slot names the key that a salt belongs to.
type slot struct {
	suite  byte
	keyref [16]byte
}

// Salter reuses salts when values are sealed under long-lived keys: a new one at first
// use and after 2^24 values or 64 GiB. It holds the salts of up to 4,096 keys. The zero
// value is ready; a nil Salter draws a salt for every value. It is safe in parallel.
type Salter struct {
	mu sync.Mutex // guards m and what it points to
	m  map[slot]*salted
}

type salted struct {
	key    secret.Key
	salt   [16]byte
	d      derived
	values int64
	bytes  int64
}

// take returns the salt and the derived key for one more value of n bytes.
func (s *Salter) take(k secret.Key, suite byte, keyref [16]byte, n int) ([16]byte, derived, error) {
	if s == nil {
		x, err := newSalted(k, suite, keyref)
		return x.salt, x.d, err
	}
	if err := alive(k); err != nil {
		return [16]byte{}, derived{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slot{suite, keyref}
	x := s.m[at]
	if x == nil || x.key != k || x.values >= saltValues || x.bytes+int64(n) > saltBytes {
		var err error
		if x, err = newSalted(k, suite, keyref); err != nil {
			return [16]byte{}, derived{}, err
		}
		s.put(at, x)
	}
	x.values++
	x.bytes += int64(n)
	return x.salt, x.d, nil
}

// put keeps x, in the place of any other when there are too many.
func (s *Salter) put(at slot, x *salted) {
	if s.m == nil {
		s.m = make(map[slot]*salted)
	}
	if _, have := s.m[at]; !have && len(s.m) >= cacheSize {
		for other := range s.m {
			delete(s.m, other)
			break
		}
	}
	s.m[at] = x
}

// Forget drops everything derived from the key that keyref names.
func (s *Salter) Forget(keyref [16]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, slot{suiteValue, keyref})
	delete(s.m, slot{suiteInfra, keyref})
}

// newSalted draws a salt and derives its key.
func newSalted(k secret.Key, suite byte, keyref [16]byte) (*salted, error) {
	x := &salted{key: k}
	rand.Read(x.salt[:])
	var err error
	x.d, err = derive(k, suite, keyref, x.salt)
	return x, err
}

// saltedSlot names a derived key.
type saltedSlot struct {
	slot
	salt [16]byte
}

// Cache keeps derived keys for opening, the 4,096 used last. The zero value is ready; a
// nil Cache keeps none. It is safe in parallel. The caller must not use it once it may not use
// the key (a suspended protector); after Forget or the key's Destroy it does not
// answer.
type Cache struct {
	mu  sync.Mutex // guards m and lru
	m   map[saltedSlot]*list.Element
	lru list.List // of *cached, the newest in front
}

type cached struct {
	at  saltedSlot
	key secret.Key
	d   derived
}

// get returns the derived key, from the cache or anew.
func (c *Cache) get(k secret.Key, suite byte, keyref, salt [16]byte) (derived, error) {
	if c == nil {
		return derive(k, suite, keyref, salt)
	}
	if err := alive(k); err != nil {
		return derived{}, err
	}
	at := saltedSlot{slot{suite, keyref}, salt}
	if d, ok := c.find(at, k); ok {
		return d, nil
	}
	d, err := derive(k, suite, keyref, salt)
	if err == nil {
		c.put(&cached{at, k, d})
	}
	return d, err
}

// find looks for what was derived from this very key.
func (c *Cache) find(at saltedSlot, k secret.Key) (derived, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.m[at]
	if e == nil || e.Value.(*cached).key != k {
		return derived{}, false
	}
	c.lru.MoveToFront(e)
	return e.Value.(*cached).d, true
}

// put keeps x and drops the one used longest ago when there are too many.
func (c *Cache) put(x *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[saltedSlot]*list.Element)
	}
	if e := c.m[x.at]; e != nil {
		c.remove(e)
	}
	c.m[x.at] = c.lru.PushFront(x)
	if c.lru.Len() > cacheSize {
		c.remove(c.lru.Back())
	}
}

// Forget drops everything derived from the key that keyref names.
func (c *Cache) Forget(keyref [16]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.lru.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*cached).at.keyref == keyref {
			c.remove(e)
		}
		e = next
	}
}

func (c *Cache) remove(e *list.Element) {
	c.lru.Remove(e)
	delete(c.m, e.Value.(*cached).at)
}
