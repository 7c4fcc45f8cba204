package cse_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

func readStream(t testing.TB, c *cse.BlobClient, o *cse.DownloadStreamOptions) ([]byte, error) {
	t.Helper()
	r, err := c.DownloadStream(t.Context(), o)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err == nil && int64(len(got)) != r.Length {
		t.Errorf("Body gave %d bytes, Length says %d", len(got), r.Length)
	}
	return got, err
}

func stringProperty(t testing.TB, entity []byte, name string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(entity, &m); err != nil {
		t.Fatal(err)
	}
	if typ, ok := m[name+"@odata.type"]; ok {
		t.Errorf("%s still has type %v", name, typ)
	}
	s, ok := m[name].(string)
	if !ok {
		t.Errorf("%s = %v, want a string", name, m[name])
	}
	return s
}

// names are the names that an entity has once the properties in plain are decrypted.
func names(t testing.TB, entity []byte, plain map[string]string) []string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(entity, &m); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(m, func(name string, _ any) bool {
		base, isType := strings.CutSuffix(name, "@odata.type")
		_, encrypted := plain[base]
		return isType && encrypted || plain != nil && strings.HasPrefix(name, "_ClientEncryptionMetadata")
	})
	return slices.Sorted(maps.Keys(m))
}

func flip(rng *rand.Rand, b []byte) { b[rng.IntN(len(b))] ^= 1 << rng.IntN(8) }

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func random64(rng *rand.Rand, n int) string { return encode64(random(rng, n)) }

func wrappedOf(b *csetest.Blob) string {
	_, rest, _ := strings.Cut(b.Metadata["encryptiondata"], `"EncryptedKey":"`)
	wrapped, _, _ := strings.Cut(rest, `"`)
	return wrapped
}

func editData(b *csetest.Blob, old, fresh string) {
	b.Metadata["encryptiondata"] = strings.Replace(b.Metadata["encryptiondata"], old, fresh, 1)
}
