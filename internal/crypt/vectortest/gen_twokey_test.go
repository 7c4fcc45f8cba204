package vectortest

import (
	"crypto/aes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
)

// A ciphertext of GCM can be made so that it opens under two keys, to two plaintexts: the
// tag is linear in each block of ciphertext, so one free block makes both tags alike.
// Formats with a commitment refuse it under all keys but one.

// element is one of GF(2^128) as GCM writes it: bit 0 is the highest of hi.
type element struct{ hi, lo uint64 }

func toElement(b []byte) element {
	var full [16]byte
	copy(full[:], b)
	return element{binary.BigEndian.Uint64(full[:]), binary.BigEndian.Uint64(full[8:])}
}

func (a element) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, a.hi), a.lo)
}

func (a element) plus(b element) element { return element{a.hi ^ b.hi, a.lo ^ b.lo} }

// times multiplies modulo x^128 + x^7 + x^2 + x + 1.
func (a element) times(b element) (p element) {
	for i := range 128 {
		word, bit := a.hi, 63-i
		if i >= 64 {
			word, bit = a.lo, 127-i
		}
		if word>>bit&1 == 1 {
			p = p.plus(b)
		}
		carry := b.lo & 1
		b.lo = b.lo>>1 | b.hi<<63
		b.hi >>= 1
		if carry == 1 {
			b.hi ^= 0xe1 << 56
		}
	}
	return p
}

// inverse is a^(2^128 - 2).
func (a element) inverse() element {
	r, square := element{hi: 1 << 63}, a
	for range 127 {
		square = square.times(square)
		r = r.times(square)
	}
	return r
}

// ghash over the padded AAD, the ciphertext and their lengths.
func ghash(h element, aad, ct []byte) (y element) {
	for _, part := range [][]byte{aad, ct, lengths(aad, ct)} {
		for block := range slices.Chunk(part, 16) {
			y = y.plus(toElement(block)).times(h)
		}
	}
	return y
}

func lengths(aad, ct []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(len(aad))*8), uint64(len(ct))*8)
}

// twoKeys returns nonce || ciphertext || tag that GCM opens under both keys. All but the
// last block of the ciphertext is start, whose length is a multiple of 16.
func twoKeys(k1, k2, nonce, aad, start []byte) []byte {
	side := func(key []byte) (h, mask element) {
		block, err := aes.NewCipher(key)
		if err != nil {
			panic(err)
		}
		out := make([]byte, 16)
		block.Encrypt(out, out)
		h = toElement(out)
		block.Encrypt(out, append(slices.Clone(nonce), 0, 0, 0, 1))
		return h, toElement(out)
	}
	h1, m1 := side(k1)
	h2, m2 := side(k2)
	ct := append(slices.Clone(start), make([]byte, 16)...)
	// With x as last block a tag is its mask + ghash(zero block) + x * h^2.
	difference := m1.plus(m2).plus(ghash(h1, aad, ct)).plus(ghash(h2, aad, ct))
	x := difference.times(h1.times(h1).plus(h2.times(h2)).inverse())
	copy(ct[len(start):], x.bytes())
	tag := m1.plus(ghash(h1, aad, ct)).bytes()
	return slices.Concat(nonce, ct, tag)
}

// TestTwoKeysControl: GCM alone accepts such a ciphertext under either key, and gives two
// plaintexts. Were it not so, the refusals in the vectors would prove nothing.
func TestTwoKeysControl(t *testing.T) {
	g := newGen("two keys, control")
	for n := 0; n < 200; n += 16 {
		k1, k2, aad := g.bytes(32), g.bytes(32), g.bytes(n%40)
		b := twoKeys(k1, k2, g.bytes(12), aad, g.bytes(n))
		p1, p2 := refGCMOpen(k1, aad, b), refGCMOpen(k2, aad, b)
		if p1 == nil || p2 == nil || slices.Equal(p1, p2) {
			t.Fatalf("%d bytes: opens under the first %v, under the second %v", n, p1 != nil, p2 != nil)
		}
		if refGCMOpen(g.bytes(32), aad, b) != nil {
			t.Fatal("opens under any key")
		}
	}
}

// twoSided is what a format derives from two keys, and what opens under each.
type twoSided struct {
	keys       [2][]byte // what the format derives from
	derived    [2][]byte
	commitment [2][]byte
	plain      [2][]byte
}

// newTwoSided derives from two keys with one salt and info.
func (g *gen) newTwoSided(salt, info []byte, n int) (s twoSided) {
	for i := range s.keys {
		s.keys[i] = g.bytes(32)
		k := refHKDF(s.keys[i], salt, info, n)
		s.derived[i] = k[:32]
		if n >= 64 {
			s.commitment[i] = k[32:64]
		}
	}
	return s
}

// sealTwice makes what opens under both derived keys, and notes to what.
func (g *gen) sealTwice(s *twoSided, aad []byte, n int) []byte {
	b := twoKeys(s.derived[0], s.derived[1], g.bytes(12), aad, g.bytes(n-16))
	for i := range s.plain {
		if s.plain[i] = refGCMOpen(s.derived[i], aad, b); s.plain[i] == nil {
			panic("the ciphertext does not open under both keys")
		}
	}
	return b
}

// commitments are the vectors about what binds a ciphertext to one key (C5).
func (g *gen) commitments() {
	g.twoKeyChunk()
	g.twoKeySeal()
	g.twoKeyValue()
	g.twoKeyTable()
	g.noCommitment()
}

func (g *gen) twoKeyChunk() {
	c := g.newChunk(64, 12)
	header := slices.Concat([]byte("CFC1\x01\x01\x0c\x00"), make([]byte, 8), c.chunk)
	s := g.newTwoSided(c.chunk, refEnc("coffer/chunk/v1", header, c.owner, c.dekID), 64)
	b := g.sealTwice(&s, refEnc("coffer/segment/v1", refUint(0), refUint(1)), 64)
	for i, expect := range []string{OK, Open} {
		x := c
		x.dek, x.plaintext = s.keys[i], s.plain[i]
		g.addChunk([]string{"ok", "bad"}[i], expect, []string{"two-key ciphertext, committed key", "two-key ciphertext, other key"}[i],
			x, 64, slices.Concat(header, s.commitment[0], b))
	}
	x := c
	x.dek, x.plaintext = s.keys[0], s.plain[0]
	g.addChunk("bad", Open, "two-key ciphertext, commitment of the other key", x, 64, slices.Concat(header, s.commitment[1], b))
}

func (g *gen) twoKeySeal() {
	x := g.newSeal(48)
	sum := sha256.Sum256(x.aad)
	s := g.newTwoSided(x.salt, refEnc("coffer/seal/v1", refUint(1), refUint(1), x.keyref, sum[:]), 64)
	b := g.sealTwice(&s, nil, 48)
	for i, expect := range []string{OK, Open} {
		comment := []string{"two-key ciphertext, committed key", "two-key ciphertext, other key"}[i]
		g.add("keywrap/seal-"+[]string{"ok", "bad"}[i]+"-"+slug(comment), "SEAL-1", expect, comment,
			"key", s.keys[i], "keyref", x.keyref, "aad", x.aad, "plaintext", s.plain[i],
			"sealed", slices.Concat([]byte{1, 1}, x.keyref, x.salt, s.commitment[0], b))
	}
}

// twoKeyValue: a VALUE-1 has no commitment. It names its key, whose bytes come out of a
// SEAL-1, which has one; under the name of the other key it is refused.
func (g *gen) twoKeyValue() {
	v := g.newValue(48)
	s := g.newTwoSided(v.salt, refEnc("coffer/value/v1", refUint(1), v.keyref), 32)
	b := slices.Concat([]byte{1}, v.keyref, v.salt, g.sealTwice(&s, v.aad, 48))
	for i, expect := range []string{OK, Keyref} {
		comment := []string{"two-key ciphertext, key that is named", "two-key ciphertext, key of another name"}[i]
		g.add("envelope/value-"+[]string{"ok", "bad"}[i]+"-"+slug(comment), "VALUE-1", expect, comment,
			"key", s.keys[i], "keyref", [][]byte{v.keyref, flip(v.keyref, 0)}[i], "aad", v.aad, "plaintext", s.plain[i], "sealed", b)
	}
}

func (g *gen) twoKeyTable() {
	f := g.newFile(1, 1)
	s := g.newTwoSided(f.salt, f.info(), 72)
	b := g.sealTwice(&s, refEnc("coffer/vfs/frame/v1", refUint(0), refUint(1)), 64)
	for i, expect := range []string{OK, Open} {
		x := f
		x.vfsk = s.keys[i]
		g.addFile([]string{"ok", "bad"}[i], expect, []string{"two-key ciphertext, committed key", "two-key ciphertext, other key"}[i],
			x, s.plain[i], slices.Concat(f.head(), s.commitment[0], b))
	}
}

// noCommitment takes the commitment out, as a downgrade would.
func (g *gen) noCommitment() {
	c := g.newChunk(100, 9)
	b := c.make()
	without := slices.Concat(b[:32], b[64:])
	g.addChunk("bad", Format, "commitment left out", c, 100, without)
	g.addChunk("bad", Open, "commitment left out and length believed", c, 68, without)
	x := g.newSeal(80)
	b = x.make()
	g.add("keywrap/seal-bad-commitment-left-out", "SEAL-1", Open, "commitment left out",
		"key", x.key, "keyref", x.keyref, "aad", x.aad, "plaintext", x.plaintext, "sealed", slices.Concat(b[:34], b[66:]))
	f := g.newFile(1, 1)
	plain := g.bytes(100)
	b = f.table(plain)
	g.addFile("bad", Open, "commitment left out", f, plain, slices.Concat(b[:72], b[104:]))
}
