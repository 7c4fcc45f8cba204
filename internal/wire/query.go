package wire

import (
	"net/url"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Query is the query of a URL, decoded, in the order in which it was sent. Unlike
// url.Values it keeps that order, knows names without regard to case, and does not drop
// what has a semicolon in it: signatures are made over all of it.
type Query []Pair

// Pair is one decoded name and value of a query.
type Pair struct{ Name, Value string }

// maxPairs bounds a query; the longest SAS has about thirty.
const maxPairs = 256

// ParseQuery decodes a raw query.
func ParseQuery(raw string) (Query, error) {
	if n := strings.Count(raw, "&"); n >= maxPairs {
		return nil, fault.New("wire.ParseQuery", "", fault.InvalidURI, nil)
	}
	var q Query
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err := url.QueryUnescape(name)
		if err != nil {
			return nil, fault.New("wire.ParseQuery", "", fault.InvalidURI, err)
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			return nil, fault.New("wire.ParseQuery", n, fault.InvalidQueryParameter, nil,
				fault.Detail{Name: "QueryParameterName", Value: n})
		}
		q = append(q, Pair{n, v})
	}
	return q, nil
}

// Get returns the first value of name, or "".
func (q Query) Get(name string) string {
	v, _ := q.Lookup(name)
	return v
}

// Has reports whether name is there, be it without a value.
func (q Query) Has(name string) bool {
	_, ok := q.Lookup(name)
	return ok
}

// Lookup returns the first value of name.
func (q Query) Lookup(name string) (string, bool) {
	for _, p := range q {
		if strings.EqualFold(p.Name, name) {
			return p.Value, true
		}
	}
	return "", false
}

// Count returns how many times name is there.
func (q Query) Count(name string) int {
	n := 0
	for _, p := range q {
		if strings.EqualFold(p.Name, name) {
			n++
		}
	}
	return n
}

// BadQuery is the error for a query parameter with a value that is wrong by form. reason
// may be empty.
func BadQuery(op, name, value, reason string) error {
	ds := []fault.Detail{{Name: "QueryParameterName", Value: name}, {Name: "QueryParameterValue", Value: value}}
	if reason != "" {
		ds = append(ds, fault.Detail{Name: "Reason", Value: reason})
	}
	return fault.New(op, "", fault.InvalidQueryParameter, nil, ds...)
}

// BadHeader is the error for a header with a value that is wrong by form.
func BadHeader(op, name, value string) error {
	return fault.New(op, "", fault.InvalidHeaderValue, nil,
		fault.Detail{Name: "HeaderName", Value: name}, fault.Detail{Name: "HeaderValue", Value: value})
}

// MissingHeader is the error for a header that must be there.
func MissingHeader(op, name string) error {
	return fault.New(op, "", fault.MissingRequiredHeader, nil, fault.Detail{Name: "HeaderName", Value: name})
}
