package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/server"
)

type serveCmd struct {
	Data            string        `help:"Data directory; without it coffer-data, or a temporary one with --dev." env:"COFFER_DATA" placeholder:"DIR"`
	Host            string        `help:"Address of all endpoints; 127.0.0.1, or 0.0.0.0 with --dev." env:"COFFER_HOST" placeholder:"ADDR"`
	BlobPort        int           `help:"Port of the blob service, HTTP and TLS; 0 takes a free one." default:"10000" env:"COFFER_BLOB_PORT"`
	VaultPort       int           `help:"Port of vaults and Managed HSMs, TLS only; 10005, or a free one with --blob-port 0." default:"-1" env:"COFFER_VAULT_PORT"`
	KeyCache        time.Duration `help:"How long a customer-managed key is used without asking its vault: the bound of a revocation, 1s to 1h." default:"60s" env:"COFFER_KEY_CACHE"`
	KeyVersionCheck time.Duration `help:"How often customer-managed keys are looked at for a new version and their dates, 1s to 24h." default:"1h" env:"COFFER_KEY_VERSION_CHECK"`
	KeyStale        time.Duration `help:"How long a customer-managed key is used while its vault is out of reach: 0, or --key-cache to 24h." default:"15m" env:"COFFER_KEY_STALE"`
	VaultSuffix     []string      `help:"Allow vaults of others below this name, such as vault.azure.net; HOST, or HOST=AUDIENCE of tokens. May be repeated." env:"COFFER_VAULT_SUFFIX" placeholder:"HOST"`
	VaultCredential string        `help:"How vaults of others know this server: managed identities of its machine, or what the environment names." enum:"managed,environment" default:"managed" env:"COFFER_VAULT_CREDENTIAL"`
	VaultDomain     string        `help:"Vaults are reached as NAME.vault.DOMAIN, Managed HSMs as NAME.managedhsm.DOMAIN." default:"localhost" env:"COFFER_VAULT_DOMAIN" placeholder:"DOMAIN"`
	ManagementPort  int           `help:"Port of /healthz, /readyz and /metrics; 0 takes a free one." default:"10006" env:"COFFER_MANAGEMENT_PORT"`
	UnsealKey       string        `help:"Key file of the service root, outside the data directory." env:"COFFER_UNSEAL_KEY" placeholder:"FILE"`
	InfraKey        string        `help:"Key file of the infrastructure root; beside --unseal-key, with .infra before its ending." env:"COFFER_INFRA_KEY" placeholder:"FILE"`
	ReadyFile       string        `help:"Write endpoints and credentials here (0600) when everything listens." placeholder:"FILE"`
	Dev             bool          `help:"Development store: every address, keys may lie beside the data, no recovery kit." env:"COFFER_DEV"`
	Domain          []string      `help:"Name below which our CA signs certificates; may be repeated." env:"COFFER_DOMAIN" placeholder:"NAME"`
	Cert            string        `help:"Own certificate chain, PEM." placeholder:"FILE"`
	Key             string        `help:"Private key of --cert, PEM." placeholder:"FILE"`
	AllowHTTP       bool          `help:"Serve plain HTTP on other addresses than loopback." name:"allow-http" env:"COFFER_ALLOW_HTTP"`
	TrustProxy      bool          `help:"Believe X-Forwarded-For and X-Forwarded-Proto: only behind a proxy that sets both, and that nobody can pass by." env:"COFFER_TRUST_PROXY"`
	KeystoreCopy    string        `help:"Keep a further copy of the key store in this directory, best on another disk." name:"keystore-copy" env:"COFFER_KEYSTORE_COPY" placeholder:"DIR"`
	AuditAnchor     string        `help:"Append signed checkpoints of the audit trail to this file, best on another machine; a store older than it says is refused." env:"COFFER_AUDIT_ANCHOR" placeholder:"FILE"`
	IdentityURL     string        `name:"identity-url" help:"How others reach the identity endpoint, https; without it, the address of the management port." env:"COFFER_IDENTITY_URL" placeholder:"URL"`
	TrustIssuer     []string      `help:"Accept tokens of this OpenID issuer, https; may be repeated." env:"COFFER_TRUST_ISSUER" placeholder:"URL"`
	AllowUnsigned   bool          `name:"allow-unsigned-tokens" help:"TESTS ONLY: accept tokens that anybody made up. On loopback, or with --dev."`
	AcceptDataLoss  bool          `help:"Serve other addresses than loopback without a proved recovery kit."`
	AcceptRollback  bool          `help:"Open a store that is older than it says itself."`
	AllowXTS        bool          `name:"allow-xts" help:"In FIPS mode: open what a build without it sealed by AES-256-XTS (second layer)."`
	MemoryLimit     int64         `help:"Soft limit of the Go heap, MiB; 0 sets none." default:"96" env:"COFFER_MEMORY_LIMIT" placeholder:"MIB"`
	Log             string        `help:"Format of the log on stderr: text, json or off." enum:"text,json,off" default:"text" env:"COFFER_LOG"`
	LogLevel        string        `help:"Lowest level that is logged: debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"COFFER_LOG_LEVEL"`
	JSON            bool          `help:"Print the ready message as JSON." name:"json"`
}

func (c *serveCmd) Run(a *app) error {
	a.json = c.JSON
	if os.Getenv("AZURITE_ACCOUNTS") != "" {
		fmt.Fprintln(a.stderr, "coffer: AZURITE_ACCOUNTS is not read; make accounts with: coffer account create NAME")
	}
	cfg, err := c.config(a)
	if err != nil {
		return err
	}
	s, err := server.Open(a.ctx, cfg)
	if err != nil {
		return err
	}
	if err := s.Listen(); err != nil {
		return errors.Join(err, s.Close())
	}
	c.announce(a, s)
	return errors.Join(s.Serve(a.ctx), s.Close())
}

func (c *serveCmd) config(a *app) (server.Config, error) {
	cfg := server.Config{
		Version: versionText(), UnsealKey: c.UnsealKey, InfraKey: c.InfraKey, Dev: c.Dev,
		Host: c.Host, BlobPort: c.BlobPort, VaultPort: c.vaultPort(), VaultDomain: c.VaultDomain,
		KeyCache: given(c.KeyCache), KeyVersionCheck: given(c.KeyVersionCheck), KeyStale: given(c.KeyStale), VaultSuffixes: c.VaultSuffix, VaultCredential: c.VaultCredential,
		ManagementPort: c.ManagementPort, Domains: c.Domain,
		CertFile: c.Cert, KeyFile: c.Key, AllowHTTP: c.AllowHTTP, TrustProxy: c.TrustProxy,
		AcceptDataLoss: c.AcceptDataLoss, AcceptRollback: c.AcceptRollback, AllowXTS: c.AllowXTS, ReadyFile: c.ReadyFile,
		IdentityURL: c.IdentityURL, Issuers: c.TrustIssuer, AllowUnsigned: c.AllowUnsigned,
		MemoryLimit: c.MemoryLimit << 20, AuditAnchor: c.AuditAnchor, Logger: c.logger(a),
	}
	if c.KeystoreCopy != "" {
		abs, err := filepath.Abs(c.KeystoreCopy)
		if err != nil {
			return cfg, err
		}
		cfg.KeyStoreCopy = abs
	}
	if c.MemoryLimit == 0 {
		cfg.MemoryLimit = -1
	}
	if c.Data == "" && !c.Dev {
		c.Data = "coffer-data"
	}
	if c.Data != "" {
		abs, err := filepath.Abs(c.Data)
		if err != nil {
			return cfg, err
		}
		cfg.Data = abs
	}
	return cfg, nil
}

// vaultPort is 10005 unless the blob service takes a free port: then so does this.
func (c *serveCmd) vaultPort() int {
	switch {
	case c.VaultPort >= 0:
		return c.VaultPort
	case c.BlobPort == 0:
		return 0
	}
	return server.DefaultVaultPort
}

// given is a time that was asked for as the server takes it: there 0 is the default, and
// less is none.
func given(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func (c *serveCmd) logger(a *app) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(c.LogLevel)) // kong checked the value
	o := &slog.HandlerOptions{Level: level}
	switch c.Log {
	case "off":
		return slog.New(slog.DiscardHandler)
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.stderr, o))
}

// announce says where everything is.
func (c *serveCmd) announce(a *app, s *server.Server) {
	st := s.Status()
	if a.json {
		a.printJSON(st)
		return
	}
	p := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	if st.Dev {
		rule := strings.Repeat("=", 72)
		p("%s\n  DEVELOPMENT STORE. Published account key, every address, keys without\n  protection of their own. Never put data here that you must keep or hide.\n%s", rule, rule)
	}
	p("coffer %s", st.Version)
	p("  blob        %s  (http and https)", st.Blob)
	p("  vault       %s  (https only; also NAME.vault.%s, NAME.managedhsm.%s)", st.Vault, st.VaultDomain, st.VaultDomain)
	p("  management  %s  (/healthz /readyz /metrics)", st.Management)
	p("  identity    %s", st.Authority)
	p("  data        %s", st.Data)
	p("  unseal key  %s", orDash(st.UnsealKey))
	p("  infra key   %s", orDash(st.InfraKey))
	p("  tls ca      %s", st.TLSCA)
	if st.Account != "" {
		p("\nconnection string:\n  %s\n", st.ConnectionString("http"))
	}
	if c.Data != "" {
		p("other SDKs and https:  eval \"$(coffer env --data %s)\"", shellQuote(st.Data))
	}
	for _, line := range s.Notices() {
		p("note: %s", line)
	}
}
