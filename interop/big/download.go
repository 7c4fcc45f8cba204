package main

import (
	"context"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

// ordered hashes blocks that arrive from parallel requests, in their order.
type ordered struct {
	h           hash.Hash
	block, size int64
}

// download gets the blob as ranges, parallel of them in flight, all pinned to
// the ETag of the first. The SDK's own DownloadFile would need a file of the
// blob's size; this keeps to parallel blocks of memory.
func download(ctx context.Context, b *blob.Client, o *ordered, parallel int) error {
	p, err := b.GetProperties(ctx, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	blocks := (o.size + o.block - 1) / o.block
	// One channel a slot: block n is delivered in slot n % parallel, so that the
	// hash below takes them in order and a slow one holds back only its slot.
	slots := make([]chan []byte, parallel)
	var wg sync.WaitGroup
	for s := range slots {
		slots[s] = make(chan []byte)
		wg.Go(func() {
			buf := make([]byte, o.block)
			other := make([]byte, o.block)
			for n := int64(s); n < blocks; n += int64(parallel) {
				part := buf[:min(o.block, o.size-n*o.block)]
				if err := readBlock(ctx, b, p.ETag, n*o.block, part); err != nil {
					cancel(fmt.Errorf("block %d: %w", n, err))
					return
				}
				select {
				case slots[s] <- part:
				case <-ctx.Done():
					return
				}
				buf, other = other, buf // the hash still reads the one just sent
			}
		})
	}
	for n := int64(0); n < blocks && ctx.Err() == nil; n++ {
		select {
		case part := <-slots[n%int64(parallel)]:
			o.h.Write(part)
		case <-ctx.Done():
		}
	}
	err = context.Cause(ctx)
	cancel(nil)
	wg.Wait()
	return err
}

func readBlock(ctx context.Context, b *blob.Client, etag *azcore.ETag, off int64, into []byte) error {
	r, err := b.DownloadStream(ctx, &blob.DownloadStreamOptions{
		Range:            blob.HTTPRange{Offset: off, Count: int64(len(into))},
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: etag}},
	})
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if _, err := io.ReadFull(r.Body, into); err != nil {
		return err
	}
	if n, err := r.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("the answer is longer than the range")
	}
	return nil
}
