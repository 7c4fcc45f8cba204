package vectortest

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/secret"
)

// accumulated is the hash over everything that 10,000 random cases gave. It changes
// only with a format.
const accumulated = "00de76bea5414ae7ab78f5ce87af9e0af370be6c9e50d720cc2b3999c91889f3"

// TestAccumulated runs 10,000 random cases from a fixed seed. Each is sealed by the
// second implementation, opened by the first, and goes into one hash with all that was
// derived: encodings, keys, check values, sealed bytes, and what opened.
func TestAccumulated(t *testing.T) {
	g := &gen{rand.NewChaCha8([32]byte([]byte("coffer accumulated vectors, v. 1"))), map[string]Case{}}
	rng := rand.New(g.rng)
	sum := sha256.New()
	kinds := []func(*testing.T, *gen, *rand.Rand, hash.Hash){
		accumulateEnc, accumulateKCV, accumulateSeal, accumulateValue, accumulateInfra, accumulateChunk,
		accumulateFields,
	}
	for range 10000 {
		kinds[rng.IntN(len(kinds))](t, g, rng, sum)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != accumulated {
		t.Errorf("accumulated hash = %s, want %s", got, accumulated)
	}
}

// add hashes b after its length.
func add(h hash.Hash, parts ...[]byte) {
	for _, b := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
}

// opened checks what opened against what was sealed.
func opened(t *testing.T, what string, got, want []byte, err error) {
	t.Helper()
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s: %x, %v, want %x", what, got, err, want)
	}
}

func accumulateEnc(t *testing.T, g *gen, rng *rand.Rand, h hash.Hash) {
	label := string(g.bytes(rng.IntN(30)))
	var fields [][]byte
	for range rng.IntN(5) {
		fields = append(fields, g.bytes(rng.IntN(40)))
	}
	got := enc.Encode(label, fields...)
	opened(t, "enc", got, refEnc(label, fields...), nil)
	ikm, salt, n := g.bytes(rng.IntN(80)), g.bytes(rng.IntN(40)), 1+rng.IntN(100)
	var okm []byte
	fips140.WithoutEnforcement(func() { okm = enc.Derive(ikm, salt, got, n) }) // short keys
	opened(t, "HKDF", okm, refHKDF(ikm, salt, got, n), nil)
	add(h, got, okm)
}

func accumulateKCV(t *testing.T, g *gen, rng *rand.Rand, h hash.Hash) {
	kcv, err := keywrap.KCV(secret.New(g.bytes(32)), [16]byte(g.bytes(16)), rng.Uint64())
	if err != nil {
		t.Fatal(err)
	}
	add(h, kcv[:])
}

func accumulateSeal(t *testing.T, g *gen, rng *rand.Rand, h hash.Hash) {
	s := g.newSeal(rng.IntN(200))
	s.aad = refEnc("coffer/test", g.bytes(rng.IntN(50)))
	sealed := s.make()
	got, err := keywrap.Open(secret.New(slices.Clone(s.key)), [16]byte(s.keyref), s.aad, sealed)
	opened(t, "SEAL-1", got, s.plaintext, err)
	add(h, sealed, got)
}

func accumulateValue(t *testing.T, g *gen, rng *rand.Rand, h hash.Hash) {
	v := g.newValue(rng.IntN(300))
	sealed := v.make()
	got, err := envelope.OpenValue(secret.New(slices.Clone(v.key)), [16]byte(v.keyref), nil, v.aad, sealed)
	opened(t, "VALUE-1", got, v.plaintext, err)
	row := envelope.EncodeRow(envelope.Row{SYS: sealed, Parts: [][]byte{sealed}}).Bytes()
	sys, rest, err := envelope.SplitRow(row)
	opened(t, "ROW", append(slices.Clone(sys), rest...), append(slices.Clone(sealed), sealed...), err)
	add(h, sealed, got, row)
}

func accumulateInfra(t *testing.T, g *gen, rng *rand.Rand, h hash.Hash) {
	v := g.newInfra(rng.IntN(300))
	sealed := v.make()
	got, err := envelope.OpenInfra(secret.New(slices.Clone(v.key)), [16]byte(v.keyref), nil, v.aad, sealed)
	opened(t, "INFRA-1", got, v.inner, err)
	add(h, sealed, got)
}

func accumulateChunk(t *testing.T, g *gen, rng *rand.Rand, h hash.Hash) {
	c := g.newChunk(rng.IntN(3000), byte(segment.MinLg+rng.IntN(4)))
	chunk := c.make()
	p := segment.Params{
		DEK: secret.New(slices.Clone(c.dek)), DEKID: [16]byte(c.dekID), Owner: [16]byte(c.owner),
		Chunk: [16]byte(c.chunk), Lg: c.lg,
	}
	got, err := readChunk(p, int64(len(c.plaintext)), chunk)
	opened(t, "CFC1", got, c.plaintext, err)
	add(h, chunk, got)
}

func accumulateFields(t *testing.T, g *gen, rng *rand.Rand, h hash.Hash) {
	var fs []envelope.Field
	tag := 1
	for range rng.IntN(8) {
		tag = min(255, tag+rng.IntN(60))
		fs = append(fs, envelope.Field{Tag: byte(tag), Value: g.bytes(rng.IntN(60))})
	}
	b := envelope.EncodeFields(fs)
	back, err := envelope.DecodeFields(b)
	if err != nil || len(back) != len(fs) {
		t.Fatalf("FIELDS: %d of %d, %v", len(back), len(fs), err)
	}
	add(h, b)
}

// TestSealedByUs opens, with the second implementation, what the first one seals.
func TestSealedByUs(t *testing.T) {
	g := &gen{rand.NewChaCha8([32]byte{}), map[string]Case{}}
	rng := rand.New(g.rng)
	for range 300 {
		key, keyref, aad, plain := g.bytes(32), [16]byte(g.bytes(16)), g.bytes(20), g.bytes(rng.IntN(200))
		k := secret.New(slices.Clone(key))

		b, err := keywrap.Seal(k, keyref, aad, plain)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256(aad)
		kc := refHKDF(key, b[18:34], refEnc("coffer/seal/v1", refUint(1), refUint(1), keyref[:], hash[:]), 64)
		opened(t, "commitment", b[34:66], kc[32:], nil)
		opened(t, "SEAL-1", refGCMOpen(kc[:32], nil, b[66:]), plain, nil)

		b, err = envelope.SealValue(k, keyref, nil, aad, plain)
		if err != nil {
			t.Fatal(err)
		}
		vk := refHKDF(key, b[17:33], refEnc("coffer/value/v1", refUint(1), keyref[:]), 32)
		opened(t, "VALUE-1", refGCMOpen(vk, aad, b[33:]), plain, nil)

		b, err = envelope.SealInfra(k, keyref, nil, aad, plain)
		if err != nil {
			t.Fatal(err)
		}
		again := infra1{suite: 2, kdfSuite: 2, label: "coffer/infra/cbc/v1", tagLen: 32, key: key, keyref: keyref[:],
			salt: b[17:33], iv: b[33:49], aad: aad, inner: plain}
		opened(t, "INFRA-1", b, again.make(), nil)

		c := g.newChunk(rng.IntN(3000), 9)
		p := segment.Params{DEK: secret.New(slices.Clone(c.dek)), DEKID: [16]byte(c.dekID), Owner: [16]byte(c.owner), Chunk: [16]byte(c.chunk), Lg: 9}
		chunk, _, err := segment.SealBytes(p, c.plaintext)
		if err != nil {
			t.Fatal(err)
		}
		c.nonce = func(i int) []byte { return chunk.Bytes()[64+i*540:][:12] }
		opened(t, "CFC1", chunk.Bytes(), c.make(), nil)
	}
}
