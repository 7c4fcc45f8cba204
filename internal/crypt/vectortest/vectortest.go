// Package vectortest reads the vectors of spec/testkit: text files that any language
// can read, one case each. A file is lines of "name: value"; a name may repeat.
//
//	format: SEAL-1
//	expect: ok
//	comment: 32 bytes, as in WRAP-1
//	key: 404142..
//
// Values are hex but for format, expect, comment and decimal numbers. What is expected
// of a bad case is the class of failure, not only that there is one.
package vectortest

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// Classes of results.
const (
	OK       = "ok"
	Format   = "format failure" // cannot be such an object, by form or length
	Keyref   = "keyref failure" // names another key than the one given
	Open     = "open failure"   // does not authenticate
	Tail     = "tail failure"   // something in a log that was durable is damaged or gone
	Mismatch = "mismatch"       // a check value of another key, chain or version
)

// Case is one file.
type Case struct {
	Name   string // of the file, without directory and ending
	fields []field
}

type field struct{ name, value string }

// Root is the directory of the vectors in this source tree.
func Root() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		panic("vectortest: no source path")
	}
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "spec", "testkit")
}

// Load reads every case in a directory below the root. Finding none is a failure.
func Load(t testing.TB, dir string) []Case {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(Root(), dir, "*.txt"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no vectors in spec/testkit/%s (%v)", dir, err)
	}
	sort.Strings(names)
	var cases []Case
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(strings.TrimSuffix(filepath.Base(name), ".txt"), string(b))
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}

// Parse reads the text of one case.
func Parse(name, text string) (Case, error) {
	c := Case{Name: name}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok || key == "" {
			return Case{}, fmt.Errorf("%s:%d: not a line of name and value", name, i+1)
		}
		c.Add(key, strings.TrimPrefix(value, " "))
	}
	for _, must := range []string{"format", "expect", "comment"} {
		if c.Text(must) == "" {
			return Case{}, fmt.Errorf("%s: no %s", name, must)
		}
	}
	return c, nil
}

// Add appends a field.
func (c *Case) Add(name, value string) { c.fields = append(c.fields, field{name, value}) }

// AddBytes appends a field in hex.
func (c *Case) AddBytes(name string, value []byte) { c.Add(name, hex.EncodeToString(value)) }

// String is the text of the file.
func (c Case) String() string {
	var b strings.Builder
	for _, f := range c.fields {
		b.WriteString(strings.TrimSuffix(f.name+": "+f.value, " ") + "\n")
	}
	return b.String()
}

// Text returns a field as it stands, "" when there is none.
func (c Case) Text(name string) string {
	for _, f := range c.fields {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// Texts returns the values of every field of that name.
func (c Case) Texts(name string) (list []string) {
	for _, f := range c.fields {
		if f.name == name {
			list = append(list, f.value)
		}
	}
	return list
}

// Has reports whether there is such a field.
func (c Case) Has(name string) bool {
	for _, f := range c.fields {
		if f.name == name {
			return true
		}
	}
	return false
}

// Bytes returns a field that must be there, in hex.
func (c Case) Bytes(t testing.TB, name string) []byte {
	t.Helper()
	all := c.All(t, name)
	if len(all) != 1 {
		t.Fatalf("%s: %d fields %s, want one", c.Name, len(all), name)
	}
	return all[0]
}

// All returns every field of that name.
func (c Case) All(t testing.TB, name string) [][]byte {
	t.Helper()
	var all [][]byte
	for _, f := range c.fields {
		if f.name == name {
			all = append(all, unhex(t, c.Name, f))
		}
	}
	return all
}

// ID returns a field of 16 bytes.
func (c Case) ID(t testing.TB, name string) [16]byte {
	t.Helper()
	b := c.Bytes(t, name)
	if len(b) != 16 {
		t.Fatalf("%s: field %s of %d bytes, want 16", c.Name, name, len(b))
	}
	return [16]byte(b)
}

// Int returns a field that is a decimal number.
func (c Case) Int(t testing.TB, name string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(c.Text(name), 10, 64)
	if err != nil {
		t.Fatalf("%s: field %s: %v", c.Name, name, err)
	}
	return n
}

func unhex(t testing.TB, name string, f field) []byte {
	t.Helper()
	b, err := hex.DecodeString(f.value)
	if err != nil {
		t.Fatalf("%s: field %s: %v", name, f.name, err)
	}
	return b
}
