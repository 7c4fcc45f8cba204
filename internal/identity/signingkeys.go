package identity

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

const (
	keyBits   = 2048
	tokenLife = time.Hour       // of every token but those of Options.VaultLife
	grace     = 5 * time.Minute // after the last token of a key, for clocks
)

// signingKey signs tokens. Only the newest one signs; older ones are published until
// the last of their tokens has ended.
type signingKey struct {
	id      uuid
	kid     string // RFC 7638
	private *rsa.PrivateKey
	created time.Time
	retired time.Time // zero: it signs
}

func (k *signingKey) gone(now time.Time) bool {
	return !k.retired.IsZero() && now.After(k.retired.Add(tokenLife+grace))
}

func (st *state) addKey(k *signingKey) {
	st.keys = append(st.keys, k)
	slices.SortFunc(st.keys, func(a, b *signingKey) int { return cmp.Compare(a.created.UnixNano(), b.created.UnixNano()) })
}

// thumbprint is the key id that RFC 7638 derives from a public key.
func thumbprint(k *rsa.PublicKey) (string, error) {
	b, err := (&jose.JSONWebKey{Key: k}).Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(b), err
}

// signer returns the key that signs now. The first one is made when it is first asked
// for: a server without tokens needs none.
func (s *Service) signer(ctx context.Context) (*signingKey, error) {
	now := s.o.Now()
	if k := s.newest(); k != nil && now.Before(k.created.Add(s.o.KeyLife)) {
		return k, nil
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if k := s.newest(); k != nil && now.Before(k.created.Add(s.o.KeyLife)) {
		return k, nil
	}
	return s.rotate(ctx)
}

func (s *Service) newest() *signingKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n := len(s.st.keys); n > 0 && s.st.keys[n-1].retired.IsZero() {
		return s.st.keys[n-1]
	}
	return nil
}

// RotateKey makes a new signing key at once and returns its id. The old one is published
// until its tokens have ended.
func (s *Service) RotateKey(ctx context.Context) (kid string, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	k, err := s.rotate(ctx)
	if err != nil {
		return "", err
	}
	return k.kid, nil
}

// rotate makes the next signing key. s.changing is held.
func (s *Service) rotate(ctx context.Context) (*signingKey, error) {
	const op = "identity.RotateKey"
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fault.New(op, "", fault.Internal, err)
	}
	kid, err := thumbprint(&private.PublicKey)
	if err != nil {
		return nil, fault.New(op, "", fault.Internal, err)
	}
	now := s.o.Now().UTC()
	next := &signingKey{id: newUUID(), kid: kid, private: private, created: now}
	if err := s.before(ctx, op, "signing key "+kid); err != nil {
		return nil, err
	}
	keep, err := s.writeKeys(ctx, next, now)
	err = edge(op, kid, err)
	if err == nil {
		s.mu.Lock()
		s.st.keys = append(keep, next)
		s.mu.Unlock()
	}
	s.done(ctx, op, "signing key "+kid, err)
	return next, err
}

// writeKeys stores next, retires the one before it and deletes those that nobody needs.
// It returns those that stay beside next.
func (s *Service) writeKeys(ctx context.Context, next *signingKey, now time.Time) ([]*signingKey, error) {
	der, err := x509.MarshalPKCS8PrivateKey(next.private)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	sl, err := s.seal(der)
	if err != nil {
		return nil, err
	}
	defer sl.dek.Close()
	s.mu.RLock()
	old := slices.Clone(s.st.keys)
	s.mu.RUnlock()
	var keep []*signingKey
	var gone [][]byte
	retire := map[*signingKey][]byte{}
	for _, k := range old {
		if k.gone(now) {
			gone = append(gone, rowID(rowKey, k.id))
			continue
		}
		c := *k
		if c.retired.IsZero() {
			c.retired = now
			retire[&c] = rowID(rowKey, k.id)
		}
		keep = append(keep, &c)
	}
	return keep, s.store.Update(ctx, func(tx *object.Tx) error {
		for _, k := range gone {
			tx.Delete(object.Identity, k)
		}
		for k, key := range retire {
			r, err := tx.Get(object.Identity, s.store.StoreID(), key)
			if err != nil {
				return err
			}
			r.Set(tagRetired, stamp(k.retired))
			if err := tx.Put(object.Identity, key, r); err != nil {
				return err
			}
		}
		return putSealed(tx, rowID(rowKey, next.id), s.newRow(next.created), sl)
	})
}

// openKey reads the row of a signing key.
func (s *Service) openKey(ctx context.Context, id uuid, r *object.Row) (*signingKey, error) {
	if err := check(r, field{tag: tagCreated, size: 8}, field{tag: tagRetired, size: 8, optional: true}); err != nil {
		return nil, err
	}
	der, err := s.store.OpenMeta(ctx, r)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, errors.Join(errRow, err)
	}
	k := &signingKey{id: id, private: private, created: unstamp(r.Get(tagCreated))}
	if b := r.Get(tagRetired); b != nil {
		k.retired = unstamp(b)
	}
	k.kid, err = thumbprint(&private.PublicKey)
	return k, err
}

// published returns the keys whose tokens may live, oldest first.
func (s *Service) published() []*signingKey {
	now := s.o.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []*signingKey
	for _, k := range s.st.keys {
		if !k.gone(now) {
			list = append(list, k)
		}
	}
	return list
}

// JWKS returns the public keys that tokens are checked with, as JSON. There is always
// one at least.
func (s *Service) JWKS(ctx context.Context) (jose.JSONWebKeySet, error) {
	if _, err := s.signer(ctx); err != nil {
		return jose.JSONWebKeySet{}, err
	}
	var set jose.JSONWebKeySet
	for _, k := range s.published() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.private.PublicKey, KeyID: k.kid, Algorithm: string(jose.RS256), Use: "sig"})
	}
	return set, nil
}
