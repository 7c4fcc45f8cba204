package vectortest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

func (g *gen) enc() {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		comment, label string
		fields         [][]byte
	}{
		{"label alone", "coffer/test", nil},
		{"empty label", "", nil},
		{"empty field", "coffer/test", [][]byte{{}}},
		{"two empty fields", "coffer/test", [][]byte{{}, {}}},
		{"integer", "coffer/test", [][]byte{refUint(1)}},
		{"integer above 2^32", "coffer/test", [][]byte{refUint(1<<32 + 5)}},
		{"largest integer", "coffer/test", [][]byte{refUint(1<<64 - 1)}},
		{"fields split one way", "coffer/test", [][]byte{[]byte("ab"), []byte("c")}},
		{"fields split the other way", "coffer/test", [][]byte{[]byte("a"), []byte("bc")}},
		{"long label and field", long, [][]byte{[]byte(long)}},
		{"aad of the last segment", "coffer/segment/v1", [][]byte{refUint(15), refUint(1)}},
	} {
		fields := []any{"label", c.label}
		for _, f := range c.fields {
			fields = append(fields, "field", f)
		}
		g.add("enc/enc-"+slug(c.comment), "enc", OK, c.comment, append(fields, "encoded", refEnc(c.label, c.fields...))...)
	}
}

func (g *gen) hkdf() {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			panic(err)
		}
		return b
	}
	rfc := []struct{ comment, ikm, salt, info, okm string }{
		{"RFC 5869 A.1", strings.Repeat("0b", 22), "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
		{"RFC 5869 A.3, no salt, no info", strings.Repeat("0b", 22), "", "",
			"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
	}
	for _, c := range rfc {
		g.add("enc/hkdf-"+slug(c.comment), "HKDF", OK, c.comment,
			"ikm", unhex(c.ikm), "salt", unhex(c.salt), "info", unhex(c.info), "okm", unhex(c.okm))
	}
	for _, n := range []int{16, 32, 64, 72, 96} {
		ikm, salt, info := g.bytes(32), g.bytes(16), refEnc("coffer/test", g.bytes(16))
		g.add(fmt.Sprintf("enc/hkdf-%d", n), "HKDF", OK, fmt.Sprintf("%d bytes", n),
			"ikm", ikm, "salt", salt, "info", info, "okm", refHKDF(ikm, salt, info, n))
	}
}

// newSeal is a good SEAL-1 of n bytes.
func (g *gen) newSeal(n int) seal1 {
	return seal1{
		version: 1, suite: 1, kdfVersion: 1, kdfSuite: 1, label: "coffer/seal/v1",
		key: g.bytes(32), keyref: g.bytes(16), salt: g.bytes(16), nonce: g.bytes(12),
		aad: refEnc("coffer/file/v1", g.bytes(16), []byte("tls/ca.key")), plaintext: g.bytes(n),
	}
}

func (g *gen) seal() {
	add := func(kind, expect, comment string, s seal1, sealed []byte) {
		g.add("keywrap/seal-"+kind+"-"+slug(comment), "SEAL-1", expect, comment,
			"key", s.key, "keyref", s.keyref, "aad", s.aad, "plaintext", s.plaintext, "sealed", sealed)
	}
	for _, n := range []int{0, 1, 16, 33, 1000} {
		s := g.newSeal(n)
		add("ok", OK, fmt.Sprintf("%d bytes", n), s, s.make())
	}
	empty := g.newSeal(5)
	empty.aad = nil
	add("ok", OK, "empty AAD", empty, empty.make())
	zero := g.newSeal(5)
	zero.keyref = make([]byte, 16)
	add("ok", OK, "keyref zero", zero, zero.make())

	s := g.newSeal(20)
	good := s.make()
	bad := func(expect, comment string, sealed []byte) { add("bad", expect, comment, s, sealed) }
	bad(Format, "nothing", nil)
	bad(Format, "one byte short of the least size", good[:93])
	bad(Format, "version 0", with(good, 0, 0))
	bad(Format, "version 2", with(good, 0, 2))
	bad(Format, "suite 0", with(good, 1, 0))
	bad(Format, "suite 2", with(good, 1, 2))
	bad(Keyref, "keyref changed inside", flip(good, 2))
	bad(Keyref, "last byte of keyref changed inside", flip(good, 17))
	bad(Open, "salt changed", flip(good, 18))
	bad(Open, "commitment changed", flip(good, 34))
	bad(Open, "last byte of commitment changed", flip(good, 65))
	bad(Open, "nonce changed", flip(good, 66))
	bad(Open, "ciphertext changed", flip(good, 78))
	bad(Open, "tag changed", flip(good, -1))
	bad(Open, "one byte cut", good[:len(good)-1])
	bad(Open, "one byte more", append(good[:len(good):len(good)], 0))

	other := func(expect, comment string, change func(*seal1)) {
		x := s
		change(&x)
		add("bad", expect, comment, x, good)
	}
	other(Open, "opened with another key", func(x *seal1) { x.key = flip(x.key, 31) })
	other(Open, "opened with another AAD", func(x *seal1) { x.aad = flip(x.aad, -1) })
	other(Open, "opened with an AAD cut", func(x *seal1) { x.aad = x.aad[:len(x.aad)-1] })
	other(Keyref, "opened with another keyref", func(x *seal1) { x.keyref = flip(x.keyref, 0) })

	wrong := func(comment string, change func(*seal1)) {
		x := s
		change(&x)
		bad(Open, comment, x.make())
	}
	wrong("AAD given to GCM as well", func(x *seal1) { x.gcmAAD = x.aad })
	wrong("another label", func(x *seal1) { x.label = "coffer/value/v1" })
	wrong("version of the derivation 2", func(x *seal1) { x.kdfVersion = 2 })
	wrong("suite of the derivation 2", func(x *seal1) { x.kdfSuite = 2 })
	wrong("AAD not hashed in the derivation", func(x *seal1) { x.noHashAAD = true })
	wrong("no keyref in the derivation", func(x *seal1) { x.noKeyrefs = true })
	wrong("commitment zero", func(x *seal1) { x.zeroCommit = true })
	wrong("key and commitment exchanged", func(x *seal1) { x.commitFirst = true })
}

func (g *gen) wrap() {
	aad := refEnc("coffer/wrap/dek/v1", refUint(1), g.bytes(16), g.bytes(17), g.bytes(16), refUint(3), g.bytes(16))
	add := func(kind, expect, comment string, s seal1, wrap []byte) {
		g.add("keywrap/wrap-"+kind+"-"+slug(comment), "WRAP-1", expect, comment,
			"kek", s.key, "keyref", s.keyref, "aad", s.aad, "key", s.plaintext, "wrap", wrap)
	}
	for _, comment := range []string{"data key", "another data key"} {
		s := g.newSeal(32)
		s.aad = aad
		add("ok", OK, comment, s, s.make())
	}
	zero := g.newSeal(32)
	zero.plaintext = make([]byte, 32)
	add("ok", OK, "key of zeros", zero, zero.make())

	s := g.newSeal(32)
	s.aad = aad
	good := s.make()
	bad := func(expect, comment string, wrap []byte) { add("bad", expect, comment, s, wrap) }
	bad(Format, "nothing", nil)
	bad(Format, "one byte cut", good[:125])
	bad(Format, "one byte more", append(good[:126:126], 0))
	short, long := s, s
	short.plaintext, long.plaintext = s.plaintext[:31], append(s.plaintext[:32:32], 0)
	add("bad", Format, "key of 31 bytes", short, short.make())
	add("bad", Format, "key of 33 bytes", long, long.make())
	bad(Format, "version 2", with(good, 0, 2))
	bad(Format, "suite 2", with(good, 1, 2))
	bad(Keyref, "keyref changed inside", flip(good, 5))
	bad(Open, "salt changed", flip(good, 20))
	bad(Open, "commitment changed", flip(good, 50))
	bad(Open, "nonce changed", flip(good, 70))
	bad(Open, "ciphertext changed", flip(good, 80))
	bad(Open, "tag changed", flip(good, 125))
	version := s
	version.aad = refEnc("coffer/wrap/dek/v1", refUint(1), g.bytes(16), g.bytes(17), g.bytes(16), refUint(4), g.bytes(16))
	add("bad", Open, "wrap of another data key", version, good)
	vdek := s
	vdek.aad = append([]byte{0, 19}, strings.Replace(string(aad[2:]), "dek", "vdek", 1)...)
	add("bad", Open, "label of a value key", vdek, good)
}

func (g *gen) kcv() {
	kcv := func(key, chain []byte, version uint64) []byte {
		m := hmac.New(sha256.New, key)
		m.Write(refEnc("coffer/kcv/v1", chain, refUint(version)))
		return m.Sum(nil)[:16]
	}
	key, chain := g.bytes(32), g.bytes(16)
	for _, version := range []uint64{1, 2, 1<<32 + 1} {
		g.add(fmt.Sprintf("keywrap/kcv-ok-version-%d", version), "KCV", OK, "check value",
			"key", key, "chain", chain, "version", version, "kcv", kcv(key, chain, version))
	}
	good := kcv(key, chain, 7)
	bad := func(comment string, key, chain []byte, version uint64, kcv []byte) {
		g.add("keywrap/kcv-bad-"+slug(comment), "KCV", Mismatch, comment, "key", key, "chain", chain, "version", version, "kcv", kcv)
	}
	bad("another key", flip(key, 0), chain, 7, good)
	bad("another chain", key, flip(chain, 15), 7, good)
	bad("another version", key, chain, 8, good)
	bad("last byte changed", key, chain, 7, flip(good, 15))
	bad("cut", key, chain, 7, good[:15])
}
