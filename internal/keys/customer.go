package keys

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Vault is where customers keep their keys: a key vault or a managed HSM. Driver:
// internal/keyprovider/vaultkey. It wraps random values that we derive keys from, never
// a key of ours. A failure is a *VaultError; what is none counts as unreachable.
// Calls come in parallel and end with their context.
type Vault interface {
	// Inspect describes the version that ref names, or the newest enabled one.
	Inspect(ctx context.Context, ref VaultRef) (VaultKey, error)
	// Wrap wraps p with RSA-OAEP-256 under the version that ref names. It does not keep p.
	Wrap(ctx context.Context, ref VaultRef, p []byte) ([]byte, error)
	// Unwrap is its inverse. The caller owns the result.
	Unwrap(ctx context.Context, ref VaultRef, blob []byte) ([]byte, error)
}

// VaultRef names a key in a vault and the identity that may use it.
type VaultRef struct {
	URI     string // of the vault: https://NAME.vault.SUFFIX
	Key     string
	Version string // "" is the newest one

	Identity          string // resource id of a user-assigned identity; "" is the owner's own
	FederatedClientID string // application of another tenant, with a user-assigned identity
	Owner             ID     // whom the key serves; the Ring sets it
}

var (
	vaultName    = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	vaultVersion = regexp.MustCompile(`^[0-9a-zA-Z]{1,64}$`)
)

// maxIdentity bounds what is stored of an identity.
const maxIdentity = 2 << 10

// ParseVaultKey reads the address of a key: https://HOST/keys/NAME or
// https://HOST/keys/NAME/VERSION.
func ParseVaultKey(s string) (VaultRef, error) {
	u, err := url.Parse(s)
	if err != nil {
		return VaultRef{}, errors.New("the address of the key does not parse")
	}
	part := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(part) < 2 || len(part) > 3 || part[0] != "keys" {
		return VaultRef{}, errors.New("the address of a key is https://VAULT/keys/NAME or https://VAULT/keys/NAME/VERSION")
	}
	ref := VaultRef{URI: u.Scheme + "://" + u.Host, Key: part[1]}
	if len(part) == 3 {
		ref.Version = part[2]
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return VaultRef{}, errors.New("the address of the key has more than host and path")
	}
	return ref, ref.check()
}

// check tests the form of a reference.
func (v VaultRef) check() error {
	u, err := url.Parse(v.URI)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.Trim(u.Path, "/") != "":
		return errors.New("the address of the vault is not https://HOST")
	case !vaultName.MatchString(v.Key):
		return errors.New("the name of the key has letters, digits and dashes")
	case v.Version != "" && !vaultVersion.MatchString(v.Version):
		return errors.New("the version of the key has letters and digits")
	case len(v.URI) > 1<<10 || len(v.Identity) > maxIdentity || len(v.FederatedClientID) > maxIdentity:
		return errors.New("an address or an identity is too long")
	case v.FederatedClientID != "" && v.Identity == "":
		return errors.New("a federated client needs a user-assigned identity")
	}
	return nil
}

// String is the address of the key, with the version if there is one.
func (v VaultRef) String() string {
	s := strings.TrimRight(v.URI, "/") + "/keys/" + v.Key
	if v.Version != "" {
		s += "/" + v.Version
	}
	return s
}

// VaultKey is what a vault says of a version of a key.
type VaultKey struct {
	Version   string
	Type      string // RSA, RSA-HSM, EC, oct-HSM, ..
	Bits      int    // of the modulus
	Enabled   bool
	NotBefore time.Time // zero: none
	Expires   time.Time // zero: never
	Ops       []string  // wrapKey, unwrapKey, ..; nil: not said

	SoftDelete      bool // deleted keys can be recovered
	PurgeProtection bool // and not be purged before their time
}

// Reason says what of a customer's key is not there.
type Reason uint8

// Reasons.
const (
	ReasonKey   Reason = 1 + iota // the key: deleted, disabled, expired, forbidden
	ReasonVault                   // the vault: gone, or not to be reached
	ReasonToken                   // the identity: no token for it
)

var reasonNames = [...]string{"", "key", "vault", "token"}

func (r Reason) String() string {
	if r == 0 || int(r) >= len(reasonNames) {
		return fmt.Sprintf("Reason(%d)", uint8(r))
	}
	return reasonNames[r]
}

// VaultError is how a Vault fails.
type VaultError struct {
	Definitive bool // a refusal; else the vault could not be reached, or not now
	Reason     Reason
	Err        error
}

func (e *VaultError) Error() string {
	how := "cannot be reached"
	if e.Definitive {
		how = "refused"
	}
	return fmt.Sprintf("%v: %s: %v", e.Reason, how, e.Err)
}

func (e *VaultError) Unwrap() error { return e.Err }

// Suspended is in the chain of the error of kind KeyGone that a protector answers whose
// customer's key may not be used.
type Suspended struct {
	Reason Reason
	Err    error
}

func (e *Suspended) Error() string {
	return fmt.Sprintf("suspended (%v): %v", e.Reason, e.Err)
}

func (e *Suspended) Unwrap() error { return e.Err }

// Refusal says why a customer's key cannot be configured. It is in the chain of the
// error of SetVaultKey and its relatives.
type Refusal uint8

// Refusals.
const (
	RefusedPolicy   Refusal = 1 + iota // no soft delete or no purge protection
	RefusedAccess                      // the identity may not use the key
	RefusedIdentity                    // no token for the identity
	RefusedKey                         // no such key, or disabled or outside of its dates
	RefusedType                        // not RSA of 2048, 3072 or 4096 bits, or operations are missing
	RefusedHost                        // a host outside of the configured suffixes
	RefusedVault                       // the vault cannot be reached
)

var refusals = [...]string{"", "the vault has no soft delete or no purge protection",
	"the identity may not use the key", "there is no token for the identity",
	"there is no such key, or it is disabled or outside of its dates",
	"the key is not RSA with 2048, 3072 or 4096 bits that may wrap and unwrap",
	"the host is not below a configured suffix", "the vault cannot be reached"}

func (r Refusal) Error() string {
	if r == 0 || int(r) >= len(refusals) {
		return fmt.Sprintf("Refusal(%d)", uint8(r))
	}
	return refusals[r]
}

// ErrForbidden is wrapped by what a Vault answers when the identity may not do it.
var ErrForbidden = errors.New("the identity has no permission")

// ErrForeignHost is wrapped by what a Vault answers to a host outside of its suffixes.
var ErrForeignHost = errors.New("the host is not below a configured suffix")

// CustomerState is where a customer's key stands.
type CustomerState uint8

// States of a customer's key.
const (
	CustomerUnused    CustomerState = iota // not asked for since the start, or since it was dropped
	CustomerActive                         // may be used until the deadline
	CustomerDegraded                       // the vault cannot be reached; used until the deadline
	CustomerSuspended                      // may not be used
)

var customerStates = [...]string{"unused", "active", "degraded", "suspended"}

func (s CustomerState) String() string {
	if int(s) >= len(customerStates) {
		return fmt.Sprintf("CustomerState(%d)", uint8(s))
	}
	return customerStates[s]
}

// CustomerKeyInfo describes the customer's key that a protector is under.
type CustomerKeyInfo struct {
	Ref          VaultRef // with the version in use
	Follow       bool     // new versions are taken by themselves
	State        CustomerState
	Reason       Reason    // of a suspension
	Cause        string    // the last failure, without secrets
	LastSuccess  time.Time // when the call was sent that succeeded last; zero: none since the start
	Deadline     time.Time // until when the key may be used without asking
	LastRotation time.Time // when the version in use was taken
	NotBefore    time.Time // as last read
	Expires      time.Time // as last read; zero: never, or not read yet
	Previous     string    // address of the key before, while it is kept
	Unprotected  bool      // as last read, the vault has no soft delete or no purge protection

	Cache, VersionCheck, Stale time.Duration // the timers that apply
}

// CustomerOptions are the timers of customers' keys. Zero fields take the defaults.
type CustomerOptions struct {
	Cache        time.Duration // how long a key is used without asking the vault
	VersionCheck time.Duration // between looks for a new version
	Stale        time.Duration // how long it is used when the vault cannot be reached; negative: not at all
	Deadline     time.Duration // of a call with its token and retries, and of the wait for its turn
}

// Defaults and bounds of CustomerOptions.
const (
	DefaultKeyCache        = time.Minute
	DefaultKeyVersionCheck = time.Hour
	DefaultKeyStale        = 15 * time.Minute
	DefaultVaultDeadline   = 10 * time.Second
)

// Check tests the bounds.
func (o CustomerOptions) Check() error {
	o = o.orDefaults()
	switch {
	case o.Cache < time.Second || o.Cache > time.Hour:
		return errors.New("the time that keys are cached is between 1 second and 1 hour")
	case o.VersionCheck < time.Second || o.VersionCheck > day:
		return errors.New("the time between looks for key versions is between 1 second and 24 hours")
	case o.Deadline < 0 || o.Deadline > DefaultVaultDeadline:
		return errors.New("a call to a vault takes at most 10 seconds")
	case o.Stale != 0 && (o.Stale < o.Cache || o.Stale > day):
		return errors.New("the time that keys are used without their vault is 0, or between the time that they are cached and 24 hours")
	}
	return nil
}

// orDefaults fills in defaults; a negative Stale becomes 0, which is none.
func (o CustomerOptions) orDefaults() CustomerOptions {
	if o.Cache == 0 {
		o.Cache = DefaultKeyCache
	}
	if o.VersionCheck == 0 {
		o.VersionCheck = DefaultKeyVersionCheck
	}
	if o.Deadline == 0 {
		o.Deadline = DefaultVaultDeadline
	}
	switch {
	case o.Stale == 0:
		o.Stale = max(DefaultKeyStale, o.Cache)
	case o.Stale < 0:
		o.Stale = 0
	}
	return o
}
