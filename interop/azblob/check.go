package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

func body(b []byte) io.ReadSeekCloser { return streaming.NopCloser(bytes.NewReader(b)) }

// put stores a blob in one request.
func put(ctx context.Context, b *blockblob.Client, content []byte) (blockblob.UploadResponse, error) {
	return b.Upload(ctx, body(content), nil)
}

// same reads a whole blob and compares it with want.
func same(ctx context.Context, b *blockblob.Client, want []byte) error {
	got, err := get(ctx, b, nil)
	if err != nil {
		return err
	}
	return equal(got, want)
}

func get(ctx context.Context, b *blockblob.Client, o *blob.DownloadStreamOptions) ([]byte, error) {
	resp, err := b.DownloadStream(ctx, o)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func equal(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("content differs: %d bytes (sha256 %x) instead of %d (%x)",
			len(got), sha256.Sum256(got), len(want), sha256.Sum256(want))
	}
	return nil
}

// refused checks that err is an answer of the service with this status and code.
func refused(err error, status int, codes ...string) error {
	var re *azcore.ResponseError
	if err == nil {
		return fmt.Errorf("was accepted, want %d %s", status, codes)
	}
	if !errors.As(err, &re) {
		return fmt.Errorf("want %d %s, got no answer of the service: %w", status, codes, err)
	}
	if re.StatusCode != status {
		return fmt.Errorf("answered %d %s, want %d %s", re.StatusCode, re.ErrorCode, status, codes)
	}
	for _, c := range codes {
		if re.ErrorCode == c {
			return nil
		}
	}
	if len(codes) == 0 {
		return nil
	}
	return fmt.Errorf("answered %d %s, want %d %s", re.StatusCode, re.ErrorCode, status, codes)
}

const (
	notFound     = http.StatusNotFound
	conflict     = http.StatusConflict
	precondition = http.StatusPreconditionFailed
	notModified  = http.StatusNotModified
	badRequest   = http.StatusBadRequest
	forbidden    = http.StatusForbidden
)

func ptr[T any](v T) *T { return &v }

// val is *p, or the zero value for an answer that lacks the field.
func val[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
