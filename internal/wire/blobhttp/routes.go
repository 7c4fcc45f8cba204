package blobhttp

import (
	"net/http"
	"strings"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

// level is what a request is about.
type level uint8

const (
	onService level = iota
	onContainer
	onBlob
	onAny
)

func (l level) String() string { return [...]string{"account", "container", "blob", "any"}[l] }

// Bounds of bodies.
const (
	maxXML      = 128 << 10
	maxBlockXML = 16 << 20 // 50,000 entries, generously spaced
)

// route is one operation of the protocol.
type route struct {
	op      string
	verb    string
	on      level
	restype string       // restype of the URL; "" is none, "*" any
	comp    string       // comp of the URL; "" is none
	when    selector     // further sign of the operation; zero is always
	since   wire.Version // "" is always
	body    bool         // needs a Content-Length
	maxBody int64        // bytes, if body
	needs   []string     // headers that must be there
	write   bool         // not on the secondary endpoint
	keys    bool         // takes a customer-provided key, and a scope
	serve   func(*Handler, *wire.Response, *wire.Request) error
	refused string // why there is no serve: the operation is refused by its name
}

// selector tells operations apart that have verb and URL in common.
type selector struct {
	header string // is there
	value  string // and, unless empty, has this value
	also   string // another header that is there as well
}

func (s selector) matches(r *wire.Request) bool {
	switch {
	case s.header != "" && !r.Has(s.header), s.also != "" && !r.Has(s.also):
		return false
	case s.value != "":
		return strings.EqualFold(r.Header1(s.header), s.value)
	}
	return true
}

// String is for the table in the documentation.
func (s selector) String() string {
	switch {
	case s.header == "":
		return ""
	case s.value != "":
		return s.header + ": " + s.value
	case s.also != "":
		return s.header + ", " + s.also
	}
	return s.header
}

const (
	get, head, put, del, post = http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPost
)

// Why operations are refused.
const (
	later     = "not served yet"
	noFeature = "the account does not have the feature"
)

func header(name string) selector      { return selector{header: name} }
func headerIs(name, v string) selector { return selector{header: name, value: v} }

// routes is the protocol: the first that matches counts. What is here without serve is
// refused by name; what is not here is no operation.
var routes = []route{
	{op: "ListContainers", verb: get, on: onService, comp: "list", serve: (*Handler).listContainers},
	{op: "GetBlobServiceProperties", verb: get, on: onService, restype: "service", comp: "properties", serve: (*Handler).getServiceProperties},
	{op: "SetBlobServiceProperties", verb: put, on: onService, restype: "service", comp: "properties", write: true, body: true, maxBody: maxXML, serve: (*Handler).setServiceProperties},
	{op: "GetBlobServiceStats", verb: get, on: onService, restype: "service", comp: "stats", serve: (*Handler).getStats},
	{op: "GetUserDelegationKey", verb: post, on: onService, restype: "service", comp: "userdelegationkey", since: "2018-11-09", body: true, maxBody: maxXML, serve: (*Handler).getDelegationKey},
	{op: "GetAccountInformation", verb: get, on: onAny, restype: "account", comp: "properties", since: "2018-03-28", serve: (*Handler).getAccountInfo},
	{op: "GetAccountInformation", verb: head, on: onAny, restype: "account", comp: "properties", since: "2018-03-28", serve: (*Handler).getAccountInfo},
	{op: "FindBlobsByTags", verb: get, on: onService, comp: "blobs", refused: later},
	{op: "BlobBatch", verb: post, on: onService, comp: "batch", refused: later},

	{op: "CreateContainer", verb: put, on: onContainer, restype: "container", write: true, serve: (*Handler).createContainer},
	{op: "GetContainerProperties", verb: get, on: onContainer, restype: "container", serve: (*Handler).getContainer},
	{op: "GetContainerProperties", verb: head, on: onContainer, restype: "container", serve: (*Handler).getContainer},
	{op: "DeleteContainer", verb: del, on: onContainer, restype: "container", write: true, serve: (*Handler).deleteContainer},
	{op: "GetContainerMetadata", verb: get, on: onContainer, restype: "container", comp: "metadata", serve: (*Handler).getContainerMetadata},
	{op: "GetContainerMetadata", verb: head, on: onContainer, restype: "container", comp: "metadata", serve: (*Handler).getContainerMetadata},
	{op: "SetContainerMetadata", verb: put, on: onContainer, restype: "container", comp: "metadata", write: true, serve: (*Handler).setContainerMetadata},
	{op: "GetContainerACL", verb: get, on: onContainer, restype: "container", comp: "acl", serve: (*Handler).getContainerACL},
	{op: "GetContainerACL", verb: head, on: onContainer, restype: "container", comp: "acl", serve: (*Handler).getContainerACL},
	{op: "SetContainerACL", verb: put, on: onContainer, restype: "container", comp: "acl", write: true, body: true, maxBody: maxXML, serve: (*Handler).setContainerACL},
	{op: "ListBlobs", verb: get, on: onContainer, restype: "container", comp: "list", serve: (*Handler).listBlobs},
	{op: "LeaseContainer", verb: put, on: onContainer, restype: "container", comp: "lease", write: true, refused: later},
	{op: "RestoreContainer", verb: put, on: onContainer, restype: "container", comp: "undelete", write: true, refused: later},
	{op: "RenameContainer", verb: put, on: onContainer, restype: "container", comp: "rename", write: true, refused: later},
	{op: "FindBlobsByTagsInContainer", verb: get, on: onContainer, restype: "container", comp: "blobs", refused: later},
	{op: "BlobBatchInContainer", verb: post, on: onContainer, restype: "container", comp: "batch", refused: later},

	{op: "CopyBlobFromURL", verb: put, on: onBlob, when: headerIs("x-ms-requires-sync", "true"), write: true, refused: later},
	{op: "PutBlobFromURL", verb: put, on: onBlob, when: selector{header: "x-ms-copy-source", also: "x-ms-blob-type"}, write: true, refused: later},
	{op: "PutBlob", verb: put, on: onBlob, when: headerIs("x-ms-blob-type", "BlockBlob"), write: true, body: true, maxBody: blob.MaxPut, keys: true, serve: (*Handler).putBlob},
	{op: "PutAppendBlob", verb: put, on: onBlob, when: headerIs("x-ms-blob-type", "AppendBlob"), write: true, refused: later},
	{op: "PutPageBlob", verb: put, on: onBlob, when: headerIs("x-ms-blob-type", "PageBlob"), write: true, refused: later},
	{op: "CopyBlob", verb: put, on: onBlob, when: header("x-ms-copy-source"), write: true, refused: later},
	// Without a known type: the handler says what is wrong with the header.
	{op: "PutBlob", verb: put, on: onBlob, write: true, body: true, maxBody: blob.MaxPut, needs: []string{"x-ms-blob-type"}, keys: true, serve: (*Handler).putBlob},
	{op: "GetBlob", verb: get, on: onBlob, keys: true, serve: (*Handler).getBlob},
	{op: "GetBlobProperties", verb: head, on: onBlob, keys: true, serve: (*Handler).getBlobProperties},
	{op: "DeleteBlob", verb: del, on: onBlob, write: true, serve: (*Handler).deleteBlob},
	{op: "SetBlobProperties", verb: put, on: onBlob, comp: "properties", write: true, serve: (*Handler).setBlobProperties},
	{op: "GetBlobMetadata", verb: get, on: onBlob, comp: "metadata", keys: true, serve: (*Handler).getBlobMetadata},
	{op: "GetBlobMetadata", verb: head, on: onBlob, comp: "metadata", keys: true, serve: (*Handler).getBlobMetadata},
	{op: "SetBlobMetadata", verb: put, on: onBlob, comp: "metadata", write: true, keys: true, serve: (*Handler).setBlobMetadata},
	{op: "PutBlockFromURL", verb: put, on: onBlob, comp: "block", when: header("x-ms-copy-source"), write: true, refused: later},
	{op: "PutBlock", verb: put, on: onBlob, comp: "block", write: true, body: true, maxBody: blob.MaxBlock, keys: true, serve: (*Handler).putBlock},
	{op: "PutBlockList", verb: put, on: onBlob, comp: "blocklist", write: true, body: true, maxBody: maxBlockXML, keys: true, serve: (*Handler).putBlockList},
	{op: "GetBlockList", verb: get, on: onBlob, comp: "blocklist", serve: (*Handler).getBlockList},
	{op: "SnapshotBlob", verb: put, on: onBlob, comp: "snapshot", write: true, refused: later},
	{op: "UndeleteBlob", verb: put, on: onBlob, comp: "undelete", write: true, refused: later},
	{op: "LeaseBlob", verb: put, on: onBlob, comp: "lease", write: true, refused: later},
	{op: "SetBlobTier", verb: put, on: onBlob, comp: "tier", write: true, refused: later},
	{op: "GetBlobTags", verb: get, on: onBlob, comp: "tags", refused: later},
	{op: "SetBlobTags", verb: put, on: onBlob, comp: "tags", write: true, refused: later},
	{op: "AbortCopyBlob", verb: put, on: onBlob, comp: "copy", write: true, refused: later},
	{op: "IncrementalCopyBlob", verb: put, on: onBlob, comp: "incrementalcopy", write: true, refused: later},
	{op: "AppendBlockFromURL", verb: put, on: onBlob, comp: "appendblock", when: header("x-ms-copy-source"), write: true, refused: later},
	{op: "AppendBlock", verb: put, on: onBlob, comp: "appendblock", write: true, refused: later},
	{op: "SealAppendBlob", verb: put, on: onBlob, comp: "seal", write: true, refused: later},
	{op: "PutPageFromURL", verb: put, on: onBlob, comp: "page", when: header("x-ms-copy-source"), write: true, refused: later},
	{op: "PutPage", verb: put, on: onBlob, comp: "page", write: true, refused: later},
	{op: "GetPageRanges", verb: get, on: onBlob, comp: "pagelist", refused: later},
	{op: "QueryBlobContents", verb: post, on: onBlob, comp: "query", refused: later},
	{op: "SetBlobExpiry", verb: put, on: onBlob, comp: "expiry", write: true, refused: noFeature},
	{op: "SetBlobImmutabilityPolicy", verb: put, on: onBlob, comp: "immutabilityPolicies", write: true, refused: later},
	{op: "DeleteBlobImmutabilityPolicy", verb: del, on: onBlob, comp: "immutabilityPolicies", write: true, refused: later},
	{op: "SetBlobLegalHold", verb: put, on: onBlob, comp: "legalhold", write: true, refused: later},
}

// levelOf says what r is about.
func levelOf(r *wire.Request) level {
	switch {
	case r.Target.IsService():
		return onService
	case r.Target.IsContainerPath() && strings.EqualFold(r.Query.Get("restype"), "container"):
		return onContainer
	}
	return onBlob
}

// matches reports whether rt is the operation of r, but for the verb.
func (rt *route) matches(r *wire.Request, on level) bool {
	return (rt.on == on || rt.on == onAny) &&
		strings.EqualFold(rt.restype, r.Query.Get("restype")) &&
		strings.EqualFold(rt.comp, r.Query.Get("comp")) && rt.when.matches(r)
}

// match finds the route of r.
func match(r *wire.Request) (*route, error) {
	on := levelOf(r)
	otherVerb := false
	for i := range routes {
		rt := &routes[i]
		if !rt.matches(r, on) {
			continue
		}
		if rt.verb == r.Method {
			r.Operation = rt.op
			return rt, nil
		}
		otherVerb = true
	}
	const op = "blobhttp.match"
	switch comp, restype := r.Query.Get("comp"), r.Query.Get("restype"); {
	case otherVerb:
		return nil, fault.New(op, "", fault.UnsupportedVerb, nil)
	case restype != "" && !known(restype, func(rt *route) string { return rt.restype }):
		return nil, wire.BadQuery(op, "restype", restype, "")
	case comp != "":
		return nil, wire.BadQuery(op, "comp", comp, "")
	case on == onService:
		return nil, fault.New(op, "", fault.InvalidURI, nil)
	}
	return nil, fault.New(op, "", fault.UnsupportedVerb, nil)
}

func known(value string, of func(*route) string) bool {
	for i := range routes {
		if strings.EqualFold(of(&routes[i]), value) {
			return true
		}
	}
	return false
}

// admit checks what the table says of a request before its handler sees it.
func (rt *route) admit(r *wire.Request) error {
	const op = "blobhttp.admit"
	switch {
	case rt.serve == nil:
		return fault.New(op, "", fault.UnsupportedOperation, nil,
			fault.Detail{Name: "Operation", Value: rt.op}, fault.Detail{Name: "Reason", Value: rt.refused})
	case rt.write && r.Target.Secondary:
		return fault.New(op, "", fault.InsufficientAccount, nil)
	case r.Version < rt.since:
		return wire.BadHeader(op, wire.HeaderVersion, string(r.Version))
	}
	if err := refuseForm(r, rt); err != nil {
		return err
	}
	for _, n := range rt.needs {
		if r.Header1(n) == "" {
			return wire.MissingHeader(op, n)
		}
	}
	return rt.admitBody(r)
}

func (rt *route) admitBody(r *wire.Request) error {
	if !rt.body {
		return nil
	}
	if r.ContentLength < 0 || len(r.TransferEncoding) > 0 {
		return fault.New("blobhttp.admit", "", fault.MissingContentLength, nil)
	}
	if r.ContentLength == 0 && !r.Has("Content-Length") {
		return fault.New("blobhttp.admit", "", fault.MissingContentLength, nil)
	}
	if r.ContentLength > rt.maxBody {
		return tooLarge(rt.maxBody)
	}
	return nil
}
