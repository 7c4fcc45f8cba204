package vault_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object/objecttest"
	"github.com/coffer-storage/coffer/internal/vault"
)

const success = fault.KindCount // no refusal

// world is a store with a vault and an HSM in it, and who asks.
type world struct {
	*vault.Service
	env   *objecttest.Env
	trail *trail
	roles roles

	onPurge func() error // may be nil
}

var (
	ctx   = context.Background()
	op    = vault.Operator()
	alice = vault.Caller{ObjectID: "11111111-aaaa-4000-8000-000000000001", ClientID: "c1"}
	bob   = vault.Caller{ObjectID: "22222222-bbbb-4000-8000-000000000002", ClientID: "c2"}
)

func ref(key string) vault.Ref { return vault.Ref{Kind: vault.Standard, Vault: "box", Key: key} }

func hsm(key string) vault.Ref { return vault.Ref{Kind: vault.HSM, Vault: "safe", Key: key} }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{env: objecttest.New(t), trail: &trail{}, roles: roles{}}
	w.restart()
	w.create(t, vault.Spec{Kind: vault.Standard, Name: "box", Policies: []vault.AccessPolicy{
		{ObjectID: strings.ToUpper(alice.ObjectID), Keys: []string{"Get", "wrapKey", "UNWRAPKEY", "list"}}}})
	w.create(t, vault.Spec{Kind: vault.HSM, Name: "safe", Admins: []string{alice.ObjectID}})
	return w
}

// restart makes the service anew over what is stored.
func (w *world) restart() {
	w.Service = vault.New(w.env.Store, w.env.Ring, vault.Options{Now: w.env.Clock.Now, Audit: w.trail, Authorizer: w.roles,
		OnPurge: func(context.Context, vault.Vault) error {
			if w.onPurge == nil {
				return nil
			}
			return w.onPurge()
		}})
}

func (w *world) create(t testing.TB, s vault.Spec) vault.Vault {
	t.Helper()
	v, err := w.CreateVault(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (w *world) key(t testing.TB, r vault.Ref, k vault.NewKey) vault.Key {
	t.Helper()
	made, err := w.CreateKey(ctx, op, r, k)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// is checks the kind of an answer.
func is(t testing.TB, what string, err error, want fault.Kind) {
	t.Helper()
	if want == success && err != nil || want != success && !fault.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// roles are who may do which action where.
type roles map[string]bool

func (r roles) Allowed(_ context.Context, principal, action string, data bool, scope string) bool {
	return data && r[principal+" "+action+" "+scope]
}

// trail keeps records, and can fail.
type trail struct {
	mu   sync.Mutex
	recs []audit.Record
	fail error
}

func (t *trail) Before(_ context.Context, r audit.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fail != nil {
		return t.fail
	}
	t.recs = append(t.recs, r)
	return nil
}

func (t *trail) After(r audit.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recs = append(t.recs, r)
}

// take returns the records since the last call, as texts.
func (t *trail) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, r := range t.recs {
		out = append(out, r.Actor+" "+r.Operation+" "+r.What+" "+r.Outcome)
	}
	t.recs = nil
	return out
}
