package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/scope"
)

// trusting is a client that trusts the CA of r.
func (r *running) trusting() *http.Client {
	r.t.Helper()
	pem, err := os.ReadFile(r.st.TLSCA)
	if err != nil {
		r.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		r.t.Fatal("the CA file holds no certificate")
	}
	// ACCOUNT.blob.localhost is this machine, whatever the resolver thinks.
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: dial}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func secure(url string) string { return "https" + strings.TrimPrefix(url, "http") }

// authority is what a client of Azure needs to be told: the authority, the CA, and that
// it must not ask the cloud about the authority.
func (r *running) authority() policy.ClientOptions {
	return policy.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: secure(r.st.Management) + "/"},
		Transport: r.trusting(),
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
}

func (r *running) blobs(cred azcore.TokenCredential) *azblob.Client {
	r.t.Helper()
	c, err := azblob.NewClient(secure(r.st.Blob)+"/"+r.st.Account, cred, &azblob.ClientOptions{ClientOptions: r.authority()})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *running) assign(role, scope, principal string) {
	r.t.Helper()
	_, err := r.store.Identity.Assign(r.t.Context(), identity.RoleAssignment{RoleID: role, Scope: scope, PrincipalID: principal})
	if err != nil {
		r.t.Fatal(err)
	}
}

// accountScope is the id of the default account as a resource.
func (r *running) accountScope() string {
	r.t.Helper()
	id, _, err := r.resource(r.t.Context(), "devstoreaccount1")
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func wantCode(t *testing.T, what string, err error, status int, code string) {
	t.Helper()
	e, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok || e.StatusCode != status || e.ErrorCode != code {
		t.Errorf("%s = %v, want %d %s", what, err, status, code)
	}
}

// TestClientSecret: the official clients, with nothing changed but the authority.
func TestClientSecret(t *testing.T) {
	r := newPlace(t).serve(t)
	ctx := t.Context()
	p, secret, err := r.store.Identity.CreatePrincipal(ctx, "app")
	if err != nil {
		t.Fatal(err)
	}
	cred, err := azidentity.NewClientSecretCredential(identity.Tenant, p.ClientID, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: r.authority(), DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	c := r.blobs(cred)
	upload := func(name string) error {
		_, err := c.UploadBuffer(ctx, "box", name, []byte("hello"), nil)
		return err
	}
	_, err = c.CreateContainer(ctx, "box", nil)
	wantCode(t, "create without a role", err, 403, "AuthorizationPermissionMismatch")

	r.assign("Storage Blob Data Contributor", r.accountScope(), p.ObjectID)
	if _, err := c.CreateContainer(ctx, "box", nil); err != nil {
		t.Fatalf("create with a role: %v", err)
	}
	if err := errors.Join(upload("a"), upload("a")); err != nil {
		t.Errorf("upload and overwrite: %v", err)
	}
	resp, err := c.DownloadStream(ctx, "box", "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
	if page, err := c.NewListBlobsFlatPager("box", nil).NextPage(ctx); err != nil || len(page.Segment.BlobItems) != 1 {
		t.Errorf("list: %v", err)
	}
	_, err = c.ServiceClient().NewContainerClient("box").GetAccessPolicy(ctx, nil)
	wantCode(t, "policies by a contributor", err, 403, "AuthorizationPermissionMismatch")

	if err := r.store.Identity.DeletePrincipal(ctx, p.ObjectID); err != nil {
		t.Fatal(err)
	}
	_, err = c.DownloadStream(ctx, "box", "a", nil)
	wantCode(t, "read by a principal that is gone", err, 401, "InvalidAuthenticationInfo")
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok && !strings.HasPrefix(e.RawResponse.Header.Get("WWW-Authenticate"), "Bearer authorization_uri="+secure(r.st.Management)+"/"+identity.Tenant) {
		t.Errorf("challenge = %q", e.RawResponse.Header.Get("WWW-Authenticate"))
	}

	bad, err := azidentity.NewClientSecretCredential(identity.Tenant, p.ClientID, "wrong", &azidentity.ClientSecretCredentialOptions{ClientOptions: r.authority(), DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bad.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
	if e, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); !ok || e.RawResponse.StatusCode != 401 || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("token for a wrong secret: %v", err)
	}
	for _, s := range []string{secret, "eyJ"} {
		if strings.Contains(r.logText(), s) {
			t.Errorf("the log has a secret or a token")
		}
	}
}

// TestClientCertificate: signed assertions, of the credential for certificates.
func TestClientCertificate(t *testing.T) {
	r := newPlace(t).serve(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := r.store.Identity.CreatePrincipal(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	token := func() error {
		cred, err := azidentity.NewClientCertificateCredential(identity.Tenant, p.ClientID, []*x509.Certificate{cert}, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: r.authority(), DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		got, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
		if err == nil {
			_, err = r.store.Identity.Verify(t.Context(), got.Token, "https://storage.azure.com")
		}
		return err
	}
	if err := token(); err == nil {
		t.Error("a certificate that nobody registered got a token")
	}
	if err := r.store.Identity.AddCertificate(t.Context(), "app", der); err != nil {
		t.Fatal(err)
	}
	if err := token(); err != nil {
		t.Errorf("token by certificate: %v", err)
	}
}

// TestUserDelegation: a key of a principal, and what is signed with it.
func TestUserDelegation(t *testing.T) {
	r := newPlace(t).serve(t)
	ctx := t.Context()
	p, secret, err := r.store.Identity.CreatePrincipal(ctx, "app")
	if err != nil {
		t.Fatal(err)
	}
	cred, err := azidentity.NewClientSecretCredential(identity.Tenant, p.ClientID, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: r.authority(), DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	// By the name of the host: the client signs for the account that it finds there.
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(r.st.Blob, "http://"))
	endpoint := "https://" + r.st.Account + ".blob.localhost:" + port
	svc, err := service.NewClient(endpoint, cred, &service.ClientOptions{ClientOptions: r.authority()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	text := func(at time.Time) *string { s := at.Format(sas.TimeFormat); return &s }
	info := service.KeyInfo{Start: text(now.Add(-time.Minute)), Expiry: text(now.Add(time.Hour))}
	_, err = svc.GetUserDelegationCredential(ctx, info, nil)
	wantCode(t, "delegation key without a role", err, 403, "AuthorizationPermissionMismatch")
	r.assign("Storage Blob Data Reader", r.accountScope(), p.ObjectID)
	long := info
	long.Expiry = text(now.Add(8 * 24 * time.Hour))
	_, err = svc.GetUserDelegationCredential(ctx, long, nil)
	wantCode(t, "delegation key for eight days", err, 400, "InvalidXmlNodeValue")
	udc, err := svc.GetUserDelegationCredential(ctx, info, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := r.do(http.MethodPut, "/box?restype=container", nil, 0); status != 201 {
		t.Fatalf("create: %d %s", status, body)
	}
	if status, body := r.do(http.MethodPut, "/box/a", strings.NewReader("hello"), 5, "x-ms-blob-type", "BlockBlob"); status != 201 {
		t.Fatalf("put: %d %s", status, body)
	}
	sign := func(permissions string) *blob.Client {
		q, err := sas.BlobSignatureValues{Protocol: sas.ProtocolHTTPS, ExpiryTime: now.Add(30 * time.Minute), Permissions: permissions, ContainerName: "box", BlobName: "a"}.SignWithUserDelegation(udc)
		if err != nil {
			t.Fatal(err)
		}
		c, err := blob.NewClientWithNoCredential(endpoint+"/box/a?"+q.Encode(), &blob.ClientOptions{ClientOptions: r.authority()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	resp, err := sign("r").DownloadStream(ctx, nil)
	if err != nil {
		t.Fatalf("read by user delegation SAS: %v", err)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != "hello" {
		t.Errorf("read %q", b)
	}
	_, err = sign("rd").Delete(ctx, nil)
	wantCode(t, "delete, which the SAS says and the signer may not", err, 403, "AuthorizationPermissionMismatch")
	r.writeUnderScope(endpoint, udc, p.ObjectID)
	_, account, err := r.resource(ctx, "devstoreaccount1")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.Identity.RevokeDelegations(ctx, account); err != nil {
		t.Fatal(err)
	}
	_, err = sign("r").DownloadStream(ctx, nil)
	wantCode(t, "read after the delegation keys were revoked", err, 403, "AuthenticationFailed")
}

// writeUnderScope: a user delegation SAS names the encryption scope of what it writes.
func (r *running) writeUnderScope(endpoint string, udc *service.UserDelegationCredential, principal string) {
	t, ctx := r.t, r.t.Context()
	r.assign("Storage Blob Data Contributor", r.accountScope(), principal)
	info, err := r.accountOf(ctx, r.st.Account)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Scopes.Create(ctx, info.ID, "tenant-a", scope.Options{}); err != nil {
		t.Fatal(err)
	}
	q, err := sas.BlobSignatureValues{Protocol: sas.ProtocolHTTPS, ExpiryTime: time.Now().UTC().Add(30 * time.Minute), Permissions: "rcw", ContainerName: "box", EncryptionScope: "tenant-a"}.SignWithUserDelegation(udc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := blockblob.NewClientWithNoCredential(endpoint+"/box/scoped?"+q.Encode(), &blockblob.ClientOptions{ClientOptions: r.authority()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.UploadBuffer(ctx, []byte("hello"), nil)
	if err != nil {
		t.Fatalf("write under a scope: %v", err)
	}
	if got.EncryptionScope == nil || *got.EncryptionScope != "tenant-a" {
		t.Errorf("written under the scope %v, want tenant-a", got.EncryptionScope)
	}
}

// TestManagedIdentity: a program on this machine, without any credential.
func TestManagedIdentity(t *testing.T) {
	r := newPlace(t).serve(t)
	ctx := t.Context()
	m, err := r.store.Identity.CreateIdentity(ctx, identity.UserAssigned, "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/worker", "worker")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("IDENTITY_ENDPOINT", r.st.Management+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "coffer")
	token := func(id azidentity.ManagedIDKind) (string, error) {
		cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: policy.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}}, ID: id})
		if err != nil {
			t.Fatal(err)
		}
		got, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
		return got.Token, err
	}
	if _, err := token(azidentity.ClientID(m.ClientID)); err == nil {
		t.Error("an identity that was not given to the machine got a token")
	}
	if _, err := r.store.Identity.SetMachine(ctx, m.ObjectID, true); err != nil {
		t.Fatal(err)
	}
	for _, id := range []azidentity.ManagedIDKind{nil, azidentity.ClientID(m.ClientID), azidentity.ResourceID(m.ResourceID), azidentity.ObjectID(m.ObjectID)} {
		got, err := token(id)
		if err != nil {
			t.Errorf("managed identity %v: %v", id, err)
			continue
		}
		if c, err := r.store.Identity.Verify(ctx, got, "https://storage.azure.com"); err != nil || c.ObjectID != m.ObjectID {
			t.Errorf("managed identity %v: token of %v, %v", id, c, err)
		}
	}
}

// TestTokensForVaultsAreShort: for every vault that this server knows of, a managed
// identity's token lives no longer than the switch of the vault's key may take.
func TestTokensForVaultsAreShort(t *testing.T) {
	c := Config{VaultSuffixes: []string{"keys.example.com", "hsm.example.com=https://Modules.example.com"}}
	for audience, want := range map[string]bool{
		"https://vault.localhost":              true,
		"https://vault.localhost:10003":        true,
		"https://Vault.azure.net":              true,
		"https://managedhsm.azure.net":         true,
		"https://keys.example.com":             true,
		"https://KEYS.example.com:10003":       true,
		"https://modules.example.com":          true,
		"https://hsm.example.com":              true,
		"https://storage.azure.com":            false,
		"https://example.com":                  false,
		"https://keys.example.com.evil.test":   false,
		"00000000-0000-4000-8000-000000000000": false,
	} {
		if got := c.isVault(audience); got != want {
			t.Errorf("isVault(%q) = %v, want %v", audience, got, want)
		}
	}
}

// TestDoctorIdentities: the last credential of a program counts, 30, 7 and 1 day ahead.
func TestDoctorIdentities(t *testing.T) {
	var ahead atomic.Int64
	r := newPlace(t).serve(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	p, _, err := r.store.Identity.CreatePrincipal(t.Context(), "app") // for a year
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Identity.CreateIdentity(t.Context(), identity.UserAssigned, "/m", "m"); err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		days time.Duration
		want string
	}{{300, "ok"}, {340, "note"}, {360, "warning"}, {364, "danger"}, {400, "danger"}} {
		ahead.Store(int64(tt.days*day + time.Hour))
		got := checkIdentities(r.Server, t.Context())
		if len(got) != 1 || got[0].Level != tt.want {
			t.Errorf("after %d days: %+v, want %s", tt.days, got, tt.want)
		}
	}
	if _, err := r.store.Identity.AddSecret(t.Context(), p.ObjectID, r.now().Add(100*day)); err != nil {
		t.Fatal(err)
	}
	if got := checkIdentities(r.Server, t.Context()); len(got) != 1 || got[0].Level != "ok" {
		t.Errorf("with a new secret: %+v, want ok", got)
	}
}

// TestPublishedKeys: an OpenID client that knows nothing of us checks our tokens.
func TestPublishedKeys(t *testing.T) {
	r := newPlace(t).serve(t)
	p, _, err := r.store.Identity.CreatePrincipal(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := r.store.Identity.Issue(t.Context(), p.ObjectID, "https://elsewhere.example")
	if err != nil {
		t.Fatal(err)
	}
	ctx := oidc.ClientContext(context.Background(), r.trusting())
	provider, err := oidc.NewProvider(ctx, secure(r.st.Management)+"/"+identity.Tenant+"/v2.0")
	if err != nil {
		t.Fatal(err)
	}
	got, err := provider.Verifier(&oidc.Config{ClientID: "https://elsewhere.example"}).Verify(ctx, token)
	if err != nil || got.Subject != p.ObjectID {
		t.Errorf("Verify = %v, %v", got, err)
	}
}

// TestUnsignedTokens: the switch is for loopback and development stores.
func TestUnsignedTokens(t *testing.T) {
	if _, err := Open(t.Context(), Config{Data: t.TempDir(), KeyMemory: true, Host: "0.0.0.0", AllowUnsigned: true}); err == nil || !strings.Contains(err.Error(), "allow-unsigned-tokens") {
		t.Errorf("Open on every address = %v, want a refusal by name", err)
	}
	r := newPlace(t).serve(t, func(c *Config) { c.AllowUnsigned = true })
	if !strings.Contains(r.logText(), "level=WARN msg=--allow-unsigned-tokens") && !strings.Contains(r.logText(), "--allow-unsigned-tokens: ANYBODY") {
		t.Error("the switch is not in the log")
	}
	if !bytes.Contains([]byte(strings.Join(r.Notices(), "\n")), []byte("ANYBODY")) {
		t.Error("the switch is not in the notices")
	}
	// {"alg":"none"} . {"iss":"https://sts.windows.net/x/","aud":"https://storage.azure.com","oid":"11111111-2222-4333-8444-555555555555","exp":4000000000} .
	const made = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL3N0cy53aW5kb3dzLm5ldC94LyIsImF1ZCI6Imh0dHBzOi8vc3RvcmFnZS5henVyZS5jb20iLCJvaWQiOiIxMTExMTExMS0yMjIyLTQzMzMtODQ0NC01NTU1NTU1NTU1NTUiLCJleHAiOjQwMDAwMDAwMDB9.eA"
	c := r.blobs(fixed(made))
	if _, err := c.CreateContainer(t.Context(), "box", nil); err != nil {
		t.Errorf("create with a token that was made up: %v", err)
	}
	r2 := newPlace(t).serve(t)
	_, err := r2.blobs(fixed(made)).CreateContainer(t.Context(), "box", nil)
	wantCode(t, "the same without the switch", err, 401, "InvalidAuthenticationInfo")
}

// fixed is a credential that has one token.
type fixed string

func (f fixed) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(f), ExpiresOn: time.Now().Add(time.Hour)}, nil
}
