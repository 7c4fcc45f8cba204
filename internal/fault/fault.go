// Package fault is the one error type that crosses package borders.
package fault

import (
	"errors"
	"strings"
)

// Kind says what went wrong in terms of the domain, never of HTTP. Package wire
// chooses status, code and text for each in one table.
// Values are only ever appended: they are logged.
type Kind uint16

const (
	Internal Kind = iota // a bug or a broken invariant; the zero value on purpose

	// What a request says is wrong by form.
	InvalidInput             // a value that no rule below names
	InvalidURI               // the URL does not parse as a resource
	InvalidHeaderValue       // Detail: HeaderName, HeaderValue
	MissingRequiredHeader    // Detail: HeaderName
	InvalidQueryParameter    // Detail: QueryParameterName, QueryParameterValue, Reason
	OutOfRangeQueryParameter // Detail as above, and MinimumAllowed, MaximumAllowed
	MissingQueryParameter    // Detail: QueryParameterName
	InvalidResourceName      // container or blob name against the rules
	InvalidMetadata          // metadata name or value
	MetadataTooLarge         // over 8 KiB
	InvalidXMLDocument       // body does not parse or is not what is expected
	InvalidXMLNodeValue      // an element holds a wrong value
	InvalidBlobOrBlock       // block id: not base64, too long
	InvalidBlockID           // another length than the other blocks of the blob
	InvalidBlockList         // names a block that is not there
	BlockListTooLong         // over 50,000
	BlockCountExceeded       // over 100,000 uncommitted blocks
	RequestBodyTooLarge      // Detail: MaxLimit
	ContentLengthMismatch    // body shorter than Content-Length
	MissingContentLength     // 411
	InvalidRange             // 416
	InvalidMD5               // header does not decode to 16 bytes
	MD5Mismatch              // Detail: UserSpecifiedMd5, ServerCalculatedMd5
	CRC64Mismatch            // Detail: UserSpecifiedCrc, ServerCalculatedCrc
	InvalidCRC64             // header does not decode to 8 bytes
	MD5AndCRC64              // both given
	UnsupportedHeader        // Detail: HeaderName; a header we do not honour and must not ignore
	UnsupportedVerb          // verb not allowed on the resource
	UnsupportedOperation     // an operation of the protocol that is not here (yet); Detail: Operation
	UnsupportedVersion       // x-ms-version not served
	RangeTooLargeForHash     // x-ms-range-get-content-md5/crc64 over 4 MiB

	// Authentication and authorization.
	AuthenticationFailed      // signature, expiry, ..; Detail: AuthenticationErrorDetail
	InvalidAuthenticationInfo // Authorization header has a wrong form
	NoAuthentication          // nothing given and no public access: 401, or 404 as the service does
	AuthorizationFailure      // caller may not
	PermissionMismatch        // SAS lacks the permission
	ResourceTypeMismatch      // account SAS lacks the resource type
	ServiceMismatch           // account SAS lacks the service
	ProtocolMismatch          // https only
	SourceIPMismatch          // SAS ip range
	InsufficientAccount       // operation needs the account key
	PublicAccessNotPermitted  // account forbids anonymous access

	// What is there.
	AccountNotFound
	ResourceNotFound
	ContainerNotFound
	ContainerAlreadyExists
	ContainerBeingDeleted
	BlobNotFound
	BlobAlreadyExists      // If-None-Match: * on a create
	InvalidBlobType        // operation does not fit the type of the blob
	ConditionNotMet        // If-*: 412
	NotModified            // If-None-Match, If-Modified-Since on a read: 304
	UnsatisfiableCondition // If-None-Match: * on a read: 400
	MultipleConditions     // conditional headers that may not stand together
	LeaseNotPresent        // lease id given, no lease: 412

	// Customer-specified encryption.
	EncryptionNotHonoured // an encryption header of a kind that is not served yet; Detail: HeaderName
	UsesCustomerSpecifiedEncryption
	DoesNotUseCustomerSpecifiedEncryption
	CustomerSpecifiedEncryptionMismatch
	KeyGone // the provider refuses to unwrap

	// The server.
	Corrupt     // stored bytes fail authentication
	Full        // disk nearly full
	Busy        // too much at once; try again
	Timeout     // client too slow, or the operation's own timeout
	Unavailable // stopping, or the store has failed
	Canceled    // the client went away

	// Keys and management (never on the storage wire).
	KeyStore    // key store refuses: pin, signature, generation
	Rollback    // HEAD or a log is missing or older than it was
	NewerFormat // store made by a newer version
	Exists      // the named thing is there already
	NotAllowed  // the state forbids the operation

	UnauthorizedBlobOverwrite // a SAS that may only create meets an existing blob: 403

	TokenRefused           // a bearer token, which nobody here can check: 401
	EmptyMetadataKey       // a metadata header without a name
	OutOfRangeInput        // a name of a length that is not permitted
	UnsupportedQuery       // a query parameter that we do not honour and must not ignore; Detail: QueryParameterName
	InvalidBlobTier        // an access tier that is none
	ConditionsNotSupported // conditional headers on an operation that has none
	CORSRefused            // preflight without a rule that fits: 403

	ForbiddenByEncryptionPolicy // the container wants another encryption and denies an override: 403
	ScopeNotFound               // no encryption scope of that name
	ScopeDisabled               // the encryption scope was disabled by an administrator: 403
	CustomerKeyNotPermitted     // the account forbids customer-provided keys: 403

	PrincipalNotFound // no principal or managed identity with that id
	InvalidClient     // the credential of a principal is wrong, or has ended: 401

	// The vault.
	VaultNotFound       // no vault of that name, or it is deleted
	VaultKeyNotFound    // no such key or version in the vault
	VaultKeyDeleted     // deleted and recoverable: its name is taken
	VaultKeyDisabled    // the version is disabled
	VaultKeyNotYetValid // before its date
	VaultKeyExpired     // after its date
	VaultKeyOperation   // the key is not for this operation
	VaultPolicyForbids  // no access policy lets the caller do it
	VaultRoleForbids    // no role lets the caller do it

	CustomerVaultGone // the vault of a customer's key is gone or out of reach: 403
	CustomerTokenGone // there is no token for the identity of a customer's key: 403

	KindCount // number of kinds; not a kind
)

// Detail is one name and value that the service reports inside an error body.
type Detail struct{ Name, Value string }

// Error is what crosses package borders.
type Error struct {
	Op      string // "blob.PutBlock": package and method
	What    string // a resource name; never a key, a token or plaintext
	Kind    Kind
	Err     error    // cause, may be nil
	Details []Detail // for the client
}

// New makes an Error. err may be nil.
func New(op, what string, kind Kind, err error, details ...Detail) *Error {
	return &Error{Op: op, What: what, Kind: kind, Err: err, Details: details}
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.What != "" {
		b.WriteString(" " + e.What)
	}
	b.WriteString(": " + e.Kind.String())
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost Error in err's chain, or Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Is reports whether err carries kind.
func Is(err error, kind Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == kind
}
