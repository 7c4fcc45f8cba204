package blob

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/scope"
)

// Options are the settings of a Service. The zero value is ready to use.
type Options struct {
	Now func() time.Time // nil is time.Now
	// StagingLife is how long staged blocks are kept after the last one; 0 is 7 days.
	StagingLife time.Duration
	// OnAlarm is told when many blobs were overwritten under a new customer-provided
	// key. May be nil; must not block.
	OnAlarm func(Alarm)
}

// Service is the Blob service. All methods are safe in parallel.
type Service struct {
	store       *object.Store
	accounts    *account.Service
	now         func() time.Time
	stamp       stamper
	stagingLife time.Duration
	collector   collector
	alarms      alarms
	scopes      *scope.Service
	onAlarm     func(Alarm)
}

// New makes the service over an open store.
func New(store *object.Store, accounts *account.Service, scopes *scope.Service, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.StagingLife == 0 {
		o.StagingLife = 7 * 24 * time.Hour
	}
	return &Service{store: store, accounts: accounts, now: o.Now, stamp: stamper{now: o.Now}, stagingLife: o.StagingLife, onAlarm: o.OnAlarm, scopes: scopes}
}

// What the operations ask of their callers.
var (
	needRead       = access.Need{Type: access.Object, Permissions: "r", Anonymous: access.PublicBlob, Actions: actions(access.ReadBlob)}
	needCreate     = access.Need{Type: access.Object, Permissions: "cw", Actions: actions(access.WriteBlob, access.AddBlob)} // w alone may overwrite: see overwrite
	needWrite      = access.Need{Type: access.Object, Permissions: "w", Actions: actions(access.WriteBlob)}
	needDelete     = access.Need{Type: access.Object, Permissions: "d", Actions: actions(access.DeleteBlob)}
	needList       = access.Need{Type: access.Container, Permissions: "l", Anonymous: access.PublicContainer, Actions: actions(access.ReadBlob)}
	needMakeBox    = access.Need{Type: access.Container, Permissions: "cw", Actions: actions(access.WriteContainer)}
	needReadBox    = access.Need{Type: access.Container, Permissions: "r", Anonymous: access.PublicContainer, Actions: actions(access.ReadContainer)}
	needWriteBox   = access.Need{Type: access.Container, Permissions: "w", Actions: actions(access.WriteContainer)}
	needDeleteBox  = access.Need{Type: access.Container, Permissions: "d", Actions: actions(access.DeleteContainer)}
	needReadACL    = access.Need{Type: access.Container, KeyOnly: true, Actions: actions(access.ReadACL)}
	needWriteACL   = access.Need{Type: access.Container, KeyOnly: true, Actions: actions(access.WriteACL)}
	needListBoxes  = access.Need{Type: access.Service, Permissions: "l", Actions: actions(access.ReadContainer)}
	needReadProps  = access.Need{Type: access.Service, Permissions: "r", Actions: actions(access.ReadService)}
	needWriteProps = access.Need{Type: access.Service, Permissions: "w", Actions: actions(access.WriteService)}
	needInfo       = access.Need{Type: access.AnyType, Actions: actions(access.ReadInfo, access.ReadService)}
)

func actions(any ...access.Action) []access.Action { return any }

// call is one request on its way through the service: who asks for what, where.
type call struct {
	s    *Service
	op   string
	who  *access.Caller
	ref  Ref
	need access.Need
	acct account.Info

	asked    EncryptionOptions // what the request asks; see ask
	scope    scope.Scope       // that it asks for
	scopeErr error             // that there is none of that name
}

// begin looks the account up and, for a caller who has authenticated, authorizes him:
// he learns nothing about what exists before that. Anonymous callers depend on the
// container and are authorized in enter.
func (s *Service) begin(ctx context.Context, op string, c *access.Caller, ref Ref, need access.Need) (*call, error) {
	acct, err := s.accounts.Get(ctx, ref.Account)
	if err != nil {
		return nil, err
	}
	need.Account, need.Container, need.Blob = ref.Account, ref.Container, ref.Blob
	need.PublicAllowed = acct.AllowPublic
	k := &call{s: s, op: op, who: c, ref: ref, need: need, acct: acct}
	if !k.anonymous() || need.Anonymous == access.PublicNone || !acct.AllowPublic {
		if err := c.Allow(need); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *call) anonymous() bool { return k.who == nil || k.who.Kind == access.Anonymous }

// enter finds the container, and authorizes an anonymous caller by it.
func (k *call) enter(tx *object.Tx) (*container, error) {
	box, err := getContainer(tx, k.acct.ID, k.ref.Container)
	if k.anonymous() {
		need := k.need
		if box != nil {
			need.Public = box.public
		}
		if err := k.who.Allow(need); err != nil {
			return nil, err
		}
	}
	return box, k.absent(err, fault.ContainerNotFound)
}

// absent turns what a Get answers for a row that is not there into kind.
func (k *call) absent(err error, kind fault.Kind) error {
	if errors.Is(err, meta.ErrNotFound) {
		return k.fault(kind)
	}
	return err
}

func (k *call) fault(kind fault.Kind, details ...fault.Detail) error {
	return fault.New(k.op, k.ref.String(), kind, nil, details...)
}

// view and update run f and turn what the store answers into faults.
func (k *call) view(ctx context.Context, f func(*object.Tx) error) error {
	return k.edge(k.s.store.View(ctx, f))
}

func (k *call) update(ctx context.Context, f func(*object.Tx) error) error {
	return k.edge(k.s.store.Update(ctx, f))
}

func (k *call) edge(err error) error { return edge(k.op, k.ref.String(), err) }

var errRow = errors.New("blob: row has a wrong form")

// edge is the exported edge of the package: everything that leaves is a fault.
func edge(op, what string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		if e.Kind == fault.KeyGone {
			return keyGone(op, what, e)
		}
		return e
	}
	kind := meta.FaultKind(err)
	switch {
	case errors.Is(err, errRow), errors.Is(err, errMetadata):
		kind = fault.Corrupt
	case kind == fault.Internal && errors.Is(err, io.ErrUnexpectedEOF):
		kind = fault.ContentLengthMismatch
	}
	return fault.New(op, what, kind, err)
}

// keyGone says which of the reasons there are it is that a key may not be used.
func keyGone(op, what string, e *fault.Error) error {
	if errors.Is(e, keys.ErrDisabled) {
		return fault.New(op, what, fault.ScopeDisabled, e)
	}
	if s, ok := errors.AsType[*keys.Suspended](e); ok {
		switch s.Reason {
		case keys.ReasonVault:
			return fault.New(op, what, fault.CustomerVaultGone, e)
		case keys.ReasonToken:
			return fault.New(op, what, fault.CustomerTokenGone, e)
		}
	}
	return e
}

// boxRef returns the Ref of a container.
func boxRef(a name.Account, c name.Container) Ref { return Ref{Account: a, Container: c} }
