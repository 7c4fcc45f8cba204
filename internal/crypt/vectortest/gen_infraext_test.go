package vectortest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"golang.org/x/crypto/xts"
)

// cfx1 says how to make an extent with one chunk. Here XTS is x/crypto's.
type cfx1 struct {
	magic                 string
	version, suite        byte
	zero                  []byte // 2 bytes
	idk, kref, file, salt []byte
	label                 string
	chunk                 []byte
	iv                    []byte
	numbered              func(n uint64) uint64 // what a sector says its number is
	exchanged             bool                  // the halves of the key
	unitAAD               string
	headerInKDF           int
}

// header returns the first 104 bytes; zeros follow up to 4,096.
func (c cfx1) header() (header, keys []byte) {
	b := append([]byte(c.magic), c.version, c.suite)
	b = append(append(b, c.zero...), c.kref...)
	b = append(append(b, c.file...), c.salt...)
	info := slices.Clone(b[:c.headerInKDF])
	k := refHKDF(c.idk, c.salt, refEnc(c.label, info), 96)
	return append(b, k[64:]...), k[:64]
}

// body returns the sectors.
func (c cfx1) body(keys []byte) []byte {
	padded := slices.Clone(c.chunk)
	for len(padded)%4096 != 0 {
		padded = append(padded, 0)
	}
	if c.exchanged {
		keys = slices.Concat(keys[32:], keys[:32])
	}
	var out []byte
	for n := uint64(0); len(padded) > 0; n++ {
		s, num := padded[:4096], n
		padded = padded[4096:]
		if c.numbered != nil {
			num = c.numbered(n)
		}
		if c.suite == 1 {
			out = append(out, refXTS(keys, num, s)...)
			continue
		}
		out = append(out, refUnit(keys, c.iv, refEnc(c.unitAAD, refUint(num)), s)...)
	}
	return out
}

// refXTS encrypts one sector.
func refXTS(keys []byte, n uint64, s []byte) []byte {
	x, err := xts.NewCipher(aes.NewCipher, keys)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(s))
	x.Encrypt(out, s, n)
	return out
}

// refUnit is iv || ciphertext || tag of A256CBC-HS512.
func refUnit(keys, iv, aad, plain []byte) []byte {
	block, err := aes.NewCipher(keys[32:])
	if err != nil {
		panic(err)
	}
	ct := append(slices.Clone(plain), bytes.Repeat([]byte{16}, 16)...) // a full block of padding
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(ct, ct)
	m := hmac.New(sha512.New, keys[:32])
	m.Write(aad)
	m.Write(iv)
	m.Write(ct)
	m.Write(binary.BigEndian.AppendUint64(nil, 8*uint64(len(aad))))
	return slices.Concat(iv, ct, m.Sum(nil)[:32])
}

// newExtent is a good extent.
func (g *gen) newExtent(suite byte, n int) cfx1 {
	c := cfx1{
		magic: "CFX1", version: 1, suite: suite, zero: make([]byte, 2), headerInKDF: 72,
		idk: g.bytes(32), kref: g.bytes(16), file: g.bytes(16), salt: g.bytes(32),
		label: "coffer/infra/xts/v1", chunk: g.bytes(n), iv: g.bytes(16), unitAAD: "coffer/infra/unit/v1",
	}
	if suite == 2 {
		c.label = "coffer/infra/ext/v1"
	}
	return c
}

func (g *gen) addExtent(kind, expect, comment string, c cfx1, header, body []byte) {
	g.add("cfx1/"+kind+"-"+slug(comment), "CFX1", expect, comment,
		"idk", c.idk, "kref", c.kref, "file-id", c.file, "header", header, "body", body, "chunk", c.chunk)
}

// extents has random bytes of its own, so that what is added before changes nothing.
func (g *gen) extents() {
	g = &gen{rand.NewChaCha8([32]byte([]byte("coffer test vectors, CFX1       "))), g.files}
	for _, suite := range []byte{1, 2} {
		name := map[byte]string{1: "XTS", 2: "CBC"}[suite]
		for _, n := range []int{92, 4096, 5000} {
			c := g.newExtent(suite, n)
			h, k := c.header()
			g.addExtent("ok", OK, name+" "+map[int]string{92: "least chunk", 4096: "full sector", 5000: "two sectors"}[n], c, h, c.body(k))
		}
		c := g.newExtent(suite, 92)
		h, k := c.header()
		body := c.body(k)
		head := func(expect, comment string, b []byte) { g.addExtent("bad", expect, name+" "+comment, c, b, nil) }
		head(Format, "nothing", nil)
		head(Format, "magic", flip(h, 0))
		head(Format, "version 2", with(h, 4, 2))
		head(Format, "suite 0", with(h, 5, 0))
		head(Format, "suite 3", with(h, 5, 3))
		head(Format, "first zero byte", with(h, 6, 1))
		head(Format, "second zero byte", with(h, 7, 1))
		head(Format, "byte after the commitment", append(slices.Clone(h), 1))
		head(Open, "the other suite", with(h, 5, 3-suite))
		head(Open, "file id changed", flip(h, 24))
		head(Open, "salt changed", flip(h, 40))
		head(Open, "last byte of the salt changed", flip(h, 71))
		head(Open, "commitment changed", flip(h, 72))
		head(Open, "last byte of the commitment changed", flip(h, 103))
		head(Keyref, "kref changed", flip(h, 8))
		made := func(comment string, change func(*cfx1)) {
			x := c
			change(&x)
			b, _ := x.header()
			head(Open, comment, b)
		}
		made("another label", func(x *cfx1) { x.label = "coffer/infra/cbc/v1" })
		made("no salt in the bound header", func(x *cfx1) { x.headerInKDF = 40 })
		made("another key", func(x *cfx1) { x.idk = flip(x.idk, 0) })
		if suite == 1 {
			continue // a changed sector opens, to other bytes
		}
		part := func(expect, comment string, b []byte) { g.addExtent("bad", expect, name+" "+comment, c, h, b) }
		part(Format, "unit cut", body[:len(body)-1])
		part(Open, "iv changed", flip(body, 0))
		part(Open, "ciphertext changed", flip(body, 2000))
		part(Open, "padding changed", flip(body, 4120))
		part(Open, "tag changed", flip(body, -1))
		wrong := func(comment string, change func(*cfx1)) {
			x := c
			change(&x)
			part(Open, comment, x.body(k))
		}
		wrong("unit with another number", func(x *cfx1) { x.numbered = func(n uint64) uint64 { return n + 1 } })
		wrong("another label in the AAD", func(x *cfx1) { x.unitAAD = "coffer/infra/unit/v2" })
		wrong("keys exchanged", func(x *cfx1) { x.exchanged = true })
	}
}
