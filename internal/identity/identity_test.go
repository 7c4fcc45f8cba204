package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/identity"
)

const (
	storageAud = "https://storage.azure.com"
	machineID  = "/subscriptions/S/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one"
)

// world is a service over a store of its own, with a clock that tests turn.
type world struct {
	*identity.Service
	store *blobtest.Store
	o     identity.Options
	now   time.Time
	trail trail
}

// trail keeps audit records.
type trail struct {
	records []audit.Record
	fail    error
}

func (t *trail) Before(_ context.Context, r audit.Record) error {
	if t.fail == nil {
		t.records = append(t.records, r)
	}
	return t.fail
}

func (t *trail) After(r audit.Record) { t.records = append(t.records, r) }

func newWorld(t *testing.T, set func(*identity.Options)) *world {
	t.Helper()
	w := &world{store: blobtest.New(t), now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	w.o = identity.Options{
		Now: func() time.Time { return w.now }, Issuer: func() string { return "https://id.example" }, Audit: &w.trail,
		IsVault: func(a string) bool { return a == "https://vault.localhost" },
	}
	if set != nil {
		set(&w.o)
	}
	w.open(t)
	return w
}

// open makes the service anew over the same store, as a restart does.
func (w *world) open(t *testing.T) {
	t.Helper()
	w.Service = identity.New(w.store.Objects, w.o)
	if err := w.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) principal(t *testing.T, name string) (identity.Principal, string) {
	t.Helper()
	p, secret, err := w.CreatePrincipal(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return p, secret
}

func (w *world) issue(t *testing.T, objectID, audience string) string {
	t.Helper()
	token, _, err := w.Issue(t.Context(), objectID, audience)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestPrincipals(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	p, secret := w.principal(t, "backup")
	if _, err := w.CheckSecret(ctx, p.ClientID, secret); err != nil {
		t.Errorf("CheckSecret = %v, want it accepted", err)
	}
	for _, bad := range []string{"", secret + "x", secret[1:]} {
		if _, err := w.CheckSecret(ctx, p.ClientID, bad); !fault.Is(err, fault.InvalidClient) {
			t.Errorf("CheckSecret(wrong) = %v, want InvalidClient", err)
		}
	}
	if _, _, err := w.CreatePrincipal(ctx, "Backup"); !fault.Is(err, fault.Exists) {
		t.Errorf("same name again = %v, want Exists", err)
	}
	for _, bad := range []string{"", " x", "a\nb", "/x", p.ObjectID} {
		if _, _, err := w.CreatePrincipal(ctx, bad); !fault.Is(err, fault.InvalidInput) {
			t.Errorf("CreatePrincipal(%q) = %v, want InvalidInput", bad, err)
		}
	}
	second, err := w.AddSecret(ctx, "backup", w.now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.CreateIdentity(ctx, identity.UserAssigned, machineID, "one")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := w.CreateIdentity(ctx, identity.UserAssigned, machineID+"/", "one"); err != nil || again != m {
		t.Errorf("second CreateIdentity = %v, %v, want the first", again, err)
	}
	if _, err := w.AddSecret(ctx, m.ObjectID, time.Time{}); !fault.Is(err, fault.NotAllowed) {
		t.Errorf("secret of a managed identity = %v, want NotAllowed", err)
	}
	if _, err := w.SetMachine(ctx, m.ObjectID, true); err != nil {
		t.Fatal(err)
	}

	w.open(t) // everything of it is stored
	for _, s := range []string{secret, second} {
		if got, err := w.CheckSecret(ctx, p.ClientID, s); err != nil || cmp.Diff(p, got) != "" {
			t.Errorf("after a restart CheckSecret = %v, %v", got, err)
		}
	}
	m.Machine = true
	if got, err := w.Identity(ctx, "/SUBSCRIPTIONS/s/resourcegroups/G/providers/microsoft.managedidentity/userassignedidentities/ONE"); err != nil || got != m {
		t.Errorf("Identity by another case = %v, %v, want %v", got, err, m)
	}
	for _, id := range []string{p.ObjectID, p.ClientID, "BACKUP"} {
		if got, err := w.Principal(ctx, id); err != nil || got != p {
			t.Errorf("Principal(%q) = %v, %v", id, got, err)
		}
	}

	w.now = w.now.Add(2 * time.Hour) // the second secret has ended
	if _, err := w.CheckSecret(ctx, p.ClientID, second); !fault.Is(err, fault.InvalidClient) {
		t.Errorf("ended secret = %v, want InvalidClient", err)
	}
	list, err := w.Secrets(ctx, "backup")
	if err != nil || len(list) != 2 {
		t.Fatalf("Secrets = %v, %v, want two", list, err)
	}
	if err := w.RemoveSecret(ctx, "backup", list[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.CheckSecret(ctx, p.ClientID, secret); !fault.Is(err, fault.InvalidClient) {
		t.Errorf("removed secret = %v, want InvalidClient", err)
	}
	if err := w.DeletePrincipal(ctx, "backup"); err != nil {
		t.Fatal(err)
	}
	w.open(t)
	if _, err := w.Principal(ctx, p.ObjectID); !fault.Is(err, fault.PrincipalNotFound) {
		t.Errorf("deleted principal = %v, want PrincipalNotFound", err)
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	p, _ := w.principal(t, "reader")
	token := w.issue(t, p.ObjectID, storageAud+"/")
	got, err := w.Verify(ctx, token, "https://other.example", storageAud+"/")
	want := identity.Claims{ObjectID: p.ObjectID, ClientID: p.ClientID, TenantID: identity.Tenant, Audience: storageAud,
		Issuer: "https://id.example/" + identity.Tenant + "/v2.0", Expires: w.now.Add(time.Hour)}
	got.Expires = got.Expires.UTC()
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("Verify = %v, %v, want %v", got, err, want)
	}
	other := newWorld(t, nil)
	op, _ := other.principal(t, "reader")
	foreign := other.issue(t, op.ObjectID, storageAud)
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": want.Issuer, "aud": storageAud, "oid": p.ObjectID, "exp": w.now.Add(time.Hour).Unix()})
	unsigned, err := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	hmac, err := jwt.NewWithClaims(jwt.SigningMethodHS256, none.Claims).SignedString([]byte("public key as a secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"nothing": "", "no token": "a.b.c", "foreign key": foreign, "alg none": unsigned, "alg HMAC": hmac,
		"cut signature": token[:len(token)-4], "bent claims": token[:len(token)/2] + "x" + token[len(token)/2+1:],
	} {
		if c, err := w.Verify(ctx, bad, storageAud); !fault.Is(err, fault.TokenRefused) {
			t.Errorf("%s: Verify = %v, %v, want TokenRefused", name, c, err)
		}
	}
	if _, err := w.Verify(ctx, token, "https://vault.localhost"); !fault.Is(err, fault.TokenRefused) {
		t.Errorf("other audience = %v, want TokenRefused", err)
	}
	w.now = w.now.Add(time.Hour)
	if _, err := w.Verify(ctx, token, storageAud); !fault.Is(err, fault.TokenRefused) {
		t.Errorf("ended token = %v, want TokenRefused", err)
	}
	w.now = w.now.Add(-time.Second)
	if _, err := w.Verify(ctx, token, storageAud); err != nil {
		t.Errorf("a second before its end = %v", err)
	}
	if err := w.DeletePrincipal(ctx, p.ObjectID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Verify(ctx, token, storageAud); !fault.Is(err, fault.TokenRefused) {
		t.Errorf("token of a principal that is gone = %v, want TokenRefused", err)
	}
	if _, _, err := w.Issue(ctx, p.ObjectID, storageAud); !fault.Is(err, fault.PrincipalNotFound) {
		t.Errorf("Issue for a principal that is gone = %v, want PrincipalNotFound", err)
	}
}

func TestVaultTokensAreShort(t *testing.T) {
	w := newWorld(t, func(o *identity.Options) { o.VaultLife = 7 * time.Second })
	m, err := w.CreateIdentity(t.Context(), identity.SystemAssigned, "/x/acct", "acct")
	if err != nil {
		t.Fatal(err)
	}
	_, expires, err := w.Issue(t.Context(), m.ObjectID, "https://vault.localhost")
	if err != nil || expires.Sub(w.now) != 7*time.Second {
		t.Errorf("token for a vault lives %v, %v, want 7 s", expires.Sub(w.now), err)
	}
}

func TestNoTokenWithoutTrail(t *testing.T) {
	w := newWorld(t, nil)
	p, _ := w.principal(t, "x")
	w.issue(t, p.ObjectID, storageAud) // makes the signing key
	w.trail.fail = context.DeadlineExceeded
	if token, _, err := w.Issue(t.Context(), p.ObjectID, storageAud); token != "" || !fault.Is(err, fault.Unavailable) {
		t.Errorf("Issue without a trail = %v, want Unavailable", err)
	}
	if _, _, err := w.CreatePrincipal(t.Context(), "y"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("CreatePrincipal without a trail = %v, want Unavailable", err)
	}
}

func TestKeyRotation(t *testing.T) {
	w := newWorld(t, func(o *identity.Options) { o.KeyLife = 24 * time.Hour })
	ctx := t.Context()
	p, _ := w.principal(t, "x")
	old := w.issue(t, p.ObjectID, storageAud)
	w.now = w.now.Add(30 * time.Minute)
	kid, err := w.RotateKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w.open(t)
	count := func() int {
		set, err := w.JWKS(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			if !k.IsPublic() {
				t.Fatal("a private key is published")
			}
		}
		return len(set.Keys)
	}
	if _, err := w.Verify(ctx, old, storageAud); err != nil || count() != 2 {
		t.Errorf("after a rotation Verify = %v with %d keys, want the old key to count", err, count())
	}
	w.now = w.now.Add(29 * time.Minute)
	if _, err := w.Verify(ctx, old, storageAud); err != nil {
		t.Errorf("just before the end of the old token: %v", err)
	}
	fresh := w.issue(t, p.ObjectID, storageAud)
	parsed, _, err := jwt.NewParser().ParseUnverified(fresh, jwt.MapClaims{})
	if err != nil || parsed.Header["kid"] != kid {
		t.Errorf("new token has key %v, %v, want %s", parsed.Header["kid"], err, kid)
	}
	w.now = w.now.Add(time.Hour)
	if n := count(); n != 1 {
		t.Errorf("%d keys are published after the last token of the old one, want 1", n)
	}
	w.now = w.now.Add(23 * time.Hour) // the schedule
	w.issue(t, p.ObjectID, storageAud)
	w.open(t)
	set, err := w.JWKS(ctx)
	if err != nil || len(set.Keys) != 2 || set.Keys[0].KeyID != kid {
		t.Errorf("after the schedule: %d keys, %v, want the one before and a new one", len(set.Keys), err)
	}
}

func TestAllowUnsigned(t *testing.T) {
	claims := jwt.MapClaims{"iss": "https://sts.windows.net/x/", "aud": storageAud, "oid": identity.Tenant, "exp": int64(4000000000)}
	made := func(change func(jwt.MapClaims)) string {
		c := jwt.MapClaims{}
		for k, v := range claims {
			c[k] = v
		}
		if change != nil {
			change(c)
		}
		s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte("a key of enough bytes"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w := newWorld(t, nil)
	if _, err := w.Verify(t.Context(), made(nil), storageAud); !fault.Is(err, fault.TokenRefused) {
		t.Errorf("unsigned token without the switch = %v, want TokenRefused", err)
	}
	w = newWorld(t, func(o *identity.Options) { o.AllowUnsigned = true })
	if c, err := w.Verify(t.Context(), made(nil), storageAud); err != nil || !c.Unsigned || c.ObjectID != identity.Tenant {
		t.Errorf("unsigned token = %v, %v, want it accepted as such", c, err)
	}
	for name, change := range map[string]func(jwt.MapClaims){
		"audience": func(c jwt.MapClaims) { c["aud"] = "https://other" },
		"issuer":   func(c jwt.MapClaims) { c["iss"] = "https://elsewhere/" },
		"ended":    func(c jwt.MapClaims) { c["exp"] = w.now.Add(-time.Hour).Unix() },
		"early":    func(c jwt.MapClaims) { c["nbf"] = w.now.Add(time.Hour).Unix() },
		"endless":  func(c jwt.MapClaims) { delete(c, "exp") },
	} {
		if _, err := w.Verify(t.Context(), made(change), storageAud); !fault.Is(err, fault.TokenRefused) {
			t.Errorf("unsigned, wrong %s: %v, want TokenRefused", name, err)
		}
	}
	p, _ := w.principal(t, "x")
	if c, err := w.Verify(t.Context(), w.issue(t, p.ObjectID, storageAud), storageAud); err != nil || c.Unsigned {
		t.Errorf("signed token with the switch = %v, %v, want it checked as ever", c, err)
	}
}
