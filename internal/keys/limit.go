package keys

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Bounds of calls to one vault. What is over them waits, so that ten thousand keys in
// one vault do not run into its throttling.
const (
	vaultInFlight = 4
	vaultPace     = time.Second / 40 // with the burst at most 50 in any second
	vaultBurst    = 10
)

// errVaultBusy says that a call did not get its turn: it says nothing of the key.
var errVaultBusy = errors.New("too many calls to this vault at once")

// errVaultHangs says that calls to a vault do not end.
var errVaultHangs = errors.New("the vault does not answer")

// limit bounds the calls to one vault.
type limit struct {
	slots chan struct{}

	mu       sync.Mutex
	next     time.Time // the turn of the last call; behind now by what is left of the burst
	answered time.Time // when the vault answered last, whatever it said
}

func newLimit() *limit { return &limit{slots: make(chan struct{}, vaultInFlight)} }

// limits are those of all vaults.
type limits struct {
	mu sync.Mutex
	m  map[string]*limit
}

// of returns the limit of the vault that a reference names.
func (l *limits) of(uri string) *limit {
	host := uri
	if u, err := url.Parse(uri); err == nil {
		host = strings.ToLower(u.Host)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[string]*limit{}
	}
	if l.m[host] == nil {
		l.m[host] = newLimit()
	}
	return l.m[host]
}

// acquire waits for a place. When none gets free because the calls before do not come
// back, the vault hangs; else it is only busy.
func (l *limit) acquire(ctx context.Context, most time.Duration) error {
	began := time.Now()
	wait := time.NewTimer(most)
	defer wait.Stop()
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.answered.Before(began) {
			return &VaultError{Reason: ReasonVault, Err: errVaultHangs}
		}
		return errVaultBusy
	}
	if d := time.Until(l.turn()); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			<-l.slots
			return ctx.Err()
		}
	}
	return nil
}

// turn is when this call may begin.
func (l *limit) turn() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if early := now.Add(-vaultBurst * vaultPace); l.next.Before(early) {
		l.next = early
	}
	l.next = l.next.Add(vaultPace)
	return l.next
}

// release gives the place back.
func (l *limit) release(answered bool) {
	if answered {
		l.mu.Lock()
		l.answered = time.Now()
		l.mu.Unlock()
	}
	<-l.slots
}

// call runs f under the limit and the deadline of the vault that uri names. sent is
// called when the call begins.
func (c *customers) call(ctx context.Context, uri string, sent func(), f func(context.Context) error) error {
	l, most := c.limits.of(uri), c.vault.Load().Deadline
	if err := l.acquire(ctx, most); err != nil {
		return err
	}
	c.calls.Add(1)
	if sent != nil {
		sent()
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := f(ctx)
	ve, ok := errors.AsType[*VaultError](err)
	l.release(err == nil || ok && ve.Definitive)
	if err != nil && !ok { // a driver's own error, or the end of the time
		err = &VaultError{Reason: ReasonVault, Err: err}
	}
	return err
}
