package object

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/vectortest"
)

var update = flag.Bool("update", false, "write spec/testkit/sys anew")

// TestVectors reads the plaintexts of SYS in spec/testkit/sys.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	sound := 0
	for _, c := range vectortest.Load(t, "sys") {
		b := c.Bytes(t, "encoded")
		r, sizes, err := decodeSYS(b, nil)
		if c.Text("expect") != vectortest.OK {
			if err == nil {
				t.Errorf("%s: parsed, want %s", c.Name, c.Text("expect"))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: decodeSYS error = %v", c.Name, err)
			continue
		}
		for i, n := range sizes {
			r.Parts[i].Sealed = make([]byte, n)
		}
		if again, err := encodeSYS(r, nil); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: encodeSYS = %x, %v, want %x", c.Name, again, err, b)
		}
		if got, want := strings.Join(linesOf(r), "\n"), strings.Join(c.Texts("holds"), "\n"); got != want {
			t.Errorf("%s holds\n%s\nwant\n%s", c.Name, got, want)
		}
		sound++
	}
	if sound < len(rows()) {
		t.Errorf("%d sound vectors, want one for each of %d shapes", sound, len(rows()))
	}
}

func writeVectors(t *testing.T) {
	dir := filepath.Join(vectortest.Root(), "sys")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, expect, comment string, b []byte, holds []string) {
		text := fmt.Sprintf("format: SYS\nexpect: %s\ncomment: %s\nencoded: %s\n", expect, comment, hex.EncodeToString(b))
		for _, line := range holds {
			text += "holds: " + line + "\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shapes := rows()
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		b, err := encodeSYS(shapes[name], nil)
		if err != nil {
			t.Fatal(err)
		}
		write("ok-"+name, vectortest.OK, name, b, linesOf(shapes[name]))
	}
	for _, r := range refusals() {
		write("bad-"+strings.ReplaceAll(r.name, " ", "-"), vectortest.Format, r.name, envelope.EncodeFields(r.fs), nil)
	}
}

// linesOf says what a row holds, as the vectors do.
func linesOf(r *Row) []string {
	out := []string{fmt.Sprintf("class %d", r.Class)}
	add := func(format string, a ...any) { out = append(out, strings.TrimRight(fmt.Sprintf(format, a...), " ")) }
	for _, e := range r.DEKs {
		add("dek %x %x %d %d %x", e.ID[:], e.Protector.Bytes(), e.Form, e.WrappedAt.UnixNano(), e.Wrap)
	}
	for _, p := range r.pieces {
		add("piece %d %x", p.Length, p.Label)
		for _, ref := range p.Refs {
			add("ref %x %x %d %d", ref.Chunk[:], ref.DEKID[:], ref.Offset, ref.Length)
		}
	}
	for _, p := range r.Parts {
		add("part %d %x %x %x %d", p.Kind, p.Protector.Bytes(), p.Keyref[:], p.VID[:], len(p.Sealed))
	}
	if r.CPKHash != nil {
		add("cpk %x", r.CPKHash)
	}
	if c := r.chunk; c != nil {
		add("chunk %d %d %d %d %d", c.lg, c.length, c.stored, c.crc, c.state)
		if !c.inline() {
			add("place %x %d %d", c.place.Extent[:], c.place.Offset, c.place.Length)
		}
	}
	if m := r.mapped; m.count > 0 {
		add("map %x %d %d", m.id[:], m.length, m.count)
	}
	for _, f := range r.Fields {
		add("field %d %x", f.Tag, f.Value)
	}
	return out
}
