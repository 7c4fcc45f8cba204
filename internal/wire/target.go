package wire

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
)

// Target says which resource a request names, before any name is checked.
type Target struct {
	Account   name.Account
	First     string // first segment after the account, decoded: a container, or a blob of the root container
	Rest      string // all after First and its slash, decoded: a blob name
	HasRest   bool   // there was a slash after First
	RawPath   string // path as sent, with the account if path-style: what signatures are made over
	HostStyle bool
	Secondary bool // the read-only secondary endpoint
}

// RawPath returns the path of r as it was sent. net/http decodes it and, where the
// sender escaped less than Go would, cannot encode it back.
func RawPath(r *http.Request) string {
	uri := r.RequestURI
	if uri == "" {
		return r.URL.EscapedPath()
	}
	if !strings.HasPrefix(uri, "/") { // absolute form, as proxies get it
		_, after, found := strings.Cut(uri, "://")
		slash := strings.IndexByte(after, '/')
		if !found || slash < 0 {
			return r.URL.EscapedPath()
		}
		uri = after[slash:]
	}
	path, _, _ := strings.Cut(uri, "?")
	path, _, _ = strings.Cut(path, "#")
	return path
}

// Resolve finds the target of a request for service, such as "blob", at host and raw
// path. A host whose first label is an account that exists, and whose second label is
// the service (or service-secondary), is host-style whatever follows; everything else is
// path-style. The secondary endpoint may also be spelled as the service spells it, by
// an account label that ends in -secondary.
func Resolve(service, host, rawPath string, exists func(name.Account) bool) (Target, error) {
	t := Target{RawPath: rawPath}
	path := strings.TrimPrefix(rawPath, "/")
	if account, secondary, ok := hostStyle(service, host, exists); ok {
		t.Account, t.Secondary, t.HostStyle = account, secondary, true
	} else {
		first, rest, _ := strings.Cut(path, "/")
		account, err := url.PathUnescape(first)
		if err != nil || account == "" {
			return Target{}, fault.New("wire.Resolve", "", fault.InvalidURI, err)
		}
		account, t.Secondary = strings.CutSuffix(account, name.SecondarySuffix)
		t.Account, err = name.ParseAccount(account)
		if err != nil {
			return Target{}, err
		}
		path = rest
	}
	first, rest, has := strings.Cut(path, "/")
	var err error
	if t.First, err = url.PathUnescape(first); err != nil {
		return Target{}, fault.New("wire.Resolve", "", fault.InvalidURI, err)
	}
	if t.Rest, err = url.PathUnescape(rest); err != nil {
		return Target{}, fault.New("wire.Resolve", "", fault.InvalidURI, err)
	}
	t.HasRest = has
	return t, nil
}

func hostStyle(service, host string, exists func(name.Account) bool) (_ name.Account, secondary, ok bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	labels := strings.SplitN(strings.ToLower(host), ".", 3)
	if len(labels) < 2 {
		return "", false, false
	}
	switch labels[1] {
	case service:
	case service + name.SecondarySuffix:
		secondary = true
	default:
		return "", false, false
	}
	label, cut := strings.CutSuffix(labels[0], name.SecondarySuffix)
	account, err := name.ParseAccount(label)
	if err != nil || !exists(account) {
		return "", false, false
	}
	return account, secondary || cut, true
}

// IsService reports whether the target is the account's service itself.
func (t Target) IsService() bool { return t.First == "" && t.Rest == "" }

// IsContainerPath reports whether the path is one segment: a container where the query
// says so, and a blob of the root container otherwise.
func (t Target) IsContainerPath() bool { return t.First != "" && t.Rest == "" }
