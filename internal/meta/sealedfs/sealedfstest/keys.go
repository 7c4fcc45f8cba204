// Package sealedfstest has a key hierarchy in memory for tests below package keys.
package sealedfstest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Keys implements sealedfs.Keys. Its keys follow from the store id alone, so that two
// of the same store open each other's files.
type Keys struct {
	mu      sync.Mutex
	store   [16]byte
	gen     uint64
	vfs     map[[16]byte]secret.Key
	active  [16]byte
	sys     secret.Key
	sysKref [16]byte
}

// New returns the keys of a store.
func New(store byte) *Keys {
	k := &Keys{store: [16]byte{store, 0xee}, gen: 2, vfs: make(map[[16]byte]secret.Key), sysKref: [16]byte{'s', store}}
	k.sys = derived("sys", store)
	k.active = [16]byte{'v', store}
	k.vfs[k.active] = derived("vfs", store)
	return k
}

func derived(label string, n byte) secret.Key {
	sum := sha256.Sum256(append([]byte(label), n))
	return secret.New(bytes.Clone(sum[:]))
}

// SetGeneration puts the key store at a generation.
func (k *Keys) SetGeneration(gen uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gen = gen
}

// RotateVFS makes a new Active VFSK and the next generation.
func (k *Keys) RotateVFS() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gen++
	k.active = [16]byte{'v', k.store[0], byte(k.gen)}
	k.vfs[k.active] = derived("vfs rotated", byte(k.gen))
}

// Active is the kref of the Active VFSK.
func (k *Keys) Active() [16]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.active
}

// SealVFS implements sealedfs.Keys.
func (k *Keys) SealVFS() (kref [16]byte, key secret.Key, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.active, k.vfs[k.active], nil
}

// OpenVFS implements sealedfs.Keys.
func (k *Keys) OpenVFS(kref [16]byte) (secret.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.vfs[kref]; ok {
		return key, nil
	}
	return secret.Key{}, errUnknown
}

// SealStore implements sealedfs.Keys.
func (k *Keys) SealStore() (kref [16]byte, key secret.Key, err error) { return k.sysKref, k.sys, nil }

// OpenStore implements sealedfs.Keys.
func (k *Keys) OpenStore(kref [16]byte) (secret.Key, error) {
	if kref != k.sysKref {
		return secret.Key{}, errUnknown
	}
	return k.sys, nil
}

// Generation implements sealedfs.Keys.
func (k *Keys) Generation() (gen uint64, sum [32]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.gen, sha256.Sum256([]byte{byte(k.gen), k.store[0]})
}

// StoreID implements sealedfs.Keys.
func (k *Keys) StoreID() [16]byte { return k.store }

var errUnknown = fault.New("sealedfstest", "", fault.Corrupt, errors.New("key version does not belong here"))
