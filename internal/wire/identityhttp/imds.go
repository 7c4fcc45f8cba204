package identityhttp

import (
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

// metadataAddress is where the metadata service is in the cloud. Who leads it here keeps
// the name in Host.
const metadataAddress = "169.254.169.254"

// apiVersion is the form of api-version; every one is served alike.
var apiVersion = regexp.MustCompile(`^20\d\d-\d\d-\d\d(-preview)?$`)

// imds serves managed identities as the metadata service of a virtual machine does.
func (h *Handler) imds(r *request) (any, error) {
	if err := local(r); err != nil {
		return nil, err
	}
	if !strings.EqualFold(r.Header.Get("Metadata"), "true") {
		return nil, imdsError{http.StatusBadRequest, "invalid_request", "Required metadata header not specified"}
	}
	return h.managed(r)
}

// msi serves them as hosts of applications do. Clients send what IDENTITY_HEADER has; that
// there is such a header shows that no web page asks.
func (h *Handler) msi(r *request) (any, error) {
	if err := local(r); err != nil {
		return nil, err
	}
	if r.Header.Get("X-IDENTITY-HEADER") == "" {
		return nil, imdsError{http.StatusUnauthorized, "invalid_request", "The header X-IDENTITY-HEADER is missing."}
	}
	return h.managed(r)
}

// local refuses requests that do not come from a program on this machine.
func local(r *request) error {
	host := hostName(r.Host)
	ip, _ := netip.ParseAddr(host)
	named := strings.EqualFold(host, "localhost") || ip.IsLoopback() || host == metadataAddress
	if !loopback(r.RemoteAddr) || !named || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return imdsError{http.StatusForbidden, "forbidden", "Managed identities are for programs on the machine of this server."}
	}
	return nil
}

func loopback(remote string) bool {
	peer, _, err := net.SplitHostPort(remote)
	ip, _ := netip.ParseAddr(peer)
	return err == nil && ip.Unmap().IsLoopback()
}

func (h *Handler) managed(r *request) (any, error) {
	q := r.URL.Query()
	if !apiVersion.MatchString(q.Get("api-version")) {
		return nil, imdsError{http.StatusBadRequest, "invalid_request", "Required query variable 'api-version' is missing or invalid"}
	}
	resource := q.Get("resource")
	if resource == "" {
		return nil, imdsError{http.StatusBadRequest, "invalid_request", "Required query variable 'resource' is missing"}
	}
	first := func(names ...string) string {
		for _, n := range names {
			if v := q.Get(n); v != "" {
				return v
			}
		}
		return ""
	}
	p, err := h.o.Identities.MachineIdentity(r.Context(), identity.Query{
		ClientID: first("client_id", "clientid"), ObjectID: first("object_id", "principal_id"), ResourceID: first("msi_res_id", "mi_res_id"),
	})
	if err != nil {
		return nil, machineError(err)
	}
	token, expires, err := h.o.Identities.Issue(r.Context(), p.ObjectID, resource)
	if err != nil {
		return nil, machineError(err)
	}
	now := h.o.Now()
	left := strconv.FormatInt(int64(expires.Sub(now).Seconds()), 10)
	return map[string]any{
		"access_token": token, "client_id": p.ClientID, "expires_in": left, "ext_expires_in": left,
		"expires_on": strconv.FormatInt(expires.Unix(), 10), "not_before": strconv.FormatInt(now.Unix(), 10),
		"resource": resource, "token_type": "Bearer",
	}, nil
}

// machineError gives what the domain answers the form of the metadata service.
func machineError(err error) error {
	switch fault.KindOf(err) {
	case fault.PrincipalNotFound:
		return imdsError{http.StatusBadRequest, "invalid_request", "Identity not found"}
	case fault.InvalidInput:
		return imdsError{http.StatusBadRequest, "invalid_resource", "The resource is not one that tokens are made for."}
	case fault.Full, fault.Busy, fault.Unavailable, fault.Timeout, fault.Canceled, fault.KeyStore:
		return imdsError{http.StatusServiceUnavailable, "temporarily_unavailable", "The service is temporarily unavailable."}
	}
	return imdsError{http.StatusInternalServerError, "server_error", "The service met an internal error."}
}
