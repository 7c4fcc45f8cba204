package meta_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
)

func TestFaultKind(t *testing.T) {
	for err, want := range map[error]fault.Kind{
		meta.ErrFull:             fault.Full,
		meta.ErrConflict:         fault.Busy,
		meta.ErrFailed:           fault.Unavailable,
		meta.ErrClosed:           fault.Unavailable,
		context.Canceled:         fault.Canceled,
		context.DeadlineExceeded: fault.Timeout,
		meta.ErrNotFound:         fault.Internal,
		errors.New("other"):      fault.Internal,
	} {
		if got := meta.FaultKind(fmt.Errorf("reading: %w", err)); got != want {
			t.Errorf("FaultKind(%v) = %v, want %v", err, got, want)
		}
	}
}
