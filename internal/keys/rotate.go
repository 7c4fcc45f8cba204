package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Bytes under one version after which it is due whatever its age.
const (
	vfskBytes = 1 << 40
	idkBytes  = 16 << 40
)

// Rotate makes a new Active version of a chain and deactivates the old one, in one
// Swap. What is sealed stays; what is sealed from now on uses the new version.
func (r *Ring) Rotate(ctx context.Context, chain ID) (Version, error) {
	const op = "keys.Rotate"
	var out Version
	err := r.granted(ctx, "keys.rotate", chain.String(), ID{}, func() error {
		l, err := r.leaseToRotate(ctx, op, chain)
		if err != nil {
			return err
		}
		return r.update(ctx, func(d *draft) error {
			c, err := d.rotatable(op, chain)
			if err != nil {
				return err
			}
			d.unlock(l)
			if _, err = d.rotate(c); err != nil {
				return fault.New(op, chain.String(), fault.KeyGone, err)
			}
			out = versionOf(c, active(c))
			return nil
		})
	})
	if err != nil {
		return Version{}, err
	}
	return out, nil
}

// leaseToRotate validates the customer's key that a KEK is under, if it is: what is made
// now must be openable.
func (r *Ring) leaseToRotate(ctx context.Context, op string, chain ID) (*lease, error) {
	s := r.cur.Load()
	c := s.byID[chain]
	if c == nil || s.protectors[c.Protector] == nil {
		return nil, nil
	}
	rec := s.protectors[c.Protector]
	cur := rec.Current()
	if cur == nil || rec.Admin != cfks.Enabled {
		return nil, nil
	}
	l, err := r.lease(ctx, rec, cur)
	if errors.Is(err, errSwitched) {
		return nil, nil
	}
	if err == nil && l.degraded {
		err = fault.New(op, rec.Protector.String(), fault.NotAllowed, errors.New("the vault of its customer's key cannot be reached"))
	}
	return l, err
}

// unlock lends the key of a lease to a change.
func (d *draft) unlock(l *lease) {
	if l != nil {
		d.unlocked = map[ID]secret.Key{l.w: l.k}
	}
}

func (d *draft) rotatable(op string, chain ID) (*cfks.Chain, error) {
	c := d.byID[chain]
	if c == nil {
		return nil, fault.New(op, chain.String(), fault.ResourceNotFound, errors.New("no such key"))
	}
	if c.Kind == cfks.Identity {
		return nil, fault.New(op, chain.String(), fault.NotAllowed,
			errors.New("the identity key has no schedule: replacing it makes every slot anew"))
	}
	if p := d.protectors[c.Protector]; c.Kind == cfks.KEK {
		switch {
		case p.Admin != cfks.Enabled:
			return nil, fault.New(op, p.Protector.String(), fault.NotAllowed, fmt.Errorf("the protector is %v", p.Admin))
		case p.Pending() != nil:
			return nil, fault.New(op, p.Protector.String(), fault.Busy, errors.New("its customer's key is being changed"))
		}
	}
	return c, nil
}

// DueKey is a key that its schedule or its use says to rotate.
type DueKey struct {
	Chain     ID
	Kind      Kind
	Protector Protector
	Reason    string
}

// Due lists the keys to rotate now, in the order of Chains.
func (r *Ring) Due(now time.Time) []DueKey {
	var out []DueKey
	r.mu.Lock()
	usage := r.usage
	r.mu.Unlock()
	s := r.cur.Load()
	for i := range s.body.Chains {
		c := &s.body.Chains[i]
		k := active(c)
		if k == nil || c.Kind == cfks.IDK && s.ik.IsZero() {
			continue
		}
		if p := s.protectors[c.Protector]; p != nil && (p.Admin != cfks.Enabled || r.customerSuspended(p)) {
			continue
		}
		if reason := due(c, k, now, usage); reason != "" {
			out = append(out, DueKey{Chain: c.ID, Kind: c.Kind, Protector: c.Protector, Reason: reason})
		}
	}
	return out
}

func due(c *cfks.Chain, k *cfks.Key, now time.Time, usage func(ID) uint64) string {
	period := time.Duration(c.Period) * time.Second
	if age := now.Sub(timeOf(k.Activated)); period > 0 && age >= period {
		return fmt.Sprintf("active for %v, period %v", age.Truncate(time.Second), period)
	}
	limit := map[cfks.Kind]uint64{cfks.VFSK: vfskBytes, cfks.IDK: idkBytes}[c.Kind]
	if limit > 0 && usage != nil {
		if n := usage(k.Kref); n >= limit {
			return fmt.Sprintf("%d bytes sealed, limit %d", n, limit)
		}
	}
	return ""
}
