package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// sasAccount: a client that holds nothing but an account SAS.
func (r *run) sasAccount(ctx context.Context) error {
	until := time.Now().Add(time.Hour)
	u, err := r.svc.GetSASURL(sas.AccountResourceTypes{Service: true, Container: true, Object: true},
		sas.AccountPermissions{Read: true, List: true, Write: true, Create: true}, until, nil)
	if err != nil {
		return err
	}
	svc, err := service.NewClientWithNoCredential(u, nil)
	if err != nil {
		return err
	}
	b := svc.NewContainerClient(r.name).NewBlockBlobClient("sas/account.bin")
	content := noise(40, 50_000)
	if _, err := put(ctx, b, content); err != nil {
		return err
	}
	if err := same(ctx, b, content); err != nil {
		return err
	}
	_, err = b.Delete(ctx, nil)
	if err := refused(err, forbidden, "AuthorizationPermissionMismatch"); err != nil {
		return fmt.Errorf("delete without the permission: %w", err)
	}
	u, err = r.svc.GetSASURL(sas.AccountResourceTypes{Service: true}, sas.AccountPermissions{Read: true, List: true}, until, nil)
	if err != nil {
		return err
	}
	svc, err = service.NewClientWithNoCredential(u, nil)
	if err != nil {
		return err
	}
	_, err = get(ctx, svc.NewContainerClient(r.name).NewBlockBlobClient("sas/account.bin"), nil)
	return refused(err, forbidden, "AuthorizationResourceTypeMismatch")
}

// sasService: SAS for a container and for one blob, expired ones, changed ones.
func (r *run) sasService(ctx context.Context) error {
	until := time.Now().Add(time.Hour)
	content := noise(41, 60_000)
	if _, err := put(ctx, r.cont.NewBlockBlobClient("sas/blob.bin"), content); err != nil {
		return err
	}
	u, err := r.cont.GetSASURL(sas.ContainerPermissions{Read: true, List: true}, until, nil)
	if err != nil {
		return err
	}
	c, err := container.NewClientWithNoCredential(u, nil)
	if err != nil {
		return err
	}
	if err := same(ctx, c.NewBlockBlobClient("sas/blob.bin"), content); err != nil {
		return err
	}
	if _, err := c.NewListBlobsFlatPager(nil).NextPage(ctx); err != nil {
		return err
	}
	_, err = put(ctx, c.NewBlockBlobClient("sas/blob.bin"), content)
	if err := refused(err, forbidden, "AuthorizationPermissionMismatch"); err != nil {
		return fmt.Errorf("write with a read SAS: %w", err)
	}
	bu, err := r.cont.NewBlockBlobClient("sas/blob.bin").GetSASURL(sas.BlobPermissions{Read: true}, until, &blob.GetSASURLOptions{})
	if err != nil {
		return err
	}
	if err := fetch(ctx, bu, http.StatusOK, content); err != nil {
		return fmt.Errorf("plain GET with a blob SAS: %w", err)
	}
	if err := fetch(ctx, strings.Replace(bu, "blob.bin", "account.bin", 1), http.StatusForbidden, nil); err != nil {
		return fmt.Errorf("a SAS moved to another blob: %w", err)
	}
	if err := fetch(ctx, strings.Replace(bu, "sp=r", "sp=rw", 1), http.StatusForbidden, nil); err != nil {
		return fmt.Errorf("a SAS with permissions added: %w", err)
	}
	old, err := r.cont.NewBlockBlobClient("sas/blob.bin").GetSASURL(sas.BlobPermissions{Read: true}, time.Now().Add(-time.Minute),
		&blob.GetSASURLOptions{StartTime: ptr(time.Now().Add(-time.Hour))})
	if err != nil {
		return err
	}
	return fetch(ctx, old, http.StatusForbidden, nil)
}

// sasPolicy: a SAS that names a stored access policy, until the policy is gone.
func (r *run) sasPolicy(ctx context.Context) error {
	cred, err := r.credential()
	if err != nil {
		return err
	}
	content := noise(42, 100)
	if _, err := put(ctx, r.cont.NewBlockBlobClient("sas/policy.bin"), content); err != nil {
		return err
	}
	if _, err := r.cont.SetAccessPolicy(ctx, &container.SetAccessPolicyOptions{ContainerACL: []*container.SignedIdentifier{{
		ID: ptr("readers"), AccessPolicy: &container.AccessPolicy{Permission: ptr("r"), Start: ptr(time.Now().Add(-time.Minute)), Expiry: ptr(time.Now().Add(time.Hour))}}}}); err != nil {
		return err
	}
	got, err := r.cont.GetAccessPolicy(ctx, nil)
	if err != nil {
		return err
	}
	if len(got.SignedIdentifiers) != 1 || val(got.SignedIdentifiers[0].ID) != "readers" {
		return fmt.Errorf("%d policies came back", len(got.SignedIdentifiers))
	}
	q, err := sas.BlobSignatureValues{ContainerName: r.name, BlobName: "sas/policy.bin", Identifier: "readers"}.SignWithSharedKey(cred)
	if err != nil {
		return err
	}
	u := r.cont.NewBlockBlobClient("sas/policy.bin").URL() + "?" + q.Encode()
	if err := fetch(ctx, u, http.StatusOK, content); err != nil {
		return err
	}
	if _, err := r.cont.SetAccessPolicy(ctx, nil); err != nil {
		return err
	}
	return fetch(ctx, u, http.StatusForbidden, nil)
}

// credential takes name and key out of the connection string, as the SDK does.
func (r *run) credential() (*service.SharedKeyCredential, error) {
	return service.NewSharedKeyCredential(r.field("AccountName"), r.field("AccountKey"))
}

// fetch is a GET without any SDK, as curl would do it.
func fetch(ctx context.Context, u string, status int, want []byte) error {
	got, b, err := plainGet(ctx, u)
	if err != nil {
		return err
	}
	if got.code != status {
		return fmt.Errorf("answered %s, want %d", got.text, status)
	}
	if want == nil {
		return nil
	}
	return equal(b, want)
}

// status of an answer; text has the service's error code too.
type status struct {
	code int
	text string
}

func plainGet(ctx context.Context, u string) (status, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return status{}, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return status{}, nil, fmt.Errorf("plain GET: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return status{resp.StatusCode, resp.Status + " " + resp.Header.Get("x-ms-error-code")}, b, err
}

// protocol: over TLS the SDK's own transport must end up with HTTP/1.1, since
// all blocks of a transfer on one HTTP/2 connection go at half the speed.
func (r *run) protocol(ctx context.Context) error {
	var raw *http.Response
	b := r.cont.NewBlockBlobClient("proto")
	if _, err := b.Upload(policy.WithCaptureResponse(ctx, &raw), body([]byte("p")), nil); err != nil {
		return err
	}
	if raw.Proto != "HTTP/1.1" {
		return fmt.Errorf("the answer came over %s", raw.Proto)
	}
	for _, h := range []string{"x-ms-request-id", "x-ms-version", "Date", "Server"} {
		if raw.Header.Get(h) == "" {
			return fmt.Errorf("the answer has no %s", h)
		}
	}
	for _, h := range []string{"x-ms-version", "x-ms-client-request-id"} {
		if got, want := raw.Header.Get(h), sent(raw.Request.Header, h); got != want {
			return fmt.Errorf("%s %q was answered with %q", h, want, got)
		}
	}
	return nil
}

// sent looks a header up without regard to case: the SDK puts names into the
// map in its own spelling.
func sent(h http.Header, name string) string {
	for k, v := range h {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

func (r *run) errors(ctx context.Context) error {
	_, err := get(ctx, r.cont.NewBlockBlobClient("nothing-here"), nil)
	if err := refused(err, notFound, "BlobNotFound"); err != nil {
		return err
	}
	_, err = r.cont.NewBlockBlobClient("nothing-here").GetProperties(ctx, nil)
	if err := refused(err, notFound, "BlobNotFound"); err != nil {
		return fmt.Errorf("HEAD: %w", err)
	}
	_, err = get(ctx, r.svc.NewContainerClient("no-such-container").NewBlockBlobClient("x"), nil)
	if err := refused(err, notFound, "ContainerNotFound"); err != nil {
		return err
	}
	_, err = r.svc.NewContainerClient("Bad_Name").Create(ctx, nil)
	if err := refused(err, badRequest, "InvalidResourceName"); err != nil {
		return err
	}
	_, err = r.cont.NewBlockBlobClient("scoped").Upload(ctx, body([]byte("x")), &blockblob.UploadOptions{CPKScopeInfo: &blob.CPKScopeInfo{EncryptionScope: ptr("no-such-scope")}})
	if err == nil {
		return fmt.Errorf("an encryption scope that does not exist was ignored")
	}
	wrong, err := r.wrongKey()
	if err != nil {
		return err
	}
	_, err = wrong.NewContainerClient(r.name).GetProperties(ctx, nil)
	return refused(err, forbidden, "AuthenticationFailed")
}

func (r *run) wrongKey() (*service.Client, error) {
	cred, err := service.NewSharedKeyCredential(r.field("AccountName"), "d3JvbmcgbGVuZ3RoIG9yIG5vdCwgdGhpcyBpcyBub3QgdGhlIGtleQ==")
	if err != nil {
		return nil, err
	}
	return service.NewClientWithSharedKeyCredential(r.svc.URL(), cred, nil)
}

func (r *run) delete(ctx context.Context) error {
	b := r.cont.NewBlockBlobClient("gone")
	if _, err := put(ctx, b, []byte("x")); err != nil {
		return err
	}
	if _, err := b.Delete(ctx, nil); err != nil {
		return err
	}
	_, err := b.Delete(ctx, nil)
	if err := refused(err, notFound, "BlobNotFound"); err != nil {
		return err
	}
	if _, err := r.cont.Delete(ctx, nil); err != nil {
		return err
	}
	_, err = put(ctx, b, []byte("x"))
	return refused(err, notFound, "ContainerNotFound")
}
