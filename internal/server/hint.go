package server

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/server/control"
)

// hinted is an error that knows what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// WithHint adds what to do next to an error: Hint finds it.
func WithHint(err error, hint string) error { return withHint(err, hint) }

// withHint is WithHint.
func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hinted{err, hint}
}

// hints says what to do next about kinds of faults that have one answer.
var hints = map[fault.Kind]string{
	fault.KeyStore:          "see that the key files are those of this store (--unseal-key, --infra-key) and that keystore.A and keystore.B are untouched; with the recovery kit: coffer recovery restore",
	fault.Rollback:          "the store is older than it says itself, or a part is missing; restore the newest backup, or accept the loss with --accept-rollback",
	fault.NewerFormat:       "this store was made by a newer version: install that version",
	fault.Corrupt:           "run coffer verify to see what is damaged, then restore the newest backup",
	fault.Full:              "free disk space, or delete blobs: deletes are still served",
	fault.Busy:              "one process at a time has a store: stop the other one, or name another directory with --data; commands reach a server through control.sock in its data directory",
	fault.Exists:            "choose another name",
	fault.AccountNotFound:   "coffer account list shows the accounts there are",
	fault.ContainerNotFound: "check the name: it is ACCOUNT/CONTAINER/BLOB or the blob's URL",
	fault.BlobNotFound:      "check the name: it is ACCOUNT/CONTAINER/BLOB or the blob's URL",
	fault.ResourceNotFound:  "check --data; coffer serve makes a store in an empty directory",
	fault.Unavailable:       "the server is stopping or has failed: see its log, then start it again",
	fault.InvalidInput:      "see coffer help for what the command takes",
}

// IsDamage reports whether err says that something is not what was written: damaged,
// forged, or another's.
func IsDamage(err error) bool { return fault.Is(err, fault.Corrupt) || errors.Is(err, errForeign) }

// errForeign is in the chain of the error about something that another store signed.
var errForeign = errors.New("it is signed by another store")

// Hint says what a person can do about err, or nothing.
func Hint(err error) string {
	if h, ok := errors.AsType[hinted](err); ok {
		return h.hint
	}
	if e, ok := errors.AsType[*control.Error](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		if h := hints[e.Kind]; h != "" {
			return h
		}
	}
	switch {
	case errors.Is(err, control.ErrNoServer):
		return "start it with: coffer serve --data DIR"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there: choose another port with --blob-port, --vault-port and --management-port, or 0 for free ones"
	case errors.Is(err, os.ErrPermission):
		return "run as the owner of the data directory and of the key files"
	case errors.Is(err, syscall.ENOSPC):
		return hints[fault.Full]
	case err == nil, errors.Is(err, context.Canceled):
		return ""
	}
	return "coffer doctor shows what is wrong with a store, coffer COMMAND --help what a command takes"
}

// toControl makes what a caller over the socket sees of err.
func toControl(err error) *control.Error {
	e := &control.Error{Message: err.Error(), Hint: Hint(err)}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		e.Kind = f.Kind.String()
	}
	return e
}
