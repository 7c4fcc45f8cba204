package keys

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/slot"
	"github.com/coffer-storage/coffer/internal/keys/cfks"
	"github.com/coffer-storage/coffer/internal/secret"
)

// errKCV says that a secret opened and is not the key that the record describes.
var errKCV = errors.New("key check value does not match")

// errCustomer says that a secret opens with a customer's key only.
var errCustomer = errors.New("the key is under a customer's key")

// errNoInfra says that the infrastructure root was not opened.
var errNoInfra = errors.New("the infrastructure root is not open: give its key file")

func pinOf(f *cfks.File) [32]byte { return slot.Pin(f.Identity[:]) }

// keyAAD binds a secret to its place in the hierarchy.
func keyAAD(store ID, c *cfks.Chain, k *cfks.Key) []byte {
	p := c.Protector.Bytes()
	return enc.Encode("coffer/key/v1", store[:], c.ID[:], enc.Uint(uint64(c.Kind)), c.Owner[:],
		p[:], enc.Uint(k.Number), k.Kref[:])
}

// under returns the key that secrets of a form are sealed under, and its name. For a
// customer's key a change has to have brought it.
func (s *state) under(f cfks.Form, w ID) (secret.Key, ID, error) {
	switch f {
	case cfks.UnderSK:
		return s.sk, s.file.SRKRef, nil
	case cfks.UnderIK:
		if s.ik.IsZero() {
			return secret.Key{}, ID{}, errNoInfra
		}
		return s.ik, s.file.IRKRef, nil
	}
	if k, ok := s.unlocked[w]; ok && f == cfks.UnderCMK {
		return k, w, nil
	}
	return secret.Key{}, ID{}, errCustomer
}

// formOf is the form of service-managed secrets of a kind.
func formOf(k cfks.Kind) cfks.Form {
	if k == cfks.IDK {
		return cfks.UnderIK
	}
	return cfks.UnderSK
}

// formInForce is where the secrets of a chain are: under the current wrapping if there
// is one, else in the service-managed form.
func (s *state) formInForce(c *cfks.Chain) (cfks.Form, ID) {
	if w, ok := s.born[c.Protector]; ok && c.Kind == cfks.KEK {
		return cfks.UnderCMK, w
	}
	if p := s.protectors[c.Protector]; p != nil {
		if cur := p.Current(); cur != nil {
			return cfks.UnderCMK, cur.W
		}
	}
	return formOf(c.Kind), ID{}
}

// inForce picks the secret that opens. All others open nothing.
func (s *state) inForce(c *cfks.Chain, k *cfks.Key) (*cfks.Secret, error) {
	form, w := s.formInForce(c)
	for i := range k.Secrets {
		if k.Secrets[i].Form == form && k.Secrets[i].W == w {
			return &k.Secrets[i], nil
		}
	}
	return nil, errors.New("the key has no secret in force")
}

// open unwraps a version and checks that it is the key of the record.
func (s *state) open(c *cfks.Chain, k *cfks.Key) (secret.Key, error) {
	sec, err := s.inForce(c, k)
	if err != nil {
		return secret.Key{}, err
	}
	return s.openSecret(c, k, sec)
}

func (s *state) openSecret(c *cfks.Chain, k *cfks.Key, sec *cfks.Secret) (secret.Key, error) {
	wrapping, ref, err := s.under(sec.Form, sec.W)
	if err != nil {
		return secret.Key{}, err
	}
	return s.openUnder(c, k, sec, wrapping, ref)
}

// openUnder opens a secret with the key that it is sealed under.
func (s *state) openUnder(c *cfks.Chain, k *cfks.Key, sec *cfks.Secret, wrapping secret.Key, ref ID) (secret.Key, error) {
	key, err := keywrap.Unwrap(wrapping, ref, keyAAD(s.file.Store, c, k), sec.Wrap[:])
	if err != nil {
		return secret.Key{}, err
	}
	if err := checkKCV(key, c.ID, k); err != nil {
		key.Destroy()
		return secret.Key{}, err
	}
	return key, nil
}

func checkKCV(key secret.Key, chain ID, k *cfks.Key) error {
	kcv, err := keywrap.KCV(key, chain, k.Number)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(kcv[:], k.KCV[:]) != 1 {
		return errKCV
	}
	return nil
}

// seal wraps key for a version in a form.
func (s *state) seal(c *cfks.Chain, k *cfks.Key, key secret.Key, form cfks.Form, w ID) (cfks.Secret, error) {
	wrapping, ref, err := s.under(form, w)
	if err != nil {
		return cfks.Secret{}, err
	}
	wrap, err := keywrap.Wrap(wrapping, ref, keyAAD(s.file.Store, c, k), key)
	return cfks.Secret{Form: form, W: w, Wrap: wrap}, err
}

// addKey appends a fresh Active version to c; the caller has retired the old one.
func (s *state) addKey(c *cfks.Chain, now uint64) (ID, secret.Key, error) {
	k := cfks.Key{
		Number: uint64(len(c.Keys)) + 1, Kref: cfks.NewID(), State: cfks.Active,
		Created: now, Activated: now,
	}
	key, public, err := newSecret(c.Kind)
	if err != nil {
		return ID{}, secret.Key{}, err
	}
	k.Public = public
	if k.KCV, err = keywrap.KCV(key, c.ID, k.Number); err == nil {
		var sec cfks.Secret
		form, w := s.formInForce(c)
		sec, err = s.seal(c, &k, key, form, w)
		k.Secrets = []cfks.Secret{sec}
	}
	if err != nil {
		key.Destroy()
		return ID{}, secret.Key{}, fmt.Errorf("new %v: %w", c.Kind, err)
	}
	c.Keys = append(c.Keys, k)
	return k.Kref, key, nil
}

func newSecret(kind cfks.Kind) (secret.Key, []byte, error) {
	if kind == cfks.Identity || kind == cfks.Audit {
		return slot.NewSigner()
	}
	return secret.Random(slot.KeySize), nil, nil
}
