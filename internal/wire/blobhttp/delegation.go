package blobhttp

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/wire"
	"github.com/coffer-storage/coffer/internal/wire/auth"
)

// Identity is what this package asks of the identity service; *identity.Service has it.
type Identity interface {
	auth.Tokens
	Delegate(ctx context.Context, d identity.Delegation) ([]byte, error)
}

// keyTime is the form of times in user delegation keys: whole seconds.
const keyTime = "2006-01-02T15:04:05Z"

// getDelegationKey serves Get User Delegation Key: a principal gets a key of its own, to
// sign shared access signatures with.
func (h *Handler) getDelegationKey(w *wire.Response, r *wire.Request) error {
	const op = "blobhttp.GetUserDelegationKey"
	if r.Caller.Kind != access.Bearer {
		return fault.New(op, "", fault.AuthenticationFailed, nil, fault.Detail{Name: "AuthenticationErrorDetail", Value: "Only authentication scheme Bearer is supported"})
	}
	if err := r.Caller.Allow(access.Need{Account: r.Target.Account, Type: access.Service, Actions: []access.Action{access.Delegate}}); err != nil {
		return err
	}
	body, err := sumBody(r)
	if err != nil {
		return err
	}
	start, expiry, err := readKeyInfo(wire.NewDecoder(body, maxXML))
	if err != nil {
		return err
	}
	if err := body.verify(); err != nil {
		return err
	}
	if start.IsZero() {
		start = h.o.Now().UTC()
	}
	_, account, err := h.o.Resource(r.Context(), r.Target.Account)
	if err != nil {
		return err
	}
	d := identity.Delegation{
		Account: account, ObjectID: r.Caller.Principal, TenantID: r.Caller.Tenant,
		Start: start.UTC().Truncate(time.Second), Expiry: expiry.UTC().Truncate(time.Second), Service: "b", Version: string(r.Version),
	}
	if d.TenantID == "" {
		d.TenantID = identity.Tenant
	}
	value, err := h.o.Identity.Delegate(r.Context(), d)
	if fault.Is(err, fault.InvalidInput) {
		return wire.BadNode("Expiry", expiry.UTC().Format(keyTime))
	}
	if err != nil {
		return err
	}
	return document(w, r, func(x *wire.Writer) {
		x.Start("UserDelegationKey")
		x.Elem("SignedOid", d.ObjectID)
		x.Elem("SignedTid", d.TenantID)
		x.Elem("SignedStart", d.Start.Format(keyTime))
		x.Elem("SignedExpiry", d.Expiry.Format(keyTime))
		x.Elem("SignedService", d.Service)
		x.Elem("SignedVersion", d.Version)
		x.Elem("Value", base64.StdEncoding.EncodeToString(value))
		x.End()
	})
}

// readKeyInfo reads what the key is asked for. A key that only one user may use would be
// one for a server with users.
func readKeyInfo(d *wire.Decoder) (start, expiry time.Time, err error) {
	if err := d.Root("KeyInfo"); err != nil {
		return start, expiry, err
	}
	err = d.Children(func(element string) (err error) {
		switch element {
		case "Start":
			start, err = d.Time(element)
		case "Expiry":
			expiry, err = d.Time(element)
		default:
			err = d.Unknown(element)
		}
		return err
	})
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	if expiry.IsZero() {
		return start, expiry, wire.BadNode("Expiry", "")
	}
	return start, expiry, d.End()
}
