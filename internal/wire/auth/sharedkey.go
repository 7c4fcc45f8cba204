package auth

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/crypt/mac"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/wire"
)

// sharedKey checks "account:signature".
func (a *Authenticator) sharedKey(r *wire.Request, c *access.Caller, kind access.Kind, credential string) error {
	account, sig, ok := strings.Cut(strings.TrimSpace(credential), ":")
	if !ok || account == "" || sig == "" {
		return refuse(fault.InvalidAuthenticationInfo, "The Authorization header is not of the form account:signature.")
	}
	tag, err := base64.StdEncoding.DecodeString(sig)
	if err != nil || len(tag) != mac.Size {
		return refuse(fault.AuthenticationFailed, "The MAC signature found in the HTTP request is not a base64 string of 32 bytes.")
	}
	if strings.TrimSuffix(account, name.SecondarySuffix) != string(r.Target.Account) {
		return refuse(fault.AuthenticationFailed, "The account of the Authorization header is not the account of the resource.")
	}
	if err := a.checkDate(r.Request); err != nil {
		return err
	}
	keys, err := a.o.Keys(r.Context(), r.Target.Account)
	switch {
	case fault.Is(err, fault.AccountNotFound):
		// Not told apart from a wrong signature: names of accounts are nobody's business.
	case err != nil:
		return err
	}
	texts := signedTexts(r, kind)
	for _, text := range texts {
		if mac.Verify(keys[:], []byte(text), tag) {
			c.Kind, c.Account = kind, r.Target.Account
			return nil
		}
	}
	return refuse(fault.AuthenticationFailed, "The MAC signature found in the HTTP request '"+sig+
		"' is not the same as any computed signature. Server used following string to sign: '"+r.Redact(texts[0])+"'.")
}

// checkDate refuses requests that are too old or too early, so that a recorded request
// cannot be replayed for long.
func (a *Authenticator) checkDate(r *http.Request) error {
	text := strings.TrimSpace(r.Header.Get("x-ms-date"))
	if text == "" {
		text = strings.TrimSpace(r.Header.Get("Date"))
	}
	if text == "" {
		return refuse(fault.AuthenticationFailed, "The Date header is not specified in the request.")
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return refuse(fault.AuthenticationFailed, "The Date header in the request is incorrect.")
	}
	switch age := a.o.Now().Sub(at); {
	case age > a.o.Skew:
		return refuse(fault.AuthenticationFailed, "Request date header too old: '"+wire.Time(at)+"'")
	case age < -a.o.Skew:
		return refuse(fault.AuthenticationFailed, "Request date header too far in the future: '"+wire.Time(at)+"'")
	}
	return nil
}

// signedTexts returns the texts that the client may have signed. There is more than one
// only where clients order headers differently; see less.
func signedTexts(r *wire.Request, kind access.Kind) []string {
	head, tail := sharedKeyHead(r.Request), canonicalResource(r)
	if kind == access.SharedKeyLite {
		head, tail = liteHead(r.Request), liteResource(r)
	}
	h := r.SignedHeader()
	names := canonicalNames(h, ordinal)
	texts := []string{head + canonicalHeaders(h, names) + tail}
	if !slices.IsSortedFunc(names, cultural) {
		slices.SortFunc(names, cultural)
		texts = append(texts, head+canonicalHeaders(h, names)+tail)
	}
	return texts
}

// sharedKeyHead is the part before the x-ms headers.
func sharedKeyHead(r *http.Request) string {
	length := ""
	if r.ContentLength > 0 { // a length of zero is empty since version 2015-02-21
		length = strconv.FormatInt(r.ContentLength, 10)
	}
	h := func(name string) string { return one(r.Header, name) }
	return strings.Join([]string{
		r.Method, h("Content-Encoding"), h("Content-Language"), length, h("Content-MD5"), h("Content-Type"), date(r.Header),
		h("If-Modified-Since"), h("If-Match"), h("If-None-Match"), h("If-Unmodified-Since"), h("Range"), "",
	}, "\n")
}

// liteHead is the same for SharedKeyLite.
func liteHead(r *http.Request) string {
	return strings.Join([]string{r.Method, one(r.Header, "Content-MD5"), one(r.Header, "Content-Type"), date(r.Header), ""}, "\n")
}

// date is the Date header, empty if x-ms-date takes its place.
func date(h http.Header) string {
	if one(h, "x-ms-date") != "" {
		return ""
	}
	return one(h, "Date")
}

func one(h http.Header, name string) string {
	switch values := h[wire.Canonical(name)]; len(values) {
	case 0:
		return ""
	case 1:
		return strings.TrimSpace(values[0])
	default:
		return strings.Join(trimAll(values), ",")
	}
}

func trimAll(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.TrimSpace(v)
	}
	return out
}
