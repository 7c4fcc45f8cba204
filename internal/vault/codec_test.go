package vault

import (
	"bytes"
	"testing"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

func TestParseDuration(t *testing.T) {
	start := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		in   string
		want string // start and in, "" is an error
	}{
		{"P90D", "2026-05-01 00:00:00"},
		{"p1y", "2027-01-31 00:00:00"},
		{"P1Y2M3W4DT5H6M7S", "2027-04-25 05:06:07"},
		{"PT48H", "2026-02-02 00:00:00"},
		{"P0D", "2026-01-31 00:00:00"},
		{"", ""}, {"P", ""}, {"PT", ""}, {"P1", ""}, {"P1H", ""}, {"PT1D", ""}, {"P1D1Y", ""}, {"P1DT", ""},
		{"P-1D", ""}, {"P1.5D", ""}, {"1D", ""}, {"P1D ", ""}, {"P1DT1HT1M", ""}, {"P9999999D", ""},
	}
	for _, tt := range tests {
		d, err := parseDuration(tt.in)
		got := ""
		if err == nil {
			got = d.after(start).Format(time.DateTime)
		}
		if got != tt.want {
			t.Errorf("parseDuration(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"P90D", "P1Y6M", "PT48H", "P1Y2M3W4DT5H6M7S", "P", "PT", "P1D1D"} {
		f.Add(s)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if err == nil && (d.after(start).Before(start) || d.before(start).After(start)) {
			t.Errorf("parseDuration(%q) goes the other way", s)
		}
	})
}

// One row, one form: what decodes encodes to itself.
func FuzzRows(f *testing.F) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	p := AccessPolicy{ObjectID: "o", TenantID: "t", Keys: []string{"get", "list"}}
	f.Add(p.encode())
	rp := RotationPolicy{Created: at, Updated: at, ExpiryTime: "P90D", Actions: []LifetimeAction{{"Rotate", "P30D", ""}}}
	f.Add(rp.encode())
	f.Add([]byte{0, 1, 'a', 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := decodePolicy(b); err == nil && !bytes.Equal(p.encode(), b) {
			t.Errorf("policy %x has another form", b)
		}
		if p, err := decodeRotation(b); err == nil && !bytes.Equal(p.encode(), b) {
			t.Errorf("rotation policy %x has another form", b)
		}
		if tags, err := decodeTags([][]byte{b}); err == nil && !bytes.Equal(encodeTags(tags)[0], b) {
			t.Errorf("tag %x has another form", b)
		}
		r := &object.Row{}
		r.Set(tagType, []byte{1})
		r.Set(tagKeyFlags, []byte{1})
		r.Set(tagTimes, make([]byte, 32))
		r.Set(tagPublic, b)
		if v, err := decodeVersion(keys.ID{}, r); err == nil && !bytes.Equal(encodePublic(v.pub), b) {
			t.Errorf("public key %x has another form", b)
		}
	})
}

// FuzzUnpack: a backup that opens, and so is ours, still has its form checked.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{1, 0, 1, 'k', 0, 0, 0, 0})
	f.Add(append([]byte{1, 0, 1, 'k', 0, 0, 0, 1}, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := unpack(Standard, b)
		if err == nil && (len(u.versions) == 0 || len(u.versions) != len(u.private)) {
			t.Errorf("unpack(%x) = %+v", b, u)
		}
	})
}
