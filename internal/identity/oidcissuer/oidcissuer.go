// Package oidcissuer checks tokens of an OpenID issuer elsewhere: it finds the issuer's
// keys by discovery and keeps them as long as they are good.
//
// The issuer is asked when its first token comes, not when the server starts: that it
// cannot be reached keeps nobody out who has other credentials.
package oidcissuer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

const (
	askTime = 10 * time.Second
	again   = 10 * time.Second // after a failure, before the next try
)

// algorithms that tokens may be signed with.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512}

// Options configure an Issuer. The zero value works.
type Options struct {
	Client *http.Client // nil: one with time limits
	Now    func() time.Time
}

// Issuer is one issuer. It is safe in parallel.
type Issuer struct {
	url string
	o   Options

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil until the issuer was found
	tried    time.Time
	failed   error
}

// New makes an Issuer. It asks nobody.
func New(url string, o Options) *Issuer {
	if o.Client == nil {
		o.Client = &http.Client{Timeout: askTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Issuer{url: url, o: o}
}

// Issuer is the text that its tokens carry as iss.
func (i *Issuer) Issuer() string { return i.url }

// Verify checks signature, issuer and times of a token. It returns the audiences beside
// the claims: which of them counts is for the caller to say.
func (i *Issuer) Verify(ctx context.Context, raw string) (identity.Claims, []string, error) {
	v, err := i.find()
	if err != nil {
		return identity.Claims{}, nil, fault.New("oidcissuer.Verify", i.url, fault.Unavailable, err)
	}
	t, err := v.Verify(ctx, raw)
	if err != nil {
		return identity.Claims{}, nil, classify(i.url, err)
	}
	var more struct {
		ObjectID string `json:"oid"`
		TenantID string `json:"tid"`
		AppID    string `json:"appid"`
		AZP      string `json:"azp"`
	}
	if err := t.Claims(&more); err != nil || len(t.Audience) == 0 {
		return identity.Claims{}, nil, identity.ErrForm
	}
	if more.AppID == "" {
		more.AppID = more.AZP
	}
	c := identity.Claims{ObjectID: more.ObjectID, ClientID: more.AppID, TenantID: more.TenantID, Issuer: t.Issuer, Expires: t.Expiry}
	if c.ObjectID == "" {
		c.ObjectID = ObjectID(t.Issuer, t.Subject)
	}
	return c, t.Audience, nil
}

// classify tells a token that is wrong from an issuer that does not answer.
func classify(url string, err error) error {
	text := err.Error()
	switch {
	case errors.As(err, new(*oidc.TokenExpiredError)):
		return identity.ErrExpired
	case strings.Contains(text, "fetching keys"):
		return fault.New("oidcissuer.Verify", url, fault.Unavailable, errors.New("the keys of the issuer cannot be fetched"))
	case strings.Contains(text, "before the nbf"):
		return identity.ErrEarly
	case strings.Contains(text, "malformed"):
		return identity.ErrForm
	}
	return identity.ErrSignature
}

// find returns the verifier, and asks the issuer when there is none yet.
func (i *Issuer) find() (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.o.Now()
	if i.verifier != nil {
		return i.verifier, nil
	}
	if since := now.Sub(i.tried); i.failed != nil && since >= 0 && since < again {
		return nil, i.failed
	}
	i.tried = now
	// What is found fetches keys later: it must not end with the request that asked first.
	p, err := oidc.NewProvider(oidc.ClientContext(context.Background(), i.o.Client), i.url)
	if err != nil {
		i.failed = errors.New("the issuer cannot be reached, or says that it is another")
		return nil, i.failed
	}
	i.failed = nil
	i.verifier = p.Verifier(&oidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: algorithms, Now: i.o.Now})
	return i.verifier, nil
}

// ObjectID is the id that role assignments name the subject of an issuer by, when its
// tokens carry no oid: a UUID of version 8, from SHA-256 of both.
func ObjectID(issuer, subject string) string {
	h := sha256.New()
	h.Write([]byte("coffer/external/v1\x00" + issuer + "\x00" + subject))
	b := h.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
