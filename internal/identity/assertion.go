package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/coffer-storage/coffer/internal/fault"
)

// maxAssertion is how far ahead an assertion may end: nobody needs one for longer, and
// one that was stolen should not be of use for longer.
const maxAssertion = 24 * time.Hour

// assertionMethods are the signatures that assertions may have.
var assertionMethods = []string{"PS256", "RS256", "PS384", "RS384", "ES256", "ES384"}

// CheckAssertion returns the service principal with that client id if the assertion is
// signed with the key of one of its certificates, for one of the audiences. Everything
// else is InvalidClient. A client that names none is the one that the assertion names.
func (s *Service) CheckAssertion(ctx context.Context, clientID, assertion string, audiences ...string) (Principal, error) {
	const op = "identity.CheckAssertion"
	var claims jwt.RegisteredClaims
	if len(assertion) > maxToken {
		return Principal{}, s.refuseClient(ctx, op, clientID, "assertion is too long")
	}
	if _, _, err := jwt.NewParser().ParseUnverified(assertion, &claims); err != nil {
		return Principal{}, s.refuseClient(ctx, op, clientID, "assertion has a wrong form")
	}
	if clientID == "" {
		clientID = claims.Subject
	}
	p := s.byClient(clientID)
	if p == nil {
		return Principal{}, s.refuseClient(ctx, op, clientID, "unknown client")
	}
	now := s.o.Now()
	parser := jwt.NewParser(jwt.WithValidMethods(assertionMethods), jwt.WithExpirationRequired(), jwt.WithTimeFunc(s.o.Now), jwt.WithLeeway(skew))
	for _, key := range assertionKeys(p.Certs, now) {
		claims = jwt.RegisteredClaims{}
		if _, err := parser.ParseWithClaims(assertion, &claims, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
			continue
		}
		switch {
		case canonical(claims.Issuer) != p.ClientID || canonical(claims.Subject) != p.ClientID:
			return Principal{}, s.refuseClient(ctx, op, clientID, "assertion is of another client")
		case !slices.ContainsFunc(claims.Audience, func(a string) bool { return fits(a, audiences) }):
			return Principal{}, s.refuseClient(ctx, op, clientID, "assertion is for another audience")
		case claims.ExpiresAt.After(now.Add(maxAssertion)):
			return Principal{}, s.refuseClient(ctx, op, clientID, "assertion lives too long")
		}
		return p.Principal, nil
	}
	return Principal{}, s.refuseClient(ctx, op, clientID, "assertion is not signed with a key of the client, or has ended")
}

func fits(audience string, wanted []string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(audience, w) })
}

// assertionKeys are the public keys of the certificates that are valid now.
func assertionKeys(certs [][]byte, now time.Time) []crypto.PublicKey {
	var list []crypto.PublicKey
	for _, der := range certs {
		cert, err := x509.ParseCertificate(der)
		if err != nil || now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			continue
		}
		list = append(list, cert.PublicKey)
	}
	return list
}

// strongKey reports whether assertions may be signed with a key.
func strongKey(k crypto.PublicKey) bool {
	switch k := k.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize == 256 || k.Curve.Params().BitSize == 384
	}
	return false
}

// Query chooses a managed identity of this machine. With no field set it is the one that
// needs no choice.
type Query struct {
	ClientID, ObjectID, ResourceID string
}

// MachineIdentity returns the identity that a program on this machine asks for: one that
// SetMachine gave to it. Without a choice that is the system-assigned one, or else the
// only one. It answers PrincipalNotFound for every other.
func (s *Service) MachineIdentity(ctx context.Context, q Query) (Principal, error) {
	const op = "identity.MachineIdentity"
	s.mu.RLock()
	defer s.mu.RUnlock()
	var given, system []Principal
	for _, p := range s.st.principals {
		if !p.Machine || q.ClientID != "" && canonical(q.ClientID) != p.ClientID ||
			q.ObjectID != "" && canonical(q.ObjectID) != p.ObjectID ||
			q.ResourceID != "" && fold(q.ResourceID) != fold(p.ResourceID) {
			continue
		}
		given = append(given, p.Principal)
		if p.Kind == SystemAssigned {
			system = append(system, p.Principal)
		}
	}
	if q == (Query{}) && len(system) == 1 {
		return system[0], nil
	}
	if len(given) == 1 {
		return given[0], nil
	}
	return Principal{}, fault.New(op, "", fault.PrincipalNotFound, nil)
}
