package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// azure drives a Blob endpoint through the official SDK. Retries are off: an
// error is an error of the run, not a slow operation.
type azure struct {
	c     config
	cont  *container.Client
	key   *blob.CPKInfo
	scope *blob.CPKScopeInfo
}

// plainRange says a range in HTTP's own header too: a server of files knows no other.
type plainRange struct{}

func (plainRange) Do(r *policy.Request) (*http.Response, error) {
	for k, v := range r.Raw().Header {
		if strings.EqualFold(k, "x-ms-range") {
			r.Raw().Header.Set("Range", v[0])
			break
		}
	}
	return r.Next()
}

func newAzure(c config) (*azure, error) {
	opt := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}}
	if !c.stock {
		opt.Transport = &http.Client{Transport: transport(c.insecure)}
	}
	url := strings.TrimRight(c.endpoint, "/") + "/" + c.container
	var cl *container.Client
	var err error
	if c.anonymous {
		opt.PerCallPolicies = []policy.Policy{plainRange{}}
		cl, err = container.NewClientWithNoCredential(url, opt)
	} else {
		var cred *container.SharedKeyCredential
		if cred, err = container.NewSharedKeyCredential(c.account, c.key); err == nil {
			cl, err = container.NewClientWithSharedKeyCredential(url, cred, opt)
		}
	}
	if err != nil {
		return nil, err
	}
	a := &azure{c: c, cont: cl}
	if c.scope != "" {
		a.scope = &blob.CPKScopeInfo{EncryptionScope: &c.scope}
	}
	if c.cpk != nil {
		sum := sha256.Sum256(c.cpk)
		key, hash, aes := base64.StdEncoding.EncodeToString(c.cpk), base64.StdEncoding.EncodeToString(sum[:]), blob.EncryptionAlgorithmTypeAES256
		a.key = &blob.CPKInfo{EncryptionKey: &key, EncryptionKeySHA256: &hash, EncryptionAlgorithm: &aes}
	}
	return a, nil
}

func (a *azure) Setup(ctx context.Context) error {
	var opt container.CreateOptions
	if a.c.public {
		access := container.PublicAccessTypeBlob
		opt.Access = &access
	}
	_, err := a.cont.Create(ctx, &opt)
	if bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return nil
	}
	return err
}

func (a *azure) Put(ctx context.Context, name string, body []byte) error {
	_, err := a.cont.NewBlockBlobClient(name).Upload(ctx, streaming.NopCloser(bytes.NewReader(body)),
		&blockblob.UploadOptions{CPKInfo: a.key, CPKScopeInfo: a.scope})
	return err
}

func (a *azure) Get(ctx context.Context, name string, off, n int64, w io.Writer) (int64, error) {
	r, err := a.cont.NewBlobClient(name).DownloadStream(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: off, Count: n}, CPKInfo: a.key})
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	return drain(w, r.Body)
}

func (a *azure) PutBig(ctx context.Context, name string, r io.Reader, size int64, par int) error {
	_, err := a.cont.NewBlockBlobClient(name).UploadStream(ctx, r, &blockblob.UploadStreamOptions{BlockSize: a.c.block, Concurrency: par,
		CPKInfo: a.key, CPKScopeInfo: a.scope})
	return err
}

func (a *azure) GetBig(ctx context.Context, name string, f *os.File, size int64, par int) error {
	n, err := a.cont.NewBlobClient(name).DownloadFile(ctx, f, &blob.DownloadFileOptions{BlockSize: a.c.block, Concurrency: uint16(par), CPKInfo: a.key})
	if err == nil && n != size {
		err = fmt.Errorf("short download: %d of %d", n, size)
	}
	return err
}

func (a *azure) List(ctx context.Context, prefix string) (int, error) {
	n := 0
	p := a.cont.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix})
	for p.More() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return n, err
		}
		n += len(page.Segment.BlobItems)
	}
	return n, nil
}
