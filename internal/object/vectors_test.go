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
	write := func(name, expect, comment string, b []byte) {
		text := fmt.Sprintf("format: SYS\nexpect: %s\ncomment: %s\nencoded: %s\n", expect, comment, hex.EncodeToString(b))
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
		write("ok-"+name, vectortest.OK, name, b)
	}
	for _, r := range refusals() {
		write("bad-"+strings.ReplaceAll(r.name, " ", "-"), vectortest.Format, r.name, envelope.EncodeFields(r.fs))
	}
}
