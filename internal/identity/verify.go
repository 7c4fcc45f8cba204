package identity

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/coffer-storage/coffer/internal/fault"
)

const maxToken = 16 << 10

// skew is how far the clock of an issuer elsewhere may be off.
const skew = 5 * time.Minute

// Why Verify refuses a token.
var (
	ErrSignature = errors.New("the signature of the token is none of its issuer")
	ErrIssuer    = errors.New("the token is of an unknown issuer")
	ErrAudience  = errors.New("the token is for another audience")
	ErrExpired   = errors.New("the token has ended")
	ErrEarly     = errors.New("the token is not valid yet")
	ErrGone      = errors.New("the principal of the token is gone")
	ErrForm      = errors.New("not a token")
)

// Verify checks a token for one of the audiences; a slash at the end of one counts for
// nothing. Every refusal is TokenRefused, and in the trail.
func (s *Service) Verify(ctx context.Context, raw string, audiences ...string) (Claims, error) {
	c, err := s.verify(ctx, raw)
	if err == nil && !matches(c.Audience, audiences) {
		err = ErrAudience
	}
	if err != nil {
		if ctx.Err() != nil || fault.Is(err, fault.Unavailable) {
			return Claims{}, fault.New("identity.Verify", "", fault.Unavailable, err)
		}
		s.refused(ctx, "identity.verify", whose(c), fault.TokenRefused.String())
		return Claims{}, fault.New("identity.Verify", "", fault.TokenRefused, reason(err))
	}
	return c, nil
}

// whose describes the bearer of a token that was refused; nothing of it is proved.
func whose(c Claims) string {
	if c.ObjectID == "" {
		return "a token that says nothing to rely on"
	}
	return "principal " + c.ObjectID + " for " + c.Audience
}

// reason makes one of the few out of any error, so that nothing a token says gets into
// logs.
func reason(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return ErrEarly
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return ErrSignature
	}
	for _, known := range []error{ErrSignature, ErrIssuer, ErrAudience, ErrExpired, ErrEarly, ErrGone} {
		if errors.Is(err, known) {
			return known
		}
	}
	return ErrForm
}

func matches(audience string, wanted []string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(trimAudience(w), trimAudience(audience)) })
}

func (s *Service) verify(ctx context.Context, raw string) (Claims, error) {
	if len(raw) > maxToken {
		return Claims{}, ErrForm
	}
	var peek tokenClaims
	if _, _, err := jwt.NewParser().ParseUnverified(raw, &peek); err != nil {
		return Claims{}, ErrForm
	}
	c, err := s.verifySigned(ctx, raw, peek.Issuer)
	if err != nil && s.o.AllowUnsigned && ctx.Err() == nil {
		return s.verifyUnsigned(raw)
	}
	return c, err
}

// verifySigned finds the issuer and has its signature checked.
func (s *Service) verifySigned(ctx context.Context, raw, issuer string) (Claims, error) {
	if issuer == s.IssuerOf(Tenant) {
		return s.verifyOwn(raw, issuer)
	}
	for _, x := range s.o.External {
		if x.Issuer() == issuer {
			return x.Verify(ctx, raw)
		}
	}
	return Claims{}, ErrIssuer
}

// verifyOwn checks a token of ours, and that its principal is still there.
func (s *Service) verifyOwn(raw, issuer string) (Claims, error) {
	var t tokenClaims
	p := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}), jwt.WithIssuer(issuer),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(s.o.Now), jwt.WithStrictDecoding())
	_, err := p.ParseWithClaims(raw, &t, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		for _, k := range s.published() {
			if k.kid == kid {
				return &k.private.PublicKey, nil
			}
		}
		return nil, ErrSignature
	})
	c := t.claims()
	if err == nil && len(t.Audience) != 1 {
		err = ErrAudience
	}
	if err == nil && s.byObject(c.ObjectID) == nil {
		err = ErrGone
	}
	return c, err
}

// unsignedIssuers are the issuers of the public cloud, whose tokens tests make up.
var unsignedIssuers = []string{"https://sts.windows.net/", "https://login.microsoftonline.com/", "https://sts.chinacloudapi.cn/", "https://sts-beta.windows.net/"}

// verifyUnsigned checks a token but for its signature: issuer, times and form.
func (s *Service) verifyUnsigned(raw string) (Claims, error) {
	var t tokenClaims
	if _, _, err := jwt.NewParser().ParseUnverified(raw, &t); err != nil {
		return Claims{}, ErrForm
	}
	c := t.claims()
	known := t.Issuer == s.IssuerOf(Tenant) ||
		slices.ContainsFunc(unsignedIssuers, func(p string) bool { return strings.HasPrefix(t.Issuer, p) }) ||
		slices.ContainsFunc(s.o.External, func(x External) bool { return x.Issuer() == t.Issuer })
	if !known {
		return c, ErrIssuer
	}
	if len(t.Audience) != 1 {
		return c, ErrAudience
	}
	v := jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithTimeFunc(s.o.Now), jwt.WithLeeway(skew))
	if err := v.Validate(t); err != nil {
		return c, err
	}
	c.Unsigned = true
	return c, nil
}

// claims are those of a token in our own form.
func (t *tokenClaims) claims() Claims {
	c := Claims{ObjectID: canonical(t.ObjectID), ClientID: canonical(t.AppID), TenantID: canonical(t.TenantID), Issuer: t.Issuer}
	if c.ClientID == "" {
		c.ClientID = canonical(t.AZP)
	}
	if len(t.Audience) > 0 {
		c.Audience = t.Audience[0]
	}
	if t.ExpiresAt != nil {
		c.Expires = t.ExpiresAt.Time
	}
	return c
}
