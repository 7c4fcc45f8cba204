package auth

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/secret"
	"github.com/coffer-storage/coffer/internal/wire"
)

// StorageAudience is the resource that tokens for storage are made for.
const StorageAudience = "https://storage.azure.com"

// withTokens is the first version with tokens.
const withTokens wire.Version = "2017-11-09"

// Tokens is what this package asks of the identity service; *identity.Service has it.
type Tokens interface {
	Verify(ctx context.Context, raw string, audiences ...string) (identity.Claims, error)
	Allowed(ctx context.Context, principalID, action string, data bool, scope string) bool
	DelegationKey(ctx context.Context, d identity.Delegation) (secret.Key, error)
}

// bearer checks a token and makes c its bearer.
func (a *Authenticator) bearer(r *wire.Request, c *access.Caller, token string) error {
	switch {
	case a.o.Tokens == nil:
		return refuse(fault.TokenRefused, "Authentication scheme Bearer is not supported: this server has no identity service. Use the account key or a shared access signature.")
	case !c.Secure:
		return refuse(fault.AuthenticationFailed, "Authentication scheme Bearer is not allowed with HTTP.")
	case r.Version < withTokens:
		return refuse(fault.AuthenticationFailed, "Authentication scheme Bearer is not supported in this version.")
	}
	claims, err := a.o.Tokens.Verify(r.Context(), token, a.audiences(r.Target.Account)...)
	if fault.Is(err, fault.TokenRefused) {
		return refuse(fault.TokenRefused, tokenDetail(err))
	}
	if err != nil {
		return err
	}
	c.Kind, c.Account, c.Tenant = access.Bearer, r.Target.Account, claims.TenantID
	if err := a.grant(r, c, claims.ObjectID); err != nil {
		return err
	}
	if claims.Unsigned {
		c.Roles = func(string, bool, string) bool { return true }
	}
	return nil
}

// audiences are the names of the service that a token may be for: that of all storage,
// or that of the account in the cloud.
func (a *Authenticator) audiences(n name.Account) []string {
	return []string{StorageAudience, "https://" + string(n) + "." + serviceNames[a.o.Service] + ".core.windows.net"}
}

// grant gives c the roles of a principal on the account.
func (a *Authenticator) grant(r *wire.Request, c *access.Caller, principal string) error {
	resource, _, err := a.o.Resource(r.Context(), c.Account)
	if err != nil && !fault.Is(err, fault.AccountNotFound) { // the service answers that
		return err
	}
	ctx := r.Context()
	c.Principal, c.Resource = principal, resource
	c.Roles = func(action string, data bool, scope string) bool {
		return principal != "" && a.o.Tokens.Allowed(ctx, principal, action, data, scope)
	}
	return nil
}

// tokenDetail says why a token was refused, in the service's words.
func tokenDetail(err error) string {
	switch {
	case errors.Is(err, identity.ErrAudience):
		return "Audience validation failed. Audience did not match."
	case errors.Is(err, identity.ErrIssuer):
		return "Issuer validation failed. Issuer did not match."
	case errors.Is(err, identity.ErrExpired):
		return "Lifetime validation failed. The token is expired."
	case errors.Is(err, identity.ErrEarly):
		return "Lifetime validation failed. The token is not yet valid."
	case errors.Is(err, identity.ErrSignature):
		return "Signature validation failed."
	case errors.Is(err, identity.ErrGone):
		return "The principal of the token does not exist any more."
	}
	return "The token is malformed."
}
