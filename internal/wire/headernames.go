package wire

import (
	"net/http"
	"strings"
)

// canonicalNames has, for names that requests are asked for and answers get all the
// time, what net/http would compute anew each time.
var canonicalNames = make(map[string]string)

// lowerNames has the same names in lower case, by the canonical ones.
var lowerNames = make(map[string]string)

func init() {
	for _, n := range []string{
		"Accept-Ranges", "Authorization", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language",
		"Content-Length", "Content-MD5", "Content-Range", "Content-Type", "Date", "ETag", "If-Match", "If-Modified-Since",
		"If-None-Match", "If-Range", "If-Unmodified-Since", "Last-Modified", "Range",
		"x-ms-access-tier", "x-ms-access-tier-if-modified-since", "x-ms-access-tier-if-unmodified-since", "x-ms-access-tier-inferred",
		"x-ms-blob-cache-control", "x-ms-blob-condition-appendpos", "x-ms-blob-condition-maxsize", "x-ms-blob-content-disposition",
		"x-ms-blob-content-encoding", "x-ms-blob-content-language", "x-ms-blob-content-length", "x-ms-blob-content-md5",
		"x-ms-blob-content-type", "x-ms-blob-sequence-number", "x-ms-blob-type",
		HeaderClientRequestID, "x-ms-content-crc64", "x-ms-copy-source", "x-ms-creation-time", "x-ms-date",
		"x-ms-default-encryption-scope", "x-ms-deny-encryption-scope-override",
		"x-ms-encryption-algorithm", "x-ms-encryption-key", "x-ms-encryption-key-sha256", "x-ms-encryption-scope",
		HeaderErrorCode, "x-ms-expiry-option", "x-ms-expiry-time",
		"x-ms-if-sequence-number-eq", "x-ms-if-sequence-number-le", "x-ms-if-sequence-number-lt", "x-ms-if-tags",
		"x-ms-immutability-policy-mode", "x-ms-immutability-policy-until-date",
		"x-ms-lease-id", "x-ms-lease-state", "x-ms-lease-status", "x-ms-legal-hold",
		"x-ms-range", "x-ms-range-get-content-crc64", "x-ms-range-get-content-md5", "x-ms-rehydrate-priority",
		HeaderRequestID, "x-ms-request-server-encrypted", "x-ms-requires-sync", "x-ms-seal-blob", "x-ms-sequence-number-action",
		"x-ms-server-encrypted", "x-ms-source-encryption-key", "x-ms-structured-body", "x-ms-structured-content-length",
		"x-ms-tags", HeaderVersion,
	} {
		c := http.CanonicalHeaderKey(n)
		canonicalNames[n], lowerNames[c] = c, strings.ToLower(n)
	}
}

// Canonical is http.CanonicalHeaderKey.
func Canonical(name string) string {
	if c, ok := canonicalNames[name]; ok {
		return c
	}
	return http.CanonicalHeaderKey(name)
}

// LowerName is a name as it stands in a header map, in lower case.
func LowerName(name string) string {
	if l, ok := lowerNames[name]; ok {
		return l
	}
	return strings.ToLower(name)
}
