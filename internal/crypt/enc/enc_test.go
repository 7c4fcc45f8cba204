package enc

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestEncodeIsInjective: two inputs with one encoding are the same input.
func TestEncodeIsInjective(t *testing.T) {
	// Short alphabets make near misses likely: fields of zeros look like lengths.
	label := rapid.StringOfN(rapid.SampledFrom([]rune{'a', 0}), 0, 6, -1)
	fields := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 4}), 0, 8), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		l1, f1 := label.Draw(t, "label 1"), fields.Draw(t, "fields 1")
		l2, f2 := label.Draw(t, "label 2"), fields.Draw(t, "fields 2")
		same := l1 == l2 && len(f1) == len(f2)
		for i := 0; same && i < len(f1); i++ {
			same = bytes.Equal(f1[i], f2[i])
		}
		if got := bytes.Equal(Encode(l1, f1...), Encode(l2, f2...)); got != same {
			t.Fatalf("equal encodings %v, equal inputs %v", got, same)
		}
	})
}

func TestEncodeRefusesLongLabels(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("label of 65,536 bytes is taken")
		}
	}()
	Encode(string(make([]byte, 65536)))
}

// TestDeriveEach: what one extraction gives is what each derivation alone gives.
func TestDeriveEach(t *testing.T) {
	ikm, salt := []byte("input of enough bytes"), []byte("salt")
	infos := [][]byte{Encode("one"), Encode("two", Uint(2)), nil}
	for i, got := range DeriveEach(ikm, salt, 48, infos...) {
		if want := Derive(ikm, salt, infos[i], 48); !bytes.Equal(got, want) {
			t.Errorf("info %d: %x, want %x", i, got, want)
		}
	}
}
