package keys

import (
	"time"

	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
)

// The words of the key store, under the names that the rest of the program uses.
type (
	// ID is 16 random bytes that name one thing for ever.
	ID = cfks.ID
	// Protector names whose KEK wraps a data key.
	Protector = cfks.Protector
	// ProtectorKind says what a protector belongs to.
	ProtectorKind = cfks.ProtectorKind
	// Kind says what the keys of a chain are for.
	Kind = cfks.Kind
	// State is where a key version stands in its life.
	State = cfks.State
	// AdminState is what an administrator decided about a protector.
	AdminState = cfks.AdminState
	// Root is one of the two root keys.
	Root = cfks.Root
)

// Values of the words above.
const (
	ProtectAccount = cfks.ProtectAccount
	ProtectScope   = cfks.ProtectScope
	ProtectQueue   = cfks.ProtectQueue
	ProtectTable   = cfks.ProtectTable
	ProtectCPK     = cfks.ProtectCPK
	ProtectDES     = cfks.ProtectDES
	ProtectDisk    = cfks.ProtectDisk
	ProtectVault   = cfks.ProtectVault
	ProtectStore   = cfks.ProtectStore

	KEK      = cfks.KEK
	SYSK     = cfks.SYSK
	VFSK     = cfks.VFSK
	IDK      = cfks.IDK
	Identity = cfks.Identity
	Audit    = cfks.Audit

	PreActive   = cfks.PreActive
	Active      = cfks.Active
	Deactivated = cfks.Deactivated
	Compromised = cfks.Compromised
	Destroyed   = cfks.Destroyed

	Enabled  = cfks.Enabled
	Disabled = cfks.Disabled
	Shredded = cfks.Shredded

	SRK = cfks.SRK
	IRK = cfks.IRK
)

// CPK is the protector of contents under customer-provided keys.
var CPK = cfks.CPK

// NewID draws a new ID.
func NewID() ID { return cfks.NewID() }

// ParseID reads the hexadecimal form of an ID.
func ParseID(s string) (ID, error) { return cfks.ParseID(s) }

// ParseProtector reads the 17-byte form of a Protector.
func ParseProtector(b []byte) (Protector, error) { return cfks.ParseProtector(b) }

// AccountProtector is the protector of an account.
func AccountProtector(account ID) Protector { return Protector{Kind: ProtectAccount, ID: account} }

// Version is one version of a key, without its secret.
type Version struct {
	Chain     ID
	Number    uint64 // from 1
	Kref      ID     // what data name
	State     State
	Kind      Kind
	Owner     ID
	Protector Protector // KEKs only

	Created, Activated, Deactivated, Unreferenced, Destroyed time.Time // zero: did not happen
	DestroyedBy                                              string
	PublicKey                                                []byte // identity and audit keys

	// Epoch counts how often this process dropped the keys of the protector; of KEKs
	// under a customer's key that were opened.
	Epoch uint64
}

// ChainInfo describes a key and its versions, oldest first.
type ChainInfo struct {
	ID           ID
	Kind         Kind
	Owner        ID
	Protector    Protector
	Cryptoperiod time.Duration // 0: no schedule
	Versions     []Version
}

// ProtectorInfo describes a protector.
type ProtectorInfo struct {
	Protector Protector
	Owner     ID
	Chain     ID
	Admin     AdminState
	Double    bool
	Epoch     uint64
	Managed   string  // "service", or "customer" when a wrapping is in force
	Active    Version // zero when there is none
}

// SlotInfo describes one way to open a root.
type SlotInfo struct {
	ID       ID
	Root     Root
	Provider keyprovider.Kind
	Name     string
	Proved   time.Time // zero: never
	Stale    bool      // proved, but for an older root: prove again
}
