// Package keylock has mutexes by key: work on one thing waits for other work on it, and
// for nothing else, so that what hangs harms nobody beside.
package keylock

import "sync"

// Locks is a set of mutexes by key. The zero value is ready to use.
type Locks[K comparable] struct {
	mu sync.Mutex
	m  map[K]*entry
}

type entry struct {
	sync.Mutex
	users int
}

// Lock locks the mutex of k and returns what unlocks it.
func (l *Locks[K]) Lock(k K) (unlock func()) {
	l.mu.Lock()
	if l.m == nil {
		l.m = map[K]*entry{}
	}
	e := l.m[k]
	if e == nil {
		e = &entry{}
		l.m[k] = e
	}
	e.users++
	l.mu.Unlock()
	e.Lock()
	return func() {
		e.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if e.users--; e.users == 0 {
			delete(l.m, k)
		}
	}
}
