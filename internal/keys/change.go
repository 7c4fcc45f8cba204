package keys

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// draft is the next generation while it is made: a state of its own and the keys that
// are handed out once it is published.
type draft struct {
	*state
	now   uint64
	fresh map[ID]secret.Key
	gone  []ID // krefs whose keys are wiped when the draft is published
	roots []secret.Key

	before, after []func() // run when lookups begin to see the draft
}

func (r *Ring) newDraft(s *state) *draft {
	return &draft{state: s.clone(), now: r.now(), fresh: map[ID]secret.Key{}}
}

// clone copies everything that a change may touch. What lies deeper (secrets and public
// keys of a version) and the keys themselves are shared: a change replaces those.
func (s *state) clone() *state {
	f, b := *s.file, *s.body
	f.Slots = slices.Clone(f.Slots)
	b.Chains = slices.Clone(b.Chains)
	for i := range b.Chains {
		b.Chains[i].Keys = slices.Clone(b.Chains[i].Keys)
	}
	b.Protectors = slices.Clone(b.Protectors)
	for i := range b.Protectors {
		b.Protectors[i].Wrappings = slices.Clone(b.Protectors[i].Wrappings)
	}
	b.Facts = slices.Clone(b.Facts)
	n := &state{file: &f, body: &b, srk: s.srk, sk: s.sk, irk: s.irk, ik: s.ik}
	n.index()
	return n
}

// drop wipes what a draft made, when it is not published.
func (d *draft) drop() {
	for _, k := range d.fresh {
		k.Destroy()
	}
	for _, k := range d.roots {
		k.Destroy()
	}
}

// rotate retires the Active version of c and adds a new one.
func (d *draft) rotate(c *cfks.Chain) (ID, error) {
	if k := active(c); k != nil {
		k.State, k.Deactivated = cfks.Deactivated, d.now
	}
	kref, key, err := d.addKey(c, d.now)
	if err != nil {
		return ID{}, err
	}
	d.fresh[kref] = key
	return kref, nil
}

// addChain makes a chain with its first version.
func (d *draft) addChain(c cfks.Chain) (ID, error) {
	id, err := d.insertChain(c)
	if err == nil {
		d.sort()
	}
	return id, err
}

// insertChain is addChain without sorting.
func (d *draft) insertChain(c cfks.Chain) (ID, error) {
	c.ID = cfks.NewID()
	kref, key, err := d.addKey(&c, d.now)
	if err != nil {
		return ID{}, err
	}
	d.fresh[kref] = key
	d.body.Chains = append(d.body.Chains, c)
	return c.ID, nil
}

// sort puts every list into the order of the file and indexes again.
func (d *draft) sort() {
	byID := func(a, b ID) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(d.file.Slots, func(a, b cfks.Slot) int { return byID(a.ID, b.ID) })
	slices.SortFunc(d.body.Chains, func(a, b cfks.Chain) int { return byID(a.ID, b.ID) })
	slices.SortFunc(d.body.Facts, func(a, b cfks.Fact) int { return byID(a.Slot, b.Slot) })
	slices.SortFunc(d.body.Protectors, func(a, b cfks.ProtectorRecord) int {
		return cmp.Or(cmp.Compare(a.Protector.Kind, b.Protector.Kind), byID(a.Protector.ID, b.Protector.ID))
	})
	for i := range d.body.Protectors {
		slices.SortFunc(d.body.Protectors[i].Wrappings, func(a, b cfks.Wrapping) int { return byID(a.W, b.W) })
	}
	d.index()
}

// seal makes the stored form of the next generation and reads it back: what this
// machine cannot open is never stored.
func (d *draft) sealFile() ([]byte, error) {
	d.sort()
	d.file.Generation++
	plain := d.body.Encode()
	var err error
	if d.file.Body, err = keywrap.Seal(d.sk, d.file.SRKRef, d.file.BodyAAD(), plain); err != nil {
		return nil, err
	}
	seed, err := d.open(d.identity, active(d.identity))
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	defer seed.Destroy()
	if d.file.Signature, err = slot.Sign(seed, d.file.Signed()); err != nil {
		return nil, err
	}
	out := d.file.Encode()
	return out, d.readBack(out, plain)
}

func (d *draft) readBack(out, plain []byte) error {
	f, err := cfks.Parse(out)
	if err != nil {
		return err
	}
	if len(out) > cfks.MaxFile {
		return errors.New("key store is full")
	}
	again, err := openBody(f, d.sk)
	if err != nil {
		return err
	}
	if !bytes.Equal(again.Encode(), plain) {
		return errors.New("key store does not read back as written")
	}
	return nil
}

// waiter is a change that waits for a Swap.
type waiter struct {
	apply func(*draft) error
	done  chan error
}

// update applies a change and returns when it is durable and published. Changes that
// wait at the same time share one Swap.
func (r *Ring) update(ctx context.Context, apply func(*draft) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{apply: apply, done: make(chan error, 1)}
	r.waitMu.Lock()
	r.waiting = append(r.waiting, w)
	r.waitMu.Unlock()

	r.change.Lock()
	defer r.change.Unlock()
	select {
	case err := <-w.done: // somebody took it along
		return err
	default:
	}
	r.waitMu.Lock()
	batch := r.waiting
	r.waiting = nil
	r.waitMu.Unlock()
	r.apply(context.WithoutCancel(ctx), batch)
	return <-w.done
}

// apply makes one Swap of a batch. A change that fails leaves the others alone.
func (r *Ring) apply(ctx context.Context, batch []*waiter) {
	if err := r.changeable(); err != nil {
		for _, w := range batch {
			w.done <- err
		}
		return
	}
	d := r.newDraft(r.cur.Load())
	var taken []*waiter
	for _, w := range batch {
		next := &draft{state: d.clone(), now: d.now, fresh: map[ID]secret.Key{}}
		if err := w.apply(next); err != nil {
			next.drop()
			w.done <- err
			continue
		}
		d.state = next.state
		d.gone = append(d.gone, next.gone...)
		d.before, d.after = append(d.before, next.before...), append(d.after, next.after...)
		for kref, k := range next.fresh {
			d.fresh[kref] = k
		}
		taken = append(taken, w)
	}
	if len(taken) == 0 {
		return
	}
	err := r.commit(ctx, d)
	for _, w := range taken {
		w.done <- err
	}
}

// commit makes a draft durable and publishes it. r.change is held.
func (r *Ring) commit(ctx context.Context, d *draft) error {
	out, err := r.swap(ctx, d)
	if err != nil {
		d.drop()
		return err
	}
	r.durable.Store(&durable{gen: d.file.Generation, sum: sha256.Sum256(out), bytes: out})
	if err := r.follow(); err != nil {
		d.drop()
		return r.stop(fmt.Errorf("the key store is written and what follows it is not: %w", err))
	}
	r.publish(d)
	_ = r.settle(ctx) // Unsettled tells; the first copy is durable
	return nil
}

// changeable says why there can be no change now.
func (r *Ring) changeable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fault.New("keys.Swap", "", fault.Unavailable, errClosed)
	}
	return r.stopped
}

func (r *Ring) swap(ctx context.Context, d *draft) ([]byte, error) {
	old := d.file.Generation
	out, err := d.sealFile()
	if err != nil {
		return nil, fault.New("keys.Swap", "", fault.KeyStore, err)
	}
	if err := r.o.Store.Swap(ctx, old, out); err != nil {
		if errors.Is(err, ErrUnchanged) {
			return nil, fault.New("keys.Swap", "", fault.KeyStore, err)
		}
		return nil, r.stop(fmt.Errorf("the outcome of the write is unknown: %w", err))
	}
	return out, nil
}

// follow runs what must be durable before new versions are used.
func (r *Ring) follow() error {
	r.mu.Lock()
	f := r.onSwap
	r.mu.Unlock()
	if f == nil {
		return nil
	}
	return f()
}

// stop refuses key changes from now on. Keys that were handed out stay good.
func (r *Ring) stop(cause error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = fault.New("keys.Swap", "", fault.KeyStore,
		fmt.Errorf("key changes are stopped, restart the server: %w", cause))
	return r.stopped
}

// publish lets lookups see the draft.
func (r *Ring) publish(d *draft) {
	for _, f := range d.before {
		f()
	}
	defer func() {
		for _, f := range d.after {
			f()
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	for kref, k := range d.fresh {
		r.opened[kref] = k
	}
	d.unlocked, d.born = nil, nil
	old := r.cur.Swap(d.state)
	for _, kref := range d.gone {
		r.opened[kref].Destroy()
		delete(r.opened, kref)
	}
	if old != nil && old.file.SRKRef != d.file.SRKRef {
		old.srk.Destroy()
		old.sk.Destroy()
	}
	if old != nil && old.file.IRKRef != d.file.IRKRef {
		old.irk.Destroy()
		old.ik.Destroy()
	}
}
