package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sample() *Manifest {
	return &Manifest{
		Store: [16]byte{1, 2, 3}, Generation: 7, Sequence: 1 << 40,
		Created: time.Unix(1764000000, 5).UTC(),
		Files: []File{
			{"HEAD.A", 10, sha256.Sum256([]byte("a"))},
			{"extents/single/00/x", 1 << 33, sha256.Sum256([]byte("b"))},
		},
	}
}

// The form is fixed: this is the vector of spec/backup.md.
func TestManifestVector(t *testing.T) {
	got := sha256.Sum256(sample().Encode())
	const want = "ac94b573074207ad0332e768e2dafbcbceaeb6286f631fb6bdc9188357be4114"
	if s := hex.EncodeToString(got[:]); s != want {
		t.Errorf("hash of the sample manifest = %s, want %s", s, want)
	}
}

func TestManifestRoundTrip(t *testing.T) {
	m := sample()
	got, err := ParseManifest(m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Error(diff)
	}
}

func TestManifestRefusals(t *testing.T) {
	good := sample().Encode()
	for i := range good {
		if _, err := ParseManifest(good[:i]); err == nil {
			t.Errorf("a manifest cut at %d parses", i)
		}
	}
	if _, err := ParseManifest(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte at the end parses")
	}
	for _, path := range []string{"", ".", "..", "../x", "/x", "a//b", "a/../b", "a\\b", "c:x", "a\x00", "\u00e4", "a/"} {
		m := sample()
		m.Files = []File{{Path: path}}
		if _, err := ParseManifest(m.Encode()); err == nil {
			t.Errorf("path %q parses", path)
		}
	}
	m := sample()
	m.Files[0], m.Files[1] = m.Files[1], m.Files[0]
	if _, err := ParseManifest(m.Encode()); err == nil {
		t.Error("files out of order parse")
	}
	m.Files[0] = m.Files[1]
	if _, err := ParseManifest(m.Encode()); err == nil {
		t.Error("a file listed twice parses")
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(sample().Encode())
	f.Add([]byte{manifestVersion})
	f.Add((&Manifest{Created: time.Unix(0, 0)}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			if m != nil {
				t.Error("a failure returns a manifest")
			}
			return
		}
		if !bytes.Equal(m.Encode(), b) {
			t.Error("what parses has another spelling")
		}
	})
}
