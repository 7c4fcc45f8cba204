package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

// secretLife is how long a client secret lives when nobody says.
const secretLife = 365 * 24 * time.Hour

// Secret describes a client secret; the secret itself is kept by nobody here.
type Secret struct {
	ID      string
	Created time.Time
	Expires time.Time
}

// secretHash is what is kept of a client secret. It is random and long, so a plain hash
// is enough; it is sealed all the same.
type secretHash struct {
	id               uuid
	created, expires time.Time
	hash             [sha256.Size]byte
}

// newSecret draws a secret.
func newSecret(now, expires time.Time) (secretHash, string) {
	b := make([]byte, secretSize)
	rand.Read(b)
	text := base64.RawURLEncoding.EncodeToString(b)
	if expires.IsZero() {
		expires = now.Add(secretLife)
	}
	return secretHash{id: newUUID(), created: now, expires: expires, hash: sha256.Sum256([]byte(text))}, text
}

// encodeSecrets is the plaintext of the META part of a principal: version 1, count, then
// id, created, expires and hash of each.
func encodeSecrets(list []secretHash) []byte {
	b := append(make([]byte, 0, maxSecretsBytes), 1, byte(len(list)))
	for _, h := range list {
		b = append(b, h.id[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(h.created.UnixNano()))
		b = binary.BigEndian.AppendUint64(b, uint64(h.expires.UnixNano()))
		b = append(b, h.hash[:]...)
	}
	return b
}

// decodeSecrets reads what encodeSecrets made.
func decodeSecrets(b []byte) ([]secretHash, error) {
	const size = 16 + 8 + 8 + sha256.Size
	if len(b) < 2 || b[0] != 1 || int(b[1]) > MaxSecrets || len(b) != 2+int(b[1])*size {
		return nil, errRow
	}
	var list []secretHash
	for b = b[2:]; len(b) > 0; b = b[size:] {
		list = append(list, secretHash{id: uuid(b[:16]), created: unstamp(b[16:]), expires: unstamp(b[24:]), hash: [sha256.Size]byte(b[32:size])})
	}
	return list, nil
}

// AddSecret gives a service principal one more secret, valid until expires (zero: a
// year). It is shown this once.
func (s *Service) AddSecret(ctx context.Context, id string, expires time.Time) (text string, err error) {
	const op = "identity.AddSecret"
	now := s.o.Now().UTC()
	if !expires.IsZero() && !expires.After(now) {
		return "", fault.New(op, "", fault.InvalidInput, errors.New("the secret would have ended already"))
	}
	hash, text := newSecret(now, expires)
	_, err = s.change(ctx, op, id, func(p *record) error {
		if p.Kind.Managed() {
			return fault.New(op, p.ObjectID, fault.NotAllowed, errors.New("a managed identity has no secrets"))
		}
		live := p.secrets[:0:0]
		for _, h := range p.secrets { // those that ended make room
			if h.expires.After(now) {
				live = append(live, h)
			}
		}
		if len(live) >= MaxSecrets {
			return fault.New(op, p.ObjectID, fault.NotAllowed, errors.New("the principal has as many secrets as it may have"))
		}
		p.secrets = append(live, hash)
		return nil
	})
	if err != nil {
		return "", err
	}
	return text, nil
}

// Secrets describes the secrets of a principal, oldest first.
func (s *Service) Secrets(ctx context.Context, id string) ([]Secret, error) {
	p, err := s.find("identity.Secrets", id)
	if err != nil {
		return nil, err
	}
	var list []Secret
	for _, h := range p.secrets {
		list = append(list, Secret{ID: h.id.String(), Created: h.created, Expires: h.expires})
	}
	return list, nil
}

// Credentials returns what a principal signs in with: its secrets, and its certificates
// in DER.
func (s *Service) Credentials(ctx context.Context, id string) ([]Secret, [][]byte, error) {
	secrets, err := s.Secrets(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.find("identity.Credentials", id)
	if err != nil {
		return nil, nil, err
	}
	return secrets, p.Certs, nil
}

// RemoveSecret takes a secret away, or answers ResourceNotFound. Tokens that were got
// with it live on to their end.
func (s *Service) RemoveSecret(ctx context.Context, id, secretID string) error {
	const op = "identity.RemoveSecret"
	_, err := s.change(ctx, op, id, func(p *record) error {
		for i, h := range p.secrets {
			if h.id.String() == canonical(secretID) {
				p.secrets = append(p.secrets[:i:i], p.secrets[i+1:]...)
				return nil
			}
		}
		return fault.New(op, p.ObjectID, fault.ResourceNotFound, nil)
	})
	return err
}

// AddCertificate lets a service principal sign assertions with the key of a certificate
// in DER. Its validity ends with the certificate's.
func (s *Service) AddCertificate(ctx context.Context, id string, der []byte) error {
	const op = "identity.AddCertificate"
	cert, err := x509.ParseCertificate(der)
	if err != nil || len(der) > maxCertificate {
		return fault.New(op, "", fault.InvalidInput, errors.New("no certificate, or one that is too large"))
	}
	if !strongKey(cert.PublicKey) {
		return fault.New(op, "", fault.InvalidInput, errors.New("the certificate has no RSA key of 2048 bits or more, and none on P-256 or P-384"))
	}
	if !s.o.Now().Before(cert.NotAfter) {
		return fault.New(op, "", fault.InvalidInput, errors.New("the certificate has ended"))
	}
	_, err = s.change(ctx, op, id, func(p *record) error {
		if p.Kind.Managed() {
			return fault.New(op, p.ObjectID, fault.NotAllowed, errors.New("a managed identity has no certificates"))
		}
		if len(p.Certs) >= MaxSecrets {
			return fault.New(op, p.ObjectID, fault.NotAllowed, errors.New("the principal has as many certificates as it may have"))
		}
		p.Certs = append(p.Certs[:len(p.Certs):len(p.Certs)], der)
		return nil
	})
	return err
}

// CheckSecret returns the service principal with that client id if the secret is one of
// its own and has not ended; InvalidClient otherwise, whatever was wrong.
func (s *Service) CheckSecret(ctx context.Context, clientID, text string) (Principal, error) {
	const op = "identity.CheckSecret"
	p := s.byClient(clientID)
	if p == nil {
		return Principal{}, s.refuseClient(ctx, op, clientID, "unknown client")
	}
	hash, now, found := sha256.Sum256([]byte(text)), s.o.Now(), 0
	for _, h := range p.secrets {
		if now.Before(h.expires) {
			found |= subtle.ConstantTimeCompare(hash[:], h.hash[:])
		}
	}
	if found != 1 {
		return Principal{}, s.refuseClient(ctx, op, p.ClientID, "wrong or ended secret")
	}
	return p.Principal, nil
}

// refuseClient records a refusal and answers it.
func (s *Service) refuseClient(ctx context.Context, op, clientID, why string) error {
	if canonical(clientID) == "" {
		clientID = "that is none"
	}
	s.refused(ctx, "identity.token", "client "+clientID, fault.InvalidClient.String())
	return fault.New(op, "", fault.InvalidClient, errors.New(why))
}

// writePrincipal puts the row of p, with its secrets sealed when it has any.
func (s *Service) writePrincipal(ctx context.Context, p *record) error {
	var sl *sealed
	if len(p.secrets) > 0 {
		plain := encodeSecrets(p.secrets)
		defer clear(plain)
		var err error
		if sl, err = s.seal(plain); err != nil {
			return err
		}
		defer sl.dek.Close()
	}
	return s.store.Update(ctx, func(tx *object.Tx) error {
		r := s.newRow(p.Created)
		p.encode(r)
		if sl == nil {
			return tx.Put(object.Identity, rowID(rowPrincipal, p.id), r)
		}
		return putSealed(tx, rowID(rowPrincipal, p.id), r, sl)
	})
}
