package main

import (
	"context"
	"errors"
	"net/url"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/keyvault"
)

// vaultKeys are the keys that replace the local ones: a key in a vault by both algorithms
// that wrap with RSA, and every version of every key in that vault to read. The principal
// comes by environment, as azidentity reads it.
func vaultKeys(keyURL string) (map[string]cse.Key, cse.KeyResolver, error) {
	u, err := url.Parse(keyURL)
	if err != nil {
		return nil, nil, err
	}
	cred, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{DisableInstanceDiscovery: true})
	if err != nil {
		return nil, nil, err
	}
	client, err := azkeys.NewClient("https://"+u.Host, cred, nil)
	if err != nil {
		return nil, nil, err
	}
	all := make(map[string]cse.Key)
	for _, algorithm := range []string{cse.RSAOAEP256, cse.RSAOAEP} {
		key, err := keyvault.NewKey(context.Background(), client, keyURL, &keyvault.KeyOptions{Algorithm: algorithm})
		if err != nil {
			return nil, nil, err
		}
		all[algorithm] = key
	}
	resolver, err := keyvault.NewResolver(map[string]*azkeys.Client{"https://" + u.Host: client})
	return all, resolver, err
}

// refused is ok if the vault's refusal is the reason that a blob cannot be read, and
// nothing of it came.
func refused(ctx context.Context, name string) error {
	c, err := box()
	if err != nil {
		return err
	}
	_, resolver, err := keys()
	if err != nil {
		return err
	}
	b, err := cse.NewBlobClient(c.NewBlockBlobClient(name), &cse.Options{Resolver: resolver})
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	_, err = b.DownloadBuffer(ctx, buf, &cse.DownloadOptions{Range: cse.Range{Count: int64(len(buf))}})
	e, ok := errors.AsType[*cse.Error](err)
	empty := true
	for _, x := range buf {
		empty = empty && x == 0
	}
	report(ok && e.Code == cse.KeyUnavailable && empty, "refused "+name, text(err))
	return nil
}

// mainKey is the key for what needs only one.
func mainKey(all map[string]cse.Key) cse.Key {
	if os.Getenv("CSE_VAULT_KEY") != "" {
		return all[cse.RSAOAEP256]
	}
	return all["aes1"]
}
