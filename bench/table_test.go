package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrintTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.jsonl")
	lines := `{"label":"null","work":"get4k","conc":8,"ops":10,"ops_s":1000,"seconds":1,"server_cpu_us_per_op":100}
{"label":"coffer","work":"get4k","conc":8,"ops":10,"ops_s":400,"seconds":1,"server_cpu_us_per_op":150,"server_peak_rss_mib":60}
{"label":"coffer","work":"get4k","conc":8,"ops":10,"ops_s":800,"seconds":1,"server_cpu_us_per_op":150,"server_peak_rss_mib":70}
{"label":"coffer","work":"put1g","conc":8,"ops":1,"mib_s":512,"seconds":2,"server_cpu_s_per_gib":1.5}
`
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := printTable(&b, file, []string{"null"}, "coffer"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| get4k | 8 | 600 op/s | 0.0 / 0.0 | 150 us/op | 70 | 0.60 | 1.50 |",
		"| put1g | 8 | 512 MiB/s | 0.0 / 0.0 | 1.50 s/GiB | 0 | - | - |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, b.String())
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := printTable(io.Discard, file, nil, "coffer"); err == nil {
		t.Error("an empty file made a table")
	}
}

// The source gives the same bytes from the middle as from the start, and its
// rounds differ.
func TestSource(t *testing.T) {
	body := newBody()[:1000]
	all, err := io.ReadAll(newSource(body, 3500))
	if err != nil || len(all) != 3500 {
		t.Fatalf("ReadAll = %d bytes, %v", len(all), err)
	}
	s := newSource(body, 3500)
	s.off = 1234
	rest, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(rest, all[1234:]) {
		t.Errorf("from the middle: %d bytes, %v; they differ from the whole", len(rest), err)
	}
	if bytes.Equal(all[:1000], all[1000:2000]) {
		t.Error("two rounds are alike")
	}
}
