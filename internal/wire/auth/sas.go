package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/crypt/mac"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

// Versions at which the text that a SAS signs changed.
const (
	oldestSAS   wire.Version = "2015-02-21"
	withAddress wire.Version = "2015-04-05" // sip and spr; account SAS
	withKind    wire.Version = "2018-11-09" // sr and the snapshot time
	withScope   wire.Version = "2020-12-06" // ses
)

// malformed is the service's word for a SAS with a field that does not parse.
const malformed = "Signature fields not well formed."

// sas checks a shared access signature and makes c its bearer.
func (a *Authenticator) sas(r *wire.Request, c *access.Caller) error {
	f, err := readFields(r)
	if err != nil {
		return err
	}
	if err := a.checkSignature(r, f, c); err != nil {
		return err
	}
	if f.policy != "" {
		if err := a.mergePolicy(r, f); err != nil {
			return err
		}
	}
	return a.checkTerms(f, c)
}

// fields is a SAS as it was sent. Strings are signed as they are, so they stay.
type fields struct {
	access.SAS
	account        bool // account SAS
	sig            []byte
	sigText        string
	st, se         string
	sip, spr       string
	snapshot       string
	policy         string
	depth          string // sdd
	version        wire.Version
	resource       string // canonical, service SAS
	permissionSent bool
	delegation     *delegation // user delegation SAS
}

func readFields(r *wire.Request) (*fields, error) {
	q := r.Query
	for _, p := range q { // a field that is there twice is signed once: which one is not for us to guess
		if isField(p.Name) && q.Count(p.Name) > 1 {
			return nil, refuse(fault.AuthenticationFailed, malformed)
		}
	}
	f := &fields{sigText: q.Get("sig"), st: q.Get("st"), se: q.Get("se"), sip: q.Get("sip"), spr: q.Get("spr"), policy: q.Get("si"), depth: q.Get("sdd")}
	v, err := wire.ParseVersion(q.Get("sv"))
	if err != nil || v < oldestSAS {
		return nil, refuse(fault.AuthenticationFailed, "sv is mandatory and has to be a version from "+string(oldestSAS)+" on.")
	}
	f.version = v
	f.sig, err = base64.StdEncoding.DecodeString(f.sigText)
	if err != nil || len(f.sig) != mac.Size {
		return nil, refuse(fault.AuthenticationFailed, "Signature is not a base64 string of 32 bytes.")
	}
	f.account = !q.Has("sr")
	if f.delegation, err = readDelegation(r, v); err != nil {
		return nil, err
	}
	if f.delegation != nil && f.account {
		return nil, refuse(fault.AuthenticationFailed, "sr is mandatory for a user delegation SAS.")
	}
	hash := sha256.Sum256([]byte(f.sigText))
	f.SAS = access.SAS{
		Permissions: q.Get("sp"), Services: q.Get("ss"), ResourceTypes: q.Get("srt"), Resource: q.Get("sr"),
		Identifier: f.policy, Version: string(v), EncryptionScope: q.Get("ses"), SignatureHash: hex.EncodeToString(hash[:]),
	}
	f.permissionSent = f.Permissions != ""
	if f.EncryptionScope != "" && v < withScope {
		return nil, refuse(fault.AuthenticationFailed, "ses is not supported in version "+string(v)+".")
	}
	if f.account {
		if f.Services == "" || f.ResourceTypes == "" {
			return nil, refuse(fault.AuthenticationFailed, "ss and srt are mandatory for an account SAS, sr for a service SAS.")
		}
		if v < withAddress {
			return nil, refuse(fault.AuthenticationFailed, "An account SAS needs a version from "+string(withAddress)+" on.")
		}
		f.policy, f.Identifier = "", ""
	} else {
		f.CacheControl, f.ContentDisposition, f.ContentEncoding = q.Get("rscc"), q.Get("rscd"), q.Get("rsce")
		f.ContentLanguage, f.ContentType = q.Get("rscl"), q.Get("rsct")
		if err := f.readResource(r); err != nil {
			return nil, err
		}
	}
	return f, f.readTerms()
}

// isField reports whether a query parameter belongs to a SAS.
func isField(name string) bool {
	switch strings.ToLower(name) {
	case "sv", "ss", "srt", "sp", "st", "se", "sip", "spr", "sr", "si", "sig", "ses", "sdd", "rscc", "rscd", "rsce", "rscl", "rsct",
		"skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid", "skdutid", "sduoid", "srh", "srq":
		return true
	}
	return false
}

// readTerms parses times, addresses and protocol.
func (f *fields) readTerms() error {
	var ok bool
	if f.Start, ok = wire.ParseISOTime(f.st); !ok {
		return refuse(fault.AuthenticationFailed, malformed+" st is not a time.")
	}
	if f.Expiry, ok = wire.ParseISOTime(f.se); !ok {
		return refuse(fault.AuthenticationFailed, malformed+" se is not a time.")
	}
	switch strings.ToLower(f.spr) {
	case "", "https,http", "http,https":
	case "https":
		f.HTTPSOnly = true
	default:
		return refuse(fault.AuthenticationFailed, malformed+" spr is https or https,http.")
	}
	if f.sip != "" {
		if f.IP, ok = parseRange(f.sip); !ok {
			return refuse(fault.AuthenticationFailed, malformed+" sip is an IP address or a range of them.")
		}
	}
	return nil
}

func parseRange(s string) (*access.IPRange, bool) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	a, errA := netip.ParseAddr(from)
	b, errB := netip.ParseAddr(to)
	if errA != nil || errB != nil || a.BitLen() != b.BitLen() || b.Less(a) {
		return nil, false
	}
	return &access.IPRange{From: a.Unmap(), To: b.Unmap()}, true
}

// checkTerms refuses what is signed, but not for now, here or this way.
func (a *Authenticator) checkTerms(f *fields, c *access.Caller) error {
	if f.Expiry.IsZero() {
		return refuse(fault.AuthenticationFailed, "se is mandatory. Cannot be empty")
	}
	if f.Permissions == "" {
		return refuse(fault.AuthenticationFailed, "sp is mandatory. Cannot be empty")
	}
	now := a.o.Now().UTC()
	if now.Before(f.Start) || !now.Before(f.Expiry) {
		return refuse(fault.AuthenticationFailed, "Signature not valid in the specified time frame: Start ["+form(f.Start)+
			"] - Expiry ["+form(f.Expiry)+"] - Current ["+form(now)+"]")
	}
	if f.HTTPSOnly && !c.Secure {
		return fault.New("auth.Authenticate", "", fault.ProtocolMismatch, nil)
	}
	if f.IP != nil && (!c.IP.IsValid() || c.IP.Less(f.IP.From) || f.IP.To.Less(c.IP) || c.IP.BitLen() != f.IP.From.BitLen()) {
		return fault.New("auth.Authenticate", "", fault.SourceIPMismatch, nil, fault.Detail{Name: "SourceIP", Value: c.IP.String()})
	}
	return nil
}

// form writes a time as error details do; an absent one is empty.
func form(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return wire.Time(t)
}

// mergePolicy fills what the SAS leaves to its stored access policy. A field stands in
// one of the two, never in both.
func (a *Authenticator) mergePolicy(r *wire.Request, f *fields) error {
	var p Policy
	var err error
	if a.o.Policy != nil {
		p, err = a.o.Policy(r.Context(), r.Target.Account, f.Container, f.policy)
	} else {
		err = fault.New("auth.Policy", "", fault.ResourceNotFound, nil)
	}
	switch fault.KindOf(err) {
	case fault.AuthenticationFailed, fault.ResourceNotFound, fault.ContainerNotFound, fault.AccountNotFound, fault.InvalidResourceName, fault.OutOfRangeInput:
		return refuse(fault.AuthenticationFailed, "The stored access policy of the signed identifier does not exist.")
	}
	if err != nil {
		return err
	}
	if !p.Start.IsZero() && f.st != "" || !p.Expiry.IsZero() && f.se != "" || p.Permission != "" && f.permissionSent {
		return refuse(fault.AuthenticationFailed, "A field is specified in the signature and in its stored access policy.")
	}
	if f.st == "" {
		f.Start = p.Start
	}
	if f.se == "" {
		f.Expiry = p.Expiry
	}
	if !f.permissionSent {
		f.Permissions = p.Permission
	}
	return nil
}

// checkSignature compares the signature with that of both keys.
func (a *Authenticator) checkSignature(r *wire.Request, f *fields, c *access.Caller) error {
	if f.delegation != nil {
		return a.checkDelegation(r, f, c)
	}
	keys, err := a.o.Keys(r.Context(), r.Target.Account)
	if err != nil && !fault.Is(err, fault.AccountNotFound) {
		return err
	}
	text := f.serviceText(serviceNames[a.o.Service])
	kind := access.ServiceSAS
	if f.account {
		text, kind = f.accountText(string(r.Target.Account)), access.AccountSAS
	}
	if !mac.Verify(keys[:], []byte(text), f.sig) {
		return refuse(fault.AuthenticationFailed, "Signature did not match. String to sign used was "+text)
	}
	c.Kind, c.Account, c.SAS = kind, r.Target.Account, &f.SAS
	return nil
}
