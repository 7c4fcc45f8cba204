package format_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/cse/internal/csetest"
	"github.com/coffer-storage/coffer/cse/internal/format"
)

var cek = bytes.Repeat([]byte{3}, 32)

func TestBind(t *testing.T) {
	for _, p := range []format.Protocol{format.V1, format.V2, format.V21} {
		bound := format.Bind(p, cek)
		if len(bound) != p.WrapSize() {
			t.Errorf("Bind(%s) has %d bytes, want %d", p, len(bound), p.WrapSize())
		}
		got, err := format.Unbind(p, bound)
		if err != nil || !bytes.Equal(got, cek) {
			t.Errorf("Unbind(%s) = %x, %v", p, got, err)
		}
		for _, other := range []format.Protocol{format.V1, format.V2, format.V21} {
			if _, err := format.Unbind(other, bound); other != p && !errors.Is(err, format.ErrAuth) {
				t.Errorf("a key of %s opens as %s: %v", p, other, err)
			}
		}
		if p == format.V1 {
			continue
		}
		for i := range 8 { // all eight bytes of the version field count
			bad := bytes.Clone(bound)
			bad[i] ^= 1
			if _, err := format.Unbind(p, bad); !errors.Is(err, format.ErrAuth) {
				t.Errorf("byte %d of the version field is not checked", i)
			}
		}
	}
}

// Counters of all styles, also across the borders at which they go wrong.
func TestOrderOfEveryStyle(t *testing.T) {
	styles := map[string]func(uint64) []byte{
		"python": csetest.PythonNonce, "java": csetest.JavaNonce, "dotnet": csetest.DotnetNonce, "oldJava": csetest.OldJavaNonce,
	}
	for name, nonce := range styles {
		for _, start := range []uint64{0, 1<<31 - 2, 1<<32 - 2, 1 << 40} {
			order := format.NewOrder()
			for i := start; i < start+5; i++ {
				err := openOne(t, nonce(i), i, order)
				refused := name == "oldJava" && i >= 1<<32
				if refused != (err != nil) {
					t.Errorf("%s, region %d: %v", name, i, err)
				}
				if err != nil {
					break // from there on old Java repeats its nonces
				}
			}
		}
	}
	mixed := format.NewOrder()
	if err := openOne(t, csetest.PythonNonce(0), 0, mixed); err != nil {
		t.Fatal(err)
	}
	if err := openOne(t, csetest.DotnetNonce(1), 1, mixed); err == nil {
		t.Error("the second region is of another style, and opens")
	}
	if err := openOne(t, csetest.PythonNonce(2), 2, mixed); err == nil {
		t.Error("once no style is left, a region opens")
	}
}

// openOne seals a region under a nonce and opens it at an index.
func openOne(t *testing.T, nonce []byte, index uint64, order *format.Order) error {
	t.Helper()
	r, err := format.NewRegions(cek, 16)
	if err != nil {
		t.Fatal(err)
	}
	sealed := csetest.SealRegions(cek, []byte("text"), 16, func(uint64) []byte { return nonce })
	_, err = r.Open(nil, sealed, index, order)
	return err
}

func TestRegionsRefuse(t *testing.T) {
	r, err := format.NewRegions(cek, 16)
	if err != nil {
		t.Fatal(err)
	}
	if r.Length() != 16 || r.Sealed() != 44 {
		t.Errorf("lengths %d, %d", r.Length(), r.Sealed())
	}
	sealed := make([]byte, 44)
	r.Seal(sealed, []byte("sixteen bytes..."), 7)
	inPlace := make([]byte, 44)
	copy(inPlace[12:], "sixteen bytes...")
	if r.Seal(inPlace, inPlace[12:28], 7); !bytes.Equal(inPlace, sealed) {
		t.Error("sealed in place it is something else")
	}
	if got, err := r.Open(nil, sealed, 7, format.NewOrder()); err != nil || string(got) != "sixteen bytes..." {
		t.Fatalf("Open = %q, %v", got, err)
	}
	if _, err := r.Open(nil, sealed, 8, format.NewOrder()); !errors.Is(err, format.ErrAuth) {
		t.Errorf("at another index: %v", err)
	}
	if _, err := r.Open(nil, sealed, 8, nil); err != nil {
		t.Errorf("without the check of the order: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 0x10
		if _, err := r.Open(bad[12:12], bad, 7, nil); !errors.Is(err, format.ErrAuth) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	for _, n := range []int{0, 27, 43, 45} {
		if _, err := r.Open(nil, make([]byte, n), 7, nil); !errors.Is(err, format.ErrAuth) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, length := range []int64{0, -1, format.MaxRegion + 1} {
		if _, err := format.NewRegions(cek, length); !errors.Is(err, format.ErrAuth) {
			t.Errorf("NewRegions(%d): %v", length, err)
		}
	}
	if _, err := format.NewRegions(cek[:31], 16); !errors.Is(err, format.ErrAuth) {
		t.Error("a short key")
	}
}

func TestSizes(t *testing.T) {
	for _, region := range []int64{1, 16, 1000, 4 << 20, 1 << 30} {
		for _, n := range []int64{0, 1, region - 1, region, region + 1, 2 * region, 7*region + 3, 1 << 50} {
			stored := format.StoredSize(n, region)
			if got, err := format.PlainSize(stored, region); err != nil || got != n {
				t.Errorf("PlainSize(StoredSize(%d, %d)) = %d, %v", n, region, got, err)
			}
		}
	}
	for rest := int64(1); rest < 28; rest++ {
		if _, err := format.PlainSize(2*44+rest, 16); !errors.Is(err, format.ErrAuth) {
			t.Errorf("a remainder of %d: %v", rest, err)
		}
	}
	if n, err := format.PlainSize(2*44+28, 16); n != 32 || err != nil {
		t.Errorf("an empty last region: %d, %v", n, err)
	}
	for _, bad := range [][2]int64{{-1, 16}, {format.MaxObject + 1, 16}, {44, 0}, {44, format.MaxRegion + 1}} {
		if _, err := format.PlainSize(bad[0], bad[1]); !errors.Is(err, format.ErrAuth) {
			t.Errorf("PlainSize%v: %v", bad, err)
		}
	}
}

// Every range of an object of five regions, decrypted from exactly what the plan fetches.
func TestEveryPlan(t *testing.T) {
	text := csetest.Pattern(80 - 3)
	stored := csetest.SealRegions(cek, text, 16, csetest.DotnetNonce)
	regions, err := format.NewRegions(cek, 16)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(text))
	for off := int64(0); off < size; off++ {
		for n := int64(1); n <= size-off; n++ {
			p, err := format.PlanRegions(off, n, int64(len(stored)), 16)
			if err != nil {
				t.Fatal(err)
			}
			if p.Off%44 != 0 || p.Off/44 != off/16 || (p.Len+43)/44 != (off+n-1)/16-off/16+1 {
				t.Fatalf("PlanRegions(%d, %d) = %+v: more than it needs", off, n, p)
			}
			var got []byte
			for wire, i := stored[p.Off:p.Off+p.Len], p.First; len(wire) > 0; i++ {
				m := min(44, len(wire))
				if got, err = regions.Open(got, wire[:m], i, format.NewOrder()); err != nil {
					t.Fatal(err)
				}
				wire = wire[m:]
			}
			if got := got[p.Skip : p.Skip+p.N]; !bytes.Equal(got, text[off:off+n]) {
				t.Fatalf("PlanRegions(%d, %d): other bytes", off, n)
			}
		}
	}
}

func TestEveryPlanCBC(t *testing.T) {
	iv := csetest.Pattern(16)
	for _, size := range []int64{0, 1, 15, 16, 17, 100} {
		text := csetest.Pattern(size)
		stored := csetest.SealV1(cek, iv, text, true)
		c, err := format.NewCBC(cek, iv)
		if err != nil {
			t.Fatal(err)
		}
		for off := int64(0); off < size; off++ {
			for n := int64(1); n <= size-off; n++ {
				p, err := format.PlanCBC(off, n, int64(len(stored)), size)
				if err != nil {
					t.Fatal(err)
				}
				got := c.Decrypt(bytes.Clone(stored[p.Off:p.Off+p.Len]), p.IV)
				if !bytes.Equal(got[p.Skip:p.Skip+p.N], text[off:off+n]) {
					t.Fatalf("PlanCBC(%d, %d) of %d: other bytes", off, n, size)
				}
			}
		}
	}
}

func TestPlansRefuse(t *testing.T) {
	tests := []struct {
		name string
		plan func() (format.Plan, error)
		want error
	}{
		{"negative", func() (format.Plan, error) { return format.PlanRegions(-1, 1, 44, 16) }, format.ErrRange},
		{"at the end", func() (format.Plan, error) { return format.PlanRegions(16, 1, 44, 16) }, format.ErrRange},
		{"past the end", func() (format.Plan, error) { return format.PlanRegions(17, 1, 44, 16) }, format.ErrRange},
		{"cut region", func() (format.Plan, error) { return format.PlanRegions(0, 1, 20, 16) }, format.ErrAuth},
		{"half a block", func() (format.Plan, error) { return format.PlanCBC(0, 1, 17, 8) }, format.ErrAuth},
		{"longer than stored", func() (format.Plan, error) { return format.PlanCBC(0, 1, 16, 17) }, format.ErrAuth},
		{"past the end, 1.0", func() (format.Plan, error) { return format.PlanCBC(8, 1, 16, 8) }, format.ErrRange},
		{"past the end, plain", func() (format.Plan, error) { return format.PlanPlain(8, 1, 8) }, format.ErrRange},
	}
	for _, tt := range tests {
		if p, err := tt.plan(); !errors.Is(err, tt.want) || p != (format.Plan{}) {
			t.Errorf("%s: %+v, %v; want %v", tt.name, p, err, tt.want)
		}
	}
	for _, p := range []func() (format.Plan, error){
		func() (format.Plan, error) { return format.PlanRegions(0, -1, 0, 16) },
		func() (format.Plan, error) { return format.PlanCBC(0, -1, 16, 0) },
		func() (format.Plan, error) { return format.PlanPlain(0, -1, 0) },
	} {
		if p, err := p(); err != nil || p != (format.Plan{}) {
			t.Errorf("an empty object: %+v, %v", p, err)
		}
	}
}

func TestPadding(t *testing.T) {
	for n := 1; n <= 16; n++ {
		block := append(make([]byte, 16-n), bytes.Repeat([]byte{byte(n)}, n)...)
		if got, ok := format.Padding(block); got != n || !ok {
			t.Errorf("Padding(%x) = %d, %v", block, got, ok)
		}
		for i := 16 - n; i < 15; i++ {
			bad := bytes.Clone(block)
			bad[i] ^= 0x80
			if got, ok := format.Padding(bad); got != 0 || ok {
				t.Errorf("Padding(%x) = %d, %v", bad, got, ok)
			}
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 15), make([]byte, 16), bytes.Repeat([]byte{17}, 16), bytes.Repeat([]byte{255}, 16)} {
		if n, ok := format.Padding(bad); n != 0 || ok {
			t.Errorf("Padding(%x) = %d, %v", bad, n, ok)
		}
	}
	if _, err := format.NewCBC(cek[:31], make([]byte, 16)); !errors.Is(err, format.ErrAuth) {
		t.Error("a short key")
	}
	if _, err := format.NewCBC(cek, make([]byte, 15)); !errors.Is(err, format.ErrAuth) {
		t.Error("a short IV")
	}
	c, err := format.NewCBC(cek, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Decrypt(make([]byte, 15), true); got != nil {
		t.Errorf("an IV that is cut: %x", got)
	}
}

const good = `{"EncryptionMode":"FullBlob","WrappedContentKey":{"KeyId":"key1","EncryptedKey":"AAAA","Algorithm":"A256KW"},` +
	`"EncryptionAgent":{"Protocol":"2.1","EncryptionAlgorithm":"AES_GCM_256"},"EncryptedRegionInfo":{"DataLength":16,"NonceLength":12},` +
	`"KeyWrappingMetadata":{"EncryptionLibrary":"x"}}`

const goodV1 = `{"WrappedContentKey":{"KeyId":"key1","EncryptedKey":"AAAA"},` +
	`"EncryptionAgent":{"Protocol":"1.0","EncryptionAlgorithm":"AES_CBC_256"},"ContentEncryptionIV":"AAAAAAAAAAAAAAAAAAAAAA=="}`

func TestParse(t *testing.T) {
	want := &format.Data{
		Protocol: format.V21, KeyID: "key1", EncryptedKey: []byte{0, 0, 0}, Algorithm: "A256KW", RegionLength: 16, Mode: true,
		Wrapping: map[string]string{"EncryptionLibrary": "x"},
	}
	for _, text := range []string{
		good,
		" " + strings.ReplaceAll(good, ":", " : \n"),
		strings.Replace(good, "{", `{"Unknown":{"EncryptionMode":1},`, 1),
		strings.Replace(good, "Protocol", "protocol", 1),
		strings.Replace(good, "WrappedContentKey", "wrappedcontentkey", 1),
		strings.Replace(good, "key1", `\u006bey1`, 1),
		strings.Replace(good, `"x"`, `"x","Number":1`, 1),
	} {
		got, err := format.Parse(text)
		if err != nil {
			t.Errorf("Parse(%s): %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%s) (-want +got):\n%s", text, diff)
		}
	}
	if got := want.Text(); got != good {
		t.Errorf("Text = %s\nwant   %s", got, good)
	}
	v1, err := format.Parse(goodV1)
	if err != nil || !v1.NoWrapping || v1.Algorithm != "" || v1.Text() != goodV1 {
		t.Errorf("Parse(%s) = %+v, %v", goodV1, v1, err)
	}
}

func TestParseRefuses(t *testing.T) {
	replace := func(old, fresh string) string {
		s := strings.Replace(good, old, fresh, 1)
		if s == good {
			t.Fatalf("%q is not there", old)
		}
		return s
	}
	tests := []struct {
		name, text string
		want       error
	}{
		{"empty", "", format.ErrMetadata},
		{"no JSON", "plain", format.ErrMetadata},
		{"array", "[]", format.ErrMetadata},
		{"nothing in it", "{}", format.ErrMetadata},
		{"more behind", good + "{}", format.ErrMetadata},
		{"cut", good[:len(good)-1], format.ErrMetadata},
		{"no UTF-8", replace("key1", "\xff"), format.ErrMetadata},
		{"too long", replace("key1", strings.Repeat("k", 64<<10)), format.ErrMetadata},
		{"too many members", replace("{", "{"+strings.Repeat(`"a":1,`, 256)), format.ErrMetadata},
		{"unknown protocol", replace("2.1", "3.0"), format.ErrProtocol},
		{"no protocol", replace(`"Protocol":"2.1",`, ""), format.ErrMetadata},
		{"protocol is a number", replace(`"2.1"`, "2.1"), format.ErrMetadata},
		{"no cipher", replace(`,"EncryptionAlgorithm":"AES_GCM_256"`, ""), format.ErrMetadata},
		{"cipher of 1.0", replace("AES_GCM_256", "AES_CBC_256"), format.ErrMetadata},
		{"no agent", replace("EncryptionAgent", "Agent"), format.ErrMetadata},
		{"agent is null", replace(`{"Protocol":"2.1","EncryptionAlgorithm":"AES_GCM_256"}`, "null"), format.ErrMetadata},
		{"no key", replace("WrappedContentKey", "Key"), format.ErrMetadata},
		{"key is text", replace(`{"KeyId":"key1","EncryptedKey":"AAAA","Algorithm":"A256KW"}`, `"x"`), format.ErrMetadata},
		{"no key id", replace(`"KeyId":"key1",`, ""), format.ErrMetadata},
		{"no wrapped key", replace(`"EncryptedKey":"AAAA",`, ""), format.ErrMetadata},
		{"empty wrapped key", replace("AAAA", ""), format.ErrMetadata},
		{"long wrapped key", replace("AAAA", strings.Repeat("AAAA", 1000)), format.ErrMetadata},
		{"no base64", replace("AAAA", "A-_A"), format.ErrMetadata},
		{"not padded", replace("AAAA", "AAA"), format.ErrMetadata},
		{"bits behind", replace("AAAA", "AAB="), format.ErrMetadata},
		{"line break", replace("AAAA", `AA\nAA`), format.ErrMetadata},
		{"algorithm is a number", replace(`"A256KW"`, "1"), format.ErrMetadata},
		{"no region", replace("EncryptedRegionInfo", "Region"), format.ErrMetadata},
		{"no region length", replace(`"DataLength":16,`, ""), format.ErrMetadata},
		{"region of nothing", replace(":16", ":0"), format.ErrMetadata},
		{"negative region", replace(":16", ":-16"), format.ErrMetadata},
		{"region above all", replace(":16", ":1073741825"), format.ErrMetadata},
		{"region with a point", replace(":16", ":16.0"), format.ErrMetadata},
		{"region with an exponent", replace(":16", ":1e3"), format.ErrMetadata},
		{"region is text", replace(":16", `:"16"`), format.ErrMetadata},
		{"nonce of 8", replace(":12", ":8"), format.ErrMetadata},
		{"no nonce", replace(`,"NonceLength":12`, ""), format.ErrMetadata},
		{"wrapping is text", replace(`{"EncryptionLibrary":"x"}`, `"x"`), format.ErrMetadata},
		{"twice in the wrapping", replace(`"x"`, `"x","EncryptionLibrary":"y"`), format.ErrMetadata},
		{"1.0 without IV", strings.Replace(goodV1, "ContentEncryptionIV", "IV", 1), format.ErrMetadata},
		{"1.0 with a short IV", strings.Replace(goodV1, "AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", 1), format.ErrMetadata},
	}
	for _, name := range []string{
		"EncryptionMode", "WrappedContentKey", "KeyId", "EncryptedKey", "Algorithm", "EncryptionAgent", "Protocol",
		"EncryptionAlgorithm", "EncryptedRegionInfo", "DataLength", "NonceLength", "KeyWrappingMetadata",
	} {
		again := `"` + strings.ToLower(name) + `":1,"` + name + `":`
		tests = append(tests, struct {
			name, text string
			want       error
		}{name + " twice", replace(`"`+name+`":`, again), format.ErrMetadata})
	}
	for _, tt := range tests {
		if d, err := format.Parse(tt.text); !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v; want %v", tt.name, d, err, tt.want)
		}
	}
}

func TestRewrapped(t *testing.T) {
	d, err := format.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	d.KeyID, d.EncryptedKey, d.Algorithm = "n\u00e9w\U0001F511", []byte{1}, "X"
	got, err := d.Rewrapped(strings.Replace(good, "{", `{ "Other" : [ 1, "é" ] ,`, 1))
	want := strings.Replace(good, "{", `{"Other":[ 1, "é" ],`, 1)
	want = strings.Replace(want, `{"KeyId":"key1","EncryptedKey":"AAAA","Algorithm":"A256KW"}`,
		`{"KeyId":"n\u00e9w\ud83d\udd11","EncryptedKey":"AQ==","Algorithm":"X"}`, 1)
	if err != nil || got != want {
		t.Errorf("Rewrapped = %s, %v\nwant        %s", got, err, want)
	}
	if _, err := d.Rewrapped("x"); !errors.Is(err, format.ErrMetadata) {
		t.Errorf("Rewrapped of no JSON: %v", err)
	}
}

func TestLength(t *testing.T) {
	context := []byte("name")
	seal := func(context []byte) string { return format.SealLength(cek, format.V2, 1000, 16, context) }
	check := func(entry string, context []byte) error {
		return format.CheckLength(entry, cek, format.V2, 1000, 16, context)
	}
	if err := check(seal(nil), nil); err != nil {
		t.Error(err)
	}
	if err := check(seal(context), nil); err != nil {
		t.Errorf("a reader that gives no context: %v", err)
	}
	if err := check(seal(context), context); err != nil {
		t.Error(err)
	}
	words := strings.Split(seal(context), " ")
	for name, err := range map[string]error{
		"no context was bound":    check(seal(nil), context),
		"another context":         check(seal(context), []byte("other")),
		"an empty context":        check(seal(context), []byte{}),
		"another length":          format.CheckLength(seal(nil), cek, format.V2, 984, 16, nil),
		"another region":          format.CheckLength(seal(nil), cek, format.V2, 1000, 32, nil),
		"another version":         format.CheckLength(seal(nil), cek, format.V21, 1000, 16, nil),
		"another key":             format.CheckLength(seal(nil), bytes.Repeat([]byte{4}, 32), format.V2, 1000, 16, nil),
		"empty":                   check("", nil),
		"another form":            check("2"+seal(nil)[1:], nil),
		"a word more":             check(seal(context)+" x", nil),
		"context mac as length's": check(strings.Join([]string{words[0], words[1], words[3], words[3]}, " "), nil),
		"length's mac as context": check(strings.Join([]string{words[0], words[1], words[2], words[2]}, " "), context),
		"length with a plus":      check(strings.Replace(seal(nil), "1000", "+1000", 1), nil),
		"no base64":               check("1 1000 ?", nil),
	} {
		if !errors.Is(err, format.ErrAuth) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The entry is a format: these bytes do not change.
	const want = "1 1000 E7k0F9Ngz6bLCmysknJeL5tJ3wkQRrPv6jxd46/cXBE= 3HoOzPip2SfTla8k+5K+YnIq3joQ+2ifAwSNgUpJP6A="
	if got := seal(context); got != want {
		t.Errorf("SealLength = %s, want %s", got, want)
	}
}

func TestEnvelope(t *testing.T) {
	d, err := format.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	text := format.Envelope{Contents: []byte{1, 2, 3}, Data: d}.Text()
	got, ok, err := format.ParseEnvelope(text)
	if err != nil || !ok || !bytes.Equal(got.Contents, []byte{1, 2, 3}) || got.Text() != text {
		t.Errorf("ParseEnvelope(%s) = %+v, %v, %v", text, got, ok, err)
	}
	for _, plain := range []string{
		"", "hello", "{}", "[]", strings.Replace(text, "{", `{"More":1,`, 1), strings.Replace(text, "EncryptionData", "encryptiondata", 1),
		`{"EncryptionData":1,"EncryptionData":2}`,
	} {
		if _, ok, err := format.ParseEnvelope(plain); ok || err != nil {
			t.Errorf("ParseEnvelope(%q): ok %v, %v; want plaintext", plain, ok, err)
		}
	}
	for _, bad := range []string{strings.Replace(text, "AQID", "?", 1), strings.Replace(text, "2.1", "9", 1)} {
		if _, ok, err := format.ParseEnvelope(bad); !ok || err == nil {
			t.Errorf("ParseEnvelope(%q): ok %v, %v; want an error", bad, ok, err)
		}
	}
}

// Random cases from a fixed seed, hashed into one value: the text of every kind of data,
// bodies of all sizes, the entry of the length.
func TestAccumulated(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	h := sha256.New()
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for i := range 10000 {
		p := []format.Protocol{format.V2, format.V21}[i%2]
		key, region := bytesOf(32), int64(16+rng.IntN(50))
		d := format.Data{
			Protocol: p, KeyID: string(rune(rng.IntN(0x3000))) + "k", EncryptedKey: bytesOf(1 + rng.IntN(60)),
			Algorithm: "A256KW", RegionLength: region, Mode: i%3 == 0,
			Wrapping: map[string]string{"b": "<&>", "a": string(rune(0x1f000 + rng.IntN(200)))},
		}
		h.Write([]byte(d.Text()))
		r, err := format.NewRegions(key, region)
		if err != nil {
			t.Fatal(err)
		}
		text := bytesOf(1 + rng.IntN(int(region)))
		sealed := make([]byte, len(text)+28)
		index := rng.Uint64() >> rng.IntN(64)
		r.Seal(sealed, text, index)
		h.Write(sealed)
		h.Write([]byte(format.SealLength(key, p, int64(rng.Uint64()>>8), region, text)))
	}
	const want = "8f17b1b28af599b4aba0e41196b2bc45"
	if got := hex.EncodeToString(h.Sum(nil)[:16]); got != want {
		t.Errorf("the hash of 10000 cases is %s, want %s", got, want)
	}
}
