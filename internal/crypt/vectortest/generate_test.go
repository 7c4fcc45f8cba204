package vectortest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write spec/testkit anew")

// gen makes the vectors. The same ones come out every time.
type gen struct {
	rng   *rand.ChaCha8
	files map[string]Case // by path below the root, without ending
}

// generate makes all vectors.
func generate() map[string]Case {
	g := newGen("coffer test vectors, version 1")
	g.enc()
	g.hkdf()
	g.seal()
	g.wrap()
	g.kcv()
	g.value()
	g.infra()
	g.rows()
	g.fields()
	g.chunks()
	g.extents()
	// What came later has a seed of its own, so that nothing above changes with it.
	g.rng = newGen("coffer sealedfs vectors").rng
	g.cfv1()
	g.rng = newGen("coffer commitment vectors").rng
	g.commitments()
	return g.files
}

// newGen returns a generator of made-up bytes; seed has up to 32.
func newGen(seed string) *gen {
	return &gen{rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", seed)))), map[string]Case{}}
}

// bytes returns n made-up bytes.
func (g *gen) bytes(n int) []byte {
	b := make([]byte, n)
	g.rng.Read(b)
	return b
}

// add makes one case. Values are []byte (hex), int and string (as they are); a nil []byte
// gives an empty field.
func (g *gen) add(path, format, expect, comment string, fields ...any) {
	if _, ok := g.files[path]; ok {
		panic("two cases " + path)
	}
	c := Case{Name: filepath.Base(path)}
	c.Add("format", format)
	c.Add("expect", expect)
	c.Add("comment", comment)
	for i := 0; i < len(fields); i += 2 {
		switch v := fields[i+1].(type) {
		case []byte:
			c.AddBytes(fields[i].(string), v)
		default:
			c.Add(fields[i].(string), fmt.Sprint(v))
		}
	}
	g.files[path] = c
}

// flip returns b with one bit of byte at changed; at below 0 counts from the end.
func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 0x10
	return b
}

// with returns b with byte at set to v.
func with(b []byte, at int, v byte) []byte {
	b = slices.Clone(b)
	b[at] = v
	return b
}

// slug makes a file name of a comment.
func slug(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "-")
	}
	return strings.Trim(s, "-")
}

// TestVectorsAreGenerated compares spec/testkit with what the generator makes; with
// -update it writes the files.
func TestVectorsAreGenerated(t *testing.T) {
	want := generate()
	if *update {
		write(t, want)
	}
	good, bad := 0, 0
	for path, c := range want {
		b, err := os.ReadFile(filepath.Join(Root(), path+".txt"))
		if err != nil {
			t.Error(err)
		} else if string(b) != c.String() {
			t.Errorf("%s is not what the generator makes; -update writes it", path)
		}
		if c.Text("expect") == OK {
			good++
		} else {
			bad++
		}
	}
	t.Logf("%d good, %d bad", good, bad)
	if good < 30 || bad < 120 {
		t.Errorf("%d good and %d bad vectors, want at least 30 and 120", good, bad)
	}
	for _, dir := range []string{"enc", "keywrap", "segment", "envelope", "vfs", "cfx1"} {
		names, _ := filepath.Glob(filepath.Join(Root(), dir, "*"))
		for _, name := range names {
			path := dir + "/" + strings.TrimSuffix(filepath.Base(name), ".txt")
			if _, ok := want[path]; !ok {
				t.Errorf("%s has no generator", path)
			}
		}
	}
}

func write(t *testing.T, cases map[string]Case) {
	t.Helper()
	for path, c := range cases {
		name := filepath.Join(Root(), path+".txt")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(c.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
