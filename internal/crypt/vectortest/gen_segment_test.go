package vectortest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// newChunk is a good chunk of n bytes.
func (g *gen) newChunk(n int, lg byte) cfc1 {
	seed := g.bytes(12)
	return cfc1{
		magic: "CFC1", version: 1, suite: 1, lg: lg, zero: make([]byte, 8),
		dek: g.bytes(32), dekID: g.bytes(16), owner: g.bytes(16), chunk: g.bytes(16),
		plaintext: g.bytes(n), label: "coffer/chunk/v1", segAAD: "coffer/segment/v1",
		nonce: func(i int) []byte {
			return binary.BigEndian.AppendUint32(slices.Clone(seed[:8]), binary.BigEndian.Uint32(seed[8:])+uint32(i))
		},
	}
}

// addChunk makes a case. Long plaintexts are given by their hash.
func (g *gen) addChunk(kind, expect, comment string, c cfc1, n int, chunk []byte) {
	fields := []any{"dek", c.dek, "dek-id", c.dekID, "owner", c.owner, "chunk-id", c.chunk, "lg", int(c.lg), "n", n}
	if len(c.plaintext) <= 4096 {
		fields = append(fields, "plaintext", c.plaintext)
	} else {
		sum := sha256.Sum256(c.plaintext)
		fields = append(fields, "plaintext-sha256", sum[:])
	}
	g.add("segment/"+kind+"-"+slug(comment), "CFC1", expect, comment, append(fields, "chunk", chunk)...)
}

func (g *gen) chunks() {
	for _, c := range []struct {
		n  int
		lg byte
	}{{0, 12}, {1, 12}, {511, 9}, {512, 9}, {513, 9}, {1024, 9}, {4096, 12}, {4097, 12}, {9000, 12}, {100, 16}, {65537, 16}, {10, 20}} {
		x := g.newChunk(c.n, c.lg)
		g.addChunk("ok", OK, fmt.Sprintf("%d bytes at lg %d", c.n, c.lg), x, c.n, x.make())
	}
	g.badHeaders()
	g.badSegments()
	g.badParams()
	g.badMakers()
}

// badHeaders changes bytes of the header.
func (g *gen) badHeaders() {
	c := g.newChunk(100, 9)
	good := c.make()
	bad := func(expect, comment string, b []byte) { g.addChunk("bad", expect, comment, c, 100, b) }
	bad(Format, "nothing", nil)
	bad(Format, "header alone", good[:64])
	bad(Format, "header cut", good[:63])
	bad(Format, "magic", flip(good, 0))
	bad(Format, "magic of another version", with(good, 3, '2'))
	bad(Format, "version 0", with(good, 4, 0))
	bad(Format, "version 2", with(good, 4, 2))
	bad(Format, "suite 0", with(good, 5, 0))
	bad(Format, "suite 2", with(good, 5, 2))
	bad(Format, "segment size too small", with(good, 6, 8))
	bad(Format, "segment size too large", with(good, 6, 21))
	bad(Format, "flags", with(good, 7, 1))
	bad(Format, "first zero byte", with(good, 8, 1))
	bad(Format, "last zero byte", with(good, 15, 1))
	bad(Open, "another segment size", with(good, 6, 10))
	bad(Open, "chunk id changed", flip(good, 16))
	bad(Open, "last byte of the chunk id changed", flip(good, 31))
	bad(Open, "commitment changed", flip(good, 32))
	bad(Open, "last byte of the commitment changed", flip(good, 63))
	bad(Open, "nonce changed", flip(good, 64))
	bad(Open, "ciphertext changed", flip(good, 80))
	bad(Open, "tag changed", flip(good, -1))
	bad(Format, "one byte cut", good[:len(good)-1])
	bad(Format, "one byte more", append(good[:len(good):len(good)], 0))
}

// badSegments moves segments about.
func (g *gen) badSegments() {
	c := g.newChunk(4*512, 9)
	good := c.make()
	const size = 512 + 28
	head := good[:64]
	seg := func(i int) []byte { return good[64+i*size : 64+(i+1)*size] }
	bad := func(expect, comment string, n int, b ...[]byte) {
		g.addChunk("bad", expect, comment, c, n, slices.Concat(b...))
	}
	bad(Open, "segments 0 and 1 exchanged", 2048, head, seg(1), seg(0), seg(2), seg(3))
	bad(Open, "segments 2 and 3 exchanged", 2048, head, seg(0), seg(1), seg(3), seg(2))
	bad(Open, "segment 0 doubled in place of 1", 2048, head, seg(0), seg(0), seg(2), seg(3))
	bad(Format, "last segment dropped", 2048, head, seg(0), seg(1), seg(2))
	bad(Open, "last segment dropped and length believed", 1536, head, seg(0), seg(1), seg(2))
	bad(Open, "first segment dropped and length believed", 1536, head, seg(1), seg(2), seg(3))
	bad(Format, "last segment doubled", 2048, head, seg(0), seg(1), seg(2), seg(3), seg(3))
	bad(Open, "last segment doubled and length believed", 2560, head, seg(0), seg(1), seg(2), seg(3), seg(3))
	bad(Open, "cut inside and length believed", 2000, head, seg(0), seg(1), seg(2), seg(3)[:464+28])
	bad(Open, "ciphertext of the last segment changed", 2048, flip(good, -100))
	bad(Open, "tag of segment 1 changed", 2048, flip(good, 64+2*size-1))
	bad(Open, "nonce of segment 2 changed", 2048, flip(good, 64+2*size))
	other := c
	other.chunk = g.bytes(16)
	foreign := other.make()
	bad(Open, "segment of another chunk under the same key", 2048, head, seg(0), foreign[64+size:64+2*size], seg(2), seg(3))
	bad(Open, "header of another chunk", 2048, foreign[:64], good[64:])
	bad(Open, "whole other chunk under the same key", 2048, foreign)
}

// badParams opens a good chunk with wrong parameters.
func (g *gen) badParams() {
	c := g.newChunk(700, 9)
	good := c.make()
	bad := func(expect, comment string, n int, change func(*cfc1)) {
		x := c
		change(&x)
		g.addChunk("bad", expect, comment, x, n, good)
	}
	bad(Open, "opened with another data key", 700, func(x *cfc1) { x.dek = flip(x.dek, 0) })
	bad(Open, "opened with another data key id", 700, func(x *cfc1) { x.dekID = flip(x.dekID, 0) })
	bad(Open, "opened for another owner", 700, func(x *cfc1) { x.owner = flip(x.owner, 15) })
	bad(Open, "opened as another chunk", 700, func(x *cfc1) { x.chunk = flip(x.chunk, 7) })
	bad(Open, "owner and data key id exchanged", 700, func(x *cfc1) { x.owner, x.dekID = x.dekID, x.owner })
	bad(Format, "length one less", 699, func(*cfc1) {})
	bad(Format, "length one more", 701, func(*cfc1) {})
	bad(Format, "length 0", 0, func(*cfc1) {})
}

// badMakers seals the wrong way: each fault is one that a writer could have.
func (g *gen) badMakers() {
	c := g.newChunk(1200, 9)
	bad := func(comment string, change func(*cfc1)) {
		x := c
		change(&x)
		g.addChunk("bad", Open, comment, c, 1200, x.make())
	}
	bad("no final flag", func(x *cfc1) { x.noFinal = true })
	bad("final flag on every segment", func(x *cfc1) { x.aad = func(i, n int) (int, int) { return i, 1 } })
	bad("final flag on the first segment", func(x *cfc1) { x.aad = func(i, n int) (int, int) { return i, b2i(i == 0) } })
	bad("index from 1", func(x *cfc1) { x.aad = func(i, n int) (int, int) { return i + 1, b2i(i == n-1) } })
	bad("index always 0", func(x *cfc1) { x.aad = func(i, n int) (int, int) { return 0, b2i(i == n-1) } })
	bad("another AAD label", func(x *cfc1) { x.segAAD = "coffer/vfs/frame/v1" })
	bad("another label", func(x *cfc1) { x.label = "coffer/value/v1" })
	bad("salt zero", func(x *cfc1) { x.kdfSalt = make([]byte, 16) })
	bad("no header in the derivation", func(x *cfc1) { x.headerInKDF = []byte{} })
	bad("no owner in the derivation", func(x *cfc1) { x.ownerInKDF = []byte{} })
	bad("no data key id in the derivation", func(x *cfc1) { x.dekInKDF = []byte{} })
	bad("commitment zero", func(x *cfc1) { x.zeroCommit = true })

	full := g.newChunk(512, 9)
	full.emptyLast = true
	g.addChunk("bad", Format, "empty segment after a full one", full, 512, full.make())
	early := g.newChunk(800, 9)
	early.cut = 400
	g.addChunk("bad", Open, "segments not full", early, 800, early.make())
	big := g.newChunk(10, 21)
	g.addChunk("bad", Format, "segment size 2^21 sealed so", big, 10, big.make())
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
