package cse

import (
	"context"
	"crypto/rand"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// put replaces a blob by stored bytes that come in parts. Nothing changes before commit.
type put struct {
	blob  *blockblob.Client
	keep  kept
	up    upload // for the names of blocks
	whole []byte // the only part
	count int64
}

func newPut(b *blockblob.Client, keep kept) *put {
	p := &put{blob: b, keep: keep}
	rand.Read(p.up.session[:])
	return p
}

// add takes the next part, which the caller may overwrite afterwards unless it is the
// only one.
func (p *put) add(ctx context.Context, part []byte, last bool) error {
	if last && p.count == 0 {
		p.whole = part
		return nil
	}
	body := newBlockBody(part)
	defer body.stop()
	_, err := p.blob.StageBlock(ctx, p.up.blockID(p.count), body, nil)
	p.count++
	return err
}

func (p *put) commit(ctx context.Context) error {
	if p.count == 0 {
		_, err := p.blob.Upload(ctx, newBlockBody(p.whole), &blockblob.UploadOptions{
			Metadata: p.keep.metadata, HTTPHeaders: p.keep.headers, Tags: p.keep.tags, Tier: p.keep.tier,
			AccessConditions: p.keep.match,
		})
		return err
	}
	ids := make([]string, p.count)
	for i := range ids {
		ids[i] = p.up.blockID(int64(i))
	}
	_, err := p.blob.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{
		Metadata: p.keep.metadata, HTTPHeaders: p.keep.headers, Tags: p.keep.tags, Tier: p.keep.tier,
		AccessConditions: p.keep.match,
	})
	return err
}
