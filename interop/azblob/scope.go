package main

import (
	"bytes"
	"context"
	"encoding/json"
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

// scopeProperties is what the management endpoint keeps of a scope.
type scopeProperties struct {
	State          string `json:"state,omitempty"`
	Infrastructure bool   `json:"requireInfrastructureEncryption,omitempty"`
}

// setScope makes a scope or changes its state, at the management endpoint.
func (r *run) setScope(ctx context.Context, method, name string, p scopeProperties) error {
	u := os.Getenv("COFFER_MANAGEMENT") + "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/" +
		r.field("AccountName") + "/encryptionScopes/" + name + "?api-version=2024-01-01"
	asked, err := json.Marshal(map[string]any{"properties": p})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(asked))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s scope %s: %s %s, %w", method, name, resp.Status, b, err)
	}
	var got struct{ Properties scopeProperties }
	if err := json.Unmarshal(b, &got); err != nil || got.Properties.State != p.State || p.Infrastructure && !got.Properties.Infrastructure {
		return fmt.Errorf("%s scope %s: the answer is %s, %w", method, name, b, err)
	}
	return nil
}

// scope is the round with encryption scopes: keys of their own inside the account, by
// header, container default and SAS. The other clients of the suite do the same round.
func (r *run) scope(ctx context.Context) error { return r.scopes(ctx, "") }

// doubleScope is the round in scopes with infrastructure encryption.
func (r *run) doubleScope(ctx context.Context) error { return r.scopes(ctx, "2-") }

func (r *run) scopes(ctx context.Context, double string) error {
	s := &scoped{r: r, a: "a-" + double + r.name, b: "b-" + double + r.name, content: noise(60, 100_000)}
	s.byHeader = r.cont.NewBlockBlobClient("scoped-" + double + "header.bin")
	s.box = r.svc.NewContainerClient("sc-" + double + r.name)
	s.byDefault = s.box.NewBlockBlobClient("default.bin")
	for _, n := range []string{s.a, s.b} {
		if err := r.setScope(ctx, http.MethodPut, n, scopeProperties{State: "Enabled", Infrastructure: double != ""}); err != nil {
			return err
		}
	}
	return inTurn(ctx, []part{
		{"header", s.header}, {"blocks", s.blocks}, {"properties", s.properties}, {"container", s.defaults},
		{"account SAS", s.accountSAS}, {"service SAS", s.serviceSAS}, {"disabled", s.disabled}, {"enabled", s.enabled},
	})
}

// scoped is the round in two scopes.
type scoped struct {
	r                   *run
	a, b                string
	content             []byte
	byHeader, byDefault *blockblob.Client
	box                 *container.Client
}

func under(scope string) *blob.CPKScopeInfo { return &blob.CPKScopeInfo{EncryptionScope: &scope} }

// in checks that an answer names the scope.
func in(scope string, got *string, err error) error {
	if err == nil && val(got) != scope {
		err = fmt.Errorf("the answer names the scope %q, want %q", val(got), scope)
	}
	return err
}

func (s *scoped) header(ctx context.Context) error {
	w, err := s.byHeader.Upload(ctx, body(s.content), &blockblob.UploadOptions{CPKScopeInfo: under(s.a)})
	if err := in(s.a, w.EncryptionScope, err); err != nil {
		return err
	}
	return same(ctx, s.byHeader, s.content)
}

func (s *scoped) blocks(ctx context.Context) error {
	for i := range 3 {
		w, err := s.byHeader.StageBlock(ctx, blockID(i), body(s.content), &blockblob.StageBlockOptions{CPKScopeInfo: under(s.a)})
		if err := in(s.a, w.EncryptionScope, err); err != nil {
			return err
		}
	}
	ids := []string{blockID(2), blockID(0)}
	_, err := s.byHeader.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{CPKScopeInfo: under(s.b)})
	if err := refused(err, conflict, otherKey); err != nil {
		return fmt.Errorf("another scope: %w", err)
	}
	w, err := s.byHeader.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{CPKScopeInfo: under(s.a), Metadata: map[string]*string{"under": ptr("scope")}})
	if err := in(s.a, w.EncryptionScope, err); err != nil {
		return err
	}
	want := append(s.content[:len(s.content):len(s.content)], s.content...)
	got, err := get(ctx, s.byHeader, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: 70_000, Count: 70_000}})
	if err == nil {
		err = equal(got, want[70_000:140_000])
	}
	if err != nil {
		return fmt.Errorf("range: %w", err)
	}
	return same(ctx, s.byHeader, want)
}

// properties: those of the blob, its metadata, and the listing that has both.
func (s *scoped) properties(ctx context.Context) error {
	p, err := s.byHeader.GetProperties(ctx, nil)
	if err := in(s.a, p.EncryptionScope, err); err != nil {
		return err
	}
	_, err = s.byHeader.SetMetadata(ctx, map[string]*string{"k": ptr("v")}, &blob.SetMetadataOptions{CPKScopeInfo: under(s.b)})
	if err := refused(err, conflict, otherKey); err != nil {
		return fmt.Errorf("another scope: %w", err)
	}
	w, err := s.byHeader.SetMetadata(ctx, map[string]*string{"k": ptr("v")}, &blob.SetMetadataOptions{CPKScopeInfo: under(s.a)})
	if err := in(s.a, w.EncryptionScope, err); err != nil {
		return err
	}
	page, err := s.r.cont.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
		Prefix: ptr("scoped-"), Include: container.ListBlobsInclude{Metadata: true}}).NextPage(ctx)
	if err != nil {
		return err
	}
	for _, item := range page.Segment.BlobItems {
		if val(item.Properties.EncryptionScope) == s.a && val(item.Metadata["k"]) == "v" {
			return nil
		}
	}
	return fmt.Errorf("the listing does not show the scope with the metadata")
}

func (s *scoped) defaults(ctx context.Context) error {
	_, err := s.box.Create(ctx, &container.CreateOptions{CPKScopeInfo: &container.CPKScopeInfo{DefaultEncryptionScope: &s.a, PreventEncryptionScopeOverride: ptr(true)}})
	if err != nil {
		return err
	}
	p, err := s.box.GetProperties(ctx, nil)
	if err := in(s.a, p.DefaultEncryptionScope, err); err != nil {
		return err
	}
	w, err := s.byDefault.Upload(ctx, body(s.content), nil)
	if err := in(s.a, w.EncryptionScope, err); err != nil {
		return err
	}
	_, err = s.byDefault.Upload(ctx, body(s.content), &blockblob.UploadOptions{CPKScopeInfo: under(s.b)})
	if err := refused(err, forbidden, "RequestForbiddenByContainerEncryptionPolicy"); err != nil {
		return fmt.Errorf("override: %w", err)
	}
	return nil
}

// accountSAS uploads with an account SAS that names the scope, and no header.
func (s *scoped) accountSAS(ctx context.Context) error {
	key, err := s.r.credential()
	if err != nil {
		return err
	}
	q, err := sas.AccountSignatureValues{
		Protocol: sas.ProtocolHTTPSandHTTP, ExpiryTime: time.Now().UTC().Add(time.Hour), EncryptionScope: s.b,
		Permissions:   (&sas.AccountPermissions{Read: true, Write: true, Create: true}).String(),
		ResourceTypes: (&sas.AccountResourceTypes{Object: true}).String(),
	}.SignWithSharedKey(key)
	if err != nil {
		return err
	}
	return s.bySAS(ctx, q.Encode(), "sas-account.bin")
}

// serviceSAS does so with the SAS of one blob.
func (s *scoped) serviceSAS(ctx context.Context) error {
	key, err := s.r.credential()
	if err != nil {
		return err
	}
	q, err := sas.BlobSignatureValues{
		Protocol: sas.ProtocolHTTPSandHTTP, ExpiryTime: time.Now().UTC().Add(time.Hour), EncryptionScope: s.b,
		ContainerName: s.r.name, BlobName: "sas-service.bin",
		Permissions: (&sas.BlobPermissions{Read: true, Write: true, Create: true}).String(),
	}.SignWithSharedKey(key)
	if err != nil {
		return err
	}
	return s.bySAS(ctx, q.Encode(), "sas-service.bin")
}

func (s *scoped) bySAS(ctx context.Context, query, name string) error {
	svc, err := service.NewClientWithNoCredential(s.r.svc.URL()+"?"+query, nil)
	if err != nil {
		return err
	}
	b := svc.NewContainerClient(s.r.name).NewBlockBlobClient(name)
	w, err := b.Upload(ctx, body(s.content), nil)
	if err := in(s.b, w.EncryptionScope, err); err != nil {
		return err
	}
	return same(ctx, b, s.content)
}

func (s *scoped) disabled(ctx context.Context) error {
	if err := s.r.setScope(ctx, http.MethodPatch, s.a, scopeProperties{State: "Disabled"}); err != nil {
		return err
	}
	for _, c := range []*blockblob.Client{s.byHeader, s.byDefault} {
		_, err := get(ctx, c, nil)
		if err := refused(err, forbidden, "EncryptionScopeDisabled"); err != nil {
			return fmt.Errorf("get: %w", err)
		}
	}
	_, err := s.byDefault.Upload(ctx, body(s.content), nil)
	return refused(err, forbidden, "EncryptionScopeDisabled")
}

func (s *scoped) enabled(ctx context.Context) error {
	if err := s.r.setScope(ctx, http.MethodPatch, s.a, scopeProperties{State: "Enabled"}); err != nil {
		return err
	}
	if err := same(ctx, s.byDefault, s.content); err != nil {
		return err
	}
	if _, err := s.byDefault.Upload(ctx, body(s.content), nil); err != nil {
		return err
	}
	_, err := s.box.Delete(ctx, nil)
	return err
}
