package main

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/keyvault"
)

// cseKeys are the flags of keys.
type cseKeys struct {
	Key           string            `help:"Key file: an AES key of 16, 24 or 32 bytes, raw or in base64, or an RSA key in PEM." env:"COFFER_CSE_KEY" placeholder:"FILE"`
	KeyID         string            `help:"Id of that key; objects carry it." name:"key-id" env:"COFFER_CSE_KEY_ID" placeholder:"ID"`
	OtherKey      map[string]string `help:"Further keys to decrypt by; may be repeated." placeholder:"ID=FILE"`
	VaultKey      string            `help:"URL of a key in Azure Key Vault or Managed HSM, instead of --key." placeholder:"URL"`
	VaultToken    string            `help:"File with an access token for the vault (az account get-access-token)." placeholder:"FILE"`
	WrapAlgorithm string            `help:"How content keys are wrapped: A256KW, RSA-OAEP-256, RSA-OAEP ..; the key's own if not given." placeholder:"NAME"`
	KeyAlias      map[string]string `help:"Names that other writers gave algorithms, as RSA=RSA-OAEP." placeholder:"NAME=NAME"`
	AllowRSA15    bool              `help:"Unwrap RSA1_5, which is not safe where others see whether it worked." name:"allow-rsa1_5"`
}

// apply sets the keys of options.
func (k *cseKeys) apply(ctx context.Context, o *cse.Options) error {
	if fips140.Enforced() {
		return &cseError{err: errors.New("client-side encryption counts its nonces, which strict FIPS mode refuses"),
			hint: "GODEBUG=fips140=on instead of fips140=only, for this command"}
	}
	o.WrapAlgorithm = k.WrapAlgorithm
	key, inVault, err := k.main(ctx)
	if err != nil {
		return err
	}
	o.Key = key
	var others []cse.Key
	for id, file := range k.OtherKey {
		key, err := k.read(id, file)
		if err != nil {
			return err
		}
		others = append(others, key)
	}
	ring, err := cse.NewKeyRing(others...)
	if err != nil {
		return err
	}
	o.Resolver = ring
	if inVault != nil {
		o.Resolver = cse.Chain(ring, inVault)
	}
	return nil
}

// main is the key that encrypts, nil if none was given, and what finds its other versions
// and the other keys of its vault.
func (k *cseKeys) main(ctx context.Context) (cse.Key, cse.KeyResolver, error) {
	switch {
	case k.VaultKey != "" && k.Key != "":
		return nil, nil, &cseError{err: errors.New("--key and --vault-key name two keys to encrypt by")}
	case k.VaultKey != "":
		return vaultKey(ctx, k.VaultKey, k.VaultToken, k.WrapAlgorithm)
	case k.Key == "":
		return nil, nil, nil
	case k.KeyID == "":
		return nil, nil, &cseError{err: errors.New("the key has no id"), hint: "give it a name that stays: --key-id ID"}
	}
	key, err := k.read(k.KeyID, k.Key)
	return key, nil, err
}

// read reads a key file. Its text never gets into an error.
func (k *cseKeys) read(id, file string) (cse.Key, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	if block, _ := pem.Decode(text); block != nil {
		opt := &cse.RSAKeyOptions{Names: k.KeyAlias, UnsafeAllowRSA15: k.AllowRSA15}
		return rsaKey(id, block, opt)
	}
	raw, ok := aesBytes(text)
	if !ok {
		return nil, &cseError{err: fmt.Errorf("%s holds no key", file),
			hint: "an AES key has 16, 24 or 32 bytes, raw or in base64: openssl rand -base64 32; an RSA key is PEM"}
	}
	defer clear(raw)
	return cse.NewAESKey(id, raw)
}

// aesBytes finds the key in a file: base64 if it reads as such, else the bytes as they
// are. Bytes that are all text are no key, whatever their number.
func aesBytes(text []byte) (key []byte, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		raw = bytes.Clone(text)
		if bytes.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r > '~' }) < 0 {
			return nil, false
		}
	}
	switch len(raw) {
	case 16, 24, 32:
		return raw, true
	}
	return nil, false
}

func rsaKey(id string, block *pem.Block, opt *cse.RSAKeyOptions) (cse.Key, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errNoRSA()
		}
		return cse.NewRSAKey(id, key, opt)
	case "PRIVATE KEY":
		key, _ := x509.ParsePKCS8PrivateKey(block.Bytes)
		if key, ok := key.(*rsa.PrivateKey); ok {
			return cse.NewRSAKey(id, key, opt)
		}
	case "PUBLIC KEY":
		key, _ := x509.ParsePKIXPublicKey(block.Bytes)
		if key, ok := key.(*rsa.PublicKey); ok {
			return cse.NewRSAPublicKey(id, key, opt)
		}
	}
	return nil, errNoRSA()
}

func errNoRSA() error {
	return &cseError{err: errors.New("the PEM file holds no RSA key"), hint: "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072"}
}

// vaultKey is a key in a vault, asked with a token that the user brings.
func vaultKey(ctx context.Context, keyURL, tokenFile, algorithm string) (cse.Key, cse.KeyResolver, error) {
	u, err := url.Parse(keyURL)
	if err != nil || u.Host == "" {
		return nil, nil, &cseError{err: errors.New("the URL of the vault's key cannot be read")}
	}
	if tokenFile == "" {
		return nil, nil, &cseError{err: errors.New("the vault wants a token"),
			hint: "az account get-access-token --resource https://vault.azure.net --query accessToken -o tsv > FILE, then --vault-token FILE; " +
				"for a vault of Coffer, a token of its own endpoint for https://vault.DOMAIN"}
	}
	vault := "https://" + u.Host
	client, err := azkeys.NewClient(vault, fileToken(tokenFile), nil)
	if err != nil {
		return nil, nil, err
	}
	resolver, err := keyvault.NewResolver(map[string]*azkeys.Client{vault: client})
	if err != nil {
		return nil, nil, err
	}
	key, err := keyvault.NewKey(ctx, client, keyURL, &keyvault.KeyOptions{Algorithm: algorithm})
	return key, resolver, err
}

// fileToken reads the token anew each time it is asked: files are renewed.
type fileToken string

func (f fileToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	text, err := os.ReadFile(string(f))
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: strings.TrimSpace(string(text)), ExpiresOn: time.Now().Add(5 * time.Minute)}, nil
}
