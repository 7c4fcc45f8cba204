package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// customerKey: a blob under a key that comes with each request. Over plain
// HTTP the service has to refuse the key.
func (r *run) customerKey(ctx context.Context) error {
	b := r.cont.NewBlockBlobClient("customer-key.bin")
	content := noise(50, 200_000)
	key := cpk(51)
	_, err := b.Upload(ctx, body(content), &blockblob.UploadOptions{CPKInfo: key, Metadata: map[string]*string{"under": ptr("key")}})
	if !strings.HasPrefix(r.svc.URL(), "https:") {
		return refused(err, badRequest)
	}
	if err != nil {
		return err
	}
	got, err := get(ctx, b, &blob.DownloadStreamOptions{CPKInfo: key, Range: blob.HTTPRange{Offset: 70_000, Count: 70_000}})
	if err != nil {
		return err
	}
	if err := equal(got, content[70_000:140_000]); err != nil {
		return err
	}
	_, err = get(ctx, b, nil)
	if err := refused(err, conflict, "BlobUsesCustomerSpecifiedEncryption"); err != nil {
		return fmt.Errorf("without the key: %w", err)
	}
	_, err = get(ctx, b, &blob.DownloadStreamOptions{CPKInfo: cpk(52)})
	if err := refused(err, conflict, "BlobCustomerSpecifiedEncryptionMismatch"); err != nil {
		return fmt.Errorf("with another key: %w", err)
	}
	page, err := r.cont.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: ptr("customer-key"), Include: container.ListBlobsInclude{Metadata: true}}).NextPage(ctx)
	if err != nil {
		return err
	}
	if len(page.Segment.BlobItems) != 1 || val(page.Segment.BlobItems[0].Properties.CustomerProvidedKeySHA256) != val(key.EncryptionKeySHA256) {
		return fmt.Errorf("the listing does not show the hash of the key")
	}
	for i := range 3 {
		if _, err := b.StageBlock(ctx, blockID(i), body(content), &blockblob.StageBlockOptions{CPKInfo: key}); err != nil {
			return err
		}
	}
	if _, err := b.CommitBlockList(ctx, []string{blockID(2), blockID(0)}, &blockblob.CommitBlockListOptions{CPKInfo: key}); err != nil {
		return err
	}
	got, err = get(ctx, b, &blob.DownloadStreamOptions{CPKInfo: key})
	if err != nil {
		return err
	}
	return equal(got, append(append([]byte{}, content...), content...))
}

func cpk(seed byte) *blob.CPKInfo {
	k := noise(seed, 32)
	sum := sha256.Sum256(k)
	return &blob.CPKInfo{
		EncryptionKey:       ptr(base64.StdEncoding.EncodeToString(k)),
		EncryptionKeySHA256: ptr(base64.StdEncoding.EncodeToString(sum[:])),
		EncryptionAlgorithm: ptr(blob.EncryptionAlgorithmTypeAES256),
	}
}
