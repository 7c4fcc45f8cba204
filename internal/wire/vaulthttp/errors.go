package vaulthttp

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
)

// wireError is an error in the form of the vault.
type wireError struct {
	status        int
	code, message string
	inner         string // code of innererror, "" is none
}

func (e wireError) Error() string { return "vaulthttp: " + e.code }

// errorForm is the body of an error.
type errorForm struct {
	Error struct {
		Code    string     `json:"code"`
		Message string     `json:"message"`
		Inner   *innerForm `json:"innererror,omitempty"`
	} `json:"error"`
}

type innerForm struct {
	Code string `json:"code"`
}

// refuse turns an error into its answer.
func (h *Handler) refuse(w http.ResponseWriter, r *request, err error) answer {
	e, ok := errors.AsType[wireError](err)
	if !ok {
		e = classify(r, err)
	}
	switch e.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", h.challenge(r))
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	var f errorForm
	f.Error.Code, f.Error.Message = e.code, e.message
	if e.inner != "" {
		f.Error.Inner = &innerForm{e.inner}
	}
	return answer{e.status, f}
}

// entry is how one kind looks to a client. In the text OP is the operation, KEY the key
// that the request names, WHY the reason that the service gave.
type entry struct {
	status            int
	code, inner, text string
}

const forbidden = "Forbidden"

// table is the only place where a kind meets a status, a code and a text.
var table = map[fault.Kind]entry{
	fault.InvalidInput:         {http.StatusBadRequest, "BadParameter", "", "WHY"},
	fault.VaultNotFound:        {http.StatusNotFound, "VaultNotFound", "", "The vault was not found. If it was deleted, it can be recovered until it is purged."},
	fault.VaultKeyNotFound:     {http.StatusNotFound, "KeyNotFound", "", "A key with (name/id) KEY was not found in this key vault. If you recently deleted this key you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"},
	fault.VaultKeyDeleted:      {http.StatusConflict, "Conflict", "ObjectIsDeletedButRecoverable", "Key KEY is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the key can only be recovered or purged."},
	fault.Exists:               {http.StatusConflict, "Conflict", "ObjectAlreadyExists", "A key of this name is already in the vault."},
	fault.VaultKeyDisabled:     {http.StatusForbidden, forbidden, "KeyDisabled", "Operation OP is not allowed on a disabled key."},
	fault.VaultKeyNotYetValid:  {http.StatusForbidden, forbidden, "KeyNotYetValid", "Operation OP is not allowed on a key that is not yet valid."},
	fault.VaultKeyExpired:      {http.StatusForbidden, forbidden, "KeyExpired", "Operation OP is not allowed on an expired key."},
	fault.VaultKeyOperation:    {http.StatusForbidden, forbidden, "KeyOperationForbidden", "Operation OP is not permitted on this key."},
	fault.VaultPolicyForbids:   {http.StatusForbidden, forbidden, "ForbiddenByPolicy", "The user, group or application does not have the permission on this key vault: WHY. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287"},
	fault.VaultRoleForbids:     {http.StatusForbidden, forbidden, "ForbiddenByRbac", "Caller is not authorized to perform action on resource: WHY. If role assignments were changed recently, please observe propagation time."},
	fault.NotAllowed:           {http.StatusForbidden, forbidden, "", "Operation OP is not allowed: WHY."},
	fault.UnsupportedOperation: {http.StatusNotImplemented, "NotImplemented", "", "WHY"},
	fault.ResourceNotFound:     {http.StatusNotFound, "NotFound", "", "WHY"},
	fault.Full:                 {http.StatusServiceUnavailable, "ServiceUnavailable", "", "The server's disk is nearly full."},
	fault.Busy:                 {http.StatusServiceUnavailable, "ServiceUnavailable", "", "The server is busy. Please retry."},
	fault.Timeout:              {http.StatusServiceUnavailable, "ServiceUnavailable", "", "The operation took too long. Please retry."},
	fault.Canceled:             {http.StatusServiceUnavailable, "ServiceUnavailable", "", "The operation was canceled. Please retry."},
	fault.Unavailable:          {http.StatusServiceUnavailable, "ServiceUnavailable", "", "The server cannot do this now. Please retry."},
	fault.KeyStore:             {http.StatusServiceUnavailable, "ServiceUnavailable", "", "The key store cannot be changed now. Please retry."},
	fault.Internal:             {http.StatusInternalServerError, "InternalServerError", "", "An unexpected error occurred."},
}

// classify looks a kind up.
func classify(r *request, err error) wireError {
	e, ok := table[fault.KindOf(err)]
	if !ok {
		e = table[fault.Internal]
	}
	op, why := r.op, "the request is not valid"
	if f, ok := errors.AsType[*fault.Error](err); ok {
		if i := strings.LastIndexByte(f.Op, '.'); i >= 0 {
			op = f.Op[i+1:]
		}
		if f.Err != nil { // of package vault: reasons, never values
			why = f.Err.Error()
		}
	}
	text := strings.NewReplacer("OP", op, "KEY", keyOf(r), "WHY", why).Replace(e.text)
	return wireError{e.status, e.code, text, e.inner}
}

// keyOf is the key that a path names.
func keyOf(r *request) string {
	if len(r.path) < 2 {
		return ""
	}
	n := r.path[1]
	if len(r.path) > 2 && len(r.path[2]) == 32 {
		n += "/" + r.path[2]
	}
	if len(n) > 256 {
		n = n[:256]
	}
	return n
}

func badBody(why string) error {
	return wireError{http.StatusBadRequest, "BadParameter", why, ""}
}

// notServed are what else a vault of the cloud has, by the first segment of the path.
var notServed = map[string]string{
	"secrets": "secrets", "deletedsecrets": "secrets",
	"certificates": "certificates", "deletedcertificates": "certificates",
	"storage": "storage accounts", "deletedstorage": "storage accounts",
	"securitydomain": "security domains", "backup": "full backups", "restore": "full backups", "settings": "settings",
}

// noRoute answers what no route has.
func noRoute(r *request) error {
	first := strings.ToLower(r.path[0])
	if what := notServed[first]; what != "" {
		return wireError{http.StatusNotImplemented, "NotImplemented", "This vault serves keys only: " + what + " are not served here.", ""}
	}
	switch first {
	case "keys", "deletedkeys", "rng":
		return wireError{http.StatusMethodNotAllowed, "MethodNotAllowed", "The operation " + r.Method + " is not one of this resource, or is not served.", ""}
	}
	return wireError{http.StatusNotFound, "NotFound", "The resource was not found.", ""}
}

func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}
