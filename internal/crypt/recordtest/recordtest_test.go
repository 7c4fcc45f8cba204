package recordtest_test

import (
	"bytes"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/recordtest"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/secret"
)

// TestListen hears every byte that the sealing functions take, and none after the test.
func TestListen(t *testing.T) {
	heard := map[string][]byte{}
	seal := func(t *testing.T, mark string) {
		k := secret.Random(32)
		content := bytes.Repeat([]byte(mark), 1000)
		w, err := segment.NewWriter(segment.Params{DEK: k, Lg: 9}, int64(len(content)), func(crypt.Sealed) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		w.Write(content[:10])
		w.Write(content[10:5000])
		w.ReadFrom(bytes.NewReader(content[5000:]))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := segment.SealBytes(segment.Params{DEK: k, Lg: 12}, []byte("small "+mark)); err != nil {
			t.Fatal(err)
		}
		if _, err := envelope.SealValue(k, [16]byte{}, nil, nil, []byte("value "+mark)); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("listening", func(t *testing.T) {
		recordtest.Listen(t, func(kind string, p []byte) { heard[kind] = append(heard[kind], p...) })
		seal(t, "canary ")
	})
	seal(t, "later ")
	if want := bytes.Repeat([]byte("canary "), 1000); !bytes.Equal(heard[recordtest.Chunk], append(want, "small canary "...)) {
		t.Errorf("chunks: heard %d bytes", len(heard[recordtest.Chunk]))
	}
	if got := string(heard[recordtest.Value]); got != "value canary " {
		t.Errorf("values: heard %q", got)
	}
}
