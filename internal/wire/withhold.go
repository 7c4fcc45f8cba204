package wire

import (
	"maps"
	"net/http"
	"strings"
)

// HiddenValue stands where a withheld value would be told back.
const HiddenValue = "(hidden)"

// Withhold takes a header out of the request, so that nothing that logs, echoes or
// passes on headers can see it. Signatures are made over it all the same.
func (r *Request) Withhold(name string) {
	key := Canonical(name)
	values, ok := r.Header[key]
	if !ok {
		return
	}
	delete(r.Header, key)
	if r.withheld == nil {
		r.withheld = make(http.Header)
	}
	r.withheld[key] = values
}

// Withheld returns the values of a header that was taken out.
func (r *Request) Withheld(name string) []string { return r.withheld[Canonical(name)] }

// WithheldAny reports whether any header was taken out.
func (r *Request) WithheldAny() bool { return len(r.withheld) > 0 }

// Forget drops what was withheld, when nobody needs it any more.
func (r *Request) Forget() { r.withheld = nil }

// SignedHeader is the header as the client signed it. It must not be kept or changed.
func (r *Request) SignedHeader() http.Header {
	if len(r.withheld) == 0 {
		return r.Header
	}
	h := maps.Clone(r.Header)
	maps.Copy(h, r.withheld)
	return h
}

// Redact takes the withheld values out of a text.
func (r *Request) Redact(text string) string {
	for _, values := range r.withheld {
		for _, v := range values {
			if v = strings.TrimSpace(v); v != "" {
				text = strings.ReplaceAll(text, v, HiddenValue)
			}
		}
	}
	return text
}
