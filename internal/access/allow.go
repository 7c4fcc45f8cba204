package access

import (
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
)

// Resource types of an account SAS (srt).
const (
	AnyType   byte = '*' // any of the three will do
	Service   byte = 's'
	Container byte = 'c'
	Object    byte = 'o'
)

// Public is a level of public access of a container. Levels are ordered.
type Public uint8

const (
	PublicNone      Public = iota
	PublicBlob             // blobs may be read
	PublicContainer        // and listed, with the container's properties
)

// Need is what one operation on one resource asks of its caller.
type Need struct {
	Account     name.Account
	Service     byte   // 'b'; zero is 'b'
	Type        byte   // Service, Container, Object or AnyType
	Permissions string // any one of these letters is enough; empty: any SAS will do
	Container   name.Container
	Blob        name.Blob
	Snapshot    string
	KeyOnly     bool // no SAS is enough
	// Actions are those of roles any one of which is enough. Without one no role is.
	Actions []Action
	// Anonymous is the least public access that lets anybody do it; PublicNone: nobody.
	Anonymous Public
	// Public is what the container grants, PublicNone when there is no such container.
	Public Public
	// PublicAllowed is whether the account lets containers be public at all.
	PublicAllowed bool
}

// Allow reports whether c may do what n describes. A refusal is one of:
//
//	AuthenticationFailed  c is of another account, or a SAS of another resource
//	PermissionMismatch    the SAS lacks every permission that would do
//	ResourceTypeMismatch  the account SAS lacks the resource type
//	ServiceMismatch       the account SAS lacks the service
//	AuthorizationFailure  a service SAS cannot do this at all
//	InsufficientAccount   only the account key can
//	PermissionMismatch    no role of the principal gives it
//	ResourceNotFound      anonymous, and the container is not public: it says not even that it exists
//	PublicAccessNotPermitted  anonymous, on an account that forbids public access
//	NoAuthentication      anonymous, and nothing public would ever do
func (c *Caller) Allow(n Need) error {
	refuse := func(k fault.Kind) error {
		return fault.New("access.Allow", n.what(), k, nil)
	}
	if c == nil || c.Kind == Anonymous {
		if k, ok := anonymous(n); !ok {
			return refuse(k)
		}
		return nil
	}
	if c.Account != n.Account {
		return refuse(fault.AuthenticationFailed)
	}
	var k fault.Kind
	ok := false
	switch c.Kind {
	case SharedKey, SharedKeyLite:
		ok = true
	case AccountSAS:
		k, ok = accountSAS(c.SAS, n)
	case ServiceSAS:
		k, ok = serviceSAS(c.SAS, n)
	case Bearer:
		k, ok = c.byRole(n)
	case UserDelegationSAS:
		if k, ok = serviceSAS(c.SAS, n); ok && n.Type != AnyType {
			k, ok = c.byRole(n)
		}
	default:
		k = fault.AuthenticationFailed
	}
	if !ok {
		return refuse(k)
	}
	return nil
}

func anonymous(n Need) (fault.Kind, bool) {
	switch {
	case n.Anonymous == PublicNone:
		return fault.NoAuthentication, false
	case !n.PublicAllowed:
		return fault.PublicAccessNotPermitted, false
	case n.Public < n.Anonymous:
		return fault.ResourceNotFound, false
	}
	return 0, true
}

func accountSAS(s *SAS, n Need) (fault.Kind, bool) {
	service := n.Service
	if service == 0 {
		service = 'b'
	}
	switch {
	case s == nil:
		return fault.AuthenticationFailed, false
	case n.KeyOnly:
		return fault.InsufficientAccount, false
	case !has(s.Services, service):
		return fault.ServiceMismatch, false
	case n.Type != AnyType && !has(s.ResourceTypes, n.Type):
		return fault.ResourceTypeMismatch, false
	case !s.Permits(n.Permissions):
		return fault.PermissionMismatch, false
	}
	return 0, true
}

func serviceSAS(s *SAS, n Need) (fault.Kind, bool) {
	if s == nil {
		return fault.AuthenticationFailed, false
	}
	if n.KeyOnly {
		return fault.InsufficientAccount, false
	}
	if n.Type == AnyType {
		return 0, true // account information: any signature of the account
	}
	if n.Type != Object && (n.Type != Container || n.Permissions != "l") {
		return fault.AuthorizationFailure, false // it never reaches above blobs, but to list them
	}
	if s.Container != string(n.Container) {
		return fault.AuthenticationFailed, false
	}
	switch s.Resource {
	case "c":
	case "b":
		if n.Type == Container {
			return fault.AuthorizationFailure, false
		}
		if s.Blob != string(n.Blob) {
			return fault.AuthenticationFailed, false
		}
	case "bs", "bv":
		if n.Type == Container {
			return fault.AuthorizationFailure, false
		}
		if s.Blob != string(n.Blob) || n.Snapshot == "" || s.Snapshot != n.Snapshot {
			return fault.AuthenticationFailed, false
		}
	default: // d: directories come with hierarchical namespaces
		return fault.AuthorizationFailure, false
	}
	if !s.Permits(n.Permissions) {
		return fault.PermissionMismatch, false
	}
	return 0, true
}

// Permits reports whether s carries one of the permissions. No permissions asked is
// always permitted.
func (s *SAS) Permits(anyOf string) bool {
	return anyOf == "" || strings.ContainsAny(s.Permissions, anyOf)
}

func has(set string, c byte) bool { return strings.IndexByte(set, c) >= 0 }

func (n Need) what() string {
	s := string(n.Account)
	if n.Container != "" {
		s += "/" + string(n.Container)
	}
	if n.Blob != "" {
		s += "/" + string(n.Blob)
	}
	return s
}
