package identity

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/meta"
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
	// IsVault reports whether an audience is that of a vault. nil: none is.
	IsVault func(audience string) bool
	// KeyLife is how long a signing key signs; 0 is 30 days.
	KeyLife time.Duration
	// External are issuers whose tokens are accepted as well.
	External []External
	// AllowUnsigned accepts well-formed tokens of any key: tests only.
	AllowUnsigned bool
}

// External is an issuer of tokens elsewhere.
type External interface {
	// Issuer is the text that its tokens carry as iss.
	Issuer() string
	// Verify checks signature, issuer and times of a token, and returns its audiences.
	// An issuer that cannot be asked is Unavailable.
	Verify(ctx context.Context, raw string) (c Claims, audiences []string, err error)
}

// Service keeps principals, role assignments and signing keys. All methods are safe in
// parallel.
type Service struct {
	store *object.Store
	o     Options

	changing sync.Mutex // one change at a time
	refusals refusals

	mu      sync.RWMutex // guards what follows
	st      state
	damaged error // why Load failed
}

// New makes a Service over an open store. Load follows.
func New(store *object.Store, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Issuer == nil {
		o.Issuer = func() string { return "https://coffer.invalid" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.VaultLife == 0 {
		o.VaultLife = time.Minute
	}
	if o.IsVault == nil {
		o.IsVault = func(string) bool { return false }
	}
	if o.KeyLife == 0 {
		o.KeyLife = 30 * 24 * time.Hour
	}
	return &Service{store: store, o: o, st: newState()}
}

// IssuerOf is the issuer of the tokens of a tenant.
func (s *Service) IssuerOf(tenant string) string {
	return strings.TrimRight(s.o.Issuer(), "/") + "/" + tenant + "/v2.0"
}

// reclaim marks a change that gives space back: it works on a full disk.
func reclaim(ctx context.Context) context.Context { return meta.WithReclaim(ctx) }
