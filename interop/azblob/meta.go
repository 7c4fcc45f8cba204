package main

import (
	"context"
	"crypto/md5"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
)

func md5of(b []byte) []byte { s := md5.Sum(b); return s[:] }

// metaEqual compares metadata as this SDK gives it: names of a listing in lower
// case, whatever the server said.
func metaEqual(got map[string]*string, want map[string]string) error {
	have, lower := map[string]string{}, map[string]string{}
	for k, v := range got {
		have[k] = val(v)
	}
	for k, v := range want {
		lower[strings.ToLower(k)] = v
	}
	if !maps.Equal(have, lower) {
		return fmt.Errorf("metadata %q, want %q", have, lower)
	}
	return nil
}

// metadata keeps the spelling of names. The SDK loses it on the way back (headers
// come in net/http's canonical form, listings in lower case), so the spelling is
// read from the listing as it arrives.
func (r *run) metadata(ctx context.Context) error {
	b := r.cont.NewBlockBlobClient("meta.bin")
	first := map[string]string{"MixedCase": "One", "lower": "two", "UPPER_9": "three; four, five"}
	in := map[string]*string{}
	for k, v := range first {
		in[k] = ptr(v)
	}
	if _, err := b.Upload(ctx, body([]byte("x")), &blockblob.UploadOptions{Metadata: in}); err != nil {
		return err
	}
	p, err := b.GetProperties(ctx, nil)
	if err != nil {
		return err
	}
	if len(p.Metadata) != len(first) {
		return fmt.Errorf("metadata in headers: %d pairs, want %d", len(p.Metadata), len(first))
	}
	if err := r.listedMeta(ctx, "meta.bin", first); err != nil {
		return err
	}
	w, err := b.SetMetadata(ctx, map[string]*string{"SecondSet": ptr("v")}, nil)
	if err != nil {
		return err
	}
	if !val(w.IsServerEncrypted) || val(w.ETag) == val(p.ETag) {
		return fmt.Errorf("answer to Set Metadata: encrypted %v, etag changed %v", val(w.IsServerEncrypted), val(w.ETag) != val(p.ETag))
	}
	if err := r.listedMeta(ctx, "meta.bin", map[string]string{"SecondSet": "v"}); err != nil {
		return err
	}
	if err := same(ctx, b, []byte("x")); err != nil {
		return err
	}
	if _, err := b.SetHTTPHeaders(ctx, blob.HTTPHeaders{BlobContentType: ptr("text/x-new")}, nil); err != nil {
		return err
	}
	p, err = b.GetProperties(ctx, nil)
	if err != nil {
		return err
	}
	if val(p.ContentType) != "text/x-new" || len(p.Metadata) != 1 {
		return fmt.Errorf("after Set Properties: type %q, %d metadata pairs", val(p.ContentType), len(p.Metadata))
	}
	_, err = b.SetMetadata(ctx, map[string]*string{"big": ptr(string(make9k()))}, nil)
	return refused(err, badRequest, "MetadataTooLarge")
}

func make9k() []byte {
	b := make([]byte, 9<<10)
	for i := range b {
		b[i] = 'm'
	}
	return b
}

func (r *run) listedMeta(ctx context.Context, name string, want map[string]string) error {
	pager := r.cont.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &name, Include: container.ListBlobsInclude{Metadata: true}})
	page, err := pager.NextPage(ctx)
	if err != nil {
		return err
	}
	if len(page.Segment.BlobItems) != 1 {
		return fmt.Errorf("%d blobs with prefix %q", len(page.Segment.BlobItems), name)
	}
	if err := metaEqual(page.Segment.BlobItems[0].Metadata, want); err != nil {
		return err
	}
	raw, err := r.rawListing(ctx, name)
	if err != nil {
		return err
	}
	for k, v := range want {
		if e := "<" + k + ">" + v + "</" + k + ">"; !strings.Contains(raw, e) {
			return fmt.Errorf("the listing has no %s: %s", e, raw)
		}
	}
	return nil
}

// rawListing is the XML of a listing, through a container SAS.
func (r *run) rawListing(ctx context.Context, prefix string) (string, error) {
	u, err := r.cont.GetSASURL(sas.ContainerPermissions{List: true}, time.Now().Add(time.Hour), nil)
	if err != nil {
		return "", err
	}
	status, b, err := plainGet(ctx, u+"&restype=container&comp=list&include=metadata&prefix="+url.QueryEscape(prefix))
	if err != nil {
		return "", err
	}
	if status.code != 200 {
		return "", fmt.Errorf("raw listing: answered %s", status.text)
	}
	return string(b), nil
}

func (r *run) conditions(ctx context.Context) error {
	b := r.cont.NewBlockBlobClient("cond.bin")
	w, err := put(ctx, b, []byte("one"))
	if err != nil {
		return err
	}
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	other := azcore.ETag(`"0x0000000000000001"`)
	for _, c := range []struct {
		name  string
		m     blob.ModifiedAccessConditions
		read  int // expected status of a GET; 200 is success
		write int // expected status of a Put Blob; 201 is success
	}{
		{"if-match own", blob.ModifiedAccessConditions{IfMatch: w.ETag}, 200, 201},
		{"if-match other", blob.ModifiedAccessConditions{IfMatch: &other}, 412, 412},
		{"if-match any", blob.ModifiedAccessConditions{IfMatch: ptr(azcore.ETagAny)}, 200, 201},
		{"if-none-match any", blob.ModifiedAccessConditions{IfNoneMatch: ptr(azcore.ETagAny)}, 0, 409},
		{"if-none-match other", blob.ModifiedAccessConditions{IfNoneMatch: &other}, 200, 201},
		{"if-modified-since past", blob.ModifiedAccessConditions{IfModifiedSince: &past}, 200, 201},
		{"if-unmodified-since future", blob.ModifiedAccessConditions{IfUnmodifiedSince: &future}, 200, 201},
		{"if-unmodified-since past", blob.ModifiedAccessConditions{IfUnmodifiedSince: &past}, 412, 412},
	} {
		ac := &blob.AccessConditions{ModifiedAccessConditions: &c.m}
		if c.read != 0 {
			_, err := get(ctx, b, &blob.DownloadStreamOptions{AccessConditions: ac})
			if err := outcome(err, c.read, 200); err != nil {
				return fmt.Errorf("get, %s: %w", c.name, err)
			}
		}
		_, err := b.Upload(ctx, body([]byte("one")), &blockblob.UploadOptions{AccessConditions: ac})
		if err := outcome(err, c.write, 201); err != nil {
			return fmt.Errorf("put, %s: %w", c.name, err)
		}
		p, err := b.GetProperties(ctx, nil)
		if err != nil {
			return err
		}
		w.ETag = p.ETag
	}
	own := &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: w.ETag}}
	_, err = b.GetProperties(ctx, &blob.GetPropertiesOptions{AccessConditions: own})
	if err := refused(err, notModified); err != nil {
		return fmt.Errorf("properties, if-none-match own: %w", err)
	}
	_, err = b.Delete(ctx, &blob.DeleteOptions{AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &other}}})
	if err := refused(err, precondition, "ConditionNotMet"); err != nil {
		return fmt.Errorf("delete, if-match other: %w", err)
	}
	_, err = b.SetMetadata(ctx, nil, &blob.SetMetadataOptions{AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &other}}})
	return refused(err, precondition, "ConditionNotMet")
}

// outcome compares the status of an answer with the expected one.
func outcome(err error, want, success int) error {
	if want == success {
		return err
	}
	return refused(err, want)
}
