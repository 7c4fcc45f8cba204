// Package identity knows who may ask: principals, their credentials, the tokens that say
// who they are, and the roles that say what they may do.
//
//	table identity   'p' object id      SYS: the principal     META: its secrets, as hashes
//	                 'a' assignment id  SYS: a role assignment
//	                 'k' key id         SYS: life of a signing key   META: the private key
//	                 'd' account id     META: the secret that delegation keys come from
//
// What is secret is sealed under a data key of the store, as the keys of accounts are.
// Everything else is small and is asked for with every request, so the service keeps it
// in memory and writes through.
//
// A token says who; what he may do is decided by the role assignments of the moment, and
// whether he is still there by the principal of the moment: deleting either is seen with
// the next request, however long a token says it lives.
//
// Forms and choices are in spec/identity.md. The package knows no HTTP.
package identity

import (
	"time"
)

// Tenant is the tenant of everything that is made here.
const Tenant = "c0ffe700-0000-4000-8000-000000000001"

// Kind says what a principal is.
type Kind uint8

// Kinds of principals. The values are stored.
const (
	ServicePrincipal Kind = 1 // a program with a secret or a certificate
	SystemAssigned   Kind = 2 // the managed identity of one resource
	UserAssigned     Kind = 3 // a managed identity that is a resource of its own
)

// Managed reports whether k is a managed identity: it has no credential that could be
// given away.
func (k Kind) Managed() bool { return k == SystemAssigned || k == UserAssigned }

func (k Kind) String() string {
	switch k {
	case ServicePrincipal:
		return "ServicePrincipal"
	case SystemAssigned:
		return "SystemAssigned"
	case UserAssigned:
		return "UserAssigned"
	}
	return "Unknown"
}

// Principal is who can get tokens. The ids are UUIDs in lower case.
type Principal struct {
	ObjectID   string
	ClientID   string
	TenantID   string
	Kind       Kind
	Name       string
	ResourceID string // ARM id, of managed identities
	Machine    bool   // programs on this machine may have its tokens
	Created    time.Time
	Tags       string // of a user-assigned identity: JSON as TagMap reads it; "" without any
}

// Claims is what a token says about its bearer, after it was checked.
type Claims struct {
	ObjectID string // who; role assignments name it
	ClientID string
	TenantID string
	Audience string
	Issuer   string
	Expires  time.Time
	Unsigned bool // accepted without a look at its signature, by AllowUnsigned
}

// RoleAssignment gives a principal a role on a scope and everything below it.
type RoleAssignment struct {
	ID          string // UUID; Assign draws one when it is empty
	Scope       string // an ARM id, or a local path of a Managed HSM
	RoleID      string // UUID of a role, or its full id, or its name
	PrincipalID string
	Created     time.Time
}
