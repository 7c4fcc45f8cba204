package identity

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
)

// maxRefusals is how many refusals of strangers the trail takes in a second. Anybody can
// have any number of requests refused: the rest is counted, so that nobody fills the disk
// with records.
const maxRefusals = 20

// refusals counts what was refused in the present second.
type refusals struct {
	mu      sync.Mutex
	second  time.Time
	n       int
	skipped uint64
}

// take reports whether one more may be recorded now, and how many were not before it.
func (r *refusals) take(now time.Time) (ok bool, skipped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := now.Truncate(time.Second); at != r.second {
		r.second, r.n = at, 0
	}
	if r.n >= maxRefusals {
		r.skipped++
		return false, 0
	}
	r.n++
	skipped, r.skipped = r.skipped, 0
	return true, skipped
}

// refused records a refusal, as far as the trail has room for it.
func (s *Service) refused(ctx context.Context, operation, what, outcome string) {
	ok, skipped := s.refusals.take(s.o.Now())
	if !ok {
		return
	}
	if skipped > 0 {
		what += " (and " + strconv.FormatUint(skipped, 10) + " refusals before it)"
	}
	s.after(ctx, audit.Record{Operation: operation, What: what, Outcome: outcome})
}
