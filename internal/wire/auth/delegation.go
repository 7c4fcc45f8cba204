package auth

import (
	"strings"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/crypt/mac"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/secret"
	"github.com/coffer-storage/coffer/internal/wire"
)

// Versions at which the text that a user delegation SAS signs got more lines.
const (
	withDelegation wire.Version = "2018-11-09"
	withUsers      wire.Version = "2020-02-10" // saoid, suoid, scid
	withRecipient  wire.Version = "2025-07-05" // skdutid, sduoid
	withRequest    wire.Version = "2026-04-06" // srh, srq
)

// delegation are the fields of a SAS that is signed with the key of a principal, as they
// were sent.
type delegation struct {
	oid, tid, start, end, service, version string
	authorized, correlation                string // saoid, scid
	key                                    identity.Delegation
}

// userDelegation are the fields that say which key signed: all of them, or none.
var userDelegation = []string{"skoid", "sktid", "skt", "ske", "sks", "skv"}

// notThere are fields that ask for what this server does not have.
var notThere = map[string]string{
	"suoid": "a hierarchical namespace", "skdutid": "users", "sduoid": "users", "srh": "signed request headers", "srq": "signed query parameters",
}

// readDelegation finds the fields of a user delegation SAS; nil if it is none.
func readDelegation(r *wire.Request, v wire.Version) (*delegation, error) {
	q, n := r.Query, 0
	for _, name := range userDelegation {
		if q.Has(name) {
			n++
		}
	}
	for name, what := range notThere {
		if q.Get(name) != "" {
			return nil, refuse(fault.AuthenticationFailed, malformed+" "+name+" needs "+what+", which this server does not have.")
		}
	}
	if n == 0 {
		return nil, nil
	}
	if n < len(userDelegation) || q.Has("si") || q.Has("ss") || v < withDelegation {
		return nil, refuse(fault.AuthenticationFailed, malformed+" A user delegation SAS has all of "+strings.Join(userDelegation, ", ")+", no stored policy, and a version from "+string(withDelegation)+" on.")
	}
	d := &delegation{
		oid: q.Get("skoid"), tid: q.Get("sktid"), start: q.Get("skt"), end: q.Get("ske"), service: q.Get("sks"), version: q.Get("skv"),
		authorized: q.Get("saoid"), correlation: q.Get("scid"),
	}
	from, okFrom := wire.ParseISOTime(d.start)
	to, okTo := wire.ParseISOTime(d.end)
	if !okFrom || !okTo || from.IsZero() || to.IsZero() {
		return nil, refuse(fault.AuthenticationFailed, malformed+" skt and ske are times.")
	}
	d.key = identity.Delegation{ObjectID: d.oid, TenantID: d.tid, Start: from, Expiry: to, Service: d.service, Version: d.version}
	return d, nil
}

// delegationText is what a user delegation key signs, by version.
func (f *fields) delegationText(service string) string {
	d := f.delegation
	lines := []string{f.Permissions, f.st, f.se, "/" + service + f.resource, d.oid, d.tid, d.start, d.end, d.service, d.version}
	if f.version >= withUsers {
		lines = append(lines, d.authorized, "", d.correlation)
	}
	if f.version >= withRecipient {
		lines = append(lines, "", "")
	}
	lines = append(lines, f.sip, f.spr, string(f.version), f.Resource, f.snapshot)
	if f.version >= withScope {
		lines = append(lines, f.EncryptionScope)
	}
	if f.version >= withRequest {
		lines = append(lines, "", "")
	}
	lines = append(lines, f.CacheControl, f.ContentDisposition, f.ContentEncoding, f.ContentLanguage, f.ContentType)
	return strings.Join(lines, "\n")
}

// checkDelegation compares the signature with that of the key which the SAS names, and
// gives c the roles of the principal whose key it is.
func (a *Authenticator) checkDelegation(r *wire.Request, f *fields, c *access.Caller) error {
	d := f.delegation
	if a.o.Tokens == nil {
		return refuse(fault.AuthenticationFailed, "User delegation SAS is not supported: this server has no identity service.")
	}
	if !strings.EqualFold(d.service, string(a.o.Service)) {
		return refuse(fault.AuthenticationFailed, malformed+" sks is another service.")
	}
	now := a.o.Now().UTC()
	if now.Before(d.key.Start) || !now.Before(d.key.Expiry) {
		return refuse(fault.AuthenticationFailed, "User delegation key is not valid in the specified time frame: Start ["+form(d.key.Start)+
			"] - Expiry ["+form(d.key.Expiry)+"] - Current ["+form(now)+"]")
	}
	_, account, err := a.o.Resource(r.Context(), r.Target.Account)
	if err != nil && !fault.Is(err, fault.AccountNotFound) {
		return err
	}
	d.key.Account = account
	key, err := a.o.Tokens.DelegationKey(r.Context(), d.key)
	if fault.Is(err, fault.InvalidInput) {
		return refuse(fault.AuthenticationFailed, malformed+" skoid and sktid are UUIDs.")
	}
	if err != nil {
		return err
	}
	defer key.Destroy()
	text := f.delegationText(serviceNames[a.o.Service])
	if !mac.Verify([]secret.Key{key}, []byte(text), f.sig) {
		return refuse(fault.AuthenticationFailed, "Signature did not match. String to sign used was "+text)
	}
	c.Kind, c.Account, c.SAS, c.Tenant = access.UserDelegationSAS, r.Target.Account, &f.SAS, d.tid
	return a.grant(r, c, d.oid)
}
