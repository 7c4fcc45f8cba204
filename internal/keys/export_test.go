package keys

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Plant changes the body of the key store as who has the service root may.
func (r *Ring) Plant(ctx context.Context, f func(*cfks.Body)) error {
	return r.update(ctx, func(d *draft) error {
		f(d.body)
		d.sort()
		return nil
	})
}

// AddScopesUnder is AddScopeUnder for many scopes in one change of the key store: each
// change writes all of it anew.
func (r *Ring) AddScopesUnder(ctx context.Context, owner ID, refs map[ID]VaultRef, follow bool) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		made []*wrapped
		errs []error
	)
	next := make(chan ID)
	for range 4 {
		wg.Go(func() {
			for id := range next {
				n, err := r.customers.wrapNew(ctx, ScopeProtector(id), owner, refs[id], follow)
				mu.Lock()
				if err == nil {
					made = append(made, n)
				}
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	for id := range refs {
		next <- id
	}
	close(next)
	wg.Wait()
	defer func() {
		for _, n := range made {
			n.drop()
		}
	}()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return r.update(ctx, func(d *draft) error {
		d.born, d.unlocked = map[Protector]ID{}, map[ID]secret.Key{}
		leases := map[Protector]*lease{}
		wraps := map[Protector]cfks.Wrapping{}
		for _, n := range made {
			w, l, err := n.seal(d.state, cfks.Current, d.now)
			if err != nil {
				return err
			}
			d.unlocked[n.w] = l.k
			d.born[n.p], leases[n.p], wraps[n.p] = w.W, l, w
		}
		for _, n := range made {
			if err := r.insertProtector(d, owner, n.p, false); err != nil {
				return err
			}
		}
		d.sort()
		for _, n := range made {
			d.protectors[n.p].Wrappings = []cfks.Wrapping{wraps[n.p]}
			n.kept = true
			d.before = append(d.before, func() { r.customer(n.p).install(leases[n.p], n.facts) })
		}
		return nil
	})
}

// SetClock gives customers' keys two clocks of a test.
func (r *Ring) SetClock(mono, wall func() time.Time) {
	r.customers.clock = func() moment { return moment{mono: mono(), wall: wall().UnixNano()} }
}
