package vault

import "time"

// Ref names a vault, a key in it, and a version of the key, as far as they are given.
// An empty version is the newest.
type Ref struct {
	Kind    Kind
	Vault   string
	Key     string
	Version string
}

// Attributes of a key version.
type Attributes struct {
	Enabled   bool
	NotBefore time.Time // zero: none
	Expires   time.Time // zero: none
	Created   time.Time
	Updated   time.Time
}

// Key is one version of a key, without what is secret.
type Key struct {
	Ref
	Type  string // RSA, RSA-HSM, EC, EC-HSM, oct-HSM
	Bits  int
	Curve string // P-256, P-384, P-521
	N, E  []byte // RSA
	X, Y  []byte // EC, of the curve's length
	Ops   []string
	Attributes
	Tags            map[string]string
	RecoveryLevel   string
	RecoverableDays int
	Deletion        *Deletion // set on deleted keys
}

// NewKey is what CreateKey makes. Nil and empty members take the defaults.
type NewKey struct {
	Type       string
	Bits       int    // RSA: 2048, 3072, 4096; oct-HSM: 128, 192, 256
	Curve      string // EC
	Exponent   int    // RSA: 0 or 65537
	Ops        []string
	Enabled    *bool
	NotBefore  time.Time
	Expires    time.Time
	Tags       map[string]string
	Exportable bool // refused
}

// Material is a private key that is imported. Import takes its bytes over and wipes them.
type Material struct {
	Type             string // RSA, RSA-HSM, EC, EC-HSM, oct, oct-HSM
	Curve            string
	N, E, D, P, Q    []byte
	DP, DQ, QI, X, Y []byte
	K                []byte
}

// KeyChange is what UpdateKey changes in one version; nil leaves a thing as it is.
type KeyChange struct {
	Ops       *[]string
	Enabled   *bool
	NotBefore *time.Time
	Expires   *time.Time
	Tags      *map[string]string
}

// Operation is what a key is asked to do.
type Operation struct {
	Algorithm string // RSA-OAEP-256, A256GCM, RS256, ..
	Value     []byte // what is encrypted, decrypted, wrapped, unwrapped; a digest
	IV        []byte
	AAD       []byte
	Tag       []byte
	Signature []byte // Verify
}

// Result is what came of it, and the version that did it.
type Result struct {
	Ref   Ref
	Value []byte
	IV    []byte
	AAD   []byte
	Tag   []byte
	Valid bool // Verify
}

// RotationPolicy says when a key gets a new version by itself.
type RotationPolicy struct {
	Created    time.Time
	Updated    time.Time
	ExpiryTime string // ISO 8601 duration of new versions' life; "" none
	Actions    []LifetimeAction
}

// LifetimeAction is one thing that a rotation policy does. Exactly one trigger is set.
type LifetimeAction struct {
	Action           string // Rotate or Notify
	TimeAfterCreate  string // ISO 8601 duration
	TimeBeforeExpiry string
}

// Page is a part of a list. Next is "" at its end, else what From takes.
type Page struct {
	Keys []Key
	Next string
}

// Name is the name of the key, in the spelling of its creation.
func (k Key) Name() string { return k.Key }
