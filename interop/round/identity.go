package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

const (
	blobContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
	blobReader      = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
)

// token writes and reads with the client's own token: refused without a role, let with
// one.
func (w *world) token(ctx context.Context) error {
	c, err := w.bearer(w.cred)
	if err != nil {
		return err
	}
	if _, err := c.UploadBuffer(ctx, container, "by-token", content, nil); !refusedFor(err, "AuthorizationPermissionMismatch") {
		return fmt.Errorf("writing without a role: %v", err)
	}
	if err := w.giveAt(ctx, w.state.accountID, "aaaaaaaa-0000-4000-8000-000000000003", blobContributor, self()); err != nil {
		return err
	}
	if _, err := c.UploadBuffer(ctx, container, "by-token", content, nil); err != nil {
		return err
	}
	return same(ctx, c)
}

// delegation reads with a SAS that is signed with a key which a token got, and may not
// write with it. The client signs for the account that the host names, so the address is
// one with the account in the host.
func (w *world) delegation(ctx context.Context) error {
	u, err := url.Parse(w.state.endpoint)
	if err != nil {
		return err
	}
	endpoint := "https://" + accountName + ".blob.core.localhost:" + u.Port() + "/"
	s, err := service.NewClient(endpoint, w.cred, &service.ClientOptions{ClientOptions: w.storageOptions()})
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	info := service.KeyInfo{Start: to.Ptr(now.Format(sas.TimeFormat)), Expiry: to.Ptr(now.Add(time.Hour).Format(sas.TimeFormat))}
	key, err := s.GetUserDelegationCredential(ctx, info, nil)
	if err != nil {
		return err
	}
	q, err := sas.BlobSignatureValues{
		Protocol: sas.ProtocolHTTPS, ExpiryTime: now.Add(time.Hour), ContainerName: container, BlobName: "by-token",
		Permissions: (&sas.BlobPermissions{Read: true}).String(),
	}.SignWithUserDelegation(key)
	if err != nil {
		return err
	}
	b, err := blockblob.NewClientWithNoCredential(endpoint+container+"/by-token?"+q.Encode(), &blockblob.ClientOptions{ClientOptions: w.storageOptions()})
	if err != nil {
		return err
	}
	got, err := b.DownloadStream(ctx, nil)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if all, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(all, content) {
		return errors.Join(errors.New("the content differs"), err)
	}
	if _, err := b.UploadBuffer(ctx, content, nil); !refusedFor(err, "AuthorizationPermissionMismatch") {
		return fmt.Errorf("writing with a SAS that reads: %v", err)
	}
	return nil
}

// managed reads with a managed identity of the machine, without any credential.
func (w *world) managed(ctx context.Context) error {
	os.Setenv("IDENTITY_ENDPOINT", os.Getenv("COFFER_MANAGEMENT")+"/msi/token")
	os.Setenv("IDENTITY_HEADER", "coffer")
	cred, err := azidentity.NewManagedIdentityCredential(nil)
	if err != nil {
		return err
	}
	c, err := w.bearer(cred)
	if err != nil {
		return err
	}
	if err := w.giveAt(ctx, w.state.accountID, "aaaaaaaa-0000-4000-8000-000000000004", blobReader, os.Getenv("COFFER_MACHINE_ID")); err != nil {
		return err
	}
	return same(ctx, c)
}

func (w *world) storageOptions() azcore.ClientOptions {
	o := azcore.ClientOptions{Transport: w.http}
	o.Retry.MaxRetries = -1
	return o
}

// bearer is a client that shows tokens.
func (w *world) bearer(cred azcore.TokenCredential) (*azblob.Client, error) {
	return azblob.NewClient(w.state.endpoint, cred, &azblob.ClientOptions{ClientOptions: w.storageOptions()})
}

func same(ctx context.Context, c *azblob.Client) error {
	got := make([]byte, len(content))
	n, err := c.DownloadBuffer(ctx, container, "by-token", got, nil)
	if err == nil && (n != int64(len(content)) || !bytes.Equal(got, content)) {
		err = errors.New("the content differs")
	}
	return err
}

// refusedFor reports whether an answer is 403 with a code.
func refusedFor(err error, code string) bool {
	re, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && re.StatusCode == 403 && re.ErrorCode == code
}
