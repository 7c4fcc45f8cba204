package blob

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

func TestStamper(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	s := &stamper{now: func() time.Time { return now }}
	form := regexp.MustCompile(`^"0x8D[0-9A-F]{13}"$`)
	first, at := s.next(0)
	if got := formatETag(first); !form.MatchString(got) || !at.Equal(now) {
		t.Errorf("first stamp = %s at %v", got, at)
	}
	if second, _ := s.next(0); second <= first {
		t.Errorf("second stamp %#x is not above %#x", second, first)
	}
	now = now.Add(-time.Hour) // the clock was set back, and the process restarted
	s = &stamper{now: s.now}
	if third, _ := s.next(first); third <= first {
		t.Errorf("stamp %#x of a row does not exceed its old %#x", third, first)
	}
	var mu sync.Mutex
	seen := make(map[uint64]bool)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				e, _ := s.next(0)
				mu.Lock()
				if seen[e] {
					t.Errorf("stamp %#x was given twice", e)
				}
				seen[e] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestMetadataCheck(t *testing.T) {
	pair := func(n, v string) Metadata { return Metadata{{n, v}} }
	tests := []struct {
		name string
		m    Metadata
		want fault.Kind
	}{
		{"none", nil, success},
		{"ordinary", pair("Name_1", "value with spaces"), success},
		{"empty value", pair("a", ""), success},
		{"underscore first", pair("_a", "x"), success},
		{"empty name", pair("", "x"), fault.InvalidMetadata},
		{"digit first", pair("1a", "x"), fault.InvalidMetadata},
		{"dash", pair("a-b", "x"), fault.InvalidMetadata},
		{"not ASCII", pair("é", "x"), fault.InvalidMetadata},
		{"value not ASCII", pair("a", "é"), fault.InvalidMetadata},
		{"value with newline", pair("a", "x\r\ny"), fault.InvalidMetadata},
		{"same name in two spellings", Metadata{{"Ab", "1"}, {"aB", "2"}}, fault.InvalidMetadata},
		{"8 KiB", pair("a", strings.Repeat("x", 8191)), success},
		{"over 8 KiB", pair("a", strings.Repeat("x", 8192)), fault.MetadataTooLarge},
		{"over 8 KiB in many", Metadata{{"a", strings.Repeat("x", 4096)}, {"b", strings.Repeat("x", 4096)}}, fault.MetadataTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { want(t, "check", tt.m.check("op", "what"), tt.want) })
	}
	m := pair("Ab", "c")
	if v, ok := m.Get("aB"); !ok || v != "c" {
		t.Errorf("Get without regard to case = %q, %v", v, ok)
	}
	if _, ok := m.Get("b"); ok {
		t.Error("Get of an absent name succeeds")
	}
}

func TestMetadataEncoding(t *testing.T) {
	m := Metadata{{"Zeta", "1"}, {"alpha", ""}, {"B_2", strings.Repeat("y", 300)}}
	got, err := decodeMetadata(m.encode())
	if err != nil || cmp.Diff(m, got) != "" {
		t.Errorf("round trip: %v, %s", err, cmp.Diff(m, got))
	}
	const vector = "0100024162000163" // version, "Ab", "c"
	if got := hex.EncodeToString(Metadata{{"Ab", "c"}}.encode()); got != vector {
		t.Errorf("encode = %s, want %s", got, vector)
	}
	for _, bad := range []string{"00", "01", "02000161000162", "010001", "01000161", "0100016100026162ff", "01000000", "0100012d0000"} {
		b, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := decodeMetadata(b); err == nil {
			t.Errorf("decode(%s) = %v, want a refusal", bad, m)
		}
	}
}

// FuzzMetadata shows that what decodes has one spelling.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(Metadata{{"a", "b"}}.encode())
	f.Add(Metadata{{"a", ""}, {"B", "c"}}.encode())
	f.Add([]byte{1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMetadata(b)
		if err != nil {
			if m != nil {
				t.Errorf("a refusal returns %v", m)
			}
			return
		}
		if string(m.encode()) != string(b) {
			t.Errorf("decode(%x) encodes to %x", b, m.encode())
		}
	})
}

func TestPolicyEncoding(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	for _, p := range []Policy{{}, {ID: "a"}, {ID: "pol", Permission: "rw", Start: at}, {ID: "p", Expiry: at}} {
		got, err := decodePolicy(p.encode())
		if err != nil || cmp.Diff(p, got) != "" {
			t.Errorf("round trip of %v: %v, %s", p, err, cmp.Diff(p, got))
		}
	}
	const vector = "00017000027277" + "0000000000000000" + "000000003b9aca00"
	p := Policy{ID: "p", Permission: "rw", Expiry: time.Unix(1, 0)}
	if got := hex.EncodeToString(p.encode()); got != vector {
		t.Errorf("encode = %s, want %s", got, vector)
	}
}

// FuzzPolicy shows that what decodes has one spelling.
func FuzzPolicy(f *testing.F) {
	f.Add(Policy{ID: "p", Permission: "rw", Expiry: time.Unix(1, 0)}.encode())
	f.Add(Policy{}.encode())
	f.Add([]byte{0, 9, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePolicy(b)
		if err != nil {
			if p != (Policy{}) {
				t.Errorf("a refusal returns %v", p)
			}
			return
		}
		if string(p.encode()) != string(b) {
			t.Errorf("decode(%x) encodes to %x", b, p.encode())
		}
	})
}

// TestFieldsStrict flips what a row may not say: unknown tags and wrong sizes refuse.
func TestFieldsStrict(t *testing.T) {
	good := func() *object.Row {
		r := &object.Row{}
		rec := &record{etag: 5, modified: time.Unix(1, 0).UTC(), created: time.Unix(1, 0).UTC(), headers: Headers{ContentType: "x"}, tier: tierCool}
		rec.encode(r)
		return r
	}
	if _, err := decodeRecord(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*object.Row){
		"unknown tag":     func(r *object.Row) { r.Set(200, []byte{1}) },
		"no ETag":         func(r *object.Row) { r.Set(tagETag) },
		"short ETag":      func(r *object.Row) { r.Set(tagETag, []byte{1}) },
		"no type":         func(r *object.Row) { r.Set(tagType) },
		"unknown type":    func(r *object.Row) { r.Set(tagType, []byte{9}) },
		"unknown tier":    func(r *object.Row) { r.Set(tagTier, []byte{9}) },
		"another length":  func(r *object.Row) { setU64(r, tagLength, 9) },
		"short MD5":       func(r *object.Row) { r.Set(tagContentMD5, []byte{1}) },
		"long time":       func(r *object.Row) { r.Set(tagCreated, make([]byte, 9)) },
		"container's tag": func(r *object.Row) { r.Set(tagPublic, []byte{1}) },
	} {
		r := good()
		spoil(r)
		if rec, err := decodeRecord(r); err == nil {
			t.Errorf("%s: decoded %+v", name, rec)
		}
	}
}

func TestBlockID(t *testing.T) {
	of := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	tests := []struct {
		id   string
		n    int
		want fault.Kind
	}{
		{of(1), 1, success},
		{of(64), 64, success},
		{of(65), 0, fault.InvalidQueryParameter},
		{"", 0, fault.InvalidQueryParameter},
		{"a", 0, fault.InvalidQueryParameter},
		{"AAAA\n", 0, fault.InvalidQueryParameter},
		{"AA-_", 0, fault.InvalidQueryParameter},
	}
	for _, tt := range tests {
		n, err := checkBlockID("op", "what", tt.id)
		if n != tt.n {
			t.Errorf("checkBlockID(%q) = %d, want %d", tt.id, n, tt.n)
		}
		want(t, "checkBlockID "+tt.id, err, tt.want)
	}
}

func TestParseTier(t *testing.T) {
	tests := []struct {
		in   string
		tier tier
		want fault.Kind
	}{
		{"", tierInferred, success},
		{"Hot", tierHot, success},
		{"cool", tierCool, success},
		{"Cold", tierCold, success},
		{"Archive", 0, fault.UnsupportedOperation},
		{"P10", 0, fault.InvalidHeaderValue},
	}
	for _, tt := range tests {
		got, err := parseTier("op", "what", tt.in)
		if got != tt.tier {
			t.Errorf("parseTier(%q) = %v, want %v", tt.in, got, tt.tier)
		}
		want(t, "parseTier "+tt.in, err, tt.want)
	}
}

func TestParseInclude(t *testing.T) {
	got, err := ParseInclude("metadata, uncommittedblobs,Copy")
	if err != nil || got != IncludeMetadata|IncludeUncommitted|IncludeCopy {
		t.Errorf("ParseInclude = %b, %v", got, err)
	}
	_, err = ParseInclude("metadata,nonsense")
	want(t, "ParseInclude of nonsense", err, fault.InvalidQueryParameter)
}

func TestDigest(t *testing.T) {
	d := newDigest(strings.NewReader("123456789"), 9, true)
	buf := make([]byte, 4)
	for {
		if _, err := d.Read(buf); err != nil {
			break
		}
	}
	if got := hex.EncodeToString(d.sumMD5()); got != "25f9e794323b453885f5181f1b624d0b" {
		t.Errorf("MD5 = %s", got)
	}
	if got := hex.EncodeToString(d.sumCRC()); got != "8898790a86148bae" { // 0xae8b14860a799888, little endian
		t.Errorf("CRC-64/NVME = %s", got)
	}
	if got := newDigest(strings.NewReader(""), 0, false).sumMD5(); got != nil {
		t.Errorf("MD5 that was not asked for = %x", got)
	}
}

func TestMarker(t *testing.T) {
	for _, n := range []string{"a", "a/b c", "語", "1!"} {
		got, err := openMarker("op", sealMarker(n))
		if err != nil || got != n {
			t.Errorf("marker of %q opens to %q, %v", n, got, err)
		}
	}
	for _, bad := range []string{"a", "1!", "1!*", "2!YQ"} {
		_, err := openMarker("op", bad)
		want(t, "openMarker "+bad, err, fault.InvalidQueryParameter)
	}
}

// FuzzSettings shows that what decodes of a section has one spelling.
func FuzzSettings(f *testing.F) {
	f.Add(byte(0), new(packer).putString("1.0").putFlags(true, false, true).putFlags(true, false).putInt(7).b)
	f.Add(byte(1), Metrics{Version: "1.0", Enabled: true}.pack())
	f.Add(byte(3), new(packer).putString("*").putString("GET").putString("").putString("").putInt(9).b)
	f.Add(byte(4), []byte("2025-01-05"))
	f.Add(byte(5), new(packer).putFlags(true, true).putInt(365).b)
	f.Add(byte(6), new(packer).putFlags(true).putString("i").putString("").putString("d").b)
	f.Add(byte(6), []byte{2, 0, 0})
	f.Fuzz(func(t *testing.T, section byte, b []byte) {
		tag := tagProperties + section%7
		in := &object.Row{}
		in.Set(tag, b)
		p, err := decodeSettings(in)
		if err != nil {
			if p.Logging != nil || p.CORS != nil {
				t.Errorf("a refusal returns %+v", p)
			}
			return
		}
		out := &object.Row{}
		p.encode(out)
		if got := out.Get(tag); string(got) != string(b) {
			t.Errorf("section %d: %x encodes to %x", tag, b, got)
		}
	})
}
