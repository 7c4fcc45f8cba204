package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

func (r *run) container(ctx context.Context) error {
	if _, err := r.cont.Create(ctx, &container.CreateOptions{Metadata: map[string]*string{"MadeBy": ptr("interop")}}); err != nil {
		return err
	}
	_, err := r.cont.Create(ctx, nil)
	if err := refused(err, conflict, "ContainerAlreadyExists"); err != nil {
		return err
	}
	p, err := r.cont.GetProperties(ctx, nil)
	if err != nil {
		return err
	}
	if p.ETag == nil || p.LastModified == nil || val(p.DefaultEncryptionScope) != "$account-encryption-key" {
		return fmt.Errorf("properties: etag %v, modified %v, default scope %q", p.ETag, p.LastModified, val(p.DefaultEncryptionScope))
	}
	pager := r.svc.NewListContainersPager(&service.ListContainersOptions{
		Prefix: &r.name, Include: service.ListContainersInclude{Metadata: true}})
	page, err := pager.NextPage(ctx)
	if err != nil {
		return err
	}
	if n := len(page.ContainerItems); n != 1 {
		return fmt.Errorf("listing containers by prefix gave %d, want 1", n)
	}
	if got := val(page.ContainerItems[0].Metadata["madeby"]); got != "interop" {
		return fmt.Errorf("metadata of the listed container: %q", got)
	}
	return nil
}

func (r *run) small(ctx context.Context) error {
	content := noise(1, 4<<10)
	sum := md5.Sum(content)
	b := r.cont.NewBlockBlobClient("small.bin")
	w, err := b.Upload(ctx, body(content), &blockblob.UploadOptions{HTTPHeaders: &blob.HTTPHeaders{
		BlobContentType: ptr("application/x-interop"), BlobCacheControl: ptr("no-cache"), BlobContentLanguage: ptr("en"),
		BlobContentDisposition: ptr("attachment"), BlobContentEncoding: ptr("identity")}})
	if err != nil {
		return err
	}
	if !val(w.IsServerEncrypted) || !bytes.Equal(w.ContentMD5, sum[:]) {
		return fmt.Errorf("answer to Put Blob: encrypted %v, md5 %x want %x", val(w.IsServerEncrypted), w.ContentMD5, sum)
	}
	if err := same(ctx, b, content); err != nil {
		return err
	}
	p, err := b.GetProperties(ctx, nil)
	if err != nil {
		return err
	}
	got := []string{val(p.ContentType), val(p.CacheControl), val(p.ContentLanguage), val(p.ContentDisposition), val(p.ContentEncoding), string(val(p.BlobType))}
	want := []string{"application/x-interop", "no-cache", "en", "attachment", "identity", "BlockBlob"}
	if !slices.Equal(got, want) {
		return fmt.Errorf("properties %q, want %q", got, want)
	}
	if val(p.ContentLength) != int64(len(content)) || !bytes.Equal(p.ContentMD5, sum[:]) || !val(p.IsServerEncrypted) || val(p.ETag) != val(w.ETag) {
		return fmt.Errorf("length %d, md5 %x, encrypted %v, etag %v and %v", val(p.ContentLength), p.ContentMD5, val(p.IsServerEncrypted), val(p.ETag), val(w.ETag))
	}
	// Overwriting changes content and ETag.
	w2, err := put(ctx, b, content[:100])
	if err != nil {
		return err
	}
	if val(w2.ETag) == val(w.ETag) {
		return fmt.Errorf("etag did not change with the content")
	}
	return same(ctx, b, content[:100])
}

func (r *run) empty(ctx context.Context) error {
	b := r.cont.NewBlockBlobClient("empty")
	if _, err := put(ctx, b, nil); err != nil {
		return err
	}
	if err := same(ctx, b, nil); err != nil {
		return err
	}
	c := r.cont.NewBlockBlobClient("empty-list")
	if _, err := c.CommitBlockList(ctx, nil, nil); err != nil {
		return err
	}
	return same(ctx, c, nil)
}

// large goes up as blocks in parallel and comes down in parallel ranges, with
// sizes that are no multiple of anything.
func (r *run) large(ctx context.Context) error {
	content := noise(2, 37<<20+12345)
	b := r.cont.NewBlockBlobClient("large.bin")
	if _, err := b.UploadBuffer(ctx, content, &blockblob.UploadBufferOptions{BlockSize: 4 << 20, Concurrency: 6}); err != nil {
		return err
	}
	got := make([]byte, len(content))
	if _, err := b.DownloadBuffer(ctx, got, &blob.DownloadBufferOptions{BlockSize: 3<<20 + 1, Concurrency: 6}); err != nil {
		return err
	}
	if err := equal(got, content); err != nil {
		return err
	}
	one := r.cont.NewBlockBlobClient("large-one-put.bin")
	if _, err := put(ctx, one, content[:9<<20+7]); err != nil {
		return err
	}
	if err := same(ctx, one, content[:9<<20+7]); err != nil {
		return err
	}
	stream := r.cont.NewBlockBlobClient("large-stream.bin")
	if _, err := stream.UploadStream(ctx, bytes.NewReader(content), &blockblob.UploadStreamOptions{BlockSize: 1 << 20, Concurrency: 4}); err != nil {
		return err
	}
	return same(ctx, stream, content)
}

// names are spelled in every way that a path can be read wrongly.
func (r *run) names(ctx context.Context) error {
	for i, n := range []string{
		"with space.txt", "plus+plus", "per%20cent", "percent%", "a/b//c", "quote\"'.txt", "ümlaut/日本語/🙂", "semi;colon,comma", "q?mark#hash",
		"UPPER", "upper", "dot.", "amp&ersand=1", "tilde~(paren)!$*", strings.Repeat("long/", 180),
	} {
		content := fmt.Appendf(nil, "%d %s", i, n)
		b := r.cont.NewBlockBlobClient("names/" + n)
		if _, err := put(ctx, b, content); err != nil {
			return fmt.Errorf("put %q: %w", n, err)
		}
		if err := same(ctx, b, content); err != nil {
			return fmt.Errorf("get %q: %w", n, err)
		}
		pager := r.cont.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: ptr("names/" + n)})
		page, err := pager.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list %q: %w", n, err)
		}
		if len(page.Segment.BlobItems) == 0 || val(page.Segment.BlobItems[0].Name) != "names/"+n {
			return fmt.Errorf("list with prefix %q does not give it back", n)
		}
	}
	return nil
}

func (r *run) ranges(ctx context.Context) error {
	for _, size := range []int{1000, 32 << 10, 32<<10 + 1, 200_000, 5<<20 + 3} {
		content := noise(3, size)
		b := r.cont.NewBlockBlobClient(fmt.Sprintf("range-%d", size))
		if _, err := put(ctx, b, content); err != nil {
			return err
		}
		for _, at := range [][2]int{{0, 1}, {0, size}, {size - 1, 1}, {1, size - 2}, {size / 2, size / 3}, {size / 3, size}} {
			off, n := at[0], at[1]
			got, err := get(ctx, b, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: int64(off), Count: int64(n)}})
			if err != nil {
				return fmt.Errorf("%d bytes at %d of %d: %w", n, off, size, err)
			}
			if err := equal(got, content[off:min(off+n, size)]); err != nil {
				return fmt.Errorf("%d bytes at %d of %d: %w", n, off, size, err)
			}
		}
		tail, err := get(ctx, b, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: int64(size - 10)}})
		if err != nil {
			return err
		}
		if err := equal(tail, content[size-10:]); err != nil {
			return fmt.Errorf("open-ended range: %w", err)
		}
		_, err = get(ctx, b, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: int64(size), Count: 1}})
		if err := refused(err, 416, "InvalidRange"); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) service(ctx context.Context) error {
	info, err := r.svc.GetAccountInfo(ctx, nil)
	if err != nil {
		return err
	}
	if info.AccountKind == nil || info.SKUName == nil {
		return fmt.Errorf("account information lacks kind or sku")
	}
	p, err := r.svc.GetProperties(ctx, nil)
	if err != nil {
		return err
	}
	if p.HourMetrics == nil || p.Logging == nil {
		return fmt.Errorf("service properties are incomplete")
	}
	return nil
}
