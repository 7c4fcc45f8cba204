package server

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/vault"
)

// program is a new service principal with its credential.
func (r *running) program(name string) (identity.Principal, azcore.TokenCredential) {
	r.t.Helper()
	p, secret, err := r.store.Identity.CreatePrincipal(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	cred, err := azidentity.NewClientSecretCredential(identity.Tenant, p.ClientID, secret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: r.authority(), DisableInstanceDiscovery: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return p, cred
}

func (r *running) keysOf(kind vault.Kind, name string, cred azcore.TokenCredential) *azkeys.Client {
	r.t.Helper()
	c, err := azkeys.NewClient(r.store.Vaults.URI(kind, name), cred, &azkeys.ClientOptions{ClientOptions: r.authority()})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *running) vaultOf(s vault.Spec) vault.Vault {
	r.t.Helper()
	v, err := r.store.Vaults.CreateVault(r.t.Context(), s)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func ptr[T any](v T) *T { return &v }

// TestVaultEndpoint: azkeys and azidentity, with nothing changed but the authority; a key
// that was made is there after a restart and opens what it sealed before.
func TestVaultEndpoint(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	ctx := t.Context()
	app, cred := r.program("app")
	v := r.vaultOf(vault.Spec{Kind: vault.Standard, Name: "box", RBAC: true, PurgeProtection: true})
	c := r.keysOf(vault.Standard, "box", cred)
	_, err := c.CreateKey(ctx, "k", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeRSA)}, nil)
	wantCode(t, "create without a role", err, 403, "Forbidden")
	r.assign("Key Vault Crypto Officer", v.Scope(""), app.ObjectID)
	made, err := c.CreateKey(ctx, "k", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeRSA)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	alg := azkeys.EncryptionAlgorithmRSAOAEP256
	wrapped, err := c.WrapKey(ctx, "k", "", azkeys.KeyOperationParameters{Algorithm: &alg, Value: []byte("data key")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	user, other := r.program("storage")
	r.assign("Key Vault Crypto Service Encryption User", v.Scope("k"), user.ObjectID)
	got, err := r.keysOf(vault.Standard, "box", other).UnwrapKey(ctx, "k", made.Key.KID.Version(), azkeys.KeyOperationParameters{Algorithm: &alg, Value: wrapped.Result}, nil)
	if err != nil || string(got.Result) != "data key" {
		t.Errorf("unwrap by the service's role = %q, %v", got.Result, err)
	}
	_, err = r.keysOf(vault.Standard, "box", other).Sign(ctx, "k", "", azkeys.SignParameters{Algorithm: ptr(azkeys.SignatureAlgorithmRS256), Value: make([]byte, 32)}, nil)
	wantCode(t, "sign by the service's role", err, 403, "Forbidden")
	r.stop()

	r = p.serve(t)
	for _, s := range []vault.Ref{{Kind: vault.Standard, Vault: "box", Key: "k"}} {
		out, err := r.store.Vaults.Unwrap(ctx, vault.Caller{ObjectID: user.ObjectID}, s, vault.Operation{Algorithm: string(alg), Value: wrapped.Result})
		if err != nil || string(out.Value) != "data key" || out.Ref.Version != made.Key.KID.Version() {
			t.Errorf("after a restart: %+v, %v", out.Ref, err)
		}
	}
}

// TestManagedHSM: local roles are assigned by the administrator that the HSM was made
// with, and go with it.
func TestManagedHSM(t *testing.T) {
	r := newPlace(t).serve(t)
	ctx := t.Context()
	admin, adminCred := r.program("admin")
	user, userCred := r.program("user")
	r.vaultOf(vault.Spec{Kind: vault.HSM, Name: "safe", Admins: []string{admin.ObjectID}})
	c := r.keysOf(vault.HSM, "safe", userCred)
	create := func() error {
		_, err := c.CreateKey(ctx, "aes", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeOctHSM), KeySize: ptr(int32(256))}, nil)
		return err
	}
	wantCode(t, "create without a role", create(), 403, "Forbidden")
	role, ok := identity.FindRole("Managed HSM Crypto User")
	if !ok {
		t.Fatal("the role is not there")
	}
	const id = "7f3bc1de-0000-4000-8000-00000000000a"
	body := `{"properties":{"roleDefinitionId":"Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/` + role.ID + `","principalId":"` + user.ObjectID + `"}}`
	path := "//keys/providers/Microsoft.Authorization/roleAssignments/" + id + "?api-version=7.6"
	if status, b := r.local(userCredential(t, userCred), "PUT", path, body); status != 403 {
		t.Errorf("assign by the user: %d %s", status, b)
	}
	token := userCredential(t, adminCred)
	if status, b := r.local(token, "PUT", path, body); status != 201 || !strings.Contains(b, `"scope":"/keys"`) {
		t.Fatalf("assign by the administrator: %d %s", status, b)
	}
	if err := create(); err != nil {
		t.Errorf("create with a role: %v", err)
	}
	if status, b := r.local(token, "GET", "//providers/Microsoft.Authorization/roleAssignments?api-version=7.6", ""); status != 200 || strings.Count(b, user.ObjectID) != 1 {
		t.Errorf("list: %d %s", status, b)
	}
	if status, b := r.local(token, "GET", "//providers/Microsoft.Authorization/roleDefinitions?api-version=7.6", ""); status != 200 || !strings.Contains(b, role.ID) {
		t.Errorf("roles: %d %s", status, b)
	}
	if status, b := r.local(token, "DELETE", path, ""); status != 200 {
		t.Errorf("unassign: %d %s", status, b)
	}
	wantCode(t, "create after the role was taken", create(), 403, "Forbidden")
	if status, _ := r.local(token, "PUT", path, body); status != 201 {
		t.Errorf("assign again: %d", status)
	}
	if _, err := r.store.Vaults.DeleteVault(ctx, vault.HSM, "safe"); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Vaults.PurgeVault(ctx, vault.HSM, "safe"); err != nil {
		t.Fatal(err)
	}
	if list, err := r.store.Identity.Assignments(ctx, identity.Filter{Below: vault.HSMScope("safe")}); err != nil || len(list) != 0 {
		t.Errorf("after the purge roles are left: %v, %v", list, err)
	}
}

// userCredential is a token for Managed HSMs.
func userCredential(t *testing.T, cred azcore.TokenCredential) string {
	t.Helper()
	got, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://managedhsm.localhost/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	return got.Token
}

// local sends a request to the HSM safe.
func (r *running) local(token, verb, path, body string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest(verb, r.store.Vaults.URI(vault.HSM, "safe"), bytes.NewBufferString(body))
	if err != nil {
		r.t.Fatal(err)
	}
	path, query, _ := strings.Cut(path, "?")
	req.URL.Opaque = "//" + req.URL.Host + path
	req.URL.RawQuery = query
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := r.trusting().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestVaultPlain: nothing is served without TLS.
func TestVaultPlain(t *testing.T) {
	r := newPlace(t).serve(t)
	resp, err := http.Get("http" + strings.TrimPrefix(r.st.Vault, "https") + "/keys?api-version=7.6")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: %s", resp.Status)
	}
	cfg := newPlace(t).config()
	cfg.VaultDomain = "no_domain"
	if _, err := Open(t.Context(), cfg); !fault.Is(err, fault.InvalidInput) {
		t.Errorf("Open with a bad domain = %v", err)
	}
}

// TestVaultDomain: another domain, and certificates for it.
func TestVaultDomain(t *testing.T) {
	r := newPlace(t).serve(t, func(c *Config) { c.VaultDomain = "Keys.Example." })
	app, cred := r.program("app")
	v := r.vaultOf(vault.Spec{Kind: vault.Standard, Name: "box", Policies: []vault.AccessPolicy{{ObjectID: app.ObjectID, Keys: []string{"create"}}}})
	if !strings.HasPrefix(r.store.Vaults.URI(v.Kind, v.Name), "https://box.vault.keys.example:") {
		t.Fatalf("URI = %s", r.store.Vaults.URI(v.Kind, v.Name))
	}
	made, err := r.keysOf(v.Kind, v.Name, cred).CreateKey(t.Context(), "k", azkeys.CreateKeyParameters{Kty: ptr(azkeys.KeyTypeEC)}, nil)
	if err != nil || time.Since(*made.Attributes.Created) > time.Minute {
		t.Errorf("CreateKey = %+v, %v", made.Attributes, err)
	}
}
