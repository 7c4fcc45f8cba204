package blobhttp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/wire"
)

// Every route is well formed: it is served or says why not, and can be reached.
func TestRoutes(t *testing.T) {
	for i := range routes {
		rt := &routes[i]
		if (rt.serve == nil) == (rt.refused == "") {
			t.Errorf("%s: served and refused, or neither", rt.op)
		}
		if rt.body && rt.maxBody <= 0 {
			t.Errorf("%s: body without a bound", rt.op)
		}
		if rt.serve == nil && (rt.body || len(rt.needs) > 0) {
			t.Errorf("%s: refused, with limits", rt.op)
		}
		if write := rt.verb == http.MethodPut || rt.verb == http.MethodDelete; write != rt.write {
			t.Errorf("%s: %s with write %t", rt.op, rt.verb, rt.write)
		}
		if rt.since != "" {
			if _, err := wire.ParseVersion(string(rt.since)); err != nil {
				t.Errorf("%s: since %q", rt.op, rt.since)
			}
		}
		got, err := match(requestFor(rt))
		if err != nil {
			t.Errorf("%s: %v", rt.op, err)
		} else if got != rt && got.op != rt.op {
			t.Errorf("%s is hidden by %s", rt.op, got.op)
		}
	}
}

// requestFor makes the request that rt describes.
func requestFor(rt *route) *wire.Request {
	target := map[level]string{onService: "/acct1/", onContainer: "/acct1/box", onBlob: "/acct1/box/b", onAny: "/acct1/box/b"}[rt.on]
	hr := httptest.NewRequest(rt.verb, target+"?restype="+rt.restype+"&comp="+rt.comp, nil)
	if rt.when.header != "" {
		hr.Header.Set(rt.when.header, "x")
	}
	if rt.when.value != "" {
		hr.Header.Set(rt.when.header, rt.when.value)
	}
	if rt.when.also != "" {
		hr.Header.Set(rt.when.also, "x")
	}
	r := wire.NewRequest(hr, time.Now())
	r.Query, _ = wire.ParseQuery(hr.URL.RawQuery)
	r.Target, _ = wire.Resolve("blob", "h", wire.RawPath(hr), func(name.Account) bool { return true })
	return r
}

// The operations of the protocol, by its reference. Each has a route.
func TestEveryOperationHasARoute(t *testing.T) {
	have := map[string]bool{"PreflightBlobRequest": true}
	for i := range routes {
		have[routes[i].op] = true
	}
	for _, op := range strings.Fields(`
		ListContainers SetBlobServiceProperties GetBlobServiceProperties PreflightBlobRequest GetBlobServiceStats
		GetAccountInformation GetUserDelegationKey FindBlobsByTags FindBlobsByTagsInContainer BlobBatch BlobBatchInContainer
		CreateContainer GetContainerProperties GetContainerMetadata SetContainerMetadata GetContainerACL SetContainerACL
		DeleteContainer LeaseContainer RestoreContainer ListBlobs RenameContainer
		PutBlob PutAppendBlob PutPageBlob PutBlobFromURL GetBlob GetBlobProperties SetBlobProperties GetBlobMetadata SetBlobMetadata
		GetBlobTags SetBlobTags LeaseBlob SnapshotBlob CopyBlob CopyBlobFromURL AbortCopyBlob DeleteBlob UndeleteBlob SetBlobTier
		SetBlobImmutabilityPolicy DeleteBlobImmutabilityPolicy SetBlobLegalHold QueryBlobContents SetBlobExpiry
		PutBlock PutBlockFromURL PutBlockList GetBlockList
		PutPage PutPageFromURL GetPageRanges IncrementalCopyBlob AppendBlock AppendBlockFromURL SealAppendBlob`) {
		if !have[op] {
			t.Errorf("%s has no route", op)
		}
	}
}

// An operation that is refused is refused by its name, with the protocol's code.
func TestRefusedByName(t *testing.T) {
	g := newRig(t)
	for i := range routes {
		rt := &routes[i]
		if rt.serve != nil {
			continue
		}
		r := requestFor(rt)
		headers := []string{}
		for n := range r.Header {
			headers = append(headers, n+": "+r.Header.Get(n))
		}
		raw := g.exchange(g.prepare(rt.verb+" "+strings.Replace(r.RequestURI, "/acct1", "/"+g.cred.Account, 1), headers, ""), "")
		if !strings.HasPrefix(raw, "HTTP/1.1 501 ") || !strings.Contains(raw, "x-ms-error-code: NotImplemented") || !strings.Contains(raw, "<Operation>"+rt.op+"</Operation>") {
			t.Errorf("%s: %.300q", rt.op, raw)
		}
	}
}

// Every header that is not honoured is refused on every operation that is served.
func TestNotHonouredHeaders(t *testing.T) {
	headers := append([]string{
		"x-ms-encryption-key", "x-ms-encryption-key-sha256", "x-ms-encryption-algorithm", "x-ms-encryption-scope",
		"x-ms-source-encryption-key", "x-ms-source-encryption-key-sha256", "x-ms-source-encryption-algorithm",
		"x-ms-source-if-match", "x-ms-encryption-context",
	}, notHonoured...)
	for i := range routes {
		rt := &routes[i]
		if rt.serve == nil {
			continue
		}
		for _, n := range headers {
			r := requestFor(rt)
			r.Version = "2026-12-06"
			for _, need := range rt.needs {
				r.Header.Set(need, "x")
			}
			r.Header.Set("Content-Length", "1")
			r.ContentLength = 1
			if err := rt.admit(r); err != nil {
				t.Fatalf("%s is refused anyway: %v", rt.op, err)
			}
			r.Header.Set(n, "v")
			withholdKeys(r)
			taken := rt.keys && slices.Contains([]string{headerKey, headerKeyHash, headerAlgorithm, headerScope}, n)
			if err := rt.admit(r); (err == nil) != taken {
				t.Errorf("%s with %s: %v, taken %t", rt.op, n, err, taken)
			}
			if r.Version = "2018-11-09"; taken && rt.admit(r) == nil {
				t.Errorf("%s takes %s before there were such headers", rt.op, n)
			}
		}
		r := requestFor(rt)
		r.Version = "2026-12-06"
		for _, n := range []string{headerDefaultScope, headerDenyOverride} {
			r.Header.Set(n, "false")
			both := rt.op == "CreateContainer" && n == headerDenyOverride
			if err := rt.admit(r); (err == nil) != both {
				t.Errorf("%s with %s: %v", rt.op, n, err)
			}
		}
	}
}

const statusFile = "../../../docs/rest-status.md"

// docs/rest-status.md is made from the table.
func TestStatusDocument(t *testing.T) {
	got := statusDocument()
	if *update {
		if err := os.MkdirAll("../../../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(statusFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(statusFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("docs/rest-status.md is not that of the route table; run go test -update (-have +want):\n%s", diff)
	}
}

func statusDocument() string {
	var b strings.Builder
	b.WriteString(`# REST operations: what is served

Made from the route table of internal/wire/blobhttp by its tests (` + "`go test ./internal/wire/blobhttp -run TestStatusDocument -update`" + `); do not edit.

## Blob service

Versions (` + "`x-ms-version`" + `): every one from ` + string(wire.OldestVersion) + ` up, newer than known ones included, is served and echoed.
An operation that is not served answers 501 ` + "`NotImplemented`" + ` and names itself in the error body. A header or query parameter
that would change what an operation does, and is not honoured, is refused by its name (400 ` + "`UnsupportedHeader`" + `,
` + "`UnsupportedQueryParameter`" + `), never ignored.

| Operation | Resource | Request | Told apart by | Served |
|---|---|---|---|---|
| PreflightBlobRequest | any | ` + "`OPTIONS`" + ` | | yes |
`)
	type line struct{ text, verbs string }
	var lines []line
	for i := range routes {
		rt := &routes[i]
		if len(rt.needs) > 0 {
			continue // the second half of Put Blob, for requests that are wrong
		}
		var q []string
		if rt.restype != "" {
			q = append(q, "restype="+rt.restype)
		}
		if rt.comp != "" {
			q = append(q, "comp="+rt.comp)
		}
		served := "yes"
		if rt.serve == nil {
			served = "no: " + rt.refused
		}
		if rt.since != "" {
			served += ", since " + string(rt.since)
		}
		query := ""
		if len(q) > 0 {
			query = " `?" + strings.Join(q, "&") + "`"
		}
		when := rt.when.String()
		if when != "" {
			when = "`" + when + "`"
		}
		text := fmt.Sprintf("| %s | %s | %%s%s | %s | %s |\n", rt.op, rt.on, query, when, served)
		if n := len(lines); n > 0 && lines[n-1].text == text {
			lines[n-1].verbs += ", `" + rt.verb + "`"
			continue
		}
		lines = append(lines, line{text, "`" + rt.verb + "`"})
	}
	for _, l := range lines {
		fmt.Fprintf(&b, l.text, l.verbs)
	}
	b.WriteString(`
Headers that are refused wherever they come: every ` + "`x-ms-*`" + ` header with "encryption" in its name (but for the default
scope of a new container, and for customer-provided keys and scopes on Put Blob, Put Block, Put Block List, Set Blob Metadata,
Get Blob, Get Blob Properties and Get Blob Metadata; spec/customer-keys.md), every ` + "`x-ms-source-*`" + ` header, and:

`)
	for _, n := range notHonoured {
		b.WriteString("- `" + n + "`\n")
	}
	b.WriteString("\nQuery parameters of blobs that are refused: `" + strings.Join(refuseQuery, "`, `") + "`; of List Blobs: `startFrom`, `endBefore`, `showonly`.\n")
	b.WriteString(`
## Known differences

- Get Blob Service Stats says unavailable, without a LastSyncTime: there is no second region, whatever the account's SKU is called.
- The reason phrase of a status line is that of the HTTP standard; the service sends the text of the error.
- A full disk answers 507 ` + "`InsufficientStorage`" + `, a code of our own; the service has none for it.
- Bearer tokens count over TLS only. Of user delegation SAS the fields for users (sduoid, skdutid), for directories (suoid) and for signed headers and parameters (srh, srq) are refused by name.
- ` + "`Range`" + ` with several ranges or with a suffix (` + "`bytes=-5`" + `) is as if it were not there; ` + "`x-ms-range`" + ` of that form is refused.
- ` + "`timeout`" + ` is checked and has no further effect.
- A request line that does not parse as HTTP is answered by the HTTP library, without an XML body.
- Conditional headers of one request that the service cannot combine are refused with ` + "`MultipleConditionHeadersNotSupported`" + `.
`)
	return b.String()
}

var oddities = regexp.MustCompile(`%!`)

func TestStatusDocumentIsClean(t *testing.T) {
	if oddities.MatchString(statusDocument()) {
		t.Error("the document has a formatting error")
	}
}
