// Package keyprovider is the port to whoever keeps the secret that opens a root key.
//
// A root key lies in the key store, wrapped under a slot secret U of 32 bytes. An online
// provider hands out U whenever it is asked: a key file, a system credential, a device.
// Drivers are below (localkey); the suite that each must pass is keyprovidertest.
package keyprovider

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/secret"
)

// Kind is the provider number that stands in a slot.
type Kind uint8

// The kinds; the numbers are in files.
const (
	SecretBytes Kind = 1 + iota // key file, credential, descriptor
	TPM
	Vault
	HSM
	Passphrase // recovery, offline
	Kit        // recovery, offline
)

var kindNames = [...]string{"", "key file", "TPM", "vault", "HSM", "passphrase", "recovery kit"}

func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "unknown provider"
	}
	return kindNames[k]
}

// Online reports whether the provider can be asked at any time; the others are
// public-key recipients whose secret is kept offline.
func (k Kind) Online() bool { return k >= SecretBytes && k <= HSM }

// Slot names one wrapped root in one store.
type Slot struct {
	Store  [16]byte
	ID     [16]byte
	Root   uint8 // 1 service, 2 infrastructure
	Params []byte
}

// ErrNoSecret is returned by Open when the provider holds nothing for the slot.
var ErrNoSecret = errors.New("keyprovider: no secret for this slot")

// Provider keeps slot secrets. Implementations are safe for parallel use.
type Provider interface {
	// Kind is the number that slots of this provider have.
	Kind() Kind

	// Make draws a secret for a new slot and keeps it, with the pin, durably on return.
	// Secrets of other slots of the store stay. It returns the slot's params.
	Make(ctx context.Context, s Slot, pin [32]byte) (u secret.Key, params []byte, err error)

	// Open returns the secret of a slot and the pin kept beside it. The caller destroys u.
	// ErrNoSecret when there is none.
	Open(ctx context.Context, s Slot) (u secret.Key, pin [32]byte, err error)

	// Prune forgets the secrets of s.Store and s.Root for all slots but keep.
	Prune(ctx context.Context, s Slot, keep [][16]byte) error
}
