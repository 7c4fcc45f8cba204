package armhttp

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/resource"
)

// armError is an error in the form of the Resource Manager.
type armError struct {
	status        int
	code, message string
}

func (e armError) Error() string { return "armhttp: " + e.code }

// render turns an error into its answer.
func render(err error) (int, any) {
	e, ok := errors.AsType[armError](err)
	if !ok {
		e = classify(err)
	}
	return e.status, map[string]any{"error": map[string]string{"code": e.code, "message": e.message}}
}

// problems gives refusals of the management plane their codes. The message is what the
// refusal says.
var problems = map[resource.Problem]struct {
	status int
	code   string
}{
	resource.BadValue:         {http.StatusBadRequest, "InvalidValuesForRequestParameters"},
	resource.NoGroup:          {http.StatusNotFound, "ResourceGroupNotFound"},
	resource.NoAccount:        {http.StatusNotFound, "ResourceNotFound"},
	resource.NameTaken:        {http.StatusConflict, "StorageAccountAlreadyTaken"},
	resource.ReadOnly:         {http.StatusConflict, "AccountPropertyCannotBeUpdated"},
	resource.NotForKind:       {http.StatusBadRequest, "FeatureNotSupportedForAccount"},
	resource.NotServed:        {http.StatusBadRequest, "FeatureNotSupportedForAccount"},
	resource.NoVaultFields:    {http.StatusBadRequest, "MissingKeyvaultProperties"},
	resource.NoKeyIdentity:    {http.StatusBadRequest, "ManagedServiceIdentityNotFound"},
	resource.NoUserIdentity:   {http.StatusBadRequest, "MissingUserAssignedIdentity"},
	resource.IdentityGone:     {http.StatusBadRequest, "ManagedServiceIdentityNotFound"},
	resource.CreateNeedsUser:  {http.StatusBadRequest, "ManagedServiceIdentityNotFound"},
	resource.NeedsCustomerKey: {http.StatusForbidden, "RequestDisallowedByPolicy"},
	resource.NeedsDouble:      {http.StatusForbidden, "RequestDisallowedByPolicy"},
	resource.GroupNotEmpty:    {http.StatusConflict, "ResourceGroupDeletionBlocked"},
}

// refusals gives customers' keys that cannot be configured their codes.
var refusals = map[keys.Refusal]armError{
	keys.RefusedPolicy:   {http.StatusBadRequest, "KeyVaultPolicyError", "Keyvault policy recoverable is not set: the vault needs soft delete and purge protection."},
	keys.RefusedAccess:   {http.StatusBadRequest, "KeyVaultAuthenticationFailure", "The operation failed because of authentication issue on the keyvault."},
	keys.RefusedIdentity: {http.StatusBadRequest, "CannotFetchManagedIdentityCredentials", "No token could be had for the account's identity."},
	keys.RefusedKey:      {http.StatusBadRequest, "KeyVaultKeyNotFound", "The key does not exist in the vault, or it is disabled or outside of its dates."},
	keys.RefusedType:     {http.StatusBadRequest, "KeyVaultKeyTypeNotSupported", "The key has to be RSA with 2048, 3072 or 4096 bits, and to wrap and unwrap."},
	keys.RefusedHost:     {http.StatusBadRequest, "InvalidKeyVaultUri", "The host of the vault is not below one of the suffixes that this server is configured for."},
	keys.RefusedVault:    {http.StatusBadRequest, "KeyVaultVaultNotFound", "The vault cannot be reached."},
}

// suspended gives the reasons of a suspension the codes that the data plane has too.
var suspended = map[keys.Reason]armError{
	keys.ReasonKey:   {http.StatusForbidden, "KeyVaultEncryptionKeyNotFound", "The key vault key is not found to unwrap the encryption key."},
	keys.ReasonVault: {http.StatusForbidden, "KeyVaultVaultNotFound", "The key vault is not found to unwrap the encryption key."},
	keys.ReasonToken: {http.StatusForbidden, "KeyVaultAccessTokenCannotBeAcquired", "The key vault access token cannot be acquired with the identity of the account."},
}

// kinds gives kinds of faults their answers.
var kinds = map[fault.Kind]armError{
	fault.ScopeNotFound:       {http.StatusNotFound, "EncryptionScopeNotFound", "The specified encryption scope does not exist."},
	fault.KeyGone:             {http.StatusConflict, "EncryptionScopeDestroyed", "The keys of the encryption scope were destroyed."},
	fault.NotAllowed:          {http.StatusConflict, "OperationNotAllowed", "The state of the resource does not allow the operation."},
	fault.Exists:              {http.StatusConflict, "Conflict", "The resource exists already."},
	fault.InvalidInput:        {http.StatusBadRequest, "InvalidValuesForRequestParameters", "Values for request parameters are invalid."},
	fault.InvalidResourceName: {http.StatusBadRequest, "AccountNameInvalid", "The name is not valid: storage account names have 3 to 24 lower-case letters and digits."},
	fault.AccountNotFound:     {http.StatusNotFound, "ResourceNotFound", "The storage account was not found."},
	fault.ResourceNotFound:    {http.StatusNotFound, "ResourceNotFound", "The resource was not found."},
	fault.PrincipalNotFound:   {http.StatusNotFound, "ResourceNotFound", "The identity was not found."},
	fault.VaultNotFound:       {http.StatusNotFound, "ResourceNotFound", "The vault was not found."},
}

// classify gives an error of the domain its answer.
func classify(err error) armError {
	if e, ok := errors.AsType[*resource.Error](err); ok {
		p := problems[e.Problem]
		return armError{p.status, p.code, e.What + ": " + e.Text}
	}
	if r, ok := errors.AsType[keys.Refusal](err); ok {
		if e, known := refusals[r]; known {
			return e
		}
	}
	if s, ok := errors.AsType[*keys.Suspended](err); ok {
		if e, known := suspended[s.Reason]; known {
			return e
		}
	}
	kind := fault.KindOf(err)
	if e, ok := kinds[kind]; ok {
		if why, told := told(err); told {
			e.message = why
		}
		return e
	}
	switch kind {
	case fault.Full, fault.Busy, fault.Unavailable, fault.Timeout, fault.Canceled, fault.KeyStore:
		return armError{http.StatusServiceUnavailable, "ServerBusy", "The server cannot make the change now. Please retry."}
	}
	return armError{http.StatusInternalServerError, "InternalServerError", "The server encountered an internal error. Please retry the request."}
}

// told returns the reason that a service gave for a refusal of a value.
func told(err error) (string, bool) {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Err == nil || e.Kind != fault.InvalidInput && e.Kind != fault.NotAllowed {
		return "", false
	}
	return e.Err.Error(), true
}

func badValue(field, why string) error {
	return armError{http.StatusBadRequest, "InvalidValuesForRequestParameters", "Values for request parameters are invalid: " + field + ". " + why}
}

func notFound(what, name string) error {
	return armError{http.StatusNotFound, "ResourceNotFound", "The Resource '" + what + "/" + clip(name) + "' was not found."}
}

// number is a whole number, or one that is written as text: a client sends days so.
type number int

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	if len(b) > 1 && b[0] == '"' && b[len(b)-1] == '"' {
		b = b[1 : len(b)-1]
	}
	return json.Unmarshal(b, (*int)(n))
}

// readBody decodes a body of JSON; none is an empty object.
func readBody(r *request, into any) error {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return fault.New("armhttp.readBody", "", fault.Canceled, err)
	case len(b) > maxBody:
		return armError{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request body is too large."}
	case len(b) == 0:
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return armError{http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized."}
	}
	return nil
}
