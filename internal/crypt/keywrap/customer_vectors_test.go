package keywrap_test

import (
	"errors"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
	"github.com/coffer-storage/coffer/internal/secret"
)

// customerClass is the class of an error of UnwrapCustomer.
func customerClass(err error) string {
	switch {
	case err == nil:
		return vectortest.OK
	case errors.Is(err, keywrap.ErrFormat):
		return vectortest.Format
	case errors.Is(err, keywrap.ErrVerifier):
		return vectortest.Mismatch
	case errors.Is(err, keywrap.ErrKeyref):
		return vectortest.Keyref
	case errors.Is(err, keywrap.ErrOpen):
		return vectortest.Open
	}
	return "another error: " + err.Error()
}

// The vectors of customer wraps, which a second implementation opens as well
// (scripts/verify_vectors.py).
func TestCustomerVectors(t *testing.T) {
	for _, c := range vectortest.Load(t, "cpk") {
		owner, dek := c.ID(t, "owner"), c.ID(t, "dek")
		protector := make([]byte, 17)
		protector[0] = 5
		aad := enc.Encode("coffer/wrap/dek/v1", enc.Uint(1), owner[:], protector, make([]byte, 16), enc.Uint(0), dek[:])
		got, err := keywrap.UnwrapCustomer(secret.New(c.Bytes(t, "customer")), owner, dek, aad, c.Bytes(t, "wrap"))
		if class := customerClass(err); class != c.Text("expect") {
			t.Errorf("%s: %s, want %s", c.Text("comment"), class, c.Text("expect"))
			continue
		}
		if err != nil {
			continue
		}
		have, _ := keywrap.Digest(got)
		want, _ := keywrap.Digest(secret.New(c.Bytes(t, "key")))
		if have != want {
			t.Errorf("%s: another key came out", c.Text("comment"))
		}
	}
}

func FuzzUnwrapCustomer(f *testing.F) {
	for _, c := range vectortest.Load(f, "cpk") {
		f.Add(c.Bytes(f, "wrap"))
	}
	customer := secret.New([]byte("01234567012345670123456701234567"))
	f.Fuzz(func(t *testing.T, wrap []byte) {
		if k, err := keywrap.UnwrapCustomer(customer, [16]byte{9}, [16]byte{9}, nil, wrap); err == nil || !k.IsZero() {
			t.Errorf("UnwrapCustomer(%x) = %v, %v", wrap, k, err)
		}
	})
}
