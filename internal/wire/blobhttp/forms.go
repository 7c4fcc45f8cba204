package blobhttp

import (
	"encoding/base64"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/wire"
)

const metaPrefix = "X-Ms-Meta-"

func tooLarge(limit int64) error {
	return fault.New("blobhttp", "", fault.RequestBodyTooLarge, nil,
		fault.Detail{Name: "MaxLimit", Value: strconv.FormatInt(limit, 10)})
}

// containerOf returns the container that the request names.
func containerOf(r *wire.Request) (name.Container, error) { return name.ParseContainer(r.Target.First) }

// refOf returns the blob that the request names; a path of one segment is a blob of the
// root container.
func refOf(r *wire.Request) (blob.Ref, error) {
	ref := blob.Ref{Account: r.Target.Account, Container: name.RootContainer}
	blobName := r.Target.First
	var err error
	if r.Target.HasRest {
		if ref.Container, err = name.ParseContainer(r.Target.First); err != nil {
			return blob.Ref{}, err
		}
		blobName = r.Target.Rest
	}
	if blobName == "" {
		return blob.Ref{}, fault.New("blobhttp.refOf", "", fault.InvalidURI, nil)
	}
	ref.Blob, err = name.ParseBlob(blobName)
	return ref, err
}

// conditionsOf reads the conditional headers and the lease id.
func conditionsOf(r *wire.Request) (blob.Conditions, error) {
	c := blob.Conditions{IfMatch: r.Header1("If-Match"), IfNoneMatch: r.Header1("If-None-Match"), IfTags: r.Header1("x-ms-if-tags")}
	for _, d := range []struct {
		header string
		into   *time.Time
	}{{"If-Modified-Since", &c.IfModifiedSince}, {"If-Unmodified-Since", &c.IfUnmodifiedSince}} {
		v := r.Header1(d.header)
		if v == "" {
			continue
		}
		t, err := http.ParseTime(v)
		if err != nil {
			return c, wire.BadHeader("blobhttp.conditionsOf", d.header, v)
		}
		*d.into = t
	}
	var err error
	c.LeaseID, err = leaseOf(r)
	return c, err
}

// leaseOf reads the lease id, which is a GUID in one of its spellings.
func leaseOf(r *wire.Request) (string, error) {
	id := r.Header1("x-ms-lease-id")
	if id == "" {
		return "", nil
	}
	digits := strings.ReplaceAll(strings.Trim(id, "{}()"), "-", "")
	if len(digits) != 32 || strings.Trim(strings.ToLower(digits), "0123456789abcdef") != "" {
		return "", wire.BadHeader("blobhttp.leaseOf", "x-ms-lease-id", id)
	}
	return id, nil
}

// metadataOf reads the x-ms-meta headers: their names as they were spelled and, as far
// as that is known, in the order in which they came.
func metadataOf(r *wire.Request) (blob.Metadata, error) {
	raw := wire.RawHeaderNames(r.Context())
	var canonical []string
	for n := range r.Header {
		if len(n) >= len(metaPrefix) && strings.EqualFold(n[:len(metaPrefix)], metaPrefix) {
			canonical = append(canonical, n)
		}
	}
	sort.Strings(canonical)
	if raw != nil {
		rank := make(map[string]int, len(raw))
		for i, n := range raw {
			if k := http.CanonicalHeaderKey(n); rank[k] == 0 {
				rank[k] = i + 1
			}
		}
		sort.SliceStable(canonical, func(i, j int) bool { return rank[canonical[i]] < rank[canonical[j]] })
	}
	var m blob.Metadata
	for _, n := range canonical {
		spelled := wire.Spelling(raw, n)[len(metaPrefix):]
		if spelled == "" {
			return nil, fault.New("blobhttp.metadataOf", "", fault.EmptyMetadataKey, nil)
		}
		// The service joins what comes twice.
		m = append(m, blob.MetaPair{Name: spelled, Value: strings.Join(r.Header[n], ",")})
	}
	return m, nil
}

// headersOf reads the x-ms-blob-* headers. plain also takes the standard header where
// the other is not there, as Put Blob does.
func headersOf(r *wire.Request, plain bool) (blob.Headers, error) {
	pick := func(special, standard string) string {
		if v := r.Header1(special); v != "" || !plain {
			return v
		}
		return r.Header1(standard)
	}
	h := blob.Headers{
		CacheControl:       pick("x-ms-blob-cache-control", "Cache-Control"),
		ContentType:        pick("x-ms-blob-content-type", "Content-Type"),
		ContentEncoding:    pick("x-ms-blob-content-encoding", "Content-Encoding"),
		ContentLanguage:    pick("x-ms-blob-content-language", "Content-Language"),
		ContentDisposition: r.Header1("x-ms-blob-content-disposition"),
	}
	var err error
	h.ContentMD5, err = sumOf(r, "x-ms-blob-content-md5", 16, fault.InvalidMD5)
	return h, err
}

// sumOf reads a checksum of n bytes in base64; nil if it is not there.
func sumOf(r *wire.Request, header string, n int, bad fault.Kind) ([]byte, error) {
	v := r.Header1(header)
	if v == "" {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil || len(b) != n {
		return nil, fault.New("blobhttp.sumOf", "", bad, nil,
			fault.Detail{Name: "HeaderName", Value: header}, fault.Detail{Name: "HeaderValue", Value: v})
	}
	return b, nil
}

// transferSums reads the checksums of the body.
func transferSums(r *wire.Request) (md5, crc []byte, err error) {
	if md5, err = sumOf(r, "Content-MD5", 16, fault.InvalidMD5); err != nil {
		return nil, nil, err
	}
	crc, err = sumOf(r, "x-ms-content-crc64", 8, fault.InvalidCRC64)
	if err == nil && md5 != nil && crc != nil {
		err = fault.New("blobhttp.transferSums", "", fault.MD5AndCRC64, nil)
	}
	return md5, crc, err
}

// boolOf reads a header that is true or false; absent is false.
func boolOf(r *wire.Request, header string) (bool, error) {
	switch v := r.Header1(header); strings.ToLower(v) {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	default:
		return false, wire.BadHeader("blobhttp.boolOf", header, v)
	}
}

// rangeOf reads the range of a read. x-ms-range goes before Range, and must be one that
// the service knows; of the standard header, what it does not know (several ranges, the
// last n bytes, a part of what has not changed) is as if it were not there, which the
// HTTP standard allows.
func rangeOf(r *wire.Request) (*blob.Range, error) {
	if v := r.Header1("x-ms-range"); v != "" {
		rng, ok := parseRange(v)
		if !ok {
			return nil, wire.BadHeader("blobhttp.rangeOf", "x-ms-range", v)
		}
		return rng, nil
	}
	if r.Has("If-Range") {
		return nil, nil
	}
	rng, _ := parseRange(r.Header1("Range"))
	return rng, nil
}

// parseRange reads bytes=a-b and bytes=a-.
func parseRange(s string) (*blob.Range, bool) {
	unit, spec, ok := strings.Cut(s, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return nil, false
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return nil, false
	}
	off, ok := parseOffset(from)
	if !ok {
		return nil, false
	}
	if to == "" {
		return &blob.Range{Off: off, N: -1}, true
	}
	last, ok := parseOffset(to)
	if !ok || last < off {
		return nil, false
	}
	if last-off == 1<<63-1 {
		last-- // all there can be; and its length has to fit
	}
	return &blob.Range{Off: off, N: last - off + 1}, true
}

// parseOffset reads decimal digits, and nothing that only looks like a number.
func parseOffset(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > 1<<63-1 {
		return 1<<63 - 1, true // beyond every content
	}
	return int64(n), true
}

// maxResultsOf reads maxresults; 0 is absent. More than a page is a page.
func maxResultsOf(r *wire.Request) (int, error) {
	v, ok := r.Query.Lookup("maxresults")
	if !ok || v == "" {
		return 0, nil
	}
	const op = "blobhttp.maxResultsOf"
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return 0, wire.BadQuery(op, "maxresults", v, "Invalid query parameter value.")
	}
	if n < 1 {
		return 0, fault.New(op, "", fault.OutOfRangeQueryParameter, nil,
			fault.Detail{Name: "QueryParameterName", Value: "maxresults"}, fault.Detail{Name: "QueryParameterValue", Value: v},
			fault.Detail{Name: "MinimumAllowed", Value: "1"}, fault.Detail{Name: "MaximumAllowed", Value: "2147483647"})
	}
	return int(min(n, blob.MaxPage)), nil
}

// blockIDOf reads the block id of the URL: base64 of 1 to 64 bytes.
func blockIDOf(r *wire.Request) (string, error) {
	const op = "blobhttp.blockIDOf"
	id, ok := r.Query.Lookup("blockid")
	if !ok || id == "" {
		return "", fault.New(op, "", fault.MissingQueryParameter, nil, fault.Detail{Name: "QueryParameterName", Value: "blockid"})
	}
	return id, nil
}
