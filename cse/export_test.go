package cse

import "context"

// CountSteps tells f of each step of reading an object of version 1.0.
func CountSteps(c *BlobClient, f func(step string)) { c.opt.countStep = f }

// Blocks are how an upload of that length is cut, and how many requests run at once.
func Blocks(c *BlobClient, size int64, o *UploadOptions) (part int64, workers int, err error) {
	u, err := c.newUpload(context.Background(), size, o)
	if err != nil {
		return 0, 0, err
	}
	return u.perBlock * u.regions.Length(), u.workers, nil
}
