package occ

import "bytes"

// Span is the keys from Lo up to, not with, Hi. A nil Hi has no upper end.
type Span struct{ Lo, Hi []byte }

// Contains reports whether key lies in the span.
func (s Span) Contains(key []byte) bool {
	return bytes.Compare(key, s.Lo) >= 0 && (s.Hi == nil || bytes.Compare(key, s.Hi) < 0)
}

// Overlaps reports whether a key can lie in both spans.
func (s Span) Overlaps(o Span) bool {
	return (s.Hi == nil || bytes.Compare(o.Lo, s.Hi) < 0) &&
		(o.Hi == nil || bytes.Compare(s.Lo, o.Hi) < 0)
}

// Empty reports whether no key lies in the span.
func (s Span) Empty() bool { return s.Hi != nil && bytes.Compare(s.Lo, s.Hi) >= 0 }

// after is the smallest key above key.
func after(key []byte) []byte {
	b := make([]byte, len(key)+1)
	copy(b, key)
	return b
}

// Reads is what a transaction looked at: keys, there or not, and spans.
type Reads struct {
	keys  map[string]struct{}
	spans []Span
}

func (r *Reads) key(k []byte) {
	if r.keys == nil {
		r.keys = make(map[string]struct{})
	}
	r.keys[string(k)] = struct{}{}
}

// span notes s, which must not change any more.
func (r *Reads) span(s Span) {
	// Walks in pages read one span after the other: keep them as one.
	if n := len(r.spans); n > 0 {
		last := &r.spans[n-1]
		if last.Hi != nil && bytes.Equal(last.Hi, s.Lo) {
			last.Hi = s.Hi
			return
		}
	}
	r.spans = append(r.spans, s)
}

func (r *Reads) empty() bool { return len(r.keys) == 0 && len(r.spans) == 0 }

// Writes is what a transaction changes, in its final form: first every key of Spans
// goes, then Keys apply.
type Writes struct {
	Spans []Span
	Keys  Tree[Value]
}

// Value is a pending value; Deleted says that the key goes.
type Value struct {
	Bytes   []byte
	Deleted bool
}

// Empty reports whether nothing changes.
func (w *Writes) Empty() bool { return len(w.Spans) == 0 && w.Keys.Len() == 0 }

func (w *Writes) masked(key []byte) bool {
	for _, s := range w.Spans {
		if s.Contains(key) {
			return true
		}
	}
	return false
}
