package identityhttp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/coffer-storage/coffer/internal/fault"
)

// oauthError is an error in the form of the token endpoint. number is the one that
// clients and people search for.
type oauthError struct {
	status int
	code   string
	number int
	text   string
}

func (e oauthError) Error() string { return "identityhttp: " + e.code }

var (
	errNoSuchPath = oauthError{http.StatusNotFound, "invalid_request", 900144, "There is no such endpoint."}
	errClient     = oauthError{http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client credential: the client is unknown, or its secret or assertion is wrong or has ended."}
	errPlain      = oauthError{http.StatusBadRequest, "invalid_request", 900382, "Credentials are taken over https only."}
	errUsers      = oauthError{http.StatusBadRequest, "unauthorized_client", 700016, "This server has no users who could sign in: use client credentials, or a managed identity."}
)

// bad is a request with something missing or wrong.
func bad(number int, text string) error {
	return oauthError{http.StatusBadRequest, "invalid_request", number, text}
}

// imdsError is an error in the form of the metadata service.
type imdsError struct {
	status     int
	code, text string
}

func (e imdsError) Error() string { return "identityhttp: " + e.code }

// render turns an error into its answer.
func (h *Handler) render(r *request, err error) (int, any) {
	if e, ok := errors.AsType[imdsError](err); ok {
		return e.status, map[string]any{"error": e.code, "error_description": e.text}
	}
	e, ok := errors.AsType[oauthError](err)
	if !ok {
		e = classify(err)
	}
	now := h.o.Now().UTC()
	return e.status, map[string]any{
		"error":             e.code,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", e.number, e.text, r.id, r.id, now.Format("2006-01-02 15:04:05Z")),
		"error_codes":       []int{e.number},
		"timestamp":         now.Format("2006-01-02 15:04:05Z"),
		"trace_id":          r.id,
		"correlation_id":    r.id,
	}
}

// classify gives kinds of the domain their answers.
func classify(err error) oauthError {
	switch fault.KindOf(err) {
	case fault.InvalidClient:
		return errClient
	case fault.PrincipalNotFound:
		return oauthError{http.StatusBadRequest, "unauthorized_client", 700016, "The principal is gone."}
	case fault.InvalidInput:
		return oauthError{http.StatusBadRequest, "invalid_resource", 500011, "The resource is not one that tokens are made for: an absolute URI or a UUID."}
	case fault.Full, fault.Busy, fault.Unavailable, fault.Timeout, fault.Canceled, fault.KeyStore:
		return oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", 90033, "A transient error has occurred. Please try again."}
	}
	return oauthError{http.StatusInternalServerError, "server_error", 90100, "The server encountered an internal error."}
}
