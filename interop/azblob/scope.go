package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// setScope makes a scope or changes its state, at the management endpoint.
func setScope(ctx context.Context, method, name, state string) error {
	u := os.Getenv("COFFER_MANAGEMENT") + "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/" +
		accountName() + "/encryptionScopes/" + name + "?api-version=2024-01-01"
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader([]byte(`{"properties":{"state":"`+state+`"}}`)))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		b, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s scope %s: %s %s", method, name, resp.Status, b)
	}
	return nil
}

// scope: keys of their own inside the account, by header, container default and SAS.
func (r *run) scope(ctx context.Context) error {
	a, b := "a-"+r.name, "b-"+r.name
	for _, n := range []string{a, b} {
		if err := setScope(ctx, http.MethodPut, n, "Enabled"); err != nil {
			return err
		}
	}
	content := noise(60, 100_000)
	in := func(n string) *blockblob.UploadOptions {
		return &blockblob.UploadOptions{CPKScopeInfo: &blob.CPKScopeInfo{EncryptionScope: &n}}
	}
	byHeader := r.cont.NewBlockBlobClient("scoped.bin")
	if w, err := byHeader.Upload(ctx, body(content), in(a)); err != nil || val(w.EncryptionScope) != a {
		return fmt.Errorf("by header: scope %q, %w", val(w.EncryptionScope), err)
	}
	if err := same(ctx, byHeader, content); err != nil {
		return err
	}
	_, err := byHeader.SetMetadata(ctx, map[string]*string{"k": ptr("v")}, &blob.SetMetadataOptions{CPKScopeInfo: &blob.CPKScopeInfo{EncryptionScope: &b}})
	if err := refused(err, conflict, "BlobCustomerSpecifiedEncryptionMismatch"); err != nil {
		return fmt.Errorf("another scope: %w", err)
	}

	box := r.svc.NewContainerClient("sc-" + r.name)
	if _, err := box.Create(ctx, &container.CreateOptions{CPKScopeInfo: &container.CPKScopeInfo{DefaultEncryptionScope: &a, PreventEncryptionScopeOverride: ptr(true)}}); err != nil {
		return err
	}
	byDefault := box.NewBlockBlobClient("default.bin")
	if w, err := byDefault.Upload(ctx, body(content), nil); err != nil || val(w.EncryptionScope) != a {
		return fmt.Errorf("by container: scope %q, %w", val(w.EncryptionScope), err)
	}
	_, err = byDefault.Upload(ctx, body(content), in(b))
	if err := refused(err, forbidden, "RequestForbiddenByContainerEncryptionPolicy"); err != nil {
		return fmt.Errorf("override: %w", err)
	}
	if err := r.scopeSAS(ctx, b, content); err != nil {
		return fmt.Errorf("by SAS: %w", err)
	}

	if err := setScope(ctx, http.MethodPatch, a, "Disabled"); err != nil {
		return err
	}
	for _, c := range []*blockblob.Client{byHeader, byDefault} {
		_, err := get(ctx, c, nil)
		if err := refused(err, forbidden, "EncryptionScopeDisabled"); err != nil {
			return fmt.Errorf("disabled: %w", err)
		}
	}
	if err := setScope(ctx, http.MethodPatch, a, "Enabled"); err != nil {
		return err
	}
	if err := same(ctx, byDefault, content); err != nil {
		return err
	}
	_, err = box.Delete(ctx, nil)
	return err
}

// scopeSAS uploads with an account SAS that names the scope, and no header.
func (r *run) scopeSAS(ctx context.Context, scope string, content []byte) error {
	key, err := service.NewSharedKeyCredential(accountName(), connectionField("AccountKey"))
	if err != nil {
		return err
	}
	q, err := sas.AccountSignatureValues{
		Protocol: sas.ProtocolHTTPSandHTTP, ExpiryTime: time.Now().UTC().Add(time.Hour), EncryptionScope: scope,
		Permissions:   (&sas.AccountPermissions{Read: true, Write: true, Create: true}).String(),
		ResourceTypes: (&sas.AccountResourceTypes{Object: true}).String(),
	}.SignWithSharedKey(key)
	if err != nil {
		return err
	}
	svc, err := service.NewClientWithNoCredential(r.svc.URL()+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	b := svc.NewContainerClient(r.name).NewBlockBlobClient("sas-scoped.bin")
	if w, err := b.Upload(ctx, body(content), nil); err != nil || val(w.EncryptionScope) != scope {
		return fmt.Errorf("scope %q, %w", val(w.EncryptionScope), err)
	}
	return same(ctx, b, content)
}
