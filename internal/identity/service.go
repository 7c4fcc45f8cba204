package identity

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

// Options are the settings of a Service. The zero value is ready to use, but its tokens
// name no issuer that anybody could ask.
type Options struct {
	Now func() time.Time // nil is time.Now
	// Issuer is the address of the identity endpoint, "https://127.0.0.1:10006". It is
	// asked each time: the port may be known only after New. nil: "https://coffer.invalid".
	Issuer func() string
	Audit  audit.Recorder // nil records nothing
	Logger *slog.Logger   // nil: no log
	// VaultLife is how long tokens of managed identities for vaults live at most, the
	// period of the key cache: so long the removal of an identity can go unseen by a
	// vault that is not ours. 0 is a minute.
	VaultLife time.Duration
	// KeyLife is how long a signing key signs; 0 is 30 days.
	KeyLife time.Duration
	// AllowUnsigned accepts well-formed tokens of any key: tests only.
	AllowUnsigned bool
}

// Service keeps principals, role assignments and signing keys. All methods are safe in
// parallel.
type Service struct {
	store *object.Store
	o     Options
}

// New makes a Service over an open store. Load follows.
func New(store *object.Store, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{store: store, o: o}
}

// Load reads what is stored. It comes before everything else.
func (s *Service) Load(ctx context.Context) error { return nil }

// Close wipes what is secret.
func (s *Service) Close() {}

var errSkeleton = errors.New("not there yet")

func skeleton(op string) error { return fault.New(op, "", fault.UnsupportedOperation, errSkeleton) }

// CreatePrincipal makes a service principal with a first secret, which is shown this once.
func (s *Service) CreatePrincipal(ctx context.Context, name string) (p Principal, secret string, err error) {
	return Principal{}, "", skeleton("identity.CreatePrincipal")
}

// AddSecret gives a service principal one more secret, valid until expires.
func (s *Service) AddSecret(ctx context.Context, id string, expires time.Time) (secret string, err error) {
	return "", skeleton("identity.AddSecret")
}

// AddCertificate lets a service principal sign assertions with the key of a certificate.
func (s *Service) AddCertificate(ctx context.Context, id string, der []byte) error {
	return skeleton("identity.AddCertificate")
}

// Principals returns all principals in the order of their names.
func (s *Service) Principals(ctx context.Context) ([]Principal, error) {
	return nil, skeleton("identity.Principals")
}

// Principal returns the principal with that object id, client id or name, or
// PrincipalNotFound.
func (s *Service) Principal(ctx context.Context, id string) (Principal, error) {
	return Principal{}, skeleton("identity.Principal")
}

// DeletePrincipal removes a principal and its role assignments. Its tokens are refused
// from then on.
func (s *Service) DeletePrincipal(ctx context.Context, id string) error {
	return skeleton("identity.DeletePrincipal")
}

// CreateIdentity makes the managed identity of a resource. If there is one it is
// returned as it is.
func (s *Service) CreateIdentity(ctx context.Context, kind Kind, resourceID, name string) (Principal, error) {
	return Principal{}, skeleton("identity.CreateIdentity")
}

// Identity returns the managed identity with that ARM id, whatever its case, or
// PrincipalNotFound. The id of a system-assigned one is that of its resource.
func (s *Service) Identity(ctx context.Context, resourceID string) (Principal, error) {
	return Principal{}, skeleton("identity.Identity")
}

// DeleteIdentity removes a managed identity as DeletePrincipal does.
func (s *Service) DeleteIdentity(ctx context.Context, resourceID string) error {
	return skeleton("identity.DeleteIdentity")
}

// Issue makes a token for a principal, or answers PrincipalNotFound.
func (s *Service) Issue(ctx context.Context, objectID, audience string) (token string, expires time.Time, err error) {
	return "", time.Time{}, skeleton("identity.Issue")
}

// Verify checks a token for one of the audiences; a slash at the end of one counts for
// nothing. Every refusal is TokenRefused.
func (s *Service) Verify(ctx context.Context, raw string, audiences ...string) (Claims, error) {
	return Claims{}, skeleton("identity.Verify")
}

// Assign adds a role assignment and returns it as it is kept. The same role, scope and
// principal again is Exists, with the assignment that is there.
func (s *Service) Assign(ctx context.Context, a RoleAssignment) (RoleAssignment, error) {
	return RoleAssignment{}, skeleton("identity.Assign")
}

// Unassign removes a role assignment, or answers ResourceNotFound.
func (s *Service) Unassign(ctx context.Context, id string) error {
	return skeleton("identity.Unassign")
}

// Filter chooses role assignments. Empty fields choose all.
type Filter struct {
	Scope       string // at exactly this scope
	Above       string // that count at this scope: at it or above
	Below       string // at this scope or below
	PrincipalID string
}

// Assignments returns role assignments, ordered by id.
func (s *Service) Assignments(ctx context.Context, f Filter) ([]RoleAssignment, error) {
	return nil, skeleton("identity.Assignments")
}

// Allowed reports whether a principal may do an action, or with data a data action, at a
// scope.
func (s *Service) Allowed(ctx context.Context, principalID, action string, data bool, scope string) bool {
	return false
}
