// Command round makes the round of a customer's key with the unmodified management
// clients for Go: vault, key, identity, grant, account under the key, upload, rotate,
// disable, refused, enable, read. It reports every step for the interop matrix.
//
// The configuration is what a user sets for a private cloud: where the management plane
// and the authority are (COFFER_MANAGEMENT, AZURE_AUTHORITY_HOST) and the client's
// credential. Names of vaults are looked up as a resolver would that sends everything
// below localhost to this machine; where the system's does that, no line of it is needed.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/coffer-storage/coffer/interop/report"
)

const (
	subscription = "00000000-0000-0000-0000-000000000000"
	group        = "coffer"
)

// world is what the steps share.
type world struct {
	opts  *arm.ClientOptions
	cred  azcore.TokenCredential
	http  *http.Client
	state state
}

// state is what steps leave for the next ones.
type state struct {
	vaultID, vaultURI   string
	identityID, subject string // subject: object id of the identity
	accountID, endpoint string // of the account, and of its blob service
	conn                string
	firstKey            string
}

func main() {
	w, err := newWorld()
	if err != nil {
		fmt.Fprintln(os.Stderr, "round:", err)
		os.Exit(2)
	}
	s := &report.Suite{Out: os.Stdout}
	s.Version("armstorage, armkeyvault, armmsi, armauthorization, azkeys, azidentity")
	for _, st := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"vault", w.vault}, {"key", w.key}, {"identity", w.identity}, {"grant", w.grant}, {"account", w.account},
		{"upload", w.upload}, {"token", w.token}, {"delegation", w.delegation}, {"managed", w.managed}, {"rotate", w.rotate}, {"disable", w.disable}, {"refused", w.refused}, {"enable", w.enable},
		{"read", w.read}, {"scope", w.scope}, {"delete", w.remove},
	} {
		s.Step(st.name, st.run)
	}
	os.Exit(s.Done())
}

func newWorld() (*world, error) {
	endpoint := "https" + strings.TrimPrefix(os.Getenv("COFFER_MANAGEMENT"), "http")
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil {
		return nil, err
	}
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix(host, ".localhost") {
				addr = net.JoinHostPort("127.0.0.1", port)
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
	private := cloud.Configuration{
		ActiveDirectoryAuthorityHost: os.Getenv("AZURE_AUTHORITY_HOST"),
		Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: endpoint, Audience: "https://management.localhost"}},
	}
	w := &world{http: client}
	w.opts = &arm.ClientOptions{ClientOptions: azcore.ClientOptions{Cloud: private, Transport: client}, DisableRPRegistration: true}
	w.cred, err = azidentity.NewClientSecretCredential(os.Getenv("AZURE_TENANT_ID"), os.Getenv("AZURE_CLIENT_ID"), os.Getenv("AZURE_CLIENT_SECRET"),
		&azidentity.ClientSecretCredentialOptions{ClientOptions: w.opts.ClientOptions, DisableInstanceDiscovery: true})
	return w, err
}

func tenant() string { return os.Getenv("AZURE_TENANT_ID") }

// self is the object id of the client.
func self() string { return os.Getenv("COFFER_OBJECT_ID") }
