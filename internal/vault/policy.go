package vault

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// Actions of rotation policies.
const (
	ActionRotate = "Rotate"
	ActionNotify = "Notify"
)

const (
	minExpiry  = 28 // days that a new version lives at least
	minTrigger = 7  // days after creation, or before the end
)

// defaultPolicy is what keys without one have: a word 30 days before their end.
var defaultPolicy = RotationPolicy{Actions: []LifetimeAction{{Action: ActionNotify, TimeBeforeExpiry: "P30D"}}}

// RotationPolicy returns when a key is rotated.
func (s *Service) RotationPolicy(ctx context.Context, c Caller, r Ref) (p RotationPolicy, err error) {
	r.Version = ""
	err = s.do(ctx, c, r, needGetPolicy, func(v Vault) (keys.ID, error) {
		k, _, err := s.load(ctx, v, r)
		if err == nil {
			p = k.rotation()
		}
		return keys.ID{}, err
	})
	return p, err
}

func (k *keyRecord) rotation() RotationPolicy {
	if k.policy == nil {
		return defaultPolicy
	}
	return *k.policy
}

// SetRotationPolicy says when a key is rotated.
func (s *Service) SetRotationPolicy(ctx context.Context, c Caller, r Ref, p RotationPolicy) (set RotationPolicy, err error) {
	r.Version = ""
	err = s.do(ctx, c, r, needSetPolicy, func(v Vault) (keys.ID, error) {
		if err := p.check(); err != nil {
			return keys.ID{}, bad("vault.SetRotationPolicy", r.what(), err.Error())
		}
		_, err := s.changeKey(ctx, v, r, func(k *keyRecord) error {
			if k.deletion != nil {
				return fault.New("vault.SetRotationPolicy", r.what(), fault.VaultKeyNotFound, nil)
			}
			p.Updated = s.o.Now().UTC()
			p.Created = p.Updated
			if k.policy != nil {
				p.Created = k.policy.Created
			}
			k.policy, set = &p, p
			return nil
		})
		return keys.ID{}, err
	})
	return set, err
}

// check brings a policy into its form, or says what is wrong with it.
func (p *RotationPolicy) check() error {
	if p.ExpiryTime != "" {
		d, err := parseDuration(p.ExpiryTime)
		if err != nil {
			return errors.New("expiryTime: " + err.Error())
		}
		if !d.atLeast(minExpiry) {
			return errors.New("expiryTime is at least 28 days")
		}
	}
	seen := map[string]bool{}
	for i := range p.Actions {
		a := &p.Actions[i]
		switch {
		case strings.EqualFold(a.Action, ActionRotate):
			a.Action = ActionRotate
		case strings.EqualFold(a.Action, ActionNotify):
			a.Action = ActionNotify
		default:
			return errors.New("the action is Rotate or Notify")
		}
		if seen[a.Action] {
			return errors.New("each action comes once")
		}
		seen[a.Action] = true
		if err := a.check(p.ExpiryTime != ""); err != nil {
			return err
		}
	}
	return nil
}

func (a *LifetimeAction) check(ends bool) error {
	if (a.TimeAfterCreate == "") == (a.TimeBeforeExpiry == "") {
		return errors.New("an action has one trigger")
	}
	if a.Action == ActionNotify && a.TimeAfterCreate != "" {
		return errors.New("the trigger of Notify is timeBeforeExpiry")
	}
	if a.Action == ActionRotate && a.TimeBeforeExpiry != "" && !ends {
		return errors.New("a rotation before the end needs expiryTime")
	}
	d, err := parseDuration(a.TimeAfterCreate + a.TimeBeforeExpiry)
	if err != nil {
		return errors.New("trigger: " + err.Error())
	}
	if !d.atLeast(minTrigger) {
		return errors.New("a trigger is at least 7 days")
	}
	return nil
}

// due reports whether the time of an action has come for a version.
func (a *LifetimeAction) due(attrs Attributes, now time.Time) bool {
	if a.TimeAfterCreate != "" {
		d, err := parseDuration(a.TimeAfterCreate)
		return err == nil && !now.Before(d.after(attrs.Created))
	}
	d, err := parseDuration(a.TimeBeforeExpiry)
	return err == nil && !attrs.Expires.IsZero() && !now.Before(d.before(attrs.Expires))
}

// Tick does what is due: rotations by policy, words about keys that end soon, and purges
// of what was deleted long ago. What fails is tried again with the next one.
func (s *Service) Tick(ctx context.Context) error {
	var errs []error
	for _, kind := range []Kind{Standard, HSM} {
		live, err := s.Vaults(ctx, kind)
		errs = append(errs, err)
		for _, v := range live {
			errs = append(errs, s.tickVault(ctx, v))
		}
		gone, err := s.DeletedVaults(ctx, kind)
		errs = append(errs, err)
		for _, v := range gone {
			if !s.o.Now().Before(v.Deletion.Purge) || s.store.Shredded(v.Protector()) {
				errs = append(errs, s.PurgeVault(ctx, kind, v.Name))
			}
		}
	}
	return errors.Join(errs...)
}

// task is what is due for one key.
type task struct {
	name         string
	id           keys.ID
	rotate, note bool
	purge        bool
}

func (s *Service) tickVault(ctx context.Context, v Vault) error {
	tasks, err := s.tasks(ctx, v)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range tasks {
		r := Ref{v.Kind, v.Name, t.name, ""}
		switch {
		case t.purge:
			errs = append(errs, s.PurgeKey(ctx, Operator(), r))
		case t.rotate:
			_, err := s.RotateKey(ctx, Operator(), r)
			errs = append(errs, err)
		case t.note:
			errs = append(errs, s.notify(ctx, v, r, t.id))
		}
	}
	return errors.Join(errs...)
}

func (s *Service) tasks(ctx context.Context, v Vault) (tasks []task, err error) {
	now := s.o.Now()
	lo := append([]byte{rowKey}, v.ID[:]...)
	err = s.store.View(ctx, func(tx *object.Tx) error {
		tasks = nil
		return tx.Scan(object.Vault, s.store.StoreID(), lo, after(lo), false, func(_ []byte, row *object.Row) (bool, error) {
			k, err := decodeKey(row)
			if err != nil {
				return false, err
			}
			if k.deletion != nil {
				if !now.Before(k.deletion.Purge) {
					tasks = append(tasks, task{name: k.name, purge: true})
				}
				return true, nil
			}
			ver, _, err := s.readVersion(tx, v, k.name, k.newest())
			if err != nil {
				return false, err
			}
			if t := k.due(ver, now); t.rotate || t.note {
				tasks = append(tasks, t)
			}
			return true, nil
		})
	})
	return tasks, err
}

func (k *keyRecord) due(ver *version, now time.Time) task {
	t := task{name: k.name, id: ver.id}
	for _, a := range k.rotation().Actions {
		if !a.due(ver.attrs, now) {
			continue
		}
		if a.Action == ActionRotate {
			t.rotate = true
		} else {
			t.note = k.notified != ver.id
		}
	}
	return t
}

// notify says, once for each version, that it ends soon: in the trail and in the log.
func (s *Service) notify(ctx context.Context, v Vault, r Ref, id keys.ID) error {
	_, err := s.changeKey(ctx, v, r, func(k *keyRecord) error {
		k.notified = id
		return nil
	})
	if err != nil {
		return err
	}
	s.o.Logger.Warn("a vault key ends soon", "key", r.what(), "version", id.String())
	if s.o.Audit != nil {
		s.o.Audit.After(s.record(ctx, Operator(), r, need{op: "keyNearExpiry"}, id, audit.OK))
	}
	return nil
}
