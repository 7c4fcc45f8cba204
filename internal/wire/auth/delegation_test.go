package auth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/crypt/mac"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	oid = "11111111-2222-4333-8444-555555555555"
	tid = identity.Tenant
)

// fakeTokens knows one token and one role, and one delegation key.
type fakeTokens struct{}

func delegationKey() secret.Key { return secret.New([]byte("a user delegation key, 32 bytes.")) }

func (fakeTokens) Verify(_ context.Context, raw string, audiences ...string) (identity.Claims, error) {
	if raw != "good" {
		return identity.Claims{}, fault.New("identity.Verify", "", fault.TokenRefused, identity.ErrExpired)
	}
	return identity.Claims{ObjectID: oid, TenantID: tid, Audience: audiences[0]}, nil
}

func (fakeTokens) Allowed(_ context.Context, principal, action string, data bool, scope string) bool {
	return principal == oid && action == access.ReadBlob.Name && data && scope == "/resource/blobServices/default/containers/box"
}

func (fakeTokens) DelegationKey(_ context.Context, d identity.Delegation) (secret.Key, error) {
	if d.Account != (keys.ID{7}) || d.ObjectID != oid {
		return secret.Random(32), nil
	}
	return delegationKey(), nil
}

func withTokensAuthenticator() *Authenticator {
	a := newAuthenticator(nil)
	a.o.Tokens = fakeTokens{}
	a.o.Resource = func(context.Context, name.Account) (string, keys.ID, error) { return "/resource", keys.ID{7}, nil }
	return a
}

// delegate signs q, with the lines of its version written out.
func delegate(t *testing.T, q url.Values, lines string) url.Values {
	t.Helper()
	var text []string
	for field := range strings.FieldsSeq(lines) {
		switch field {
		case "resource":
			text = append(text, "/blob/devstoreaccount1/box/b")
		case "-":
			text = append(text, "")
		default:
			text = append(text, q.Get(field))
		}
	}
	tag, err := mac.Sum(delegationKey(), []byte(strings.Join(text, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	q.Set("sig", base64.StdEncoding.EncodeToString(tag[:]))
	return q
}

func delegationValues(sv string) url.Values {
	return values("sv", sv, "sr", "b", "sp", "r", "st", "2026-11-25T11:00Z", "se", "2026-11-26T00:00:00Z", "spr", "https,http",
		"skoid", oid, "sktid", tid, "skt", "2026-11-25T10:00:00Z", "ske", "2026-11-27T10:00:00Z", "sks", "b", "skv", "2020-12-06",
		"rscc", "no-cache", "rsct", "text/plain", "ses", "")
}

// The texts of every version, as the clients of the time write them.
func TestUserDelegationVersions(t *testing.T) {
	a := withTokensAuthenticator()
	const (
		first = "sp st se resource skoid sktid skt ske sks skv "
		tail  = " rscc rscd rsce rscl rsct"
	)
	for sv, lines := range map[string]string{
		"2018-11-09": first + "sip spr sv sr -" + tail,
		"2020-02-10": first + "saoid suoid scid sip spr sv sr -" + tail,
		"2020-12-06": first + "saoid suoid scid sip spr sv sr - ses" + tail,
		"2025-07-05": first + "saoid suoid scid skdutid sduoid sip spr sv sr - ses" + tail,
		"2026-04-06": first + "saoid suoid scid skdutid sduoid sip spr sv sr - ses - -" + tail,
		"2026-12-06": first + "saoid suoid scid skdutid sduoid sip spr sv sr - ses - -" + tail,
	} {
		q := delegationValues(sv)
		if sv >= "2020-02-10" {
			q.Set("saoid", "99999999-2222-4333-8444-555555555555")
			q.Set("scid", "88888888-2222-4333-8444-555555555555")
		}
		r := withQuery(t, "/devstoreaccount1/box/b", delegate(t, q, lines))
		c, err := a.Authenticate(wired(t, r), http.Header{})
		if err != nil {
			t.Errorf("%s: %v\n%s", sv, err, detail(err))
			continue
		}
		if c.Kind != access.UserDelegationSAS || c.Principal != oid || c.SAS.Permissions != "r" || c.Resource != "/resource" {
			t.Errorf("%s: caller = %+v", sv, c)
		}
		need := access.Need{Account: c.Account, Type: access.Object, Permissions: "r", Container: "box", Blob: "b", Actions: []access.Action{access.ReadBlob}}
		if err := c.Allow(need); err != nil {
			t.Errorf("%s: Allow = %v", sv, err)
		}
		need.Actions = []access.Action{access.WriteBlob}
		if err := c.Allow(need); !fault.Is(err, fault.PermissionMismatch) {
			t.Errorf("%s: Allow of what the signer may not = %v, want PermissionMismatch", sv, err)
		}
	}
}

func TestUserDelegationRefused(t *testing.T) {
	a := withTokensAuthenticator()
	const lines = "sp st se resource skoid sktid skt ske sks skv saoid suoid scid skdutid sduoid sip spr sv sr - ses - - rscc rscd rsce rscl rsct"
	for name, tt := range map[string]struct {
		change []string
		after  bool // changed after it was signed
		detail string
	}{
		"another principal": {[]string{"skoid", "11111111-2222-4333-8444-000000000000"}, false, "Signature did not match"},
		"bent":              {[]string{"sp", "rw"}, true, "Signature did not match"},
		"key not yet":       {[]string{"skt", "2026-11-26T00:00:00Z"}, false, "User delegation key is not valid"},
		"key ended":         {[]string{"ske", "2026-11-25T11:00:00Z"}, false, "User delegation key is not valid"},
		"key without end":   {[]string{"ske", ""}, false, "skt and ske"},
		"SAS ended":         {[]string{"se", "2026-11-25T11:30:00Z"}, false, "Signature not valid in the specified time frame"},
		"other service":     {[]string{"sks", "q"}, false, "sks"},
		"stored policy":     {[]string{"si", "p"}, false, "no stored policy"},
		"account SAS":       {[]string{"ss", "b", "srt", "o"}, false, "no stored policy"},
		"directories":       {[]string{"suoid", oid}, false, "suoid needs"},
	} {
		q := delegationValues("2026-12-06")
		set := func() {
			for i := 0; i < len(tt.change); i += 2 {
				q.Set(tt.change[i], tt.change[i+1])
			}
		}
		if !tt.after {
			set()
		}
		q = delegate(t, q, lines)
		set()
		_, err := a.Authenticate(wired(t, withQuery(t, "/devstoreaccount1/box/b", q)), http.Header{})
		if !fault.Is(err, fault.AuthenticationFailed) || !strings.Contains(detail(err), tt.detail) {
			t.Errorf("%s: Authenticate = %v (%s), want AuthenticationFailed (%s)", name, err, detail(err), tt.detail)
		}
	}
}
