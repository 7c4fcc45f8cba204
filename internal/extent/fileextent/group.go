package fileextent

import "sync"

// group lets those who need the same sync share it. Its first error is its last word:
// after a failed sync the kernel may have dropped the data and call the next one a
// success.
type group struct {
	mu      sync.Mutex
	cond    *sync.Cond
	started uint64 // syncs begun
	done    uint64 // syncs ended
	running bool
	err     error
}

// sync returns when a call of f that began after sync was called has succeeded.
func (g *group) sync(f func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cond == nil {
		g.cond = sync.NewCond(&g.mu)
	}
	want := g.started + 1
	for g.done < want && g.err == nil {
		if g.running {
			g.cond.Wait()
			continue
		}
		g.run(f)
	}
	return g.err
}

// run calls f without the lock.
func (g *group) run(f func() error) {
	g.running = true
	g.started++
	n := g.started
	g.mu.Unlock()
	err := f()
	g.mu.Lock()
	g.running = false
	g.done = n
	if err != nil {
		g.err = err
	}
	g.cond.Broadcast()
}

// poison fails all later syncs.
func (g *group) poison(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
}

func (g *group) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
