package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// listed are the names that the listing steps put and expect back, in order.
var listed = []string{"l/a/1", "l/a/2", "l/a/3", "l/b", "l/b/1", "l/c-1", "l/c/x/1", "l/c/x/2", "l/d"}

func (r *run) putListed(ctx context.Context) error {
	for _, n := range listed {
		if _, err := put(ctx, r.cont.NewBlockBlobClient(n), []byte(n)); err != nil {
			return err
		}
	}
	return nil
}

// listFlat lists in pages of every size from 1 up: nothing twice, nothing missing.
func (r *run) listFlat(ctx context.Context) error {
	if err := r.putListed(ctx); err != nil {
		return err
	}
	for size := int32(1); size <= int32(len(listed))+1; size++ {
		var got []string
		pages := 0
		pager := r.cont.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
			Prefix: ptr("l/"), MaxResults: &size, Include: container.ListBlobsInclude{Metadata: true}})
		for pager.More() {
			page, err := pager.NextPage(ctx)
			if err != nil {
				return err
			}
			pages++
			if n := int32(len(page.Segment.BlobItems)); n > size {
				return fmt.Errorf("a page of %d with maxresults %d", n, size)
			}
			for _, it := range page.Segment.BlobItems {
				got = append(got, val(it.Name))
				if !val(it.Properties.ServerEncrypted) || val(it.Properties.ContentLength) != int64(len(val(it.Name))) || it.Properties.ETag == nil {
					return fmt.Errorf("properties of %q: %+v", val(it.Name), it.Properties)
				}
			}
			if pages > 50 {
				return fmt.Errorf("the markers of a listing go round")
			}
		}
		if !slices.Equal(got, listed) {
			return fmt.Errorf("pages of %d gave %q, want %q", size, got, listed)
		}
	}
	return nil
}

func (r *run) listTree(ctx context.Context) error {
	if err := r.putListed(ctx); err != nil {
		return err
	}
	want := []string{"l/b", "l/c-1", "l/d", "/l/a/", "/l/b/", "/l/c/"}
	for size := int32(1); size <= 7; size++ {
		var blobs, prefixes []string
		pager := r.cont.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: ptr("l/"), MaxResults: &size})
		for pages := 0; pager.More(); pages++ {
			page, err := pager.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, it := range page.Segment.BlobItems {
				blobs = append(blobs, val(it.Name))
			}
			for _, p := range page.Segment.BlobPrefixes {
				prefixes = append(prefixes, "/"+val(p.Name))
			}
			if pages > 50 {
				return fmt.Errorf("the markers of a listing go round")
			}
		}
		if got := append(blobs, prefixes...); !slices.Equal(got, want) {
			return fmt.Errorf("pages of %d gave %q, want %q", size, got, want)
		}
	}
	return nil
}
