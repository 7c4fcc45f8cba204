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
	c, has, err := s.verify(ctx, raw)
	if err == nil && !matches(&c, has, audiences) {
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

// matches reports whether a token is for one of the audiences, and notes which.
func matches(c *Claims, has, wanted []string) bool {
	for _, h := range has {
		for _, w := range wanted {
			if strings.EqualFold(trimAudience(w), trimAudience(h)) {
				c.Audience = trimAudience(h)
				return true
			}
		}
	}
	return false
}

// verify is Verify for any audience; it returns those that the token has.
func (s *Service) verify(ctx context.Context, raw string) (Claims, []string, error) {
	if len(raw) > maxToken {
		return Claims{}, nil, ErrForm
	}
	var peek tokenClaims
	if _, _, err := jwt.NewParser().ParseUnverified(raw, &peek); err != nil {
		return Claims{}, nil, ErrForm
	}
	c, has, err := s.verifySigned(ctx, raw, peek.Issuer)
	if err != nil && s.o.AllowUnsigned && ctx.Err() == nil {
		return s.verifyUnsigned(raw)
	}
	return c, has, err
}

// verifySigned finds the issuer and has its signature checked.
func (s *Service) verifySigned(ctx context.Context, raw, issuer string) (Claims, []string, error) {
	if issuer == s.IssuerOf(Tenant) {
		return s.verifyOwn(raw, issuer)
	}
	for _, x := range s.o.External {
		if x.Issuer() == issuer {
			return s.verifyExternal(ctx, x, raw)
		}
	}
	return Claims{}, nil, ErrIssuer
}

// verifyExternal has a token checked by the issuer that it names. That one speaks for its
// own principals: to name one of ours is to pass for it.
func (s *Service) verifyExternal(ctx context.Context, x External, raw string) (Claims, []string, error) {
	c, has, err := x.Verify(ctx, raw)
	if err != nil {
		return Claims{}, nil, err
	}
	c.ObjectID, c.ClientID, c.TenantID = canonical(c.ObjectID), canonical(c.ClientID), canonical(c.TenantID)
	if c.ObjectID == "" || c.TenantID == Tenant || s.byObject(c.ObjectID) != nil {
		return Claims{}, nil, ErrIssuer
	}
	return c, has, nil
}

// verifyOwn checks a token of ours, and that its principal is still there.
func (s *Service) verifyOwn(raw, issuer string) (Claims, []string, error) {
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
	return c, t.Audience, err
}

// unsignedIssuers are the issuers of the public cloud, whose tokens tests make up.
var unsignedIssuers = []string{"https://sts.windows.net/", "https://login.microsoftonline.com/", "https://sts.chinacloudapi.cn/", "https://sts-beta.windows.net/"}

// verifyUnsigned checks a token but for its signature: issuer, times and form.
func (s *Service) verifyUnsigned(raw string) (Claims, []string, error) {
	var t tokenClaims
	if _, _, err := jwt.NewParser().ParseUnverified(raw, &t); err != nil {
		return Claims{}, nil, ErrForm
	}
	c := t.claims()
	known := t.Issuer == s.IssuerOf(Tenant) ||
		slices.ContainsFunc(unsignedIssuers, func(p string) bool { return strings.HasPrefix(t.Issuer, p) }) ||
		slices.ContainsFunc(s.o.External, func(x External) bool { return x.Issuer() == t.Issuer })
	if !known {
		return c, nil, ErrIssuer
	}
	v := jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithTimeFunc(s.o.Now), jwt.WithLeeway(skew))
	if err := v.Validate(t); err != nil {
		return c, nil, err
	}
	c.Unsigned = true
	return c, t.Audience, nil
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
