// Package keyvault makes keys in Azure Key Vault, Managed HSM, or a service that answers
// like them, keys of package cse. The key never leaves the vault: wrapping and unwrapping
// a content key is one request each.
//
//	client, err := azkeys.NewClient("https://VAULT.vault.azure.net", credential, nil)
//	...
//	key, err := keyvault.NewKey(ctx, client, "https://VAULT.vault.azure.net/keys/NAME/VERSION", nil)
//	...
//	blobs, err := cse.NewClient(azblobClient, &cse.Options{Key: key})
//
// An object names the version of the key that wrapped it. To decrypt objects of older
// versions, and of other keys, give the options a Resolver as well.
package keyvault

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/coffer-storage/coffer/cse"
)

// Key is one version of a key in a vault.
type Key struct {
	client    *azkeys.Client
	id        string
	name      string
	version   string
	algorithm string
}

// KeyOptions are the options of NewKey.
type KeyOptions struct {
	// Algorithm is what the key wraps by. cse.RSAOAEP256 if empty; cse.A256KW for a
	// symmetric key of a Managed HSM.
	Algorithm string
}

// NewKey takes the URL of a key. Without a version in it, the newest is asked for, and
// stays the one: objects have to name a version.
func NewKey(ctx context.Context, client *azkeys.Client, keyURL string, o *KeyOptions) (*Key, error) {
	k, err := parse(client, keyURL, o)
	if err != nil || k.version != "" {
		return k, err
	}
	r, err := client.GetKey(ctx, k.name, "", nil)
	if err != nil {
		return nil, unavailable(err)
	}
	if r.Key == nil || r.Key.KID == nil || r.Key.KID.Version() == "" {
		return nil, invalid("the vault named no version of the key")
	}
	return parse(client, string(*r.Key.KID), o)
}

func parse(client *azkeys.Client, keyURL string, o *KeyOptions) (*Key, error) {
	if client == nil {
		return nil, invalid("no client")
	}
	id := azkeys.ID(keyURL)
	u, err := url.Parse(keyURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || !strings.HasPrefix(u.Path, "/keys/") || id.Name() == "" {
		return nil, invalid("the URL of a key is https://VAULT/keys/NAME/VERSION")
	}
	k := &Key{client: client, id: keyURL, name: id.Name(), version: id.Version(), algorithm: cse.RSAOAEP256}
	if o != nil && o.Algorithm != "" {
		k.algorithm = o.Algorithm
	}
	return k, nil
}

func invalid(detail string) error { return &cse.Error{Code: cse.InvalidOption, Detail: detail} }

// KeyID is the URL of the key, with its version.
func (k *Key) KeyID() string { return k.id }

// DefaultAlgorithm returns KeyOptions.Algorithm.
func (k *Key) DefaultAlgorithm() string { return k.algorithm }

func parameters(algorithm string, value []byte) azkeys.KeyOperationParameters {
	return azkeys.KeyOperationParameters{Algorithm: to.Ptr(azkeys.EncryptionAlgorithm(algorithm)), Value: value}
}

// WrapKey asks the vault to wrap a key.
func (k *Key) WrapKey(ctx context.Context, algorithm string, key []byte) ([]byte, error) {
	r, err := k.client.WrapKey(ctx, k.name, k.version, parameters(algorithm, key), nil)
	if err != nil {
		return nil, unavailable(err)
	}
	return r.Result, nil
}

// UnwrapKey asks the vault to unwrap a key. Whatever the vault says of the wrapped bytes
// themselves is one error; that it could not be asked, or refused to serve, is another.
//
// RSA1_5 is refused: whoever watches the errors of unwrapping by it learns keys, and a
// vault does not hide them.
func (k *Key) UnwrapKey(ctx context.Context, algorithm string, wrapped []byte) ([]byte, error) {
	if algorithm == cse.RSA15 {
		return nil, errUnwrap
	}
	r, err := k.client.UnwrapKey(ctx, k.name, k.version, parameters(algorithm, wrapped), nil)
	if err != nil {
		return nil, fromUnwrap(err)
	}
	return r.Result, nil
}

var errUnwrap = errors.New("keyvault: key unwrap")

func fromUnwrap(err error) error {
	if r, ok := errors.AsType[*azcore.ResponseError](err); ok && r.StatusCode == http.StatusBadRequest {
		return errUnwrap
	}
	return unavailable(err)
}

func unavailable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &cse.Error{Code: cse.KeyUnavailable, Err: err}
}

// Resolver finds keys in some vaults. The ids of objects are not authenticated: a vault
// that is not one of these is never asked, and gets no token.
type Resolver struct {
	vaults map[string]*azkeys.Client
}

// NewResolver takes the clients by the URL of their vault: "https://VAULT.vault.azure.net".
func NewResolver(vaults map[string]*azkeys.Client) (*Resolver, error) {
	r := &Resolver{vaults: make(map[string]*azkeys.Client, len(vaults))}
	for vault, client := range vaults {
		u, err := url.Parse(vault)
		if err != nil || u.Scheme != "https" || u.Host == "" || client == nil {
			return nil, invalid("the URL of a vault is https://VAULT, and it needs a client")
		}
		r.vaults[strings.ToLower(u.Host)] = client
	}
	return r, nil
}

// ResolveKey returns the key of that URL, if it names a version of a key in one of the
// vaults.
func (r *Resolver) ResolveKey(_ context.Context, keyID string) (cse.Key, error) {
	u, err := url.Parse(keyID)
	if err != nil || u.User != nil {
		return nil, &cse.Error{Code: cse.KeyNotFound}
	}
	client, ok := r.vaults[strings.ToLower(u.Host)]
	if !ok {
		return nil, &cse.Error{Code: cse.KeyNotFound, Detail: "it is in none of the vaults"}
	}
	k, err := parse(client, keyID, nil)
	if err != nil || k.version == "" {
		return nil, &cse.Error{Code: cse.KeyNotFound, Detail: "it names no version of a key"}
	}
	return k, nil
}
