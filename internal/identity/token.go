package identity

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
)

const maxAudience = 256

// tokenClaims are the claims of our tokens. Both names of the client, of the first and
// of the second version of the protocol, are there: readers look for either.
type tokenClaims struct {
	jwt.RegisteredClaims
	ObjectID string `json:"oid,omitempty"`
	TenantID string `json:"tid,omitempty"`
	AppID    string `json:"appid,omitempty"`
	AZP      string `json:"azp,omitempty"`
	IDType   string `json:"idtyp,omitempty"`
	Version  string `json:"ver,omitempty"`
	Resource string `json:"xms_mirid,omitempty"` // of managed identities
}

// Issue makes a token for a principal, or answers PrincipalNotFound. Its life is an
// hour; that of a managed identity for a vault lives no longer than Options.VaultLife.
func (s *Service) Issue(ctx context.Context, objectID, audience string) (token string, expires time.Time, err error) {
	const op = "identity.Issue"
	audience = trimAudience(audience)
	if !validAudience(audience) {
		return "", time.Time{}, fault.New(op, "", fault.InvalidInput, errors.New("an audience is an absolute URI or a UUID"))
	}
	p := s.byObject(objectID)
	if p == nil {
		s.refused(ctx, "identity.token", "principal "+objectID+" for "+audience, fault.PrincipalNotFound.String())
		return "", time.Time{}, fault.New(op, objectID, fault.PrincipalNotFound, nil)
	}
	k, err := s.signer(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	life := tokenLife
	if p.Kind.Managed() && s.o.IsVault(audience) {
		life = min(life, s.o.VaultLife)
	}
	now := s.o.Now().UTC().Truncate(time.Second)
	expires = now.Add(life)
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, tokenClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: s.IssuerOf(p.TenantID), Subject: p.ObjectID, Audience: jwt.ClaimStrings{audience}, ID: newUUID().String(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		ObjectID: p.ObjectID, TenantID: p.TenantID, AppID: p.ClientID, AZP: p.ClientID, IDType: "app", Version: "2.0", Resource: p.ResourceID,
	})
	t.Header["kid"] = k.kid
	token, err = t.SignedString(k.private)
	if err != nil {
		return "", time.Time{}, fault.New(op, objectID, fault.Internal, err)
	}
	if s.o.Audit != nil { // a token grants something: it is handed out when its record is durable
		by := audit.By(ctx)
		err := s.o.Audit.Before(ctx, audit.Record{Actor: by.Actor, RequestID: by.RequestID, Operation: "identity.token", What: "principal " + p.ObjectID + " for " + audience, Outcome: audit.OK})
		if err != nil {
			return "", time.Time{}, fault.New(op, objectID, fault.Unavailable, err)
		}
	}
	return token, expires, nil
}

// trimAudience drops what clients add to the name of a resource.
func trimAudience(a string) string { return strings.TrimRight(a, "/") }

func validAudience(a string) bool {
	if len(a) > maxAudience {
		return false
	}
	if canonical(a) != "" {
		return true
	}
	u, err := url.Parse(a)
	return err == nil && u.IsAbs() && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
}
