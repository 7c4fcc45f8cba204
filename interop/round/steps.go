package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
)

const (
	vaultName    = "round-go"
	keyName      = "switch"
	identityName = "round-go-asks"
	accountName  = "roundgo"
	container    = "box"
	location     = "local"

	cryptoOfficer  = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603"
	encryptionUser = "e147488a-f6f5-4113-8e2d-b22465e65bf6"

	patience = 60 * time.Second
)

var content = bytes.Repeat([]byte("your key, your switch "), 5000)

func (w *world) vault(ctx context.Context) error {
	c, err := armkeyvault.NewVaultsClient(subscription, w.cred, w.opts)
	if err != nil {
		return err
	}
	p, err := c.BeginCreateOrUpdate(ctx, group, vaultName, armkeyvault.VaultCreateOrUpdateParameters{
		Location: to.Ptr(location),
		Properties: &armkeyvault.VaultProperties{
			TenantID: to.Ptr(tenant()), SKU: &armkeyvault.SKU{Family: to.Ptr(armkeyvault.SKUFamilyA), Name: to.Ptr(armkeyvault.SKUNameStandard)},
			EnablePurgeProtection: to.Ptr(true), EnableRbacAuthorization: to.Ptr(true),
		},
	}, nil)
	if err != nil {
		return err
	}
	v, err := p.PollUntilDone(ctx, nil)
	if err != nil {
		return err
	}
	w.state.vaultID, w.state.vaultURI = *v.ID, *v.Properties.VaultURI
	return nil
}

// give gives a principal a role on the vault.
func (w *world) give(ctx context.Context, name, role, principal string) error {
	return w.giveAt(ctx, w.state.vaultID, name, role, principal)
}

func (w *world) giveAt(ctx context.Context, scope, name, role, principal string) error {
	c, err := armauthorization.NewRoleAssignmentsClient(subscription, w.cred, w.opts)
	if err != nil {
		return err
	}
	_, err = c.Create(ctx, scope, name, armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
		RoleDefinitionID: to.Ptr("/subscriptions/" + subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + role),
		PrincipalID:      to.Ptr(principal), PrincipalType: to.Ptr(armauthorization.PrincipalTypeServicePrincipal),
	}}, nil)
	return err
}

func (w *world) keys() (*azkeys.Client, error) {
	return azkeys.NewClient(w.state.vaultURI, w.cred, &azkeys.ClientOptions{ClientOptions: w.opts.ClientOptions})
}

func (w *world) key(ctx context.Context) error {
	if err := w.give(ctx, "aaaaaaaa-0000-4000-8000-000000000001", cryptoOfficer, self()); err != nil {
		return err
	}
	c, err := w.keys()
	if err != nil {
		return err
	}
	k, err := c.CreateKey(ctx, keyName, azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeRSA), KeySize: to.Ptr(int32(2048))}, nil)
	if err != nil {
		return err
	}
	w.state.firstKey = string(*k.Key.KID)
	return nil
}

func (w *world) identity(ctx context.Context) error {
	c, err := armmsi.NewUserAssignedIdentitiesClient(subscription, w.cred, w.opts)
	if err != nil {
		return err
	}
	i, err := c.CreateOrUpdate(ctx, group, identityName, armmsi.Identity{Location: to.Ptr(location)}, nil)
	if err != nil {
		return err
	}
	w.state.identityID, w.state.subject = *i.ID, *i.Properties.PrincipalID
	return nil
}

func (w *world) grant(ctx context.Context) error {
	return w.give(ctx, "aaaaaaaa-0000-4000-8000-000000000002", encryptionUser, w.state.subject)
}

func (w *world) accounts() (*armstorage.AccountsClient, error) {
	return armstorage.NewAccountsClient(subscription, w.cred, w.opts)
}

func (w *world) account(ctx context.Context) error {
	c, err := w.accounts()
	if err != nil {
		return err
	}
	p, err := c.BeginCreate(ctx, group, accountName, armstorage.AccountCreateParameters{
		Kind: to.Ptr(armstorage.KindStorageV2), Location: to.Ptr(location), SKU: &armstorage.SKU{Name: to.Ptr(armstorage.SKUNameStandardLRS)},
		Identity: &armstorage.Identity{Type: to.Ptr(armstorage.IdentityTypeUserAssigned), UserAssignedIdentities: map[string]*armstorage.UserAssignedIdentity{w.state.identityID: {}}},
		Properties: &armstorage.AccountPropertiesCreateParameters{Encryption: &armstorage.Encryption{
			KeySource:          to.Ptr(armstorage.KeySourceMicrosoftKeyvault),
			EncryptionIdentity: &armstorage.EncryptionIdentity{EncryptionUserAssignedIdentity: to.Ptr(w.state.identityID)},
			KeyVaultProperties: &armstorage.KeyVaultProperties{KeyName: to.Ptr(keyName), KeyVaultURI: to.Ptr(w.state.vaultURI)},
		}},
	}, nil)
	if err != nil {
		return err
	}
	a, err := p.PollUntilDone(ctx, nil)
	if err != nil {
		return err
	}
	enc := a.Properties.Encryption
	if *enc.KeySource != armstorage.KeySourceMicrosoftKeyvault || *enc.KeyVaultProperties.CurrentVersionedKeyIdentifier != w.state.firstKey {
		return fmt.Errorf("the account is under %s %v", *enc.KeySource, enc.KeyVaultProperties)
	}
	k, err := c.ListKeys(ctx, group, accountName, nil)
	if err != nil {
		return err
	}
	w.state.accountID, w.state.endpoint = *a.ID, *a.Properties.PrimaryEndpoints.Blob
	w.state.conn = fmt.Sprintf("DefaultEndpointsProtocol=https;AccountName=%s;AccountKey=%s;BlobEndpoint=%s;", accountName, *k.Keys[0].Value, *a.Properties.PrimaryEndpoints.Blob)
	return nil
}

func (w *world) blobs() (*azblob.Client, error) {
	o := &azblob.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: w.http}}
	o.Retry.MaxRetries = -1
	return azblob.NewClientFromConnectionString(w.state.conn, o)
}

func (w *world) upload(ctx context.Context) error {
	c, err := w.blobs()
	if err != nil {
		return err
	}
	if _, err := c.CreateContainer(ctx, container, nil); err != nil {
		return err
	}
	if _, err := c.UploadBuffer(ctx, container, "blob", content, nil); err != nil {
		return err
	}
	return w.read(ctx)
}

// download reads the blob once.
func (w *world) download(ctx context.Context) error {
	c, err := w.blobs()
	if err != nil {
		return err
	}
	got := make([]byte, len(content))
	n, err := c.DownloadBuffer(ctx, container, "blob", got, nil)
	if err == nil && (n != int64(len(content)) || !bytes.Equal(got, content)) {
		err = errors.New("the content differs")
	}
	return err
}

// until asks again until f answers well.
func until(f func() error) error {
	end := time.Now().Add(patience)
	for {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (w *world) read(ctx context.Context) error {
	return until(func() error { return w.download(ctx) })
}

// rotate makes a new version of the key; the account takes it by itself.
func (w *world) rotate(ctx context.Context) error {
	c, err := w.keys()
	if err != nil {
		return err
	}
	k, err := c.RotateKey(ctx, keyName, nil)
	if err != nil {
		return err
	}
	a, err := w.accounts()
	if err != nil {
		return err
	}
	return until(func() error {
		got, err := a.GetProperties(ctx, group, accountName, nil)
		if err != nil {
			return err
		}
		if now := *got.Properties.Encryption.KeyVaultProperties.CurrentVersionedKeyIdentifier; now != string(*k.Key.KID) {
			return fmt.Errorf("the account is still under %s", now)
		}
		return nil
	})
}

// set enables or disables every version of the key.
func (w *world) set(ctx context.Context, on bool) error {
	c, err := w.keys()
	if err != nil {
		return err
	}
	for pages := c.NewListKeyPropertiesVersionsPager(keyName, nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, k := range page.Value {
			p := azkeys.UpdateKeyParameters{KeyAttributes: &azkeys.KeyAttributes{Enabled: to.Ptr(on)}}
			if _, err := c.UpdateKey(ctx, keyName, k.KID.Version(), p, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) disable(ctx context.Context) error { return w.set(ctx, false) }
func (w *world) enable(ctx context.Context) error  { return w.set(ctx, true) }

// refused waits until the blob is refused with the code that the service has for it.
func (w *world) refused(ctx context.Context) error {
	return until(func() error {
		err := w.download(ctx)
		re, ok := errors.AsType[*azcore.ResponseError](err)
		if !ok || re.StatusCode != 403 || re.ErrorCode != "KeyVaultEncryptionKeyNotFound" {
			return fmt.Errorf("reading under a disabled key: %w", errors.Join(errors.New("want 403 KeyVaultEncryptionKeyNotFound"), err))
		}
		return nil
	})
}

// scope makes an encryption scope under the same key, and puts it back.
func (w *world) scope(ctx context.Context) error {
	c, err := armstorage.NewEncryptionScopesClient(subscription, w.cred, w.opts)
	if err != nil {
		return err
	}
	made, err := c.Put(ctx, group, accountName, "tenant-a", armstorage.EncryptionScope{EncryptionScopeProperties: &armstorage.EncryptionScopeProperties{
		Source:             to.Ptr(armstorage.EncryptionScopeSourceMicrosoftKeyVault),
		KeyVaultProperties: &armstorage.EncryptionScopeKeyVaultProperties{KeyURI: to.Ptr(strings.TrimRight(w.state.vaultURI, "/") + "/keys/" + keyName)},
	}}, nil)
	if err != nil {
		return err
	}
	if *made.EncryptionScopeProperties.Source != armstorage.EncryptionScopeSourceMicrosoftKeyVault {
		return fmt.Errorf("the scope is under %s", *made.EncryptionScopeProperties.Source)
	}
	back, err := c.Patch(ctx, group, accountName, "tenant-a", armstorage.EncryptionScope{EncryptionScopeProperties: &armstorage.EncryptionScopeProperties{
		Source: to.Ptr(armstorage.EncryptionScopeSourceMicrosoftStorage)}}, nil)
	if err == nil && *back.EncryptionScopeProperties.Source != armstorage.EncryptionScopeSourceMicrosoftStorage {
		err = fmt.Errorf("the scope is under %s", *back.EncryptionScopeProperties.Source)
	}
	return err
}

// remove deletes the account; the vault can be recovered.
func (w *world) remove(ctx context.Context) error {
	c, err := w.accounts()
	if err != nil {
		return err
	}
	if _, err := c.Delete(ctx, group, accountName, nil); err != nil {
		return err
	}
	v, err := armkeyvault.NewVaultsClient(subscription, w.cred, w.opts)
	if err != nil {
		return err
	}
	_, err = v.Delete(ctx, group, vaultName, nil)
	return err
}
