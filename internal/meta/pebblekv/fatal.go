package pebblekv

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/coffer-storage/coffer/internal/meta"
)

// exit is the default of Options.OnFatal.
func exit(cause error) {
	fmt.Fprintf(os.Stderr, "coffer: the metadata log failed and nothing more can be acknowledged: %v\n"+
		"coffer: what was acknowledged before is safe; check the disk and start again\n", cause)
	os.Exit(3)
}

// Latched returns the cause after the engine lost its log, else nil.
func (s *Store) Latched() error {
	if p := s.latched.Load(); p != nil {
		return *p
	}
	return nil
}

// latch stops all acknowledgements and then ends the process.
func (s *Store) latch(cause error) {
	if !s.latched.CompareAndSwap(nil, &cause) {
		return
	}
	close(s.failing)
	if e := s.engineUp.Load(); e != nil {
		e.Fail(cause)
	}
	s.log.Error("the metadata log failed; the process ends", "cause", cause.Error())
	s.opts.OnFatal(cause)
}

// unwinding is the panic that takes Open out of the engine.
type unwinding struct{ cause error }

// fatal latches and never returns to the engine, which would acknowledge what is lost.
// The goroutine stops here for ever: the engine holds locks, and no panic would leave
// them in order. Only Open is left by a panic, since nothing was acknowledged in it.
func (s *Store) fatal(cause error) {
	if s.opening.Load() && underGuard() {
		panic(unwinding{cause})
	}
	s.latch(cause)
	select {}
}

// guard runs f, which calls into the engine. A panic in it is an error of Open, or
// latches the store.
func (s *Store) guard(f func() error) error { return s.guardWith(s.latch, f) }

// guardWith is guard for calls after whose panic something else than latch is due.
func (s *Store) guardWith(panicked func(cause error), f func() error) (err error) {
	defer func() {
		var cause error
		switch r := recover().(type) {
		case nil:
			return
		case unwinding:
			cause = r.cause
		case error:
			cause = r
		default:
			cause = fmt.Errorf("engine: %v", r)
		}
		if s.opening.Load() {
			err = fmt.Errorf("pebblekv: the engine does not open: %w", cause)
			return
		}
		panicked(cause)
		err = fmt.Errorf("%w: %w", meta.ErrFailed, cause)
	}()
	return f()
}

// unlessFailing is guard for calls that wait for goroutines of the engine: once one of
// those was stopped for ever, it does not wait.
func (s *Store) unlessFailing(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- s.guard(f) }()
	select {
	case err := <-done:
		return err
	case <-s.failing:
		return fmt.Errorf("%w: %w", meta.ErrFailed, s.Latched())
	}
}

// guardName is how a guarded call looks in a stack.
const guardName = "pebblekv.(*Store).guardWith"

// underGuard reports whether guard is below in the stack of this goroutine.
func underGuard() bool {
	pcs := make([]uintptr, 128)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for n > 0 {
			f, more := frames.Next()
			if strings.HasSuffix(f.Function, guardName) {
				return true
			}
			if !more {
				break
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// logger is what Pebble logs to.
type logger struct{ s *Store }

func (l logger) Infof(format string, args ...any) {
	l.s.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.s.log.Warn("pebble", "text", fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	cause := &fatalError{text: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if err, ok := a.(error); ok {
			cause.err = err
		}
	}
	l.s.fatal(cause)
}

// fatalError is what the engine said, with the error that it said it about.
type fatalError struct {
	text string
	err  error
}

func (f *fatalError) Error() string { return f.text }
func (f *fatalError) Unwrap() error { return f.err }
