package blob

import (
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/name"
)

// An intruder with a SAS or an account key could lock the owner out by writing
// everything anew under a key of his own. He cannot be told from an owner who rotates
// his keys, but he can be noticed.
const (
	alarmAfter  = 100              // overwrites
	alarmWithin = 10 * time.Minute // in which they come
)

// Alarm reports that many blobs of an account were overwritten under a customer-provided
// key that they were not under before.
type Alarm struct {
	Account name.Account
	Count   int           // overwrites
	Within  time.Duration // in which they came
}

// alarms counts overwrites under new customer-provided keys, by account.
type alarms struct {
	mu   sync.Mutex
	seen map[name.Account]*window
}

// window is a span of time of one account.
type window struct {
	from   time.Time
	count  int
	raised bool // once in a window
}

// add counts one overwrite and reports whether it is the one too many.
func (a *alarms) add(n name.Account, now time.Time) (Alarm, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.seen = make(map[name.Account]*window)
	}
	w := a.seen[n]
	if w == nil || now.Sub(w.from) >= alarmWithin || now.Before(w.from) {
		w = &window{from: now}
		a.seen[n] = w
	}
	w.count++
	if w.count < alarmAfter || w.raised {
		return Alarm{}, false
	}
	w.raised = true
	return Alarm{Account: n, Count: w.count, Within: alarmWithin}, true
}

// rekeyed reports whether the request puts a blob under a customer-provided key that was
// not under it.
func (k *call) rekeyed(old *found) bool {
	if k.asked.Key == nil || old.row == nil || len(old.row.DEKs) == 0 {
		return false
	}
	_, other := old.cover.conflict(old.row.DEKs[0].Protector, old.row.CPKHash)
	return other
}

// noteRekeyed counts a committed overwrite.
func (k *call) noteRekeyed(did bool) {
	if !did {
		return
	}
	if a, raise := k.s.alarms.add(k.acct.Name, k.s.now()); raise && k.s.onAlarm != nil {
		k.s.onAlarm(a)
	}
}
