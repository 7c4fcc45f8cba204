// Package keystest has a vault for tests of what uses keys of customers.
package keystest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
)

// Vault is a vault in memory. What it "wraps" it remembers: the blob is a random name.
// Every way in which a customer takes his key away is a switch. The zero value is empty.
// All methods are safe in parallel.
type Vault struct {
	mu     sync.Mutex
	keys   map[string][]*Key // by address without version, oldest first
	blobs  map[string]wrapped
	denied map[string]bool // identities
	tokens map[string]bool // identities that get none
	hosts  map[string]Mood

	// Calls are counted by kind and by host.
	calls map[string]int
	// OnCall runs before every call, outside of locks: tests count, or wait, or change
	// something there. May be nil.
	onCall func(kind string, ref keys.VaultRef)
}

// Mood is how a vault answers.
type Mood int

// Moods.
const (
	Well        Mood = iota
	Gone             // deleted: a definitive 404
	Unreachable      // fails at once
	Hanging          // never answers
	Throttling       // 429
)

// Key is a version of a key.
type Key struct {
	Version          string
	Enabled, Deleted bool
	NotBefore        time.Time
	Expires          time.Time
	Type             string
	Bits             int
	Ops              []string
	SoftDelete       bool
	PurgeProtection  bool
	Wrong            bool // unwraps to something else
}

type wrapped struct {
	key string // with the version
	p   [32]byte
}

// URI is the address of a vault of tests.
func URI(name string) string { return "https://" + name + ".vault.test" }

// Add makes a new version of a key, good for a customer's key, and returns its address
// with the version.
func (v *Vault) Add(vault, key string) keys.VaultRef {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys == nil {
		v.keys, v.blobs = map[string][]*Key{}, map[string]wrapped{}
	}
	ref := keys.VaultRef{URI: URI(vault), Key: key}
	var b [16]byte
	rand.Read(b[:])
	k := &Key{Version: hex.EncodeToString(b[:]), Enabled: true, Type: "RSA", Bits: 2048, SoftDelete: true, PurgeProtection: true}
	v.keys[ref.String()] = append(v.keys[ref.String()], k)
	ref.Version = k.Version
	return ref
}

// Edit changes a version of a key; without a version in ref, all of them.
func (v *Vault) Edit(ref keys.VaultRef, f func(*Key)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, k := range v.versions(ref) {
		f(k)
	}
}

// SetMood says how the vault at a URI answers from now on.
func (v *Vault) SetMood(uri string, m Mood) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.hosts == nil {
		v.hosts = map[string]Mood{}
	}
	v.hosts[uri] = m
}

// Deny takes an identity's permissions away, or gives them back.
func (v *Vault) Deny(identity string, denied bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.denied == nil {
		v.denied = map[string]bool{}
	}
	v.denied[identity] = denied
}

// NoToken takes an identity away, or gives it back.
func (v *Vault) NoToken(identity string, gone bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tokens == nil {
		v.tokens = map[string]bool{}
	}
	v.tokens[identity] = gone
}

// OnCall sets what runs before every call.
func (v *Vault) OnCall(f func(kind string, ref keys.VaultRef)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.onCall = f
}

// Calls is the number of calls of a kind: inspect, wrap, unwrap; "" counts all.
func (v *Vault) Calls(kind string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for k, c := range v.calls {
		if kind == "" || k == kind {
			n += c
		}
	}
	return n
}

func (v *Vault) versions(ref keys.VaultRef) []*Key {
	version := ref.Version
	base := keys.VaultRef{URI: strings.TrimRight(ref.URI, "/"), Key: ref.Key}
	all := v.keys[base.String()]
	if version == "" {
		return all
	}
	i := slices.IndexFunc(all, func(k *Key) bool { return k.Version == version })
	if i < 0 {
		return nil
	}
	return all[i : i+1]
}

// enter counts a call and answers as the vault is in the mood to.
func (v *Vault) enter(ctx context.Context, kind string, ref keys.VaultRef) error {
	v.mu.Lock()
	if v.calls == nil {
		v.calls = map[string]int{}
	}
	v.calls[kind]++
	mood, token, denied, onCall := v.hosts[ref.URI], v.tokens[ref.Identity], v.denied[ref.Identity], v.onCall
	v.mu.Unlock()
	if onCall != nil {
		onCall(kind, ref)
	}
	switch {
	case token:
		return &keys.VaultError{Definitive: true, Reason: keys.ReasonToken, Err: errors.New("no such identity")}
	case mood == Hanging:
		<-ctx.Done()
		return &keys.VaultError{Reason: keys.ReasonVault, Err: ctx.Err()}
	case mood == Unreachable:
		return &keys.VaultError{Reason: keys.ReasonVault, Err: errors.New("connection refused")}
	case mood == Throttling:
		return &keys.VaultError{Reason: keys.ReasonVault, Err: errors.New("429 Too Many Requests")}
	case mood == Gone:
		return &keys.VaultError{Definitive: true, Reason: keys.ReasonVault, Err: errors.New("404 VaultNotFound")}
	case denied:
		return &keys.VaultError{Definitive: true, Reason: keys.ReasonKey, Err: fmt.Errorf("403 Forbidden: %w", keys.ErrForbidden)}
	}
	return ctx.Err()
}

func noKey(why string) error {
	return &keys.VaultError{Definitive: true, Reason: keys.ReasonKey, Err: errors.New(why)}
}

// Inspect implements keys.Vault.
func (v *Vault) Inspect(ctx context.Context, ref keys.VaultRef) (keys.VaultKey, error) {
	if err := v.enter(ctx, "inspect", ref); err != nil {
		return keys.VaultKey{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	all := v.versions(ref)
	for i := len(all) - 1; i >= 0; i-- {
		if k := all[i]; !k.Deleted && (k.Enabled || ref.Version != "") {
			return keys.VaultKey{Version: k.Version, Type: k.Type, Bits: k.Bits, Enabled: k.Enabled,
				NotBefore: k.NotBefore, Expires: k.Expires, Ops: slices.Clone(k.Ops),
				SoftDelete: k.SoftDelete, PurgeProtection: k.PurgeProtection}, nil
		}
	}
	return keys.VaultKey{}, noKey("404 KeyNotFound")
}

// usable finds a version that wraps and unwraps. v.mu is held.
func (v *Vault) usable(ref keys.VaultRef) (*Key, error) {
	all := v.versions(ref)
	switch {
	case ref.Version == "" || len(all) == 0 || all[0].Deleted:
		return nil, noKey("404 KeyNotFound")
	case !all[0].Enabled:
		return nil, noKey("403 KeyDisabled")
	}
	return all[0], nil
}

// Wrap implements keys.Vault.
func (v *Vault) Wrap(ctx context.Context, ref keys.VaultRef, p []byte) ([]byte, error) {
	if err := v.enter(ctx, "wrap", ref); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, err := v.usable(ref); err != nil {
		return nil, err
	}
	blob := make([]byte, 256)
	rand.Read(blob)
	v.blobs[string(blob)] = wrapped{ref.String(), [32]byte(p)}
	return blob, nil
}

// Unwrap implements keys.Vault.
func (v *Vault) Unwrap(ctx context.Context, ref keys.VaultRef, blob []byte) ([]byte, error) {
	if err := v.enter(ctx, "unwrap", ref); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	k, err := v.usable(ref)
	if err != nil {
		return nil, err
	}
	w, ok := v.blobs[string(blob)]
	if !ok || w.key != ref.String() {
		return nil, noKey("400 BadParameter")
	}
	p := w.p
	if k.Wrong {
		p[0] ^= 1
	}
	return p[:], nil
}

// Replace makes a blob unwrap to what another one does: what an attacker who has the
// public key can plant.
func (v *Vault) Replace(ref keys.VaultRef) []byte {
	var p [32]byte
	rand.Read(p[:])
	b, err := v.Wrap(context.Background(), ref, p[:])
	if err != nil {
		panic(err)
	}
	return b
}
