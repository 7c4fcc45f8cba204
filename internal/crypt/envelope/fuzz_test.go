package envelope_test

import (
	"bytes"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
	"github.com/coffer-storage/coffer/internal/secret"
)

// seeds adds a field of every vector that has it, and returns the case of that name.
func seeds(f *testing.F, field, name string) (own vectortest.Case) {
	f.Helper()
	for _, c := range vectortest.Load(f, "envelope") {
		if c.Has(field) {
			f.Add(c.Bytes(f, field))
		}
		if c.Name == name {
			own = c
		}
	}
	return own
}

// FuzzOpenValue: under the key of a vector, only that vector's value opens.
func FuzzOpenValue(f *testing.F) {
	c := seeds(f, "sealed", "value-ok-16-bytes")
	own, keyref, aad := c.Bytes(f, "sealed"), c.ID(f, "keyref"), c.Bytes(f, "aad")
	k := secret.New(c.Bytes(f, "key"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := envelope.OpenValue(k, keyref, nil, aad, b)
		if (err == nil) != bytes.Equal(b, own) || err != nil && got != nil {
			t.Fatalf("OpenValue(%x) = %x, %v", b, got, err)
		}
	})
}

// FuzzOpenInfra: under the key of a vector, only that vector's value opens.
func FuzzOpenInfra(f *testing.F) {
	c := seeds(f, "sealed", "infra-ok-15-bytes")
	own, keyref, aad := c.Bytes(f, "sealed"), c.ID(f, "keyref"), c.Bytes(f, "aad")
	k := secret.New(c.Bytes(f, "key"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := envelope.OpenInfra(k, keyref, nil, aad, b)
		if (err == nil) != bytes.Equal(b, own) || err != nil && got != nil {
			t.Fatalf("OpenInfra(%x) = %x, %v", b, got, err)
		}
	})
}

// FuzzSplitRow: what splits is put together again to the same bytes.
func FuzzSplitRow(f *testing.F) {
	seeds(f, "row", "")
	f.Fuzz(func(t *testing.T, b []byte) {
		sys, rest, err := envelope.SplitRow(b)
		if err != nil {
			if sys != nil || rest != nil {
				t.Fatalf("failure with %x, %x", sys, rest)
			}
			return
		}
		if again := append(envelope.EncodeRow(envelope.Row{SYS: sys}).Bytes(), rest...); !bytes.Equal(again, b) {
			t.Fatalf("row %x is written %x", b, again)
		}
	})
}

// FuzzDecodeFields: what decodes has one spelling.
func FuzzDecodeFields(f *testing.F) {
	seeds(f, "encoded", "")
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := envelope.DecodeFields(b)
		if err != nil {
			if fs != nil {
				t.Fatalf("failure with fields %v", fs)
			}
			return
		}
		if again := envelope.EncodeFields(fs); !bytes.Equal(again, b) {
			t.Fatalf("fields %x are written %x", b, again)
		}
	})
}
