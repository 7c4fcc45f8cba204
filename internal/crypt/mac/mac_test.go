package mac

import (
	"crypto/fips140"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/secret"
)

// Test cases 1, 2 and 6 of RFC 4231.
func TestSum(t *testing.T) {
	tests := []struct{ key, message, want string }{
		{strings.Repeat("0b", 20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{hex.EncodeToString([]byte("Jefe")), "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{strings.Repeat("aa", 131), "Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	}
	for _, tt := range tests {
		raw, err := hex.DecodeString(tt.key)
		if err != nil {
			t.Fatal(err)
		}
		k := secret.New(raw)
		var got [Size]byte
		// A key of 4 bytes is below what strict FIPS mode allows.
		fips140.WithoutEnforcement(func() { got, err = Sum(k, []byte(tt.message)) })
		if err != nil {
			t.Fatalf("Sum(%q): %v", tt.message, err)
		}
		if hex.EncodeToString(got[:]) != tt.want {
			t.Errorf("Sum(%q) = %x, want %s", tt.message, got, tt.want)
		}
	}
}

// TestShortKey: a short account key, which older stores may have, never ends the process.
func TestShortKey(t *testing.T) {
	k, msg := secret.New([]byte("thirteen byte")), []byte("GET\n")
	tag, err := Sum(k, msg)
	if strict := fips140.Enforced(); (err != nil) != strict || Verify([]secret.Key{k}, msg, tag[:]) == strict {
		t.Errorf("strict mode %v: Sum = %v", strict, err)
	}
}

func TestVerify(t *testing.T) {
	a, b, c := secret.Random(32), secret.Random(64), secret.Random(64)
	msg := []byte("GET\n")
	tag, err := Sum(b, msg)
	if err != nil {
		t.Fatal(err)
	}
	cut := tag[:Size-1]
	bent := tag
	bent[3] ^= 1
	gone := secret.Random(64)
	goneTag, err := Sum(gone, msg)
	if err != nil {
		t.Fatal(err)
	}
	gone.Destroy()
	tests := []struct {
		name string
		keys []secret.Key
		msg  []byte
		tag  []byte
		want bool
	}{
		{"first key", []secret.Key{b, a}, msg, tag[:], true},
		{"second key", []secret.Key{a, b}, msg, tag[:], true},
		{"twice the same key", []secret.Key{b, b}, msg, tag[:], true},
		{"foreign key", []secret.Key{a, c}, msg, tag[:], false},
		{"no key", nil, msg, tag[:], false},
		{"zero key", []secret.Key{{}}, msg, tag[:], false},
		{"destroyed key", []secret.Key{gone}, msg, goneTag[:], false},
		{"destroyed key beside the right one", []secret.Key{gone, b}, msg, tag[:], true},
		{"other message", []secret.Key{b}, []byte("PUT\n"), tag[:], false},
		{"cut tag", []secret.Key{b}, msg, cut, false},
		{"empty tag", []secret.Key{b}, msg, nil, false},
		{"one bit", []secret.Key{b}, msg, bent[:], false},
	}
	for _, tt := range tests {
		if got := Verify(tt.keys, tt.msg, tt.tag); got != tt.want {
			t.Errorf("%s: Verify = %t, want %t", tt.name, got, tt.want)
		}
	}
}
