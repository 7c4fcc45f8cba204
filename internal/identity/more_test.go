package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/coffer-storage/coffer/internal/crypt/mac"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
	"github.com/coffer-storage/coffer/internal/secret"
)

// elsewhere is an issuer that says what it is told to.
type elsewhere struct {
	claims identity.Claims
	err    error
}

func (elsewhere) Issuer() string { return "https://elsewhere.example" }

func (e elsewhere) Verify(context.Context, string) (identity.Claims, []string, error) {
	return e.claims, []string{"other", storageAud}, e.err
}

func TestExternal(t *testing.T) {
	const theirs = "11111111-2222-4333-8444-555555555555"
	e := &elsewhere{}
	w := newWorld(t, func(o *identity.Options) { o.External = []identity.External{e} })
	p, _ := w.principal(t, "ours")
	raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "https://elsewhere.example"}).SignedString([]byte("a key of enough bytes"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		claims identity.Claims
		err    error
		want   fault.Kind
	}{
		"theirs":         {claims: identity.Claims{ObjectID: strings.ToUpper(theirs)}, want: fault.KindCount},
		"one of ours":    {claims: identity.Claims{ObjectID: p.ObjectID}, want: fault.TokenRefused},
		"our tenant":     {claims: identity.Claims{ObjectID: theirs, TenantID: identity.Tenant}, want: fault.TokenRefused},
		"nobody":         {claims: identity.Claims{ObjectID: "user"}, want: fault.TokenRefused},
		"refused":        {err: identity.ErrSignature, want: fault.TokenRefused},
		"cannot be told": {err: fault.New("x", "", fault.Unavailable, nil), want: fault.Unavailable},
	} {
		e.claims, e.err = tt.claims, tt.err
		c, err := w.Verify(t.Context(), raw, storageAud)
		if tt.want == fault.KindCount {
			if err != nil || c.ObjectID != theirs || c.Audience != storageAud {
				t.Errorf("%s: Verify = %+v, %v", name, c, err)
			}
			continue
		}
		if !fault.Is(err, tt.want) {
			t.Errorf("%s: Verify = %+v, %v, want %v", name, c, err, tt.want)
		}
	}
}

func TestAssertion(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	const aud = "https://id.example/token"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: w.now, NotAfter: w.now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := w.principal(t, "app")
	other, _ := w.principal(t, "other")
	if err := w.AddCertificate(ctx, "app", der); err != nil {
		t.Fatal(err)
	}
	if err := w.AddCertificate(ctx, "app", der[1:]); !fault.Is(err, fault.InvalidInput) {
		t.Errorf("AddCertificate(no certificate) = %v, want InvalidInput", err)
	}
	w.open(t)
	sign := func(change ...any) string {
		c := jwt.MapClaims{"iss": p.ClientID, "sub": p.ClientID, "aud": aud, "exp": w.now.Add(10 * time.Minute).Unix()}
		for i := 0; i < len(change); i += 2 {
			if c[change[i].(string)] = change[i+1]; change[i+1] == nil {
				delete(c, change[i].(string))
			}
		}
		s, err := jwt.NewWithClaims(jwt.SigningMethodES256, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, client := range []string{p.ClientID, ""} {
		if got, err := w.CheckAssertion(ctx, client, sign(), "https://x", aud); err != nil || got.ObjectID != p.ObjectID {
			t.Errorf("CheckAssertion = %v, %v", got, err)
		}
	}
	hmac, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": p.ClientID, "sub": p.ClientID, "aud": aud, "exp": w.now.Add(time.Minute).Unix()}).SignedString(der)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"other audience": sign("aud", "https://other"), "no audience": sign("aud", nil), "other issuer": sign("iss", other.ClientID), "other subject": sign("sub", other.ClientID),
		"ended": sign("exp", w.now.Add(-time.Hour).Unix()), "endless": sign("exp", nil), "for days": sign("exp", w.now.Add(48*time.Hour).Unix()),
		"cut": sign()[:40], "nothing": "", "HMAC with what is public": hmac, "huge": sign("x", strings.Repeat("x", 20<<10)),
	} {
		if got, err := w.CheckAssertion(ctx, p.ClientID, bad, aud); !fault.Is(err, fault.InvalidClient) {
			t.Errorf("%s: CheckAssertion = %v, %v, want InvalidClient", name, got, err)
		}
	}
	if got, err := w.CheckAssertion(ctx, other.ClientID, sign(), aud); !fault.Is(err, fault.InvalidClient) {
		t.Errorf("in another's name: %v, %v", got, err)
	}
	w.now = w.now.Add(2 * time.Hour) // the certificate has ended
	if got, err := w.CheckAssertion(ctx, p.ClientID, sign(), aud); !fault.Is(err, fault.InvalidClient) {
		t.Errorf("with an ended certificate: %v, %v", got, err)
	}
}

func TestMachineIdentity(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	add := func(kind identity.Kind, id string) identity.Principal {
		p, err := w.CreateIdentity(ctx, kind, id, id[1:])
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b, sys := add(identity.UserAssigned, "/a"), add(identity.UserAssigned, "/b"), add(identity.SystemAssigned, "/acct")
	want := func(q identity.Query, p *identity.Principal) {
		t.Helper()
		got, err := w.MachineIdentity(ctx, q)
		if p == nil && !fault.Is(err, fault.PrincipalNotFound) || p != nil && (err != nil || got.ObjectID != p.ObjectID) {
			t.Errorf("MachineIdentity(%+v) = %v, %v", q, got, err)
		}
	}
	attach := func(p identity.Principal, on bool) {
		if _, err := w.SetMachine(ctx, p.ObjectID, on); err != nil {
			t.Fatal(err)
		}
	}
	want(identity.Query{}, nil)
	want(identity.Query{ResourceID: "/acct"}, nil) // a resource's own identity is nobody's on the machine
	attach(a, true)
	want(identity.Query{}, &a)
	want(identity.Query{ClientID: a.ClientID}, &a)
	want(identity.Query{ClientID: b.ClientID}, nil)
	attach(b, true)
	want(identity.Query{}, nil) // which of two?
	want(identity.Query{ResourceID: "/B"}, &b)
	attach(sys, true)
	want(identity.Query{}, &sys)
	attach(sys, false)
	want(identity.Query{ObjectID: sys.ObjectID}, nil)
}

func TestDelegation(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	p, _ := w.principal(t, "p")
	d := identity.Delegation{Account: keys.ID{1}, ObjectID: p.ObjectID, TenantID: identity.Tenant, Start: w.now, Expiry: w.now.Add(time.Hour), Service: "b", Version: "2026-12-06"}
	value, err := w.Delegate(ctx, d)
	if err != nil || len(value) != 32 {
		t.Fatalf("Delegate = %d bytes, %v", len(value), err)
	}
	tag, err := mac.Sum(secret.New(value), []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	signs := func(d identity.Delegation) bool {
		t.Helper()
		k, err := w.DelegationKey(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		return mac.Verify([]secret.Key{k}, []byte("text"), tag[:])
	}
	w.open(t)
	if !signs(d) {
		t.Error("after a restart the key is another")
	}
	for name, change := range map[string]func(*identity.Delegation){
		"account": func(d *identity.Delegation) { d.Account = keys.ID{2} }, "principal": func(d *identity.Delegation) { d.ObjectID = identity.Tenant },
		"tenant": func(d *identity.Delegation) { d.TenantID = p.ObjectID }, "start": func(d *identity.Delegation) { d.Start = d.Start.Add(time.Second) },
		"expiry": func(d *identity.Delegation) { d.Expiry = d.Expiry.Add(time.Second) }, "service": func(d *identity.Delegation) { d.Service = "q" },
		"version": func(d *identity.Delegation) { d.Version = "2020-12-06" },
	} {
		other := d
		change(&other)
		if signs(other) {
			t.Errorf("another %s has the same key", name)
		}
	}
	for name, bad := range map[string]identity.Delegation{
		"ended":      {Account: d.Account, ObjectID: d.ObjectID, TenantID: d.TenantID, Start: w.now.Add(-2 * time.Hour), Expiry: w.now.Add(-time.Hour)},
		"backwards":  {Account: d.Account, ObjectID: d.ObjectID, TenantID: d.TenantID, Start: w.now.Add(2 * time.Hour), Expiry: w.now.Add(time.Hour)},
		"eight days": {Account: d.Account, ObjectID: d.ObjectID, TenantID: d.TenantID, Start: w.now, Expiry: w.now.Add(8 * 24 * time.Hour)},
		"nobody":     {Account: d.Account, TenantID: d.TenantID, Start: w.now, Expiry: w.now.Add(time.Hour)},
	} {
		if _, err := w.Delegate(ctx, bad); !fault.Is(err, fault.InvalidInput) {
			t.Errorf("%s: Delegate = %v, want InvalidInput", name, err)
		}
	}
	if err := w.RevokeDelegations(ctx, d.Account); err != nil || signs(d) {
		t.Errorf("after RevokeDelegations (%v) the key is the same", err)
	}
	if w.open(t); signs(d) {
		t.Error("after a restart the old key is back")
	}
}

// TestDamaged: a row that is not one ends all tokens and roles, and nothing is written
// over it.
func TestDamaged(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	p, secret := w.principal(t, "p")
	token := w.issue(t, p.ObjectID, storageAud)
	err := w.store.Objects.Update(ctx, func(tx *object.Tx) error {
		return tx.Put(object.Identity, append([]byte{'a'}, make([]byte, 16)...), &object.Row{Owner: w.store.Objects.StoreID(), Class: extent.Single})
	})
	if err != nil {
		t.Fatal(err)
	}
	s := identity.New(w.store.Objects, w.o)
	if err := s.Load(ctx); !fault.Is(err, fault.Corrupt) {
		t.Fatalf("Load = %v, want Corrupt", err)
	}
	if _, err := s.Verify(ctx, token, storageAud); !fault.Is(err, fault.TokenRefused) {
		t.Errorf("Verify = %v, want TokenRefused", err)
	}
	if _, err := s.CheckSecret(ctx, p.ClientID, secret); !fault.Is(err, fault.InvalidClient) {
		t.Errorf("CheckSecret = %v, want InvalidClient", err)
	}
	if _, _, err := s.CreatePrincipal(ctx, "p"); !fault.Is(err, fault.Corrupt) {
		t.Errorf("CreatePrincipal = %v, want Corrupt", err)
	}
	if _, err := s.JWKS(ctx); !fault.Is(err, fault.Corrupt) {
		t.Errorf("JWKS = %v, want Corrupt", err)
	}
	if _, err := s.DelegationKey(ctx, identity.Delegation{ObjectID: p.ObjectID, TenantID: identity.Tenant, Start: w.now, Expiry: w.now.Add(time.Hour)}); !fault.Is(err, fault.Corrupt) {
		t.Errorf("DelegationKey = %v, want Corrupt", err)
	}
}

// TestForget: what was granted on one resource does not count on the next of its name.
func TestForget(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	p, _ := w.principal(t, "p")
	const acct, read = "/subscriptions/s/accounts/a", "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
	for _, scope := range []string{"/subscriptions/s", acct, acct + "/containers/c", acct + "2"} {
		if _, err := w.Assign(ctx, identity.RoleAssignment{Scope: scope, RoleID: "Storage Blob Data Reader", PrincipalID: p.ObjectID}); err != nil {
			t.Fatal(err)
		}
	}
	own, err := w.CreateIdentity(ctx, identity.SystemAssigned, acct, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Forget(ctx, "/Subscriptions/S/accounts/A"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		list, err := w.Assignments(ctx, identity.Filter{PrincipalID: p.ObjectID})
		if err != nil || len(list) != 2 || !w.Allowed(ctx, p.ObjectID, read, true, acct+"2") || !w.Allowed(ctx, p.ObjectID, read, true, acct) {
			t.Errorf("left: %v, %v, want those above and beside", list, err)
		}
		if _, err := w.Principal(ctx, own.ObjectID); !fault.Is(err, fault.PrincipalNotFound) {
			t.Errorf("the identity of the resource: %v, want it gone", err)
		}
		w.open(t)
	}
	if err := w.Forget(ctx, acct); err != nil {
		t.Errorf("Forget of nothing = %v", err)
	}
	for _, all := range []string{"", "/", "//", "x"} { // a mistake must not take everything away
		if err := w.Forget(ctx, all); !fault.Is(err, fault.InvalidInput) {
			t.Errorf("Forget(%q) = %v, want InvalidInput", all, err)
		}
	}
}

// Tags of a user-assigned identity outlive the service; nobody else has any.
func TestTags(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	for kind, id := range map[identity.Kind]string{identity.UserAssigned: "/u", identity.SystemAssigned: "/s"} {
		if _, err := w.CreateIdentity(ctx, kind, id, id[1:]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.SetTags(ctx, "/s", map[string]string{"a": "b"}); !fault.Is(err, fault.InvalidInput) {
		t.Errorf("tags of an account's identity: %v", err)
	}
	if _, err := w.SetTags(ctx, "/U", map[string]string{"b": "", "a": "<1>"}); err != nil {
		t.Fatal(err)
	}
	w.open(t)
	if p, err := w.Identity(ctx, "/u"); err != nil || len(p.TagMap()) != 2 || p.TagMap()["a"] != "<1>" {
		t.Errorf("opened again: %v, %v", p.TagMap(), err)
	}
	if _, err := w.SetTags(ctx, "/u", nil); err != nil {
		t.Fatal(err)
	}
	w.open(t)
	if p, err := w.Identity(ctx, "/u"); err != nil || p.Tags != "" {
		t.Errorf("taken away: %q, %v", p.Tags, err)
	}
}
