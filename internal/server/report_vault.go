package server

import "time"

// VaultArgs name a vault or Managed HSM and what to do with it.
type VaultArgs struct {
	Name            string   `json:"name,omitempty"`
	HSM             bool     `json:"hsm,omitempty"`
	PurgeProtection bool     `json:"purge_protection,omitempty"`
	Days            int      `json:"days,omitempty"`        // of soft delete
	Policies        bool     `json:"policies,omitempty"`    // access policies decide, not roles
	Principal       string   `json:"principal,omitempty"`   // whom an access policy is for
	Permissions     []string `json:"permissions,omitempty"` // of the access policy; none removes it
	Deleted         bool     `json:"deleted,omitempty"`     // list: those that can be recovered
	Location        string   `json:"location,omitempty"`
	Admins          []string `json:"admins,omitempty"` // of an HSM
}

// VaultInfo describes a vault or Managed HSM.
type VaultInfo struct {
	Name            string        `json:"name"`
	Kind            string        `json:"kind"` // vault or managedhsm
	URI             string        `json:"uri"`
	ResourceID      string        `json:"resource_id"`
	Authorization   string        `json:"authorization"` // roles or access policies
	Scope           string        `json:"scope"`         // where roles on it are assigned
	Policies        []VaultPolicy `json:"policies,omitempty"`
	Admins          []string      `json:"admins,omitempty"`
	SoftDeleteDays  int           `json:"soft_delete_days"`
	PurgeProtection bool          `json:"purge_protection"`
	Platform        string        `json:"platform"` // software
	Created         time.Time     `json:"created"`
	Deleted         *time.Time    `json:"deleted,omitempty"`
	Purge           *time.Time    `json:"scheduled_purge,omitempty"`
}

// VaultPolicy is an access policy.
type VaultPolicy struct {
	Principal string   `json:"principal"` // object id
	Keys      []string `json:"keys"`
}

// VaultKeyArgs name a key in a vault and what to do with it.
type VaultKeyArgs struct {
	Vault   string   `json:"vault"`
	HSM     bool     `json:"hsm,omitempty"`
	Key     string   `json:"key,omitempty"`
	Version string   `json:"version,omitempty"`
	Type    string   `json:"type,omitempty"`
	Bits    int      `json:"bits,omitempty"`
	Curve   string   `json:"curve,omitempty"`
	Ops     []string `json:"ops,omitempty"`
	Deleted bool     `json:"deleted,omitempty"` // list: those that can be recovered

	// Dates of a version; nil is none, or as it is. The zero time takes a date away.
	NotBefore *time.Time `json:"not_before,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`

	Private []byte          `json:"private,omitempty"` // import: PEM, or a JSON web key
	Backup  []byte          `json:"backup,omitempty"`  // restore
	Policy  *RotationPolicy `json:"policy,omitempty"`  // setPolicy
}

// VaultKeyBackup is all versions of a key, sealed: only a vault of this store opens it.
type VaultKeyBackup struct {
	Value []byte `json:"value"`
}

// RotationPolicy says when a key of a vault gets a new version by itself. Durations are
// ISO 8601: P90D.
type RotationPolicy struct {
	Vault   string           `json:"vault"`
	Key     string           `json:"key"`
	Expiry  string           `json:"expiry_time,omitempty"` // how long new versions live
	Actions []LifetimeAction `json:"actions"`
	Updated *time.Time       `json:"updated,omitempty"` // nil: what keys have that were given none
}

// LifetimeAction is what happens to the newest version of a key, and when.
type LifetimeAction struct {
	Action       string `json:"action"` // Rotate or Notify
	AfterCreate  string `json:"after_create,omitempty"`
	BeforeExpiry string `json:"before_expiry,omitempty"`
}

// VaultKey describes one version of a key in a vault.
type VaultKey struct {
	Vault     string     `json:"vault"`
	Name      string     `json:"name"`
	Version   string     `json:"version"`
	ID        string     `json:"id"` // the address that clients know it by
	Type      string     `json:"type"`
	Bits      int        `json:"bits"`
	Curve     string     `json:"curve,omitempty"`
	Ops       []string   `json:"ops"`
	Enabled   bool       `json:"enabled"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
	Created   time.Time  `json:"created"`
	Deleted   *time.Time `json:"deleted,omitempty"`
	Purge     *time.Time `json:"scheduled_purge,omitempty"`
}
