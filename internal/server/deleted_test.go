package server

import (
	"os"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/scope"
)

// Keys that a deleted account left, and those of a scope whose creation was cut off, are
// listed by their id and destroyed by it, but not before what they held is collected.
func TestKeysThatNothingNames(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	var made Account
	p.call(t, "account.create", AccountArgs{Name: "leaving"}, &made)
	info, err := r.store.Accounts.Get(t.Context(), "leaving")
	if err != nil {
		t.Fatal(err)
	}
	home, err := r.store.Accounts.Get(t.Context(), "devstoreaccount1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Scopes.Create(t.Context(), info.ID, "its-scope", scope.Options{}); err != nil {
		t.Fatal(err)
	}
	orphan := keys.NewID()
	if err := r.store.Ring.AddScopes(t.Context(), home.ID, false, orphan); err != nil {
		t.Fatal(err)
	}
	account, cut := info.ID.String(), "devstoreaccount1/"+orphan.String()

	// An account that is there goes by its name alone.
	if err := Call(t.Context(), p.config(), "keys.losses", UsesArgs{What: "account", Name: account}, nil, nil); !says(err, "InvalidResourceName") {
		t.Errorf("a living account by its id: %v", err)
	}
	p.call(t, "account.delete", AccountArgs{Name: "leaving"}, nil)
	var list KeysReport
	p.call(t, "keys.list", Nothing{}, &list)
	shown := map[string]int{}
	for _, c := range list.Chains {
		shown[c.For]++
	}
	if shown["(deleted account) "+account] != 3 || shown["(scope without a name) "+cut] != 1 {
		t.Errorf("keys list shows %v", shown)
	}

	destroy := func(what, name string) error {
		return Call(t.Context(), p.config(), "keys.destroy", DestroyArgs{What: what, Name: name, Confirm: name}, nil, nil)
	}
	if err := destroy("account", account); !says(err, "Busy") || Hint(err) == "" { // its scope has a row
		t.Errorf("before collection: %v, hint %q", err, Hint(err))
	}
	if err := r.store.Janitor.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	var losses UsesReport
	p.call(t, "keys.losses", UsesArgs{What: "account", Name: account}, &losses)
	if losses.Contents != 0 || !strings.Contains(losses.What, "(deleted)") {
		t.Errorf("losses = %+v", losses)
	}
	for what, n := range map[string]string{"account": account, "scope": cut} {
		if err := destroy(what, n); err != nil {
			t.Errorf("destroying %s %s: %v", what, n, err)
		}
		if err := destroy(what, n); !says(err, "NotAllowed") {
			t.Errorf("destroying %s %s again: %v", what, n, err)
		}
	}
	for _, c := range r.store.Ring.Chains() {
		if c.Owner != info.ID && c.Protector.ID != orphan {
			continue
		}
		for _, v := range c.Versions {
			if v.State != keys.Destroyed {
				t.Errorf("%v of %v is %v", c.Kind, c.Owner, v.State)
			}
		}
	}
	if err := destroy("account", keys.NewID().String()); err == nil {
		t.Error("an id that nobody had")
	}
}

// A new unseal key belongs to a root, and is one.
func TestNewUnsealKey(t *testing.T) {
	p := newPlace(t)
	r := p.serve(t)
	r.fill()
	err := Call(t.Context(), p.config(), "keys.rotate", RotateArgs{What: "vfs", NewUnsealKey: true}, nil, nil)
	if !says(err, "InvalidInput") {
		t.Errorf("with another key: %v", err)
	}
	before := readFile(t, p.key)
	p.call(t, "keys.rotate", RotateArgs{What: "root"}, nil)
	if readFile(t, p.key) != before {
		t.Error("the key file changed without being asked to")
	}
	p.call(t, "keys.rotate", RotateArgs{What: "root", NewUnsealKey: true}, nil)
	after := readFile(t, p.key)
	if after == before {
		t.Error("the key file is as it was")
	}
	r.stop()
	p.serve(t).mustHoldAll()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// says looks for the kind of an error that came from the server.
func says(err error, kind string) bool { return err != nil && strings.Contains(err.Error(), kind) }
