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

const (
	needsKey = "BlobUsesCustomerSpecifiedEncryption"
	otherKey = "BlobCustomerSpecifiedEncryptionMismatch"
)

// keyed is a blob under a key that comes with each request.
type keyed struct {
	r       *run
	b       *blockblob.Client
	key     *blob.CPKInfo
	content []byte
}

// customerKey is the round with customer-provided keys. Over plain HTTP the service has
// to refuse the key. The other clients of the suite do the same round.
func (r *run) customerKey(ctx context.Context) error {
	k := &keyed{r: r, b: r.cont.NewBlockBlobClient("customer-key.bin"), key: cpk(51), content: noise(50, 200_000)}
	if !strings.HasPrefix(r.svc.URL(), "https:") {
		_, err := k.b.Upload(ctx, body(k.content), &blockblob.UploadOptions{CPKInfo: k.key})
		return refused(err, badRequest)
	}
	return inTurn(ctx, []part{
		{"put", k.put}, {"get", k.get}, {"properties", k.properties}, {"metadata", k.metadata},
		{"list", k.list}, {"blocks", k.blocks}, {"get of blocks", k.get},
	})
}

func (k *keyed) put(ctx context.Context) error {
	w, err := k.b.Upload(ctx, body(k.content), &blockblob.UploadOptions{CPKInfo: k.key, Metadata: map[string]*string{"under": ptr("key")}})
	return k.echo(w.EncryptionKeySHA256, err)
}

// echo checks that an answer names the key's hash.
func (k *keyed) echo(hash *string, err error) error {
	if err == nil && val(hash) != val(k.key.EncryptionKeySHA256) {
		err = fmt.Errorf("the answer names the hash %q", val(hash))
	}
	return err
}

// only runs f without a key and with a wrong one: both are refused.
func (k *keyed) only(f func(*blob.CPKInfo) error) error {
	if err := refused(f(nil), conflict, needsKey); err != nil {
		return fmt.Errorf("without the key: %w", err)
	}
	if err := refused(f(cpk(52)), conflict, otherKey); err != nil {
		return fmt.Errorf("with another key: %w", err)
	}
	return nil
}

// get reads the whole blob and a range.
func (k *keyed) get(ctx context.Context) error {
	got, err := get(ctx, k.b, &blob.DownloadStreamOptions{CPKInfo: k.key})
	if err == nil {
		err = equal(got, k.content)
	}
	if err != nil {
		return err
	}
	got, err = get(ctx, k.b, &blob.DownloadStreamOptions{CPKInfo: k.key, Range: blob.HTTPRange{Offset: 70_000, Count: 70_000}})
	if err == nil {
		err = equal(got, k.content[70_000:140_000])
	}
	if err != nil {
		return fmt.Errorf("range: %w", err)
	}
	return k.only(func(key *blob.CPKInfo) error {
		_, err := get(ctx, k.b, &blob.DownloadStreamOptions{CPKInfo: key})
		return err
	})
}

func (k *keyed) properties(ctx context.Context) error {
	p, err := k.b.GetProperties(ctx, &blob.GetPropertiesOptions{CPKInfo: k.key})
	if err := k.echo(p.EncryptionKeySHA256, err); err != nil {
		return err
	}
	if val(p.ContentLength) != int64(len(k.content)) || !val(p.IsServerEncrypted) {
		return fmt.Errorf("length %d, encrypted %v", val(p.ContentLength), val(p.IsServerEncrypted))
	}
	return k.only(func(key *blob.CPKInfo) error {
		_, err := k.b.GetProperties(ctx, &blob.GetPropertiesOptions{CPKInfo: key})
		return err
	})
}

func (k *keyed) metadata(ctx context.Context) error {
	w, err := k.b.SetMetadata(ctx, map[string]*string{"second": ptr("value")}, &blob.SetMetadataOptions{CPKInfo: k.key})
	if err := k.echo(w.EncryptionKeySHA256, err); err != nil {
		return err
	}
	p, err := k.b.GetProperties(ctx, &blob.GetPropertiesOptions{CPKInfo: k.key})
	if err != nil {
		return err
	}
	if len(p.Metadata) != 1 || val(p.Metadata["Second"]) != "value" {
		return fmt.Errorf("metadata %v", p.Metadata)
	}
	return k.only(func(key *blob.CPKInfo) error {
		_, err := k.b.SetMetadata(ctx, map[string]*string{"third": ptr("value")}, &blob.SetMetadataOptions{CPKInfo: key})
		return err
	})
}

// list shows the hash of the key, and hides the metadata.
func (k *keyed) list(ctx context.Context) error {
	page, err := k.r.cont.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
		Prefix: ptr("customer-key"), Include: container.ListBlobsInclude{Metadata: true}}).NextPage(ctx)
	if err != nil {
		return err
	}
	if n := len(page.Segment.BlobItems); n != 1 {
		return fmt.Errorf("%d blobs", n)
	}
	item := page.Segment.BlobItems[0]
	if len(item.Metadata) != 0 {
		return fmt.Errorf("the listing shows metadata %v", item.Metadata)
	}
	return k.echo(item.Properties.CustomerProvidedKeySHA256, nil)
}

func (k *keyed) blocks(ctx context.Context) error {
	for i := range 3 {
		w, err := k.b.StageBlock(ctx, blockID(i), body(k.content), &blockblob.StageBlockOptions{CPKInfo: k.key})
		if err := k.echo(w.EncryptionKeySHA256, err); err != nil {
			return err
		}
	}
	ids := []string{blockID(2), blockID(0)}
	err := k.only(func(key *blob.CPKInfo) error {
		_, err := k.b.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{CPKInfo: key})
		return err
	})
	if err != nil {
		return err
	}
	w, err := k.b.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{CPKInfo: k.key})
	k.content = append(k.content[:len(k.content):len(k.content)], k.content...)
	return k.echo(w.EncryptionKeySHA256, err)
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
