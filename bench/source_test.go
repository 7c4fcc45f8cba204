package main

import (
	"bytes"
	"io"
	"testing"
)

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
