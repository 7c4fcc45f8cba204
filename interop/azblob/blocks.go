package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

func blockID(i int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "block-%05d", i))
}

// blocks stages out of order and in parallel, commits in another order than
// staged, then builds a second list of old blocks and new ones.
func (r *run) blocks(ctx context.Context) error {
	b := r.cont.NewBlockBlobClient("blocks.bin")
	sizes := []int{1, 4 << 10, 32<<10 + 1, 1 << 20, 3<<20 + 17, 70_000}
	parts := make([][]byte, len(sizes))
	var wg sync.WaitGroup
	errs := make([]error, len(sizes))
	for i, n := range sizes {
		parts[i] = noise(byte(10+i), n)
		wg.Go(func() {
			_, errs[i] = b.StageBlock(ctx, blockID(i), body(parts[i]), &blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeComputeCRC64()})
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	l, err := b.GetBlockList(ctx, blockblob.BlockListTypeAll, nil)
	if err != nil {
		return err
	}
	if len(l.CommittedBlocks) != 0 || len(l.UncommittedBlocks) != len(sizes) {
		return fmt.Errorf("before the commit: %d committed, %d uncommitted", len(l.CommittedBlocks), len(l.UncommittedBlocks))
	}
	if _, err := get(ctx, b, nil); refused(err, notFound, "BlobNotFound") != nil {
		return fmt.Errorf("a blob of staged blocks only: %w", refused(err, notFound, "BlobNotFound"))
	}
	order := []int{3, 0, 5, 1, 2, 4}
	if err := r.commit(ctx, b, parts, order); err != nil {
		return err
	}
	parts = append(parts, noise(20, 100_001))
	if _, err := b.StageBlock(ctx, blockID(6), body(parts[6]), nil); err != nil {
		return err
	}
	if err := r.commit(ctx, b, parts, []int{6, 4, 4, 0}); err != nil {
		return fmt.Errorf("second list: %w", err)
	}
	_, err = b.CommitBlockList(ctx, []string{blockID(99)}, nil)
	return refused(err, badRequest, "InvalidBlockList")
}

// commit commits the blocks of parts in this order and checks content and list.
func (r *run) commit(ctx context.Context, b *blockblob.Client, parts [][]byte, order []int) error {
	var ids []string
	var want []byte
	for _, i := range order {
		ids = append(ids, blockID(i))
		want = append(want, parts[i]...)
	}
	w, err := b.CommitBlockList(ctx, ids, nil)
	if err != nil {
		return err
	}
	if !val(w.IsServerEncrypted) {
		return fmt.Errorf("answer to Put Block List does not say encrypted")
	}
	if err := same(ctx, b, want); err != nil {
		return err
	}
	l, err := b.GetBlockList(ctx, blockblob.BlockListTypeAll, nil)
	if err != nil {
		return err
	}
	var got []string
	for _, c := range l.CommittedBlocks {
		got = append(got, val(c.Name))
	}
	if !slices.Equal(got, ids) || len(l.UncommittedBlocks) != 0 {
		return fmt.Errorf("list after the commit: %q and %d uncommitted", got, len(l.UncommittedBlocks))
	}
	return nil
}

// checksums: what is checked on the way up, and what comes with a range.
func (r *run) checksums(ctx context.Context) error {
	b := r.cont.NewBlockBlobClient("checked.bin")
	content := noise(30, 300_000)
	for _, v := range []blob.TransferValidationType{blob.TransferValidationTypeComputeCRC64(), blob.TransferValidationTypeMD5(md5of(content))} {
		if _, err := b.Upload(ctx, body(content), &blockblob.UploadOptions{TransactionalValidation: v}); err != nil {
			return err
		}
	}
	_, err := b.Upload(ctx, body(content), &blockblob.UploadOptions{TransactionalValidation: blob.TransferValidationTypeMD5(make([]byte, 16))})
	if err := refused(err, badRequest, "Md5Mismatch"); err != nil {
		return fmt.Errorf("wrong md5: %w", err)
	}
	_, err = b.StageBlock(ctx, blockID(1), body(content), &blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeCRC64(1)})
	if err := refused(err, badRequest, "Crc64Mismatch"); err != nil {
		return fmt.Errorf("wrong crc64: %w", err)
	}
	if err := same(ctx, b, content); err != nil {
		return fmt.Errorf("after refused writes: %w", err)
	}
	d, err := b.DownloadStream(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: 1000, Count: 1 << 16}, RangeGetContentMD5: ptr(true)})
	if err != nil {
		return err
	}
	d.Body.Close()
	if want := md5of(content[1000 : 1000+1<<16]); !bytes.Equal(d.ContentMD5, want) {
		return fmt.Errorf("range md5 %x, want %x", d.ContentMD5, want)
	}
	return nil
}
