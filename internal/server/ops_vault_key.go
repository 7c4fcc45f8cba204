package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/vault"
	"github.com/coffer-storage/coffer/internal/wire/vaulthttp"
)

// newKey is what arguments say of a new version.
func (a VaultKeyArgs) newKey() vault.NewKey {
	k := vault.NewKey{Type: a.Type, Bits: a.Bits, Curve: a.Curve, Ops: a.Ops}
	if a.NotBefore != nil {
		k.NotBefore = *a.NotBefore
	}
	if a.Expires != nil {
		k.Expires = *a.Expires
	}
	return k
}

// opVaultKeyImport makes a version of a private key that the caller has. Its bytes are
// wiped as far as they are ours.
func (s *Server) opVaultKeyImport(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	defer clear(a.Private)
	m, ops, err := readPrivate(a.Private)
	if err != nil {
		return VaultKey{}, withHint(fault.New("server.vaultKeyImport", a.Key, fault.InvalidInput, err),
			"a file has one private key: RSA or EC in PEM, without a password, or a JSON web key")
	}
	k := a.newKey()
	if len(k.Ops) == 0 {
		k.Ops = ops
	}
	got, err := s.store.Vaults.ImportKey(ctx, vault.Operator(), a.ref(), m, k)
	return s.shown(got, err, a)
}

// readPrivate reads a private key from a file: PEM, or a JSON web key with the operations
// that it names. Errors say nothing of the contents.
func readPrivate(b []byte) (*vault.Material, []string, error) {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		return vaulthttp.ReadJWK(b)
	}
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, nil, errors.New("the file has no private key in it")
		}
		defer clear(block.Bytes)
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") { // the parameters of a curve, a certificate
			continue
		}
		if strings.HasPrefix(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "" {
			return nil, nil, errors.New("the private key in the file is under a password")
		}
		m, err := readDER(block)
		return m, nil, err
	}
}

// readDER reads the key of a block of PEM in one of its three forms.
func readDER(block *pem.Block) (*vault.Material, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("the private key in the file has a wrong form")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if len(k.Primes) == 2 {
			return &vault.Material{
				Type: "RSA", N: k.N.Bytes(), E: big.NewInt(int64(k.E)).Bytes(),
				D: k.D.Bytes(), P: k.Primes[0].Bytes(), Q: k.Primes[1].Bytes(),
			}, nil
		}
	case *ecdsa.PrivateKey:
		d, err := k.Bytes()
		point, err2 := k.PublicKey.Bytes() // 4, x, y
		if err == nil && err2 == nil {
			n := len(point) / 2
			return &vault.Material{Type: "EC", Curve: k.Curve.Params().Name, D: d, X: point[1 : 1+n], Y: point[1+n:]}, nil
		}
	}
	return nil, errors.New("the private key in the file is of a kind that vaults do not keep")
}

// opVaultKeyUpdate changes dates and operations of a version, the newest unless one is
// named.
func (s *Server) opVaultKeyUpdate(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	change := vault.KeyChange{NotBefore: a.NotBefore, Expires: a.Expires}
	if len(a.Ops) > 0 {
		change.Ops = &a.Ops
	}
	k, err := s.store.Vaults.UpdateKey(ctx, vault.Operator(), a.ref(), change)
	return s.shown(k, err, a)
}

func (s *Server) opVaultKeyBackup(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKeyBackup, error) {
	b, err := s.store.Vaults.BackupKey(ctx, vault.Operator(), a.ref())
	return VaultKeyBackup{b}, vaultKeyHint(err, a)
}

func (s *Server) opVaultKeyRestore(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (VaultKey, error) {
	k, err := s.store.Vaults.RestoreKey(ctx, vault.Operator(), a.ref(), a.Backup)
	switch fault.KindOf(err) {
	case fault.InvalidInput:
		return VaultKey{}, withHint(err, "restore into a vault of this store, of the kind that the key was in; the cloud's backups are its own")
	case fault.Exists:
		return VaultKey{}, withHint(err, "a key of that name is there: restore into another vault")
	}
	return s.shown(k, err, a)
}

func (s *Server) opVaultKeyPolicy(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (RotationPolicy, error) {
	p, err := s.store.Vaults.RotationPolicy(ctx, vault.Operator(), a.ref())
	return showPolicy(p, a), vaultKeyHint(err, a)
}

// opVaultKeySetPolicy sets the whole policy.
func (s *Server) opVaultKeySetPolicy(ctx context.Context, a VaultKeyArgs, _ func(Progress)) (RotationPolicy, error) {
	var p vault.RotationPolicy
	if a.Policy != nil {
		p.ExpiryTime = a.Policy.Expiry
		for _, l := range a.Policy.Actions {
			p.Actions = append(p.Actions, vault.LifetimeAction{Action: l.Action, TimeAfterCreate: l.AfterCreate, TimeBeforeExpiry: l.BeforeExpiry})
		}
	}
	set, err := s.store.Vaults.SetRotationPolicy(ctx, vault.Operator(), a.ref(), p)
	return showPolicy(set, a), vaultKeyHint(err, a)
}

func showPolicy(p vault.RotationPolicy, a VaultKeyArgs) RotationPolicy {
	out := RotationPolicy{Vault: a.Vault, Key: a.Key, Expiry: p.ExpiryTime, Actions: []LifetimeAction{}, Updated: dateOf(p.Updated)}
	for _, l := range p.Actions {
		out.Actions = append(out.Actions, LifetimeAction{Action: l.Action, AfterCreate: l.TimeAfterCreate, BeforeExpiry: l.TimeBeforeExpiry})
	}
	return out
}

// dateOf is a date that may be missing.
func dateOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
