package meta

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/fault"
)

// FaultKind is the kind of fault that an error of a store, or the end of its context, is
// to the callers of a service; fault.Internal for all others. What ErrNotFound means only
// the service knows.
func FaultKind(err error) fault.Kind {
	switch {
	case errors.Is(err, ErrFull):
		return fault.Full
	case errors.Is(err, ErrConflict):
		return fault.Busy
	case errors.Is(err, ErrFailed), errors.Is(err, ErrClosed):
		return fault.Unavailable
	case errors.Is(err, context.Canceled):
		return fault.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Timeout
	}
	return fault.Internal
}
