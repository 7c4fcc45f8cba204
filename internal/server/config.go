package server

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// Default ports follow the emulator's convention, so that its connection strings work.
const (
	DefaultBlobPort       = 10000
	DefaultVaultPort      = 10005
	DefaultManagementPort = 10006
	DefaultVaultDomain    = "localhost"
	DefaultHost           = "127.0.0.1"
	DefaultMemoryLimit    = 96 << 20
)

// Config says what to open and how to serve it. The zero value of every field has a
// meaning; see the comments.
type Config struct {
	Version string // of the program, for answers and logs

	Data      string // the data directory; "" makes a temporary one that Close removes (Dev only)
	UnsealKey string // key file of the service root; "" is the default place
	InfraKey  string // key file of the infrastructure root; "" follows UnsealKey
	Dev       bool   // development store: keys may lie beside the data, any address
	KeyMemory bool   // keys live in this process only, and the store ends with it

	Host            string        // address of all listeners; "" is DefaultHost (0.0.0.0 with Dev)
	BlobPort        int           // 0 takes a free port
	VaultPort       int           // 0 takes a free port
	KeyCache        time.Duration // how long a customer's key is used without asking its vault; 0 is 1 min
	KeyVersionCheck time.Duration // between looks for new versions of customers' keys; 0 is 1 h
	KeyStale        time.Duration // how long a customer's key is used while its vault is out of reach; 0 is 15 min, negative none
	VaultSuffixes   []string      // further names below which vaults may be: HOST, or HOST=AUDIENCE
	VaultCredential string        // how vaults elsewhere know us: managed (""), or environment

	VaultDomain    string   // vaults are NAME.vault.DOMAIN; "" is DefaultVaultDomain
	ManagementPort int      // 0 takes a free port
	Domains        []string // names below these get certificates from our own CA
	CertFile       string   // own certificate chain, PEM; "" is our own CA
	KeyFile        string   // its private key, PEM
	AllowHTTP      bool     // plain HTTP on other addresses than loopback
	TrustProxy     bool     // believe X-Forwarded-For and X-Forwarded-Proto of the proxy that ends TLS
	KeyStoreCopy   string   // another directory that keeps a copy of the key store; "" is none
	AuditAnchor    string   // file elsewhere that keeps checkpoints of the audit trail; "" is none
	AcceptDataLoss bool     // serve other addresses without a proved recovery kit
	AcceptRollback bool     // open a store whose HEAD or log is missing or older
	AllowXTS       bool     // in FIPS mode: open double extents that are sealed by AES-256-XTS
	ReadyFile      string   // written when everything listens; "" writes none
	IdentityURL    string   // how others reach the identity endpoint; "" is https and the listener's address
	Issuers        []string // addresses of OpenID issuers elsewhere whose tokens count
	AllowUnsigned  bool     // take tokens of any key: tests only, on loopback or with Dev

	MemoryLimit int64 // soft limit of the Go heap in bytes; 0 is DefaultMemoryLimit, negative sets none

	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil is time.Now
	// Fatal is told that the store lost its log: nothing was acknowledged after
	// that and the process has to end; it must not return. nil ends the process with
	// code 3.
	Fatal func(error)

	offline   bool // no listeners: a command works on the store itself
	temporary bool // Data is ours to remove
}

// complete checks the fields against each other and fills in defaults.
func (c *Config) complete() error {
	const op = "server.Open"
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Host == "" {
		c.Host = DefaultHost
		if c.Dev {
			c.Host = "0.0.0.0"
		}
	}
	if err := c.checkVaultDomain(); err != nil {
		return err
	}
	if err := c.checkCustomer(); err != nil {
		return err
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return fault.New(op, "", fault.InvalidInput, errors.New("--cert and --key go together"))
	}
	if err := c.checkIdentity(); err != nil {
		return err
	}
	if c.Data != "" {
		return c.adoptDev()
	}
	if !c.Dev && !c.KeyMemory {
		return fault.New(op, "", fault.InvalidInput, errors.New("a data directory is needed: --data DIR"))
	}
	dir, err := os.MkdirTemp("", "coffer-")
	if err != nil {
		return err
	}
	c.Data, c.temporary, c.KeyMemory = dir, true, true
	return nil
}

// adoptDev lets commands work on a development store without being told that it is
// one. Serving it takes the flag, and the flag serves no other store.
func (c *Config) adoptDev() error {
	dev, known := c.claimsDev()
	switch {
	case !known || dev == c.Dev:
		return nil
	case c.offline:
		c.Dev = c.Dev || dev
		return nil
	case dev:
		return withHint(fault.New("server.Open", c.Data, fault.NotAllowed, errors.New("this is a development store")),
			"serve it with --dev; what has to be kept belongs in a store that was made without it")
	}
	return withHint(fault.New("server.Open", c.Data, fault.NotAllowed, errors.New("this is no development store, and --dev would expose it")),
		"leave --dev out (and COFFER_DEV), or name another directory with --data")
}

// claimsDev reads from the key store, if there is one, whether it is marked as a
// development store. What it claims is checked when it is opened.
func (c *Config) claimsDev() (dev, known bool) {
	for _, n := range keyStoreFiles {
		b, err := os.ReadFile(filepath.Join(c.Data, n))
		if err != nil {
			continue
		}
		if f, err := cfks.Parse(b); err == nil {
			return f.Dev, true
		}
	}
	return false, false
}

// keyStoreFiles are what a data directory is known by.
var keyStoreFiles = []string{"keystore.A", "keystore.B"}

// loopback reports whether only this machine reaches the listeners.
func (c *Config) loopback() bool { return isLoopback(c.Host) }

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// keyPlaces are the providers of the two roots and where their secrets lie.
type keyPlaces struct {
	service, infra         keyprovider.Provider
	servicePath, infraPath func(store [16]byte) (string, error)
}

// Names of key files in the data directory of a development store.
const (
	devKey = "unseal.key"
)

// keyPlaces chooses where the key files lie, and refuses places that do not last.
func (c *Config) keyPlaces() (keyPlaces, error) {
	if c.KeyMemory {
		m := localkey.NewMemory()
		in := func([16]byte) (string, error) { return "", nil }
		return keyPlaces{m, m, in, in}, nil
	}
	o := localkey.Options{DataDir: c.Data, Dev: c.Dev}
	unseal, infra := c.UnsealKey, c.InfraKey
	if unseal == "" && c.Dev {
		unseal = filepath.Join(c.Data, devKey)
	}
	if infra == "" && unseal != "" {
		infra = localkey.InfraPath(unseal)
	}
	var files [2]*localkey.File
	for i, path := range []string{unseal, infra} {
		if path != "" {
			path, err := filepath.Abs(path)
			if err != nil {
				return keyPlaces{}, err
			}
			files[i] = localkey.New(path, o)
			continue
		}
		files[i] = localkey.NewDefault(uint8(i+1), o)
		if err := c.checkDefaultPlace(); err != nil {
			return keyPlaces{}, err
		}
	}
	return keyPlaces{files[0], files[1], files[0].Path, files[1].Path}, nil
}

func (c *Config) checkDefaultPlace() error {
	if c.offline {
		return nil
	}
	dir, err := localkey.DefaultDir()
	if err != nil {
		return withHint(err, "name a place outside the data directory with --unseal-key FILE")
	}
	return withHint(localkey.CheckPlace(dir, c.Data), "name a place that lasts as long as the data with --unseal-key FILE, or use --dev")
}

// where returns the paths of both key files, "" for keys in memory.
func (p keyPlaces) where(store keys.ID) (service, infra string) {
	service, _ = p.servicePath(store)
	infra, _ = p.infraPath(store)
	return service, infra
}
