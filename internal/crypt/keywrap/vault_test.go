package keywrap_test

import (
	"errors"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/secret"
)

// Every part of the place, and both halves, change the key.
func TestDeriveVault(t *testing.T) {
	r, p := secret.Random(32), secret.Random(32)
	at := keywrap.VaultPlace{Wrapping: [16]byte{1}, Owner: [16]byte{2}, Protector: [17]byte{3}, KeyURI: "https://a.vault.test/keys/k/1"}
	want, err := keywrap.DeriveVault(r, p, at)
	if err != nil {
		t.Fatal(err)
	}
	again, err := keywrap.DeriveVault(r, p, at)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := keywrap.Same(want, again); err != nil || !same {
		t.Errorf("Same(k, k) = %v, %v", same, err)
	}
	tests := []struct {
		name string
		r, p secret.Key
		edit func(*keywrap.VaultPlace)
	}{
		{"other R", secret.Random(32), p, nil},
		{"other P", r, secret.Random(32), nil},
		{"R and P exchanged", p, r, nil},
		{"wrapping", r, p, func(v *keywrap.VaultPlace) { v.Wrapping[0]++ }},
		{"owner", r, p, func(v *keywrap.VaultPlace) { v.Owner[0]++ }},
		{"protector", r, p, func(v *keywrap.VaultPlace) { v.Protector[0]++ }},
		{"key version", r, p, func(v *keywrap.VaultPlace) { v.KeyURI = "https://a.vault.test/keys/k/2" }},
	}
	for _, tt := range tests {
		place := at
		if tt.edit != nil {
			tt.edit(&place)
		}
		got, err := keywrap.DeriveVault(tt.r, tt.p, place)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if same, err := keywrap.Same(want, got); err != nil || same {
			t.Errorf("%s: Same = %v, %v, want another key", tt.name, same, err)
		}
	}
	if _, err := keywrap.DeriveVault(secret.Random(31), p, at); !errors.Is(err, keywrap.ErrFormat) {
		t.Errorf("short R: error = %v", err)
	}
	if _, err := keywrap.DeriveVault(r, secret.Random(33), at); !errors.Is(err, keywrap.ErrFormat) {
		t.Errorf("long P: error = %v", err)
	}
	p.Destroy()
	if _, err := keywrap.DeriveVault(r, p, at); !errors.Is(err, secret.ErrDestroyed) {
		t.Errorf("destroyed P: error = %v", err)
	}
}
