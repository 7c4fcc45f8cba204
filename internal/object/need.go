package object

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
)

// maxValidations is how often a transaction begins again because a customer's key had
// to be validated first.
const maxValidations = 10

// needsValidation says that the customer's key of a protector has to be validated, which
// is not done inside a transaction: it would wait for a vault.
type needsValidation struct{ p keys.Protector }

func (e *needsValidation) Error() string { return "object: " + keys.ErrValidate.Error() }

func (e *needsValidation) Unwrap() error { return keys.ErrValidate }

// validated runs a transaction, and runs it again after a customer's key that it needs
// was validated.
func (s *Store) validated(ctx context.Context, run func() error) error {
	for range maxValidations {
		err := run()
		need, ok := errors.AsType[*needsValidation](err)
		if !ok {
			return err
		}
		if err := s.ring.Validate(ctx, need.p); err != nil {
			return err
		}
	}
	return fault.New("object.Update", "", fault.Busy, keys.ErrValidate)
}

// Need fails unless the keys of p may be used. In Update they are not wiped before the
// transaction has ended, and it does not commit if the right to use them ends before.
// Where a customer's key has to be validated first, the transaction runs again.
func (tx *Tx) Need(p keys.Protector) error {
	if p == keys.CPK {
		return nil
	}
	if tx.w != nil {
		_, err := tx.hold(p)
		return err
	}
	h, err := tx.s.ring.Hold(p)
	if err != nil {
		return needs(p, err)
	}
	h.Release()
	return nil
}

// needs tells the runner of the transaction what to validate.
func needs(p keys.Protector, err error) error {
	if errors.Is(err, keys.ErrValidate) {
		return &needsValidation{p}
	}
	return err
}

// hold begins the use of a protector's keys by this transaction, once.
func (tx *Tx) hold(p keys.Protector) (*keys.Hold, error) {
	for _, h := range tx.holds {
		if h.p == p {
			return h.h, nil
		}
	}
	h, err := tx.s.ring.Hold(p)
	if err != nil {
		return nil, needs(p, err)
	}
	tx.holds = append(tx.holds, held{p, h})
	return h, nil
}

// held is a protector whose keys a transaction uses.
type held struct {
	p keys.Protector
	h *keys.Hold
}

// checkHolds is the last thing before a commit.
func (tx *Tx) checkHolds() error {
	for _, h := range tx.holds {
		if err := h.h.Check(); err != nil {
			return needs(h.p, err)
		}
	}
	return nil
}

// releaseHolds ends the use of keys.
func (tx *Tx) releaseHolds() {
	for _, h := range tx.holds {
		h.h.Release()
	}
	tx.holds = nil
}

// RevokeNow forgets what was unwrapped of the customer's key of p, everywhere.
func (s *Store) RevokeNow(ctx context.Context, p keys.Protector) error {
	err := s.ring.RevokeNow(ctx, p)
	if err == nil {
		err = s.MirrorProtector(ctx, p)
	}
	return err
}
