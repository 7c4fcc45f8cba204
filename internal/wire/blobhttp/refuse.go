package blobhttp

import (
	"strconv"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

// Headers of the default scope of a container.
const (
	headerDefaultScope = "x-ms-default-encryption-scope"
	headerDenyOverride = "x-ms-deny-encryption-scope-override"
)

// notHonoured are headers that change what an operation does or stores, and that are not
// served yet. To ignore one would be to do something else than was asked, and to say
// that it was done: so each is refused by its name, on every operation.
var notHonoured = []string{
	"x-ms-structured-body",
	"x-ms-structured-content-length",
	"x-ms-if-tags",
	"x-ms-tags",
	"x-ms-immutability-policy-until-date",
	"x-ms-immutability-policy-mode",
	"x-ms-legal-hold",
	"x-ms-expiry-option",
	"x-ms-expiry-time",
	"x-ms-seal-blob",
	"x-ms-rehydrate-priority",
	"x-ms-blob-content-length",
	"x-ms-blob-sequence-number",
	"x-ms-sequence-number-action",
	"x-ms-if-sequence-number-le",
	"x-ms-if-sequence-number-lt",
	"x-ms-if-sequence-number-eq",
	"x-ms-blob-condition-maxsize",
	"x-ms-blob-condition-appendpos",
	"x-ms-access-tier-if-modified-since",
	"x-ms-access-tier-if-unmodified-since",
}

// refuseQuery are query parameters of the same kind.
var refuseQuery = []string{"snapshot", "versionid", "deletetype", "prevsnapshot"}

// refuseForm refuses what must not be ignored and is not honoured.
func refuseForm(r *wire.Request, rt *route) error {
	const op = "blobhttp.refuse"
	if err := refuseHeaders(r, rt); err != nil {
		return err
	}
	for _, n := range refuseQuery {
		if v, ok := r.Query.Lookup(n); ok && rt.on == onBlob {
			return fault.New(op, "", fault.UnsupportedQuery, nil,
				fault.Detail{Name: "QueryParameterName", Value: n}, fault.Detail{Name: "QueryParameterValue", Value: v})
		}
	}
	if v, ok := r.Query.Lookup("timeout"); ok {
		if n, err := strconv.ParseUint(v, 10, 31); err != nil || n == 0 {
			return wire.BadQuery(op, "timeout", v, "Not a positive integer.")
		}
	}
	return nil
}

// refuseHeaders is refuseForm for headers.
func refuseHeaders(r *wire.Request, rt *route) error {
	const op = "blobhttp.refuse"
	if !r.WithheldAny() && firstHeader(r, suspicious) == "" {
		return nil // nearly always, and for one look
	}
	if err := refuseEncryption(r, rt); err != nil {
		return err
	}
	for _, n := range notHonoured {
		if r.Has(n) {
			return fault.New(op, "", fault.UnsupportedHeader, nil, fault.Detail{Name: "HeaderName", Value: n})
		}
	}
	if n := firstHeader(r, isSource); n != "" {
		return fault.New(op, "", fault.UnsupportedHeader, nil, fault.Detail{Name: "HeaderName", Value: n})
	}
	return nil
}

func isSource(n string) bool { return strings.HasPrefix(n, "x-ms-source-") }

// suspicious reports whether refuseHeaders has to look at a header closely.
func suspicious(n string) bool {
	return strings.HasPrefix(n, "x-ms-") && (isNotHonoured[n] || isSource(n) || strings.Contains(n, "encryption"))
}

var isNotHonoured = func() map[string]bool {
	m := make(map[string]bool, len(notHonoured))
	for _, n := range notHonoured {
		m[n] = true
	}
	return m
}()

// refuseEncryption refuses every header that asks for encryption under another key than
// the account's, but those that the operation takes. The names are matched by their form, so that one that is newer than
// this code is refused as well. Values are neither read nor told back.
func refuseEncryption(r *wire.Request, rt *route) error {
	n := firstHeader(r, func(n string) bool {
		return strings.HasPrefix(n, "x-ms-") && !strings.HasPrefix(n, "x-ms-meta-") && strings.Contains(n, "encryption") &&
			!(rt.op == "CreateContainer" && (n == headerDefaultScope || n == headerDenyOverride)) &&
			!(rt.keys && (n == headerKeyHash || n == headerAlgorithm || n == headerScope))
	})
	switch {
	case n != "":
	case len(r.Withheld(headerSourceKey)) > 0:
		n = headerSourceKey
	case len(r.Withheld(headerKey)) > 0 && (!rt.keys || r.Version < wire.EncryptionVersion):
		n = headerKey
	case r.Version < wire.EncryptionVersion && (r.Has(headerKeyHash) || r.Has(headerAlgorithm) || r.Has(headerScope)):
		n = firstHeader(r, func(n string) bool { return n == headerKeyHash || n == headerAlgorithm || n == headerScope })
	}
	if n != "" {
		return notHonouredEncryption(n)
	}
	if rt.op != "CreateContainer" || !r.Has(headerDefaultScope) && !r.Has(headerDenyOverride) {
		return nil
	}
	return refuseDefaultScope(r)
}

// refuseDefaultScope refuses one header of the pair without the other.
func refuseDefaultScope(r *wire.Request) error {
	const op = "blobhttp.refuse"
	switch deny := strings.ToLower(r.Header1(headerDenyOverride)); {
	case r.Version < wire.EncryptionVersion:
		return notHonouredEncryption(headerDefaultScope)
	case !r.Has(headerDefaultScope):
		return wire.MissingHeader(op, headerDefaultScope)
	case !r.Has(headerDenyOverride):
		return wire.MissingHeader(op, headerDenyOverride)
	case deny != "true" && deny != "false":
		return wire.BadHeader(op, headerDenyOverride, deny)
	case r.Header1(headerDefaultScope) == "":
		return wire.BadHeader(op, headerDefaultScope, "")
	}
	return nil
}

func notHonouredEncryption(header string) error {
	return fault.New("blobhttp.refuse", "", fault.EncryptionNotHonoured, nil, fault.Detail{Name: "HeaderName", Value: header})
}

// firstHeader returns the first header, by name and in lower case, that is one of those;
// "" if none is.
func firstHeader(r *wire.Request, is func(string) bool) string {
	first := ""
	for n := range r.Header {
		if n = wire.LowerName(n); is(n) && (first == "" || n < first) {
			first = n
		}
	}
	return first
}
