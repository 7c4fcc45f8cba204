package scope_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/blob/blobtest"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/scope"
)

func TestLife(t *testing.T) {
	ctx := context.Background()
	s := blobtest.New(t)
	owner := s.Account(t, "acct1").ID
	foreign := s.Account(t, "acct2").ID
	made, err := s.Scopes.Create(ctx, owner, "scope-a", scope.Options{})
	if err != nil || made.State != keys.Enabled || made.Double || !made.Created.Equal(s.Clock.Now()) {
		t.Fatalf("Create = %+v, %v", made, err)
	}
	if again, err := s.Scopes.Create(ctx, owner, "scope-a", scope.Options{}); !fault.Is(err, fault.Exists) || again.ID != made.ID {
		t.Errorf("Create again = %+v, %v", again, err)
	}
	if _, err := s.Scopes.Find(ctx, foreign, "scope-a"); !fault.Is(err, fault.ScopeNotFound) {
		t.Errorf("Find in another account: %v", err)
	}
	s.Clock.Add(time.Hour)
	off, err := s.Scopes.SetState(ctx, owner, "scope-a", keys.Disabled)
	if err != nil || off.State != keys.Disabled || off.ID != made.ID || !off.Modified.Equal(s.Clock.Now()) || !off.Created.Equal(made.Created) {
		t.Errorf("SetState = %+v, %v", off, err)
	}
	if err := s.Objects.Usable(context.Background(), made.Protector()); !fault.Is(err, fault.KeyGone) || !errors.Is(err, keys.ErrDisabled) {
		t.Errorf("Usable when disabled: %v", err)
	}
	if _, _, err := s.Ring.KEK(context.Background(), made.Protector()); !errors.Is(err, keys.ErrDisabled) {
		t.Errorf("KEK when disabled: %v", err)
	}
	if on, err := s.Scopes.SetState(ctx, owner, "scope-a", keys.Enabled); err != nil || on.State != keys.Enabled {
		t.Errorf("enabled again: %+v, %v", on, err)
	}
	if err := s.Objects.Usable(context.Background(), made.Protector()); err != nil {
		t.Errorf("Usable: %v", err)
	}
	for _, n := range []string{"nothing", "No", "a--b"} {
		if _, err := s.Scopes.SetState(ctx, owner, n, keys.Enabled); !fault.Is(err, fault.ScopeNotFound) {
			t.Errorf("SetState of %q: %v", n, err)
		}
	}
	if err := s.Ring.ShredProtector(ctx, made.Protector(), "me"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Scopes.Get(ctx, owner, "scope-a"); err != nil || got.State != keys.Shredded {
		t.Errorf("after shredding: %+v, %v", got, err)
	}
	if _, err := s.Scopes.SetState(ctx, owner, "scope-a", keys.Enabled); !fault.Is(err, fault.KeyGone) {
		t.Errorf("enabled after shredding: %v", err)
	}
	if _, _, err := s.Ring.KEK(context.Background(), made.Protector()); err == nil {
		t.Error("the key opens after shredding")
	}
}

func TestNames(t *testing.T) {
	for n, good := range map[string]bool{
		"abc": true, "a-b": true, "0-9": true, strings.Repeat("a", 63): true,
		"ab": false, strings.Repeat("a", 64): false, "-ab": false, "ab-": false, "a--b": false, "Abc": false, "a_b": false,
		"$account-encryption-key": false, "": false,
	} {
		if _, err := name.ParseScope(n); (err == nil) != good {
			t.Errorf("ParseScope(%q): %v", n, err)
		}
	}
}

func TestList(t *testing.T) {
	ctx := context.Background()
	s := blobtest.New(t)
	owner := s.Account(t, "acct1").ID
	for i := range 5 {
		if _, err := s.Scopes.Create(ctx, owner, name.Scope(fmt.Sprintf("a-%d", i)), scope.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Scopes.Create(ctx, owner, "other", scope.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Scopes.SetState(ctx, owner, "a-2", keys.Disabled); err != nil {
		t.Fatal(err)
	}
	names := func(o scope.ListOptions) string {
		list, next, err := s.Scopes.List(ctx, owner, o)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, i := range list {
			b.WriteString(string(i.Name) + " ")
		}
		return b.String() + "| " + next
	}
	for _, tt := range []struct {
		o    scope.ListOptions
		want string
	}{
		{scope.ListOptions{}, "a-0 a-1 a-2 a-3 a-4 other | "},
		{scope.ListOptions{Prefix: "a-"}, "a-0 a-1 a-2 a-3 a-4 | "},
		{scope.ListOptions{Prefix: "a-", Most: 2}, "a-0 a-1 | a-2"},
		{scope.ListOptions{Prefix: "a-", Most: 2, From: "a-2"}, "a-2 a-3 | a-4"},
		{scope.ListOptions{Prefix: "a-", Most: 2, From: "a-4"}, "a-4 | "},
		{scope.ListOptions{State: keys.Enabled, Most: 3}, "a-0 a-1 a-3 | a-4"},
		{scope.ListOptions{State: keys.Disabled}, "a-2 | "},
	} {
		if got := names(tt.o); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.o, got, tt.want)
		}
	}
}
