package cse

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// Code says what kind of thing went wrong.
type Code string

// The codes.
const (
	// NotEncrypted: the object carries no encryption metadata, and reading plaintext
	// was not allowed.
	NotEncrypted Code = "NotEncrypted"
	// UnknownProtocol: written by a version of the format that this package does not know.
	UnknownProtocol Code = "UnknownProtocol"
	// BadMetadata: the encryption metadata is there and cannot be read.
	BadMetadata Code = "BadMetadata"
	// V1NotAllowed: the object is of version 1.0 and reading that was not allowed.
	V1NotAllowed Code = "V1NotAllowed"
	// KeyNotFound: no key of the id that the object names.
	KeyNotFound Code = "KeyNotFound"
	// KeyUnavailable: the key is somewhere that did not answer, or refused to.
	KeyUnavailable Code = "KeyUnavailable"
	// AuthenticationFailed: a wrong key, or changed data; nothing more is said.
	AuthenticationFailed Code = "AuthenticationFailed"
	// RegionTooLarge: the region length is above Options.MaxRegionLength.
	RegionTooLarge Code = "RegionTooLarge"
	// InvalidRange: the range starts outside of the object.
	InvalidRange Code = "InvalidRange"
	// InvalidOption: an option or an argument that cannot be.
	InvalidOption Code = "InvalidOption"
	// TooLarge: more than the service or the caller's buffer takes.
	TooLarge Code = "TooLarge"
	// Unsupported: this kind of object cannot be encrypted or read.
	Unsupported Code = "Unsupported"
	// Changed: the object changed while it was read or replaced.
	Changed Code = "Changed"
)

// Error is what this package returns for everything that is its own to judge. Errors of
// the service come through as *azcore.ResponseError.
type Error struct {
	Code Code
	// Detail is for people. It is empty for AuthenticationFailed: an error that told
	// one failure from another would be an oracle.
	Detail string
	Err    error // cause, may be nil
}

func (e *Error) Error() string {
	s := "cse: " + messages[e.Code]
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

var messages = map[Code]string{
	NotEncrypted:         "the object is not encrypted",
	UnknownProtocol:      "unknown encryption protocol",
	BadMetadata:          "bad encryption metadata",
	V1NotAllowed:         "version 1.0 is not allowed",
	KeyNotFound:          "key not found",
	KeyUnavailable:       "key not available",
	AuthenticationFailed: "authentication failed",
	RegionTooLarge:       "region too large",
	InvalidRange:         "range outside of the object",
	InvalidOption:        "invalid option",
	TooLarge:             "too large",
	Unsupported:          "not supported",
	Changed:              "the object changed",
}

// HasCode reports whether err is, or wraps, an *Error of that code.
func HasCode(err error, code Code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// errAuth is the one error of everything that depends on secrets.
func errAuth() error { return &Error{Code: AuthenticationFailed} }

// fromFormat gives the errors of package format their codes.
func fromFormat(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, format.ErrMetadata):
		return &Error{Code: BadMetadata}
	case errors.Is(err, format.ErrProtocol):
		return &Error{Code: UnknownProtocol}
	case errors.Is(err, format.ErrRange):
		return &Error{Code: InvalidRange}
	default:
		return errAuth()
	}
}

// fromUnwrap turns what a key answered into an error of ours: that it could not be
// asked, or the one error. Nothing else of its text gets out.
func fromUnwrap(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Code == KeyUnavailable {
		return e
	}
	return errAuth()
}
