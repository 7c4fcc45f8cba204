// Package occ is what the embedded engines of port meta share: serializable
// transactions by optimistic concurrency control.
//
// A transaction reads a snapshot and notes the keys and spans that it looked at; its
// writes stay in memory. At the commit, under one short lock, it is compared with
// what the commits since its snapshot wrote. No overlap: it could as well have run
// just now, so its writes are applied. Otherwise it runs again.
//
//	f reads snapshot + own writes ──> lock: reads ∩ writes since? ──> apply ──> unlock, wait for the log
//	        ▲                                   │ yes
//	        └──────── jittered pause ───────────┘   (after some tries: alone, under the lock)
//
// Waiting for the log happens outside of the lock, so that one sync of the log
// serves all the commits that came while the one before ran.
package occ

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coffer-storage/coffer/internal/meta"
)

// Snapshot is an unchanging state of an engine. Get and Scan are safe in parallel.
type Snapshot interface {
	// Get returns a value that the caller owns, or meta.ErrNotFound.
	Get(key []byte) ([]byte, error)
	// Scan is meta.Reader's; s is not empty.
	Scan(s Span, reverse bool, f func(key, value []byte) (bool, error)) error
	Close()
}

// Backend is what an engine adds.
type Backend interface {
	// Snapshot shows every commit that was applied before the call.
	Snapshot() (Snapshot, error)
	// Prepare turns writes into what Apply takes, or refuses them; it runs outside of
	// the lock.
	Prepare(ctx context.Context, w *Writes) (any, error)
	// Discard gives back what was prepared and is not going to be applied.
	Discard(prepared any)
	// Apply makes the writes visible and returns their number, above all earlier
	// ones; calls do not overlap. Durable is called after it, outside of the lock.
	Apply(prepared any) (seq uint64, err error)
	// Durable returns when the commit cannot be lost any more.
	Durable(prepared any) error
}

// aloneAfter is the number of conflicts after which a transaction runs under the lock.
const aloneAfter = 12

// Engine runs transactions over a Backend.
type Engine struct {
	backend  Backend
	conflict func()

	lock   chan struct{} // holds one token; a channel, so that waiting ends with ctx
	log    log           // under lock
	seq    atomic.Uint64 // last commit; changed under lock
	wrote  versions      // changed under lock
	newest atomic.Pointer[shared]
	failed chan struct{} // closed by Fail
	once   sync.Once
	cause  atomic.Pointer[error]

	mu      sync.Mutex // guards closed and, with it, additions to running
	closed  bool
	running sync.WaitGroup
}

// New starts an engine whose last commit was seq. onConflict may be nil.
func New(b Backend, seq uint64, onConflict func()) *Engine {
	e := &Engine{backend: b, conflict: onConflict, lock: make(chan struct{}, 1), failed: make(chan struct{})}
	e.log.horizon = seq
	e.seq.Store(seq)
	return e
}

// Fail latches the engine: nothing is acknowledged after it. The first cause stays.
func (e *Engine) Fail(cause error) {
	e.once.Do(func() {
		e.cause.Store(&cause)
		close(e.failed)
	})
}

// Failed returns the cause after Fail, else nil.
func (e *Engine) Failed() error {
	if p := e.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// Sequence is the number of the last commit.
func (e *Engine) Sequence() uint64 { return e.seq.Load() }

// enter counts the caller as running, until leave.
func (e *Engine) enter(ctx context.Context) error {
	if e.Failed() != nil {
		return meta.ErrFailed
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return meta.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	e.running.Add(1)
	return nil
}

// Close refuses new transactions and waits for the running ones. After Fail it does
// not wait: they may hang in what failed. It reports whether this call was the first.
func (e *Engine) Close() bool {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	e.mu.Unlock()
	done := make(chan struct{})
	go func() { e.running.Wait(); close(done) }()
	select {
	case <-done:
		e.outdate()
	case <-e.failed:
	}
	return first
}

// View runs f over one snapshot.
func (e *Engine) View(ctx context.Context, f func(meta.Reader) error) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.running.Done()
	snap, err := e.snapshot()
	if err != nil {
		return err
	}
	defer snap.release()
	if err := f(&reader{ctx: ctx, e: e, snap: snap}); err != nil {
		return err
	}
	if e.Failed() != nil {
		return meta.ErrFailed
	}
	return nil
}

// Update runs f until its reads still hold at the commit.
func (e *Engine) Update(ctx context.Context, f func(meta.Tx) error) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.running.Done()
	for try := 1; ; try++ {
		alone := try > aloneAfter
		err := e.attempt(ctx, f, alone)
		if !errors.Is(err, errRetry) {
			return err
		}
		if e.conflict != nil {
			e.conflict()
		}
		if err := e.pause(ctx, try); err != nil {
			return err
		}
	}
}

var errRetry = errors.New("occ: reads changed")

// pause waits a random time that grows with the tries.
func (e *Engine) pause(ctx context.Context, try int) error {
	if try == 1 {
		return nil // usually the other one is done already
	}
	limit := min(20*time.Microsecond<<try, 5*time.Millisecond)
	// A hash of the time is random enough to part two that collided.
	jitter := maphash.Comparable(seed, time.Now().UnixNano()) % uint64(limit)
	t := time.NewTimer(time.Duration(jitter))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-e.failed:
		return meta.ErrFailed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", meta.ErrConflict, ctx.Err())
	}
}

func (e *Engine) acquire(ctx context.Context) error {
	select {
	case e.lock <- struct{}{}:
		return nil
	default:
	}
	select {
	case e.lock <- struct{}{}:
		return nil
	case <-e.failed:
		return meta.ErrFailed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Engine) release() { <-e.lock }

// attempt runs f once. With alone no other commit comes between its reads and its
// own commit, so it cannot conflict.
func (e *Engine) attempt(ctx context.Context, f func(meta.Tx) error, alone bool) error {
	prepared, err := e.run(ctx, f, alone)
	if err != nil || prepared == nil {
		return err
	}
	err = e.backend.Durable(prepared)
	if e.Failed() != nil {
		return meta.ErrFailed
	}
	return err
}

// run is attempt up to the application; nil, nil means that nothing was written.
func (e *Engine) run(ctx context.Context, f func(meta.Tx) error, alone bool) (any, error) {
	if alone {
		if err := e.acquire(ctx); err != nil {
			return nil, err
		}
		defer e.release()
	}
	t := &tx{ctx: ctx, e: e}
	defer t.close()
	if err := f(t); err != nil {
		return nil, err
	}
	if t.broken != nil {
		return nil, t.broken
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e.Failed() != nil {
		return nil, meta.ErrFailed
	}
	if t.writes.Empty() {
		return nil, nil
	}
	prepared, err := e.backend.Prepare(ctx, &t.writes)
	if err != nil {
		return nil, err
	}
	if !alone {
		if err := e.acquire(ctx); err != nil {
			e.backend.Discard(prepared)
			return nil, err
		}
		defer e.release()
	}
	if err := e.commit(t, prepared); err != nil {
		e.backend.Discard(prepared)
		return nil, err
	}
	return prepared, nil
}

// commit validates and applies, under the lock.
func (e *Engine) commit(t *tx, prepared any) error {
	if t.snap != nil && e.log.conflicts(t.snap.since, &t.reads) {
		return errRetry
	}
	if e.Failed() != nil {
		return meta.ErrFailed
	}
	firsts := t.writes.firsts()
	e.wrote.set(firsts, unsettled)
	seq, err := e.backend.Apply(prepared)
	if err != nil {
		return err // unsettled for ever: perhaps it was applied
	}
	e.wrote.set(firsts, seq)
	e.log.add(seq, &t.writes)
	e.seq.Store(seq)
	e.outdate()
	return nil
}

// noSnapshot answers every read with the error that came instead of a snapshot.
type noSnapshot struct{ err error }

func (n noSnapshot) Get([]byte) ([]byte, error) { return nil, n.err }
func (n noSnapshot) Scan(Span, bool, func(k, v []byte) (bool, error)) error {
	return n.err
}
func (n noSnapshot) Close() {}
