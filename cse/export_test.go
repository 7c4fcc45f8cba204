package cse

import (
	"context"
	"io"
)

// UploadHint uploads a source that claims to have size bytes.
func UploadHint(ctx context.Context, c *BlobClient, r io.Reader, size int64, o *UploadOptions) (UploadResponse, error) {
	return c.upload(ctx, r, size, o)
}

// CountSteps tells f of each step of reading an object of version 1.0.
func CountSteps(c *BlobClient, f func(step string)) { c.opt.countStep = f }
