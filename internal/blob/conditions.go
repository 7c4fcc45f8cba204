package blob

import (
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
)

// state is what conditions are evaluated against.
type state struct {
	exists   bool
	etag     uint64
	modified time.Time
}

// purpose says how an operation answers when a condition does not hold.
type purpose uint8

const (
	reading  purpose = iota // 304 for the None headers, 404 when it is not there
	creating                // makes the resource if it is not there: 409 for If-None-Match: *
	changing                // needs the resource: 404 when it is not there
)

// form refuses conditions that no state could satisfy or that are not served.
func (c *Conditions) form(op, what string) error {
	if c.IfTags != "" {
		return fault.New(op, what, fault.UnsupportedHeader, nil, fault.Detail{Name: "HeaderName", Value: "x-ms-if-tags"})
	}
	match, none := c.IfMatch != "", c.IfNoneMatch != ""
	since, until := !c.IfModifiedSince.IsZero(), !c.IfUnmodifiedSince.IsZero()
	// The service takes one condition, or one of the two natural pairs.
	n := 0
	for _, given := range []bool{match, none, since, until} {
		if given {
			n++
		}
	}
	if n > 2 || n == 2 && !(none && since) && !(match && until) {
		return fault.New(op, what, fault.MultipleConditions, nil)
	}
	return nil
}

// check evaluates c against s. It is called inside the transaction that acts on s.
// notFound is the fault of a missing resource where p needs one.
func (c *Conditions) check(op, what string, p purpose, s state, notFound fault.Kind) error {
	refuse := func(k fault.Kind) error { return fault.New(op, what, k, nil) }
	if !s.exists {
		switch {
		case p != creating:
			return refuse(notFound)
		case c.LeaseID != "":
			return refuse(fault.LeaseNotPresent)
		case c.IfMatch != "":
			return refuse(fault.ConditionNotMet)
		}
		return nil // dates and If-None-Match hold of what is not there
	}
	if c.LeaseID != "" { // there are no leases yet, so none is held
		return refuse(fault.LeaseNotPresent)
	}
	switch c.failed(s) {
	case notMatched:
		return refuse(fault.ConditionNotMet)
	case notChanged:
		if p == reading {
			return refuse(fault.NotModified)
		}
		return refuse(fault.ConditionNotMet)
	case starExists:
		switch p {
		case reading:
			return refuse(fault.UnsatisfiableCondition)
		case creating:
			return refuse(fault.BlobAlreadyExists)
		}
		return refuse(fault.ConditionNotMet)
	}
	return nil
}

type failure uint8

const (
	holds      failure = iota
	notMatched         // If-Match or If-Unmodified-Since
	notChanged         // If-None-Match with an ETag, or If-Modified-Since
	starExists         // If-None-Match: *
)

// failed evaluates the headers against a resource that exists. An ETag, where given,
// decides alone; the date of its pair is not looked at.
func (c *Conditions) failed(s state) failure {
	modified := s.modified.Truncate(time.Second) // all that the wire shows
	switch {
	case c.IfMatch != "":
		if !star(c.IfMatch) && !matchETag(c.IfMatch, s.etag) {
			return notMatched
		}
	case !c.IfUnmodifiedSince.IsZero():
		if modified.After(c.IfUnmodifiedSince) {
			return notMatched
		}
	}
	switch {
	case star(c.IfNoneMatch):
		return starExists
	case c.IfNoneMatch != "":
		if matchETag(c.IfNoneMatch, s.etag) {
			return notChanged
		}
	case !c.IfModifiedSince.IsZero():
		if !modified.After(c.IfModifiedSince) {
			return notChanged
		}
	}
	return holds
}

func star(s string) bool { return strings.Trim(strings.TrimSpace(s), `"`) == "*" }
