package keywrap_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/secret"
)

func TestWrapCustomer(t *testing.T) {
	var owner, dek [16]byte
	owner[0], dek[0] = 1, 2
	customer, other := secret.Random(32), secret.Random(32)
	k := secret.Random(32)
	aad := []byte("aad")
	w, err := keywrap.WrapCustomer(customer, owner, dek, aad, k)
	if err != nil {
		t.Fatal(err)
	}
	got, err := keywrap.UnwrapCustomer(customer, owner, dek, aad, w[:])
	if err != nil {
		t.Fatal(err)
	}
	want, _ := keywrap.Digest(k)
	if sum, err := keywrap.Digest(got); err != nil || sum != want {
		t.Errorf("another key came out (%v)", err)
	}
	again, err := keywrap.WrapCustomer(customer, owner, dek, aad, k)
	if err != nil || bytes.Equal(again[:64], w[:64]) {
		t.Errorf("two wraps have the same salt and verifier (%v)", err)
	}

	var foreign [16]byte
	tests := []struct {
		name       string
		key        secret.Key
		owner, dek [16]byte
		aad        []byte
		want       error
	}{
		{"another key", other, owner, dek, aad, keywrap.ErrVerifier},
		{"another owner", customer, foreign, dek, aad, keywrap.ErrVerifier},
		{"another data key", customer, owner, foreign, aad, keywrap.ErrVerifier},
		{"another AAD", customer, owner, dek, []byte("other"), keywrap.ErrOpen},
		{"a short key", secret.Random(31), owner, dek, aad, keywrap.ErrFormat},
		{"no key", secret.Key{}, owner, dek, aad, secret.ErrDestroyed},
	}
	for _, tt := range tests {
		if _, err := keywrap.UnwrapCustomer(tt.key, tt.owner, tt.dek, tt.aad, w[:]); !errors.Is(err, tt.want) {
			t.Errorf("%s: error = %v, want %v", tt.name, err, tt.want)
		}
	}
	for i := range w {
		bad := w
		bad[i] ^= 1
		if _, err := keywrap.UnwrapCustomer(customer, owner, dek, aad, bad[:]); err == nil {
			t.Errorf("byte %d changed: the wrap opens", i)
		}
	}
	for _, n := range []int{0, 63, 189} {
		if _, err := keywrap.UnwrapCustomer(customer, owner, dek, aad, w[:n]); !errors.Is(err, keywrap.ErrFormat) {
			t.Errorf("%d bytes: error = %v, want ErrFormat", n, err)
		}
	}
}

// Digest is what the protocol calls x-ms-encryption-key-sha256.
func TestDigest(t *testing.T) {
	sum, err := keywrap.Digest(secret.New([]byte("01234567012345670123456701234567")))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := base64.StdEncoding.EncodeToString(sum[:]), "3QFFFpRA5+XANHqwwbT4yXDmrT/2JaLt/FKHjzhOdoE="; got != want {
		t.Errorf("Digest = %s, want %s", got, want)
	}
}
