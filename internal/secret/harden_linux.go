package secret

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// HardenProcess forbids core dumps and inspection by other processes of the same user,
// and raises the limit of locked memory as far as allowed. It does all it can and
// returns what failed. Call it before keys are made.
func HardenProcess() error {
	var errs []error
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		errs = append(errs, fmt.Errorf("secret: process stays dumpable: %w", err))
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		errs = append(errs, fmt.Errorf("secret: core dumps stay allowed: %w", err))
	}
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &l) == nil && l.Cur < l.Max {
		l.Cur = l.Max
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &l); err != nil {
			errs = append(errs, fmt.Errorf("secret: limit of locked memory stays low: %w", err))
		}
	}
	return errors.Join(errs...)
}
