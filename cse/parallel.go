package cse

import (
	"context"
	"sync"
	"sync/atomic"
)

// parallel calls do for 0 ... n-1 in up to workers goroutines, in order of start, and
// returns the first error. It returns when all have ended.
func parallel(ctx context.Context, workers int, n int64, do func(ctx context.Context, i int64) error) error {
	if workers <= 1 {
		for i := range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := do(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// progress adds up and tells, one call at a time.
type progress struct {
	mu   sync.Mutex
	sum  int64
	tell func(int64)
}

func newProgress(tell func(int64)) *progress { return &progress{tell: tell} }

func (p *progress) add(n int64) {
	if p.tell == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum += n
	p.tell(p.sum)
}
