package name

import (
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/fault"
)

type parse func(string) (string, error)

func TestParse(t *testing.T) {
	account := parse(func(s string) (string, error) { n, err := ParseAccount(s); return string(n), err })
	container := parse(func(s string) (string, error) { n, err := ParseContainer(s); return string(n), err })
	blob := parse(func(s string) (string, error) { n, err := ParseBlob(s); return string(n), err })
	tests := []struct {
		what string
		f    parse
		in   string
		ok   bool
	}{
		{"account shortest", account, "abc", true},
		{"account of digits", account, "123", true},
		{"account longest", account, strings.Repeat("a", 24), true},
		{"account too short", account, "ab", false},
		{"account too long", account, strings.Repeat("a", 25), false},
		{"account upper case", account, "Abc", false},
		{"account with a dash", account, "a-bc", false},
		{"account empty", account, "", false},

		{"container shortest", container, "abc", true},
		{"container longest", container, strings.Repeat("a", 63), true},
		{"container dashes", container, "a-b-c", true},
		{"container digits", container, "0-1", true},
		{"container root", container, "$root", true},
		{"container web", container, "$web", true},
		{"container logs", container, "$logs", true},
		{"container other dollar", container, "$rooty", false},
		{"container too short", container, "ab", false},
		{"container too long", container, strings.Repeat("a", 64), false},
		{"container double dash", container, "a--b", false},
		{"container leading dash", container, "-abc", false},
		{"container trailing dash", container, "abc-", false},
		{"container upper case", container, "aBc", false},
		{"container dot", container, "a.b", false},
		{"container underscore", container, "a_b", false},
		{"container not ASCII", container, "abé", false},

		{"blob one character", blob, "a", true},
		{"blob is kept as sent", blob, "a//b/../c ./", true},
		{"blob of slashes", blob, "//", true},
		{"blob longest", blob, strings.Repeat("x", 1024), true},
		{"blob too long", blob, strings.Repeat("x", 1025), false},
		{"blob longest in three-byte characters", blob, strings.Repeat("語", 1024), true},
		{"blob longest in surrogate pairs", blob, strings.Repeat("😀", 512), true},
		{"blob too long in surrogate pairs", blob, strings.Repeat("😀", 513), false},
		{"blob empty", blob, "", false},
		{"blob with NUL", blob, "a\x00b", false},
		{"blob with broken UTF-8", blob, "a\xffb", false},
		{"blob with control characters", blob, "a\x01\nb", true},
		{"blob most segments", blob, strings.Repeat("a/", 253) + "a", true},
		{"blob too many segments", blob, strings.Repeat("a/", 254) + "a", false},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			got, err := tt.f(tt.in)
			if !tt.ok {
				// A length that is not permitted has a kind of its own.
				want := fault.InvalidResourceName
				if what, ok := strings.CutPrefix(tt.what, "account "); !ok && (strings.Contains(what, "too long") || strings.Contains(what, "too short")) {
					want = fault.OutOfRangeInput
				}
				if !fault.Is(err, want) || got != "" {
					t.Fatalf("parse(%q) = %q, %v, want %v", tt.in, got, err, want)
				}
				return
			}
			if err != nil || got != tt.in {
				t.Fatalf("parse(%q) = %q, %v, want it as it is", tt.in, got, err)
			}
		})
	}
}

// FuzzParse shows that what parses is what was given, and that no refused name gets
// into an error whole.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"abc", "$root", "a--b", "a/b//c", "\x00", "\xff\xfe", strings.Repeat("é", 600), "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check := func(got string, err error) {
			if err == nil && got != s {
				t.Errorf("parsed %q as %q", s, got)
			}
			if err != nil && (got != "" || strings.ContainsAny(err.Error(), "\x00\n\r") || len(err.Error()) > 200) {
				t.Errorf("refusal of %q: %q, %v", s, got, err)
			}
		}
		a, err := ParseAccount(s)
		check(string(a), err)
		c, err := ParseContainer(s)
		check(string(c), err)
		b, err := ParseBlob(s)
		check(string(b), err)
		if err == nil && (len(s) == 0 || len(s) > 3*MaxBlobLength) {
			t.Errorf("ParseBlob accepts %d bytes", len(s))
		}
	})
}
