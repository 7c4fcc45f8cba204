// Package access says who a caller is and what he may do.
//
// wire/auth establishes the Caller: it checks signatures, times, addresses and the
// protocol, and merges a stored policy into the SAS. The services then ask Allow with
// what the operation needs, so that no handler can forget it:
//
//	anonymous       only what the public access of the container gives: read blobs, or read and list
//	shared key      everything on its own account
//	account SAS     services (ss), resource types (srt) and permissions (sp) must all fit
//	service SAS     the signed blob or container, and permissions (sp)
//	bearer          what the roles of the principal give
//	user delegation SAS   as a service SAS, and no more than the roles of who signed it give
//
// Every refusal has the kind that the service answers with; see Allow.
package access

import (
	"net/netip"
	"time"

	"github.com/coffer-storage/coffer/internal/name"
)

// Kind says how a caller was authenticated. The zero value is nobody in particular.
type Kind uint8

const (
	Anonymous Kind = iota
	SharedKey
	SharedKeyLite
	AccountSAS
	ServiceSAS
	Bearer
	UserDelegationSAS
)

var kindNames = [...]string{"Anonymous", "SharedKey", "SharedKeyLite", "AccountSAS", "ServiceSAS", "OAuth", "DelegationSas"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "Unknown"
}

// Caller is who makes a request, as wire/auth established it. The zero Caller, and a
// nil one, is anonymous.
type Caller struct {
	Kind      Kind
	Account   name.Account // whose key signed, or that the token is used on
	SAS       *SAS         // for AccountSAS, ServiceSAS and UserDelegationSAS
	Principal string       // object id, for Bearer and UserDelegationSAS
	Tenant    string       // of the principal
	Roles     Roles        // what the principal may do
	Resource  string       // id of the account as a resource: where roles count
	Secure    bool         // the request came over TLS
	IP        netip.Addr
	RequestID string
}

// Actor is the name of c in the audit trail. Of a SAS it is known who signed it, not who
// holds it.
func (c *Caller) Actor() string {
	if c == nil {
		return "anonymous"
	}
	switch c.Kind {
	case SharedKey, SharedKeyLite:
		return "account " + string(c.Account)
	case AccountSAS, ServiceSAS:
		return "SAS of account " + string(c.Account)
	case Bearer:
		return "principal " + c.Principal
	case UserDelegationSAS:
		return "SAS of principal " + c.Principal
	}
	return "anonymous"
}

// SAS is a shared access signature after its signature was checked.
type SAS struct {
	Permissions        string // sp
	Services           string // ss, account SAS
	ResourceTypes      string // srt, account SAS
	Resource           string // sr, service SAS: b, c, bs, bv, d
	Container          string
	Blob               string
	Snapshot           string
	Start, Expiry      time.Time
	IP                 *IPRange // sip
	HTTPSOnly          bool     // spr=https
	Identifier         string   // si: stored access policy
	Version            string   // sv
	EncryptionScope    string   // ses
	CacheControl       string   // rscc
	ContentDisposition string   // rscd
	ContentEncoding    string   // rsce
	ContentLanguage    string   // rscl
	ContentType        string   // rsct
	SignatureHash      string   // SHA-256 of the signature, for logs
}

// IPRange is a range of addresses, both ends included.
type IPRange struct{ From, To netip.Addr }
