package keys

import (
	"context"
	"time"

	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// Plant changes the body of the key store as who has the service root may.
func (r *Ring) Plant(ctx context.Context, f func(*cfks.Body)) error {
	return r.update(ctx, func(d *draft) error {
		f(d.body)
		d.sort()
		return nil
	})
}

// SetClock gives customers' keys two clocks of a test.
func (r *Ring) SetClock(mono, wall func() time.Time) {
	r.customers.clock = func() moment { return moment{mono: mono(), wall: wall().UnixNano()} }
}
