// Package vault keeps keys for others: vaults and Managed HSMs, the keys in them with
// their versions, and what may be done with them by whom.
//
//	table vault    'v' kind name                  SYS: a vault: rules, access policies
//	               'k' vault name 0               SYS: a key: its versions, policy, deletion
//	               'n' vault name 0 version       SYS: a version: attributes, public key
//	                                              META: the private key
//	               'f' kind                       META: what backups are sealed under
//
// Each vault has a protector of its own in the key store, so that purging a vault
// destroys what its private keys are sealed under. Private keys come in by import only
// and never go out: there is no call that returns one, and a backup is sealed.
//
// The service authorizes itself: by the access policies of the vault or, where the vault
// says so, by the roles that an Authorizer knows. Every call is in the audit trail; what
// uses a private key gives its result only when its record is durable.
//
// A Managed HSM here is software like the vaults, and says so: HSMPlatform of its keys is
// "software". It differs in what it accepts and who decides.
//
// Forms and choices are in spec/vault.md. The package knows no HTTP.
package vault

import (
	"context"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
)

// Kind says what a vault is.
type Kind uint8

// Kinds of vaults. The values are stored.
const (
	Standard Kind = 1 // a key vault
	HSM      Kind = 2 // a Managed HSM
)

func (k Kind) String() string {
	switch k {
	case Standard:
		return "vault"
	case HSM:
		return "managedhsm"
	}
	return "unknown"
}

// Bounds of soft delete, in days.
const (
	MinSoftDelete     = 7
	MaxSoftDelete     = 90
	DefaultSoftDelete = 90
)

// AccessPolicy lets one principal do what it lists. Words are compared without case;
// "all" stands for everything but purge.
type AccessPolicy struct {
	TenantID      string   `json:"tenantId,omitempty"`
	ObjectID      string   `json:"objectId"`
	ApplicationID string   `json:"applicationId,omitempty"`
	Keys          []string `json:"keys,omitempty"`
	Secrets       []string `json:"secrets,omitempty"`
	Certificates  []string `json:"certificates,omitempty"`
	Storage       []string `json:"storage,omitempty"`
}

// Spec is what a vault is made with.
type Spec struct {
	Kind            Kind              `json:"kind"`
	Name            string            `json:"name"`
	ResourceID      string            `json:"resourceId"` // ARM id; "" is one in the default group
	TenantID        string            `json:"tenantId"`
	Location        string            `json:"location,omitempty"`
	SKU             string            `json:"sku,omitempty"`
	Tags            map[string]string `json:"tags,omitempty"`
	SoftDeleteDays  int               `json:"softDeleteDays"` // 0 is DefaultSoftDelete
	PurgeProtection bool              `json:"purgeProtection"`
	RBAC            bool              `json:"rbac"`             // roles decide, not Policies
	Policies        []AccessPolicy    `json:"policies"`         // of a vault without RBAC
	Admins          []string          `json:"admins,omitempty"` // object ids: first administrators of an HSM
}

// Vault is a vault as it is.
type Vault struct {
	Spec
	ID       keys.ID
	Created  time.Time
	Modified time.Time
	Deletion *Deletion // nil: it is there
}

// Deletion says when something was deleted and when it is purged by itself.
type Deletion struct {
	Deleted time.Time `json:"deleted"`
	Purge   time.Time `json:"purge"`
}

// Protector is whose KEK the private keys of v are sealed under.
func (v Vault) Protector() keys.Protector { return Protector(v.ID) }

// Protector is the protector of the vault with that id.
func Protector(id keys.ID) keys.Protector {
	return keys.VaultProtector(id)
}

// RecoveryLevel is the word by which clients know how deleted keys are kept.
func (v Vault) RecoveryLevel() string {
	level := "Recoverable"
	if v.SoftDeleteDays < MaxSoftDelete {
		level = "CustomizedRecoverable"
	}
	if v.PurgeProtection {
		return level
	}
	return level + "+Purgeable"
}

// Scope is where roles on v, or on one key of it, are assigned.
func (v Vault) Scope(key string) string {
	s := v.ResourceID
	if v.Kind == HSM {
		s = HSMScope(v.Name)
	}
	if key != "" {
		s += "/keys/" + key
	}
	return s
}

// HSMScope is the scope of the local roles of a Managed HSM.
func HSMScope(name string) string { return "/hsm/" + strings.ToLower(name) }

// Change is what UpdateVault changes; nil leaves a thing as it is.
type Change struct {
	Tags            map[string]string // replaces all
	SKU             *string
	SoftDeleteDays  *int
	PurgeProtection *bool // only on
	RBAC            *bool
	Policies        *[]AccessPolicy
}

// Authorizer decides by roles. The identity service is one.
type Authorizer interface {
	Allowed(ctx context.Context, principal, action string, data bool, scope string) bool
}

// Caller is who asks. The zero Caller may do nothing.
type Caller struct {
	ObjectID string
	ClientID string
	TenantID string
	operator bool
}

// Operator is the owner of the data directory: he may do everything that keys allow.
func Operator() Caller { return Caller{ObjectID: "operator", operator: true} }
