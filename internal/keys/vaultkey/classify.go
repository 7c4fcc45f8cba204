package vaultkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/coffer-storage/coffer/internal/keys"
)

// statusOf is the HTTP status that an error carries, or 0.
func statusOf(err error) int {
	if re, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return re.StatusCode
	}
	return 0
}

// refusing reports whether a status is a refusal: every 4xx but those that say "later".
func refusing(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}

// classify gives an error of a call the form that package keys judges by. Texts of
// vaults do not go on: they are the customer's, and may be long.
func classify(err error) error {
	if ve, ok := errors.AsType[*keys.VaultError](err); ok {
		return ve
	}
	re, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		if _, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
			return tokenError(err)
		}
		return &keys.VaultError{Reason: keys.ReasonVault, Err: plain(err)}
	}
	code, inner := codes(re)
	said := fmt.Errorf("status %d %s", re.StatusCode, strings.TrimSpace(code+" "+inner))
	ve := &keys.VaultError{Definitive: refusing(re.StatusCode), Reason: keys.ReasonKey, Err: said}
	switch {
	case !ve.Definitive, strings.Contains(code, "VaultNotFound"), strings.Contains(inner, "VaultNotFound"):
		ve.Reason = keys.ReasonVault
	case re.StatusCode == http.StatusUnauthorized:
		ve.Reason = keys.ReasonToken
	case re.StatusCode == http.StatusForbidden && inner != "KeyDisabled":
		ve.Err = fmt.Errorf("%w: %w", keys.ErrForbidden, said)
	}
	return ve
}

// maxCode is the longest code that is repeated.
const maxCode = 64

// codes reads the codes of an error body: {"error":{"code":..,"innererror":{"code":..}}}.
func codes(re *azcore.ResponseError) (code, inner string) {
	code = word(re.ErrorCode)
	if re.RawResponse == nil {
		return code, ""
	}
	b, err := runtime.Payload(re.RawResponse)
	if err != nil {
		return code, ""
	}
	var body struct {
		Error struct {
			Code       string `json:"code"`
			InnerError struct {
				Code string `json:"code"`
			} `json:"innererror"`
		} `json:"error"`
	}
	if json.Unmarshal(b, &body) != nil {
		return code, ""
	}
	if code == "" {
		code = word(body.Error.Code)
	}
	return code, word(body.Error.InnerError.Code)
}

// word lets only what looks like a code through to logs and answers.
func word(s string) string {
	if len(s) > maxCode || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	}) {
		return ""
	}
	return s
}

// tokenError is the error of a token that could not be had.
func tokenError(err error) error {
	if ve, ok := errors.AsType[*keys.VaultError](err); ok {
		return ve
	}
	ve := &keys.VaultError{Reason: keys.ReasonToken, Err: errors.New("no token for the identity")}
	if af, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && af.RawResponse != nil {
		ve.Definitive = refusing(af.RawResponse.StatusCode)
		ve.Err = fmt.Errorf("no token for the identity: status %d", af.RawResponse.StatusCode)
	}
	return ve
}

// plain is a transport error without what a vault may have put into it.
func plain(err error) error {
	for _, e := range []error{errRedirect, errLarge, errAddress} {
		if errors.Is(err, e) {
			return e
		}
	}
	if s := err.Error(); len(s) > 200 {
		return errors.New(strings.ToValidUTF8(s[:200], "") + "..")
	}
	return err
}
