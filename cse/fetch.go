package cse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// access is what every request of a download carries.
type access struct {
	conditions *blob.AccessConditions
	cpk        *blob.CPKInfo
	scope      *blob.CPKScopeInfo
}

// object is one blob during one logical download: all requests see the same ETag.
type object struct {
	*content
	blob *BlobClient
	acc  access
	etag *azcore.ETag
	text *string

	head  []byte       // stored bytes from offset 0 that came along, nil: none or taken
	taken atomic.Int64 // how much of head was taken, to be decrypted where it lies
}

// probeSize is what the first request of a whole download asks for: one region.
const probeSize = format.DefaultRegion + format.Overhead

// find asks for the properties of the blob, and opens it.
func (c *BlobClient) find(ctx context.Context, acc access, context []byte) (*object, error) {
	p, err := c.blob.GetProperties(ctx, &blob.GetPropertiesOptions{AccessConditions: acc.conditions, CPKInfo: acc.cpk})
	if err != nil {
		return nil, err
	}
	text, _ := splitMetadata(p.Metadata)
	o := &object{blob: c, acc: acc, etag: p.ETag, text: text}
	page := deref(p.BlobType) == blob.BlobTypePageBlob
	return o, o.begin(ctx, deref(p.ContentLength), page, context)
}

// probe asks for the first bytes of the blob, and opens it: a small blob takes one
// request.
func (c *BlobClient) probe(ctx context.Context, acc access, context []byte) (*object, error) {
	opt := &blob.DownloadStreamOptions{AccessConditions: acc.conditions, CPKInfo: acc.cpk, CPKScopeInfo: acc.scope}
	opt.Range = blob.HTTPRange{Count: probeSize}
	r, err := c.blob.DownloadStream(ctx, opt)
	if status(err) == http.StatusRequestedRangeNotSatisfiable { // an empty blob
		opt.Range = blob.HTTPRange{}
		r, err = c.blob.DownloadStream(ctx, opt)
	}
	if err != nil {
		return nil, err
	}
	body := r.NewRetryReader(ctx, nil)
	defer body.Close()
	o := &object{blob: c, acc: acc, etag: r.ETag}
	o.text, _ = splitMetadata(r.Metadata)
	_, size, err := extent(&r)
	if err != nil {
		return nil, err
	}
	length := deref(r.ContentLength)
	if length < 0 || length > max(size, 0) {
		return nil, &Error{Code: Changed, Detail: "another range came back"}
	}
	o.head = getBuffer(length)
	if _, err := io.ReadFull(body, o.head); err != nil {
		return nil, fmt.Errorf("cse: read the blob: %w", err)
	}
	page := deref(r.BlobType) == blob.BlobTypePageBlob
	return o, o.begin(ctx, size, page, context)
}

func (o *object) begin(ctx context.Context, stored int64, page bool, context []byte) (err error) {
	o.content, err = o.blob.opt.open(ctx, source{text: o.text, stored: stored, page: page, context: context})
	if err != nil {
		return err
	}
	if o.plain >= 0 {
		return o.openEmptyRegion(ctx)
	}
	off, n := o.tail()
	buf := make([]byte, n)
	if n > 0 {
		if err := o.fetch(ctx, off, buf); err != nil {
			return err
		}
	}
	return o.setTail(buf)
}

// openEmptyRegion checks an empty last region: some writers may leave one, and no range
// of plaintext touches it.
func (o *object) openEmptyRegion(ctx context.Context) error {
	if o.regions == nil || o.stored%o.regions.Sealed() != format.Overhead {
		return nil
	}
	buf := make([]byte, format.Overhead)
	if err := o.fetch(ctx, o.stored-format.Overhead, buf); err != nil {
		return err
	}
	_, err := o.regions.Open(nil, buf, uint64(o.stored/o.regions.Sealed()), o.order)
	return fromFormat(err)
}

// fetch reads stored bytes, from what came along or from the service.
func (o *object) fetch(ctx context.Context, off int64, buf []byte) error {
	if off+int64(len(buf)) <= int64(len(o.head)) && off >= o.taken.Load() {
		copy(buf, o.head[off:])
		return nil
	}
	body, err := o.stream(ctx, off, int64(len(buf)))
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.ReadFull(body, buf); err != nil {
		return fmt.Errorf("cse: read the blob: %w", err)
	}
	return nil
}

// takeHead returns stored bytes that came along, for the caller to decrypt where they
// lie. Parts of a download start in order and do not overlap, so what was taken is not
// asked for again, but for a block of version 1.0, which is fetched.
func (o *object) takeHead(off, n int64) []byte {
	if o.cbc != nil || off+n > int64(len(o.head)) {
		return nil
	}
	for {
		taken := o.taken.Load()
		if off < taken {
			return nil
		}
		if o.taken.CompareAndSwap(taken, off+n) {
			return o.head[off : off+n : off+n]
		}
	}
}

// release gives back what came along.
func (o *object) release() {
	putBuffer(o.head)
	o.head = nil
}

// stream starts a request for stored bytes, and checks that the answer is of the same
// blob and begins where it was asked to.
func (o *object) stream(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	r, err := o.blob.blob.DownloadStream(ctx, &blob.DownloadStreamOptions{
		Range:            blob.HTTPRange{Offset: off, Count: n},
		AccessConditions: ifMatch(o.acc.conditions, o.etag),
		CPKInfo:          o.acc.cpk,
		CPKScopeInfo:     o.acc.scope,
	})
	if err != nil {
		return nil, err
	}
	body := r.NewRetryReader(ctx, nil)
	if err := o.same(&r, off); err != nil {
		body.Close()
		return nil, err
	}
	return body, nil
}

// same checks a later response of a download against the first.
func (o *object) same(r *blob.DownloadStreamResponse, off int64) error {
	start, size, err := extent(r)
	if err != nil {
		return err
	}
	text, _ := splitMetadata(r.Metadata)
	switch {
	case start != off || size != o.stored:
		return &Error{Code: Changed, Detail: "another range came back"}
	case (text == nil) != (o.text == nil) || deref(text) != deref(o.text):
		return &Error{Code: Changed, Detail: "its encryption metadata is another"}
	}
	return nil
}

// extent returns where the bytes of a response begin, and the size of the whole blob.
func extent(r *blob.DownloadStreamResponse) (start, size int64, err error) {
	if r.ContentRange == nil {
		return 0, deref(r.ContentLength), nil
	}
	bad := &Error{Code: Changed, Detail: "a Content-Range that is none"}
	words, ok := strings.CutPrefix(*r.ContentRange, "bytes ")
	span, total, ok2 := strings.Cut(words, "/")
	first, _, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, bad
	}
	if start, err = strconv.ParseInt(first, 10, 64); err != nil || start < 0 {
		return 0, 0, bad
	}
	if size, err = strconv.ParseInt(total, 10, 64); err != nil || size < start {
		return 0, 0, bad
	}
	return start, size, nil
}

// status is the HTTP status of an error of the service, or 0.
func status(err error) int {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.StatusCode
	}
	return 0
}
