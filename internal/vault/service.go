package vault

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// Default names below which vaults and HSMs are reached.
const (
	DefaultVaultSuffix = "vault.localhost"
	DefaultHSMSuffix   = "managedhsm.localhost"
)

// generators is how many RSA keys are made at a time: one of 4096 bits takes seconds.
const generators = 2

// Options are the settings of a Service. The zero value lets nobody in but the operator
// and access policies.
type Options struct {
	Now         func() time.Time // nil is time.Now
	Audit       audit.Recorder   // nil records nothing
	Authorizer  Authorizer       // nil: no role lets anybody in
	Logger      *slog.Logger     // nil: no log
	VaultSuffix string           // "" is DefaultVaultSuffix
	HSMSuffix   string           // "" is DefaultHSMSuffix
	Tenant      string           // of vaults that name none
	// OnPurge is called before the last of a purged vault goes, and again if it fails.
	OnPurge func(context.Context, Vault) error
	// Port is the port of the endpoint, for URI; nil or 0: the URI has none.
	Port func() int
}

// Service keeps vaults and their keys. All methods are safe in parallel.
type Service struct {
	store *object.Store
	ring  *keys.Ring
	o     Options

	changing   sync.Mutex // one creation, recovery or purge of a vault at a time
	generating chan struct{}
	opened     opened

	familyMu sync.Mutex // one makes the family key
}

// New makes a Service over an open store.
func New(store *object.Store, ring *keys.Ring, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.VaultSuffix == "" {
		o.VaultSuffix = DefaultVaultSuffix
	}
	if o.HSMSuffix == "" {
		o.HSMSuffix = DefaultHSMSuffix
	}
	return &Service{store: store, ring: ring, o: o, generating: make(chan struct{}, generators)}
}

// Close forgets what is secret.
func (s *Service) Close() { s.forgetAll() }

// SetAuthorizer gives the service who decides by roles. It comes before the first call.
func (s *Service) SetAuthorizer(a Authorizer) { s.o.Authorizer = a }

// SetPort gives the service the port of its endpoint, which is known when it listens. It
// comes before the first call.
func (s *Service) SetPort(port func() int) { s.o.Port = port }

// Suffix is the name below which the vaults of a kind are reached.
func (s *Service) Suffix(kind Kind) string {
	if kind == HSM {
		return s.o.HSMSuffix
	}
	return s.o.VaultSuffix
}

// URI is the address of a vault: https://NAME.vault.localhost:10005.
func (s *Service) URI(kind Kind, name string) string {
	uri := "https://" + strings.ToLower(name) + "." + s.Suffix(kind)
	if s.o.Port != nil {
		if p := s.o.Port(); p > 0 && p != 443 {
			uri += ":" + strconv.Itoa(p)
		}
	}
	return uri
}
