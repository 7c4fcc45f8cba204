package slot

import (
	"bytes"
	"crypto/fips140"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
	"github.com/coffer-storage/coffer/internal/secret"
)

func raw(t testing.TB, k secret.Key) []byte {
	t.Helper()
	var out []byte
	if err := k.Use(func(b []byte) error { out = bytes.Clone(b); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWrapBindsItsPlace(t *testing.T) {
	u, root := secret.Random(32), secret.Random(32)
	p := Place{Store: [16]byte{1}, Slot: [16]byte{2}, Root: 1, Ref: [16]byte{3}, Provider: 1}
	blob, err := Wrap(u, p, root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unwrap(u, p, blob)
	if err != nil || !bytes.Equal(raw(t, got), raw(t, root)) {
		t.Fatalf("Unwrap = %v", err)
	}
	tests := []struct {
		name   string
		change func(*Place)
	}{
		{"store", func(p *Place) { p.Store[0]++ }},
		{"slot", func(p *Place) { p.Slot[0]++ }},
		{"root", func(p *Place) { p.Root = 2 }},
		{"ref", func(p *Place) { p.Ref[0]++ }},
		{"provider", func(p *Place) { p.Provider = 2 }},
		{"params", func(p *Place) { p.Params = []byte{0} }},
	}
	for _, tt := range tests {
		q := p
		tt.change(&q)
		if _, err := Unwrap(u, q, blob); !errors.Is(err, ErrOpen) {
			t.Errorf("Unwrap with another %s = %v, want ErrOpen", tt.name, err)
		}
	}
	if _, err := Unwrap(secret.Random(32), p, blob); !errors.Is(err, ErrOpen) {
		t.Errorf("Unwrap with another secret = %v, want ErrOpen", err)
	}
	if _, err := Unwrap(u, p, blob[1:]); !errors.Is(err, ErrFormat) {
		t.Errorf("Unwrap of a cut blob = %v, want ErrFormat", err)
	}
}

func TestSealKeyDiffers(t *testing.T) {
	root := secret.Random(32)
	seen := map[string]string{}
	for _, c := range []struct {
		store, ref byte
		which      uint8
	}{{1, 1, 1}, {2, 1, 1}, {1, 2, 1}, {1, 1, 2}} {
		k, err := SealKey(root, [16]byte{c.store}, c.which, [16]byte{c.ref})
		if err != nil {
			t.Fatal(err)
		}
		name, s := fmt.Sprint(c), string(raw(t, k))
		if other, ok := seen[s]; ok {
			t.Errorf("SealKey %s and %s are equal", name, other)
		}
		seen[s] = name
	}
}

func TestRecipient(t *testing.T) {
	u, root, pin := secret.Random(32), secret.Random(32), [32]byte{7}
	p := Place{Store: [16]byte{1}, Slot: [16]byte{2}, Root: 2, Ref: [16]byte{3}, Provider: Kit}
	params, err := NewRecipient(u, p, KitHead(2, 3), pin)
	if err != nil {
		t.Fatal(err)
	}
	p.Params = params
	blob, err := SealRoot(p, root)
	if err != nil {
		t.Fatal(err)
	}
	got, gotPin, err := OpenRoot(u, p, blob)
	if err != nil || gotPin != pin || !bytes.Equal(raw(t, got), raw(t, root)) {
		t.Fatalf("OpenRoot: %v, pin %v", err, gotPin == pin)
	}
	if _, _, err := OpenRoot(secret.Random(32), p, blob); !errors.Is(err, ErrOpen) {
		t.Errorf("OpenRoot with another secret = %v, want ErrOpen", err)
	}
	q, err := ParseParams(Kit, params)
	if err != nil || q.K != 2 || q.N != 3 {
		t.Errorf("ParseParams = %d of %d, %v", q.K, q.N, err)
	}
	step := 1
	if testing.Short() {
		step = 101
	}
	for i := 0; i < len(params); i += step {
		bad := p
		bad.Params = bytes.Clone(params)
		bad.Params[i] ^= 1
		if k, _, err := OpenRoot(u, bad, blob); err == nil || !k.IsZero() {
			t.Fatalf("OpenRoot accepts a flip of byte %d of the params", i)
		}
	}
	for i := 0; i < len(blob); i += 16 * step {
		bad := bytes.Clone(blob)
		bad[i] ^= 1
		if _, _, err := OpenRoot(u, p, bad); !errors.Is(err, ErrOpen) {
			t.Fatalf("OpenRoot of a blob with byte %d flipped = %v, want ErrOpen", i, err)
		}
	}
	moved := p
	moved.Ref[0]++
	if _, _, err := OpenRoot(u, moved, blob); !errors.Is(err, ErrOpen) {
		t.Errorf("OpenRoot with another root ref = %v, want ErrOpen", err)
	}
}

func TestFromPassphrase(t *testing.T) {
	if _, err := FromPassphrase("x", [16]byte{}, MinIterations-1); !errors.Is(err, ErrFormat) {
		t.Errorf("too few iterations = %v, want ErrFormat", err)
	}
	if _, err := FromPassphrase("x", [16]byte{}, maxIterations+1); !errors.Is(err, ErrFormat) {
		t.Errorf("too many iterations = %v, want ErrFormat", err)
	}
	a, err := FromPassphrase("correct horse", [16]byte{1}, MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := FromPassphrase("correct horse", [16]byte{2}, MinIterations)
	if same, err := Same(a, b); same || err != nil {
		t.Errorf("two salts give the same secret (%v)", err)
	}
	head := append(PassphraseHead([16]byte{1}, MinIterations-1), "key"...)
	params := append([]byte{0, 0, 0, byte(len(head))}, head...)
	if _, err := ParseParams(Passphrase, params); !errors.Is(err, ErrFormat) {
		t.Errorf("ParseParams with too few iterations = %v, want ErrFormat", err)
	}
}

func TestShares(t *testing.T) {
	for _, c := range []struct{ k, n uint8 }{{1, 1}, {1, 3}, {2, 2}, {2, 3}, {3, 5}, {5, 255}, {255, 255}} {
		u := secret.Random(32)
		shares, err := Split(u, c.k, c.n)
		if fips140.Enabled() && c.n > 1 {
			if !errors.Is(err, ErrShamir) {
				t.Errorf("Split(%d, %d) in FIPS mode = %v, want ErrShamir", c.k, c.n, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, pick := range [][]Share{shares[:c.k], shares[c.n-c.k:]} {
			got, err := Join(pick, c.k)
			if err != nil {
				t.Fatal(err)
			}
			if same, _ := Same(got, u); !same {
				t.Errorf("%d of %d: joined another secret", c.k, c.n)
			}
		}
		if c.k > 1 {
			if _, err := Join(shares[:c.k-1], c.k); err == nil {
				t.Errorf("%d of %d: joined with one share less", c.k, c.n)
			}
			twice := append([]Share{shares[0]}, shares[:c.k-1]...)
			if _, err := Join(twice, c.k); err == nil {
				t.Errorf("%d of %d: one share counted twice", c.k, c.n)
			}
		}
	}
	for _, c := range []struct{ k, n uint8 }{{0, 1}, {2, 1}, {0, 0}} {
		if _, err := Split(secret.Random(32), c.k, c.n); err == nil {
			t.Errorf("Split(%d, %d) succeeds", c.k, c.n)
		}
	}
}

// One share less than needed says nothing: every secret is still possible.
func TestSharesHide(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("no sharing in FIPS mode")
	}
	zero := secret.New(make([]byte, 32))
	counts := map[byte]int{}
	for range 2000 {
		shares, err := Split(zero, 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		counts[shares[0][1]]++
	}
	if len(counts) < 200 {
		t.Errorf("first byte of a share takes %d values in 2,000 splits of zero", len(counts))
	}
}

func TestField(t *testing.T) {
	// {53} * {CA} = {01} in this field, and {57} * {83} = {C1}.
	if mul(0x53, 0xCA) != 1 || mul(0x57, 0x83) != 0xC1 {
		t.Error("mul disagrees with known products")
	}
	for a := 1; a < 256; a++ {
		if mul(byte(a), inverse(byte(a))) != 1 {
			t.Fatalf("inverse(%#x) is wrong", a)
		}
	}
}

func TestShareText(t *testing.T) {
	shares, err := Split(secret.Random(32), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	text := shares[0].Text()
	if len(text) != 60+11 || strings.Count(text, "-") != 11 {
		t.Errorf("Text() has %d characters", len(text))
	}
	sloppy := strings.NewReplacer("0", "o", "1", "l").Replace(strings.ToLower(strings.ReplaceAll(text, "-", " ")))
	for _, s := range []string{text, sloppy, strings.ReplaceAll(text, "-", "") + "\n"} {
		if got, err := ParseShare(s); err != nil || got != shares[0] {
			t.Errorf("ParseShare of a spelling fails: %v", err)
		}
	}
	for i := range text {
		if text[i] == '-' {
			continue
		}
		for _, c := range []byte{'A', '7'} {
			if c == text[i] {
				continue
			}
			bad := text[:i] + string(c) + text[i+1:]
			if _, err := ParseShare(bad); !errors.Is(err, ErrFormat) {
				t.Fatalf("ParseShare misses a slip at %d: %v", i, err)
			}
		}
	}
	for _, bad := range []string{"", "A", text + "0", strings.Repeat("0", 60), strings.Repeat("U", 60)} {
		_, err := ParseShare(bad)
		if !errors.Is(err, ErrFormat) {
			t.Errorf("ParseShare(%d characters) = %v, want ErrFormat", len(bad), err)
		}
	}
	if s := fmt.Sprintf("%v %#v %+v", shares[0], shares[0], shares); strings.Contains(s, text[:20]) || strings.Contains(s, fmt.Sprint(shares[0][1:10])) {
		t.Error("a share shows its bytes")
	}
}

func FuzzParseShare(f *testing.F) {
	s := Share{0: 1, 5: 9}
	s.sum()
	f.Add(s.Text())
	f.Add(strings.ToLower(s.Text()))
	f.Add("00000-")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseShare(text)
		if err != nil {
			if s != (Share{}) {
				t.Error("a failure returned a share")
			}
			return
		}
		if again, err := ParseShare(s.Text()); err != nil || again != s {
			t.Errorf("ParseShare(Text()) = %v", err)
		}
	})
}

func FuzzParseParams(f *testing.F) {
	for _, c := range vectortest.Load(f, "slot") {
		if c.Text("format") == "RECOVERY" {
			f.Add(uint8(c.Int(f, "provider")), c.Bytes(f, "params"))
		}
	}
	f.Add(uint8(Passphrase), append([]byte{0, 0, 0, 20}, PassphraseHead([16]byte{}, MinIterations)...))
	f.Add(uint8(1), []byte{})
	f.Fuzz(func(t *testing.T, provider uint8, b []byte) {
		q, err := ParseParams(provider, b)
		if err == nil && q.public == nil {
			t.Error("params without a public key")
		}
	})
}
