package cse

import (
	"context"
	"fmt"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// RewrapOptions are the options of Rewrap.
type RewrapOptions struct {
	// WrapAlgorithm is that of the new key; a DefaultAlgorithmer does not need it.
	WrapAlgorithm string

	AccessConditions *blob.AccessConditions
	CPKInfo          *blob.CPKInfo
}

// RewrapResult says what Rewrap did.
type RewrapResult struct {
	Rewrapped bool   // false: the new key wrapped it already
	From      string // key id before
	ETag      *azcore.ETag
}

// Rewrap wraps the content key of the blob by another key, in its metadata; the content
// stays as it is, and whoever knew the content key still knows it. The old key is the
// client's, or is found by its resolver. It fails with ConditionNotMet if the blob
// changed meanwhile. Snapshots and older versions keep the old wrap, and need the old key.
func (c *BlobClient) Rewrap(ctx context.Context, newKey Key, o *RewrapOptions) (RewrapResult, error) {
	var opt RewrapOptions
	if o != nil {
		opt = *o
	}
	algorithm, err := wrapAlgorithm(newKey, opt.WrapAlgorithm)
	if err != nil {
		return RewrapResult{}, err
	}
	var res RewrapResult
	set := &blob.SetMetadataOptions{AccessConditions: opt.AccessConditions, CPKInfo: opt.CPKInfo}
	p, err := c.blob.GetProperties(ctx, propertiesOptions(set))
	if err != nil {
		return res, err
	}
	text, rest := splitMetadata(p.Metadata)
	if text == nil {
		return res, &Error{Code: NotEncrypted}
	}
	fresh, from, err := c.opt.rewrap(ctx, *text, newKey, algorithm)
	res.From, res.ETag = from, p.ETag
	if err != nil || fresh == "" {
		return res, err
	}
	rest[MetadataName] = to.Ptr(fresh)
	r, err := c.blob.SetMetadata(ctx, rest, withETag(set, p.ETag))
	if err != nil {
		return res, err
	}
	res.Rewrapped, res.ETag = true, r.ETag
	return res, nil
}

func wrapAlgorithm(key Key, name string) (string, error) {
	if key == nil {
		return "", &Error{Code: InvalidOption, Detail: "no new key"}
	}
	if d, ok := key.(DefaultAlgorithmer); ok && name == "" {
		name = d.DefaultAlgorithm()
	}
	if name == "" || name == RSA15 {
		return "", &Error{Code: InvalidOption, Detail: "the new key needs a wrap algorithm"}
	}
	return name, nil
}

// rewrap returns the metadata with the key wrapped anew, or "" if it is already. The
// same bytes are wrapped, version field included.
func (o *Options) rewrap(ctx context.Context, text string, newKey Key, algorithm string) (fresh, from string, err error) {
	d, err := o.parse(text)
	if err != nil {
		return "", "", err
	}
	from = d.KeyID
	if from == newKey.KeyID() {
		return "", from, nil
	}
	key, err := o.findKey(ctx, from)
	if err != nil {
		return "", from, err
	}
	bound, err := unwrapBound(ctx, key, d)
	if err != nil {
		return "", from, err
	}
	if _, err := format.Unbind(d.Protocol, bound); err != nil {
		return "", from, fromFormat(err)
	}
	if err := wrapInto(ctx, d, newKey, algorithm, bound); err != nil {
		return "", from, err
	}
	fresh, err = d.Rewrapped(text)
	return fresh, from, fromFormat(err)
}

// RewrapAllOptions are the options of RewrapAll.
type RewrapAllOptions struct {
	Prefix      string // of the names; all blobs if empty
	Concurrency int    // blobs at once; 8 if zero
	DryRun      bool   // look, and change nothing
	// Each, if not nil, is told of each blob that was, or had to be, rewrapped. An error
	// of it ends the run; nil goes on, also after an error. Calls do not overlap.
	Each func(name string, r RewrapResult, err error) error
	// Blob are the options of each Rewrap. Its conditions must be nil.
	Blob *RewrapOptions
}

// RewrapReport says what RewrapAll found and did.
type RewrapReport struct {
	Rewrapped int // in a dry run: would be
	Already   int // wrapped by the new key before
	Plain     int // not encrypted
	Failed    int
	// Held are the snapshots and versions that still need an old key, by key id.
	Held map[string]int
	// HeldUnknown is why they could not be listed, if they could not.
	HeldUnknown string
}

// RewrapAll rewraps the blobs of a container, or of a prefix of it. A run that was ended
// is resumed by starting it again: the metadata says what is done.
func RewrapAll(ctx context.Context, c *container.Client, newKey Key, opt *Options, ro *RewrapAllOptions) (RewrapReport, error) {
	var r RewrapAllOptions
	if ro != nil {
		r = *ro
	}
	if r.Each == nil {
		r.Each = func(string, RewrapResult, error) error { return nil }
	}
	o, err := opt.check()
	if err != nil {
		return RewrapReport{}, err
	}
	if _, err := wrapAlgorithm(newKey, deref(r.Blob).WrapAlgorithm); err != nil {
		return RewrapReport{}, err
	}
	report := RewrapReport{Held: map[string]int{}}
	var mu sync.Mutex
	err = walk(ctx, c, r.Prefix, r.Concurrency, func(ctx context.Context, it item) error {
		blob := &BlobClient{blob: c.NewBlockBlobClient(it.name), opt: o}
		res, err := blob.rewrapItem(ctx, it, newKey, &r)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case HasCode(err, NotEncrypted):
			report.Plain++
			return nil
		case err != nil:
			report.Failed++
		case res.Rewrapped:
			report.Rewrapped++
		default:
			report.Already++
			return nil
		}
		return r.Each(it.name, res, err)
	})
	if err != nil {
		return report, err
	}
	report.HeldUnknown = held(ctx, c, r.Prefix, func(it item) {
		if d, err := format.Parse(deref(it.text)); err == nil && d.KeyID != newKey.KeyID() {
			report.Held[d.KeyID]++
		}
	})
	return report, nil
}

func (c *BlobClient) rewrapItem(ctx context.Context, it item, newKey Key, r *RewrapAllOptions) (RewrapResult, error) {
	if it.text == nil {
		return RewrapResult{}, &Error{Code: NotEncrypted}
	}
	d, err := c.opt.parse(*it.text)
	if err != nil {
		return RewrapResult{}, err
	}
	if d.KeyID == newKey.KeyID() {
		return RewrapResult{From: d.KeyID}, nil
	}
	if r.DryRun {
		_, err := c.opt.findKey(ctx, d.KeyID)
		return RewrapResult{Rewrapped: err == nil, From: d.KeyID}, err
	}
	return c.Rewrap(ctx, newKey, r.Blob)
}

// item is one blob of a listing.
type item struct {
	name     string
	text     *string // encryption metadata; nil: there is none
	size     int64
	kind     blob.BlobType
	snapshot string
	version  string
	current  bool
}

func newItem(b *container.BlobItem) item {
	it := item{name: deref(b.Name), snapshot: deref(b.Snapshot), version: deref(b.VersionID)}
	it.current = it.snapshot == "" && (it.version == "" || deref(b.IsCurrentVersion))
	it.text, _ = splitMetadata(b.Metadata)
	if p := b.Properties; p != nil {
		it.size, it.kind = deref(p.ContentLength), deref(p.BlobType)
	}
	return it
}

const defaultWalkers = 8

// walk calls do for every blob of a prefix, several at once. The temporary blobs of a
// migration are left out.
func walk(ctx context.Context, c *container.Client, prefix string, concurrency int, do func(context.Context, item) error) error {
	if concurrency <= 0 {
		concurrency = defaultWalkers
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan item)
	var all sync.WaitGroup
	for range concurrency {
		all.Go(func() {
			for it := range queue {
				if ctx.Err() != nil {
					continue
				}
				if err := do(ctx, it); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := list(ctx, c, prefix, container.ListBlobsInclude{Metadata: true}, func(it item) error {
		if isTemporary(it.name) {
			return nil
		}
		select {
		case queue <- it:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(queue)
	all.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// list calls do for every entry of a listing.
func list(ctx context.Context, c *container.Client, prefix string, include container.ListBlobsInclude, do func(item) error) error {
	o := &container.ListBlobsFlatOptions{Include: include}
	if prefix != "" {
		o.Prefix = to.Ptr(prefix)
	}
	pages := c.NewListBlobsFlatPager(o)
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		if page.Segment == nil {
			continue
		}
		for _, b := range page.Segment.BlobItems {
			if err := do(newItem(b)); err != nil {
				return err
			}
		}
	}
	return nil
}

// held lists the snapshots and versions of a prefix. What a service does not have it may
// refuse to list: versions are left out then, and what is left unknown is said.
func held(ctx context.Context, c *container.Client, prefix string, do func(item)) (unknown string) {
	var err error
	for _, include := range []container.ListBlobsInclude{
		{Metadata: true, Snapshots: true, Versions: true}, {Metadata: true, Snapshots: true},
	} {
		first := true
		err = list(ctx, c, prefix, include, func(it item) error {
			first = false
			if !it.current && !isTemporary(it.name) {
				do(it)
			}
			return nil
		})
		if err == nil || !first {
			break
		}
	}
	if err != nil {
		return fmt.Sprintf("snapshots and versions could not be listed: status %d", status(err))
	}
	return ""
}
