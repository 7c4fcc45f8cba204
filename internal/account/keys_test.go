package account

import (
	"bytes"
	"crypto/fips140"
	"encoding/hex"
	"testing"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

func TestPairEncoding(t *testing.T) {
	p := &pair{key: [2][]byte{[]byte("ab"), {0xff}}}
	const vector = "01" + "00026162" + "0001ff" // version, then each key with its length
	if got := hex.EncodeToString(p.encode()); got != vector {
		t.Errorf("encode = %s, want %s", got, vector)
	}
	for _, bad := range []string{"", "00", "01", "0100026162", "02000261620001ff", "01000261620001ff00", "010002616200", "01000000000001ff", "0100026162ffff00"} {
		b, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := decodePair(b); err == nil {
			t.Errorf("decodePair(%s) = %v, want a refusal", bad, p)
		}
	}
}

// FuzzPair shows that what decodes has one spelling.
func FuzzPair(f *testing.F) {
	f.Add((&pair{key: [2][]byte{[]byte("ab"), {0xff}}}).encode())
	f.Add((&pair{key: [2][]byte{random(), random()}}).encode())
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePair(b)
		if err != nil {
			if p != nil {
				t.Error("a refusal returns keys")
			}
			return
		}
		if !bytes.Equal(p.encode(), b) {
			t.Errorf("decodePair(%x) encodes to %x", b, p.encode())
		}
	})
}

func TestInfoStrict(t *testing.T) {
	good := func() *object.Row {
		r := &object.Row{}
		id := keys.NewID()
		Info{ID: id, Protector: keys.AccountProtector(id), AllowPublic: true, Default: true}.encode(r)
		return r
	}
	if i, err := decodeInfo("acct", good()); err != nil || !i.AllowPublic || !i.Default || i.Double {
		t.Fatalf("decodeInfo = %+v, %v", i, err)
	}
	for name, spoil := range map[string]func(*object.Row){
		"unknown tag":       func(r *object.Row) { r.Set(200, []byte{1}) },
		"unknown flag":      func(r *object.Row) { r.Set(tagFlags, []byte{0x80}) },
		"no id":             func(r *object.Row) { r.Set(tagID) },
		"short time":        func(r *object.Row) { r.Set(tagCreated, []byte{1}) },
		"unknown protector": func(r *object.Row) { r.Set(tagProtector, make([]byte, 17)) },
	} {
		r := good()
		spoil(r)
		if i, err := decodeInfo("acct", r); err == nil {
			t.Errorf("%s: decoded %+v", name, i)
		}
	}
}

func TestAfter(t *testing.T) {
	for _, tt := range []struct{ in, want []byte }{
		{[]byte{1}, []byte{2}},
		{[]byte{1, 0xff}, []byte{2}},
		{[]byte{1, 0xfe}, []byte{1, 0xff}},
		{[]byte{0xff, 0xff}, nil},
		{nil, nil},
	} {
		if got := After(tt.in); !bytes.Equal(got, tt.want) || (got == nil) != (tt.want == nil) {
			t.Errorf("After(%x) = %x, want %x", tt.in, got, tt.want)
		}
	}
}

// TestShortKeys: keys under 112 bits are for emulators, and refused in FIPS mode.
func TestShortKeys(t *testing.T) {
	_, err := newPair([2][]byte{make([]byte, minStrict-1), nil})
	if (err != nil) != fips140.Enabled() {
		t.Errorf("a key of %d bytes, FIPS mode %v: %v", minStrict-1, fips140.Enabled(), err)
	}
	if _, err := newPair([2][]byte{make([]byte, minStrict), nil}); err != nil {
		t.Errorf("a key of %d bytes: %v", minStrict, err)
	}
}
