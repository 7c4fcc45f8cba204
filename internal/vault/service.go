package vault

import (
	"errors"
	"log/slog"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// Default names below which vaults and HSMs are reached.
const (
	DefaultVaultSuffix = "vault.localhost"
	DefaultHSMSuffix   = "managedhsm.localhost"
)

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
	// Port is the port of the endpoint, for URI; nil or 0: the URI has none.
	Port func() int
}

// Service keeps vaults and their keys. All methods are safe in parallel.
type Service struct {
	store *object.Store
	ring  *keys.Ring
	o     Options
}

// New makes a Service over an open store.
func New(store *object.Store, ring *keys.Ring, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{store: store, ring: ring, o: o}
}

// Close wipes what is secret.
func (s *Service) Close() {}

// SetAuthorizer gives the service who decides by roles. It comes before the first call.
func (s *Service) SetAuthorizer(a Authorizer) { s.o.Authorizer = a }

// URI is the address of a vault: https://NAME.vault.localhost:10005.
func (s *Service) URI(kind Kind, name string) string { return "" }

var errSkeleton = errors.New("not there yet")

func skeleton(op string) error { return fault.New(op, "", fault.UnsupportedOperation, errSkeleton) }
