package blobhttp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

const success = fault.KindCount

func kindOf(err error) fault.Kind {
	if err == nil {
		return success
	}
	return fault.KindOf(err)
}

func TestParseRange(t *testing.T) {
	tests := []struct {
		header string
		want   *blob.Range
	}{
		{"bytes=0-0", &blob.Range{Off: 0, N: 1}},
		{"bytes=5-9", &blob.Range{Off: 5, N: 5}},
		{"bytes=5-", &blob.Range{Off: 5, N: -1}},
		{"Bytes=5-9", &blob.Range{Off: 5, N: 5}},
		{"bytes=007-9", &blob.Range{Off: 7, N: 3}},
		{"bytes=0-9223372036854775807", &blob.Range{Off: 0, N: 1<<63 - 1}},
		{"bytes=1-9223372036854775807", &blob.Range{Off: 1, N: 1<<63 - 1}},
		{"bytes=0-99999999999999999999999", &blob.Range{Off: 0, N: 1<<63 - 1}},
		{"bytes=99999999999999999999999-", &blob.Range{Off: 1<<63 - 1, N: -1}},
		{"bytes=-5", nil}, {"bytes=9-5", nil}, {"bytes=0-1,3-4", nil}, {"bytes=a-b", nil}, {"bytes=+1-2", nil},
		{"bytes=1 - 2", nil}, {"bytes", nil}, {"", nil}, {"items=0-1", nil}, {"bytes=-", nil}, {"bytes=0x1-2", nil},
	}
	for _, tt := range tests {
		got, ok := parseRange(tt.header)
		if ok != (tt.want != nil) || !cmp.Equal(got, tt.want) {
			t.Errorf("parseRange(%q) = %v, %t, want %v", tt.header, got, ok, tt.want)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("bytes=0-0")
	f.Add("bytes=18446744073709551615-18446744073709551616")
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := parseRange(s)
		if ok && (r.Off < 0 || r.N == 0 || r.N < -1) {
			t.Errorf("parseRange(%q) = %+v", s, r)
		}
		if !ok && r != nil {
			t.Errorf("parseRange(%q) = %+v, refused", s, r)
		}
	})
}

func blockXML(entries []blob.BlockListEntry) string {
	var b strings.Builder
	b.WriteString("<BlockList>")
	for _, e := range entries {
		for element, where := range places {
			if where == e.Where {
				fmt.Fprintf(&b, "<%s>%s</%s>", element, e.ID, element)
			}
		}
	}
	return b.String() + "</BlockList>"
}

func TestReadBlockList(t *testing.T) {
	var most []blob.BlockListEntry
	for i := range blob.MaxBlocks {
		id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%064d", i))
		most = append(most, blob.BlockListEntry{ID: id, Where: blob.Where(i % 3)})
	}
	got, err := readBlockList(strings.NewReader(blockXML(most)))
	if err != nil || !cmp.Equal(got, most) {
		t.Errorf("a list of %d entries: %v, or not the same entries", len(most), err)
	}
	for name, tt := range map[string]struct {
		doc  string
		want fault.Kind
	}{
		"one too many":    {blockXML(append(most, most[0])), fault.BlockListTooLong},
		"id of 65 bytes":  {blockXML([]blob.BlockListEntry{{ID: base64.StdEncoding.EncodeToString(make([]byte, 65))}}), fault.InvalidXMLNodeValue},
		"empty id":        {"<BlockList><Latest></Latest></BlockList>", fault.InvalidXMLNodeValue},
		"not base64":      {"<BlockList><Latest>abc</Latest></BlockList>", fault.InvalidXMLNodeValue},
		"unknown element": {"<BlockList><Oldest>AAAA</Oldest></BlockList>", fault.InvalidXMLDocument},
		"other root":      {"<Blocks />", fault.InvalidXMLDocument},
		"blanks":          {"<BlockList>\n <Latest> AAAA\n</Latest>\n</BlockList>\n", success},
	} {
		if _, err := readBlockList(strings.NewReader(tt.doc)); kindOf(err) != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func FuzzReadBlockList(f *testing.F) {
	f.Add([]byte("<BlockList><Latest>AAAA</Latest><Committed>AAAB</Committed><Uncommitted>AAAC</Uncommitted></BlockList>"))
	f.Add([]byte("\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList />"))
	f.Add([]byte("<!DOCTYPE x><BlockList/>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := readBlockList(bytes.NewReader(doc))
		if err != nil {
			if got != nil {
				t.Fatalf("entries with %v", err)
			}
			if kindOf(err) == fault.Internal {
				t.Fatal(err)
			}
			return
		}
		again, err := readBlockList(strings.NewReader(blockXML(got)))
		if err != nil || !cmp.Equal(got, again) {
			t.Fatalf("%v came back as %v, %v", got, again, err)
		}
	})
}

// A block list costs what its entries need, however it is written.
func TestBlockListMemory(t *testing.T) {
	entry := strings.Repeat(" ", 200) + "<Latest>" + base64.StdEncoding.EncodeToString(make([]byte, 64)) + "</Latest>"
	n := 50000
	if testing.Short() {
		n = 10000
	}
	doc := io.MultiReader(strings.NewReader("<BlockList>"), &repeat{entry, n * len(entry)}, strings.NewReader("</BlockList>"))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	got, err := readBlockList(doc)
	if !fault.Is(err, fault.RequestBodyTooLarge) && (err != nil || len(got) != n) {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 16<<20*int64(n)/50000+1<<20 {
		t.Errorf("%d entries hold %d bytes", n, grown)
	}
	runtime.KeepAlive(got)
}

type repeat struct {
	s    string
	left int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	at := len(r.s) - r.left%len(r.s)
	n := copy(p[:min(len(p), r.left)], r.s[at%len(r.s):])
	r.left -= n
	return n, nil
}

func TestReadPolicies(t *testing.T) {
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	got, err := readPolicies(wire.NewDecoder(strings.NewReader(
		"<SignedIdentifiers><SignedIdentifier><Id>a</Id><AccessPolicy><Start>2026-11-25</Start><Expiry/><Permission>rl</Permission></AccessPolicy></SignedIdentifier>"+
			"<SignedIdentifier><Id>b</Id></SignedIdentifier></SignedIdentifiers>"), maxXML))
	if want := []blob.Policy{{ID: "a", Start: at, Permission: "rl"}, {ID: "b"}}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("readPolicies = %v, %v, want %v", got, err, want)
	}
	six := "<SignedIdentifiers>" + strings.Repeat("<SignedIdentifier><Id>x</Id></SignedIdentifier>", 6) + "</SignedIdentifiers>"
	for doc, want := range map[string]fault.Kind{
		six:                       fault.InvalidXMLDocument,
		"<SignedIdentifiers />":   success,
		"<SignedIdentifiers><X/>": fault.InvalidXMLDocument,
		"<SignedIdentifiers><SignedIdentifier><AccessPolicy><Expiry>x</Expiry></AccessPolicy></SignedIdentifier></SignedIdentifiers>": fault.InvalidXMLNodeValue,
	} {
		if _, err := readPolicies(wire.NewDecoder(strings.NewReader(doc), maxXML)); kindOf(err) != want {
			t.Errorf("readPolicies(%.60q) = %v, want %v", doc, err, want)
		}
	}
}

// What is read of service properties is written the same again.
func FuzzServiceProperties(f *testing.F) {
	f.Add("<StorageServiceProperties />")
	f.Add("<StorageServiceProperties><Logging><Version>1.0</Version><Delete>true</Delete><Read>false</Read><Write>1</Write><RetentionPolicy><Enabled>true</Enabled><Days>7</Days></RetentionPolicy></Logging><HourMetrics><Enabled>true</Enabled><IncludeAPIs>true</IncludeAPIs></HourMetrics><Cors><CorsRule><AllowedOrigins>*</AllowedOrigins><MaxAgeInSeconds>5</MaxAgeInSeconds></CorsRule></Cors><DefaultServiceVersion>2020-10-02</DefaultServiceVersion><StaticWebsite><Enabled>true</Enabled></StaticWebsite></StorageServiceProperties>")
	f.Fuzz(func(t *testing.T, doc string) {
		p, err := readServiceProperties(wire.NewDecoder(strings.NewReader(doc), maxXML))
		if err != nil {
			if kindOf(err) == fault.Internal {
				t.Fatal(err)
			}
			return
		}
		var b, c bytes.Buffer
		x := wire.NewWriter(&b)
		writeServiceProperties(x, p)
		x.Flush()
		again, err := readServiceProperties(wire.NewDecoder(bytes.NewReader(b.Bytes()), maxXML*8))
		if err != nil {
			t.Fatalf("%s: %v", b.String(), err)
		}
		x = wire.NewWriter(&c)
		writeServiceProperties(x, again)
		x.Flush()
		if b.String() != c.String() {
			t.Fatalf("%s\nand again\n%s", b.String(), c.String())
		}
	})
}

func TestMetadataOrder(t *testing.T) {
	hr := httptest.NewRequest("PUT", "/", nil)
	for _, n := range []string{"x-ms-meta-Zeta", "X-MS-META-alpha", "x-ms-meta-mid_Dle"} {
		hr.Header.Set(n, "v")
	}
	hr.Header.Add("x-ms-meta-zeta", "w")
	hr.Header.Set("x-ms-metadata", "none")
	names := func(raw []string) (out []string) {
		m, err := metadataOf(wire.NewRequest(hr.WithContext(wire.WithRawHeader(hr.Context(), raw)), time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range m {
			out = append(out, p.Name+"="+p.Value)
		}
		return out
	}
	if got, want := names([]string{"x-ms-meta-Zeta", "X-MS-META-alpha", "x-ms-meta-mid_Dle", "x-ms-meta-zeta"}), []string{"Zeta=v,w", "alpha=v", "mid_Dle=v"}; !cmp.Equal(got, want) {
		t.Errorf("metadata = %v, want %v", got, want)
	}
	if got, want := names(nil), []string{"Alpha=v", "Mid_dle=v", "Zeta=v,w"}; !cmp.Equal(got, want) {
		t.Errorf("metadata without spelling = %v, want %v", got, want)
	}
}

func TestLeaseID(t *testing.T) {
	for id, ok := range map[string]bool{
		"": true, "5a3b1b2c-0f3e-4a0e-9a5f-0b6a2c1d3e4f": true, "{5A3B1B2C-0F3E-4A0E-9A5F-0B6A2C1D3E4F}": true,
		"5a3b1b2c0f3e4a0e9a5f0b6a2c1d3e4f": true, "5a3b1b2c": false, "zz3b1b2c-0f3e-4a0e-9a5f-0b6a2c1d3e4f": false,
	} {
		hr := httptest.NewRequest("PUT", "/", nil)
		hr.Header.Set("x-ms-lease-id", id)
		if _, err := leaseOf(wire.NewRequest(hr, time.Now())); (err == nil) != ok {
			t.Errorf("lease id %q: %v", id, err)
		}
	}
}

func TestCORSRules(t *testing.T) {
	rule := blob.CORSRule{AllowedOrigins: "https://a.example, https://*.b.example", AllowedMethods: "GET,PUT", AllowedHeaders: "x-ms-meta-*,Content-Type"}
	tests := []struct {
		origin, method string
		asked          []string
		want           bool
	}{
		{"https://a.example", "GET", nil, true},
		{"https://a.example", "PUT", []string{"X-Ms-Meta-Any", "content-type"}, true},
		{"https://x.b.example", "GET", nil, true},
		{"https://x.y.b.example", "GET", nil, true},
		{"https://b.example", "GET", nil, false},
		{"https://evilb.example", "GET", nil, false},
		{"http://x.b.example", "GET", nil, false},
		{"https://A.example", "GET", nil, false},
		{"https://a.example", "DELETE", nil, false},
		{"https://a.example", "get", nil, false},
		{"https://a.example", "GET", []string{"authorization"}, false},
	}
	for _, tt := range tests {
		if got := fits(&rule, tt.origin, tt.method, tt.asked); got != tt.want {
			t.Errorf("fits(%q, %q, %v) = %t, want %t", tt.origin, tt.method, tt.asked, got, tt.want)
		}
	}
	any := blob.CORSRule{AllowedOrigins: "*", AllowedMethods: "GET", AllowedHeaders: "*"}
	if !fits(&any, "https://whoever", "GET", []string{"x-anything"}) {
		t.Error("a star does not fit")
	}
}

func TestErrorOfUnknownKind(t *testing.T) {
	if k := kindOf(errors.New("x")); k != fault.Internal {
		t.Errorf("kind %v", k)
	}
}
