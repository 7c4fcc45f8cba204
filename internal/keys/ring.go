// Package keys is the key hierarchy: which key protects what, its versions and their
// life, and the file that keeps it all.
package keys

import (
	"context"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/keyprovider"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Copy is one stored copy of the key store.
type Copy struct {
	Place string // where it lies, for messages
	Bytes []byte
	Err   error // it is there but could not be read
}

// Port keeps the bytes of the key store. Drivers: filestore, and Memory for tests.
type Port interface {
	Load(ctx context.Context) ([]Copy, error)
	Swap(ctx context.Context, oldGeneration uint64, new []byte) error
	Settle(ctx context.Context, current []byte) error
}

// Options opens or makes a Ring.
type Options struct {
	Store   Port
	Service keyprovider.Provider // opens the service root
	Infra   keyprovider.Provider // opens the infrastructure root
	Now     func() time.Time     // nil: time.Now
	Dev     bool                 // development store; must match what the store says
	Audit   audit.Recorder       // may be nil, and set later with SetAudit
	// Usage reports the bytes sealed under a key version, for keys that are due by volume.
	Usage func(kref ID) uint64
	// Retention is the declared life of backups; written by Create.
	Retention time.Duration
	Periods   Periods
}

// Periods are the cryptoperiods that Create and AddOwner write; zero fields take the defaults.
type Periods struct{ KEK, SYSK, VFSK, IDK, Audit time.Duration }

// Ring is the opened key store. All methods are safe in parallel. Keys that it hands out
// are shared: callers never destroy them.
type Ring struct{}

func Create(ctx context.Context, o Options) (*Ring, error)                        { panic("soon") }
func Open(ctx context.Context, o Options) (*Ring, error)                          { panic("soon") }
func OpenWithKit(ctx context.Context, o Options, s RecoverySecret) (*Ring, error) { panic("soon") }

func (r *Ring) Initialize(ctx context.Context) error                                 { panic("soon") }
func (r *Ring) Initialized() bool                                                    { panic("soon") }
func (r *Ring) PurgePending() bool                                                   { panic("soon") }
func (r *Ring) FinishPurge(ctx context.Context) error                                { panic("soon") }
func (r *Ring) Repair(ctx context.Context) error                                     { panic("soon") }
func (r *Ring) OnSwap(f func() error)                                                { panic("soon") }
func (r *Ring) SetAudit(a audit.Recorder)                                            { panic("soon") }
func (r *Ring) StoreID() [16]byte                                                    { panic("soon") }
func (r *Ring) Dev() bool                                                            { panic("soon") }
func (r *Ring) Generation() (gen uint64, sum [32]byte)                               { panic("soon") }
func (r *Ring) Snapshot() []byte                                                     { panic("soon") }
func (r *Ring) Close()                                                               { panic("soon") }
func (r *Ring) Identity() (pin [32]byte)                                             { panic("soon") }
func (r *Ring) SealVFS() (kref [16]byte, k secret.Key, err error)                    { panic("soon") }
func (r *Ring) OpenVFS(kref [16]byte) (secret.Key, error)                            { panic("soon") }
func (r *Ring) SealStore() (kref [16]byte, k secret.Key, err error)                  { panic("soon") }
func (r *Ring) OpenStore(kref [16]byte) (secret.Key, error)                          { panic("soon") }
func (r *Ring) SealInfra() (kref ID, k secret.Key, err error)                        { panic("soon") }
func (r *Ring) OpenInfra(kref ID) (secret.Key, error)                                { panic("soon") }
func (r *Ring) System(owner ID) (kref ID, k secret.Key, err error)                   { panic("soon") }
func (r *Ring) SystemByRef(owner, kref ID) (secret.Key, error)                       { panic("soon") }
func (r *Ring) KEK(p Protector) (Version, secret.Key, error)                         { panic("soon") }
func (r *Ring) KEKByRef(p Protector, kref ID) (Version, secret.Key, error)           { panic("soon") }
func (r *Ring) KEKByVersion(p Protector, number uint64) (Version, secret.Key, error) { panic("soon") }
func (r *Ring) Protectors() []ProtectorInfo                                          { panic("soon") }
func (r *Ring) Protector(p Protector) (ProtectorInfo, bool)                          { panic("soon") }
func (r *Ring) Chains() []ChainInfo                                                  { panic("soon") }
func (r *Ring) AddOwner(ctx context.Context, owner ID) error                         { panic("soon") }
func (r *Ring) AddDoubleOwner(ctx context.Context, owner ID) error                   { panic("soon") }
func (r *Ring) Rotate(ctx context.Context, chain ID) (Version, error)                { panic("soon") }
func (r *Ring) RotateRoot(ctx context.Context, root Root, opts ...RootOption) error  { panic("soon") }
func (r *Ring) SetUnreferenced(ctx context.Context, chain ID, number uint64, at time.Time) error {
	panic("soon")
}
func (r *Ring) ClearUnreferenced(ctx context.Context) error                           { panic("soon") }
func (r *Ring) Destroy(ctx context.Context, chain ID, number uint64, by string) error { panic("soon") }
func (r *Ring) Due(now time.Time) []DueKey                                            { panic("soon") }

// RootOption changes what RotateRoot does.
type RootOption struct{}

// DueKey is a key that its schedule or its use says to rotate.
type DueKey struct {
	Chain  ID
	Kind   Kind
	Reason string
}

// RecoverySecret is what a person kept: shares of a kit, or a passphrase.
type RecoverySecret struct {
	Shares     []string
	Passphrase string
}

// RecoveryOptions says what kind of recovery slots to make.
type RecoveryOptions struct {
	Name       string
	Passphrase string // not empty: a passphrase instead of a kit
	Threshold  int    // k, default 1
	Shares     int    // n, default 1
}

// Kit is what AddRecovery gives to be kept offline. Text of a share is secret.
type Kit struct {
	Store  ID
	Pin    [32]byte
	Slots  []ID
	Shares []string // empty for a passphrase
}

func (r *Ring) AddRecovery(ctx context.Context, o RecoveryOptions) (Kit, error) { panic("soon") }
func (r *Ring) ProveRecovery(ctx context.Context, s RecoverySecret) ([]SlotInfo, error) {
	panic("soon")
}
func (r *Ring) Slots() []SlotInfo    { panic("soon") }
func (r *Ring) RecoveryProved() bool { panic("soon") }
