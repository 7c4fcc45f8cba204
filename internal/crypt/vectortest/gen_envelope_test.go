package vectortest

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// newValue is a good VALUE-1 of n bytes.
func (g *gen) newValue(n int) value1 {
	return value1{
		suite: 1, kdfSuite: 1, label: "coffer/value/v1",
		key: g.bytes(32), keyref: g.bytes(16), salt: g.bytes(16), nonce: g.bytes(12),
		aad: refEnc("coffer/row/v1", g.bytes(16), []byte("blob"), []byte("container/name")), plaintext: g.bytes(n),
	}
}

func (g *gen) value() {
	add := func(kind, expect, comment string, v value1, sealed []byte) {
		g.add("envelope/value-"+kind+"-"+slug(comment), "VALUE-1", expect, comment,
			"key", v.key, "keyref", v.keyref, "aad", v.aad, "plaintext", v.plaintext, "sealed", sealed)
	}
	for _, n := range []int{0, 1, 16, 500} {
		v := g.newValue(n)
		add("ok", OK, fmt.Sprintf("%d bytes", n), v, v.make())
	}
	part := g.newValue(40)
	part.aad = refEnc("coffer/part/v1", refUint(1), g.bytes(16), g.bytes(16))
	add("ok", OK, "part", part, part.make())

	v := g.newValue(30)
	good := v.make()
	bad := func(expect, comment string, sealed []byte) { add("bad", expect, comment, v, sealed) }
	bad(Format, "nothing", nil)
	bad(Format, "one byte short of the least size", good[:60])
	bad(Format, "suite 0", with(good, 0, 0))
	bad(Format, "suite of the second layer", with(good, 0, 2))
	bad(Keyref, "keyref changed inside", flip(good, 1))
	bad(Open, "salt changed", flip(good, 17))
	bad(Open, "nonce changed", flip(good, 33))
	bad(Open, "ciphertext changed", flip(good, 45))
	bad(Open, "tag changed", flip(good, -1))
	bad(Open, "one byte cut", good[:len(good)-1])
	bad(Open, "one byte more", append(good[:len(good):len(good)], 0))
	other := func(expect, comment string, change func(*value1)) {
		x := v
		change(&x)
		add("bad", expect, comment, x, good)
	}
	other(Open, "opened with another key", func(x *value1) { x.key = flip(x.key, 0) })
	other(Open, "opened for another row", func(x *value1) { x.aad = flip(x.aad, -1) })
	other(Keyref, "opened with another keyref", func(x *value1) { x.keyref = flip(x.keyref, 15) })
	wrong := func(comment string, change func(*value1)) {
		x := v
		change(&x)
		bad(Open, comment, x.make())
	}
	wrong("no AAD", func(x *value1) { x.aad = nil })
	wrong("another label", func(x *value1) { x.label = "coffer/infra/cbc/v1" })
	wrong("suite of the derivation 2", func(x *value1) { x.kdfSuite = 2 })
}

// newInfra is a good INFRA-1 around n bytes.
func (g *gen) newInfra(n int) infra1 {
	return infra1{
		suite: 2, kdfSuite: 2, label: "coffer/infra/cbc/v1", tagLen: 32,
		key: g.bytes(32), keyref: g.bytes(16), salt: g.bytes(16), iv: g.bytes(16),
		aad: refEnc("coffer/row/v1", g.bytes(16), []byte("blob"), []byte("container/name")), inner: g.bytes(n),
	}
}

func (g *gen) infra() {
	add := func(kind, expect, comment string, v infra1, sealed []byte) {
		g.add("envelope/infra-"+kind+"-"+slug(comment), "INFRA-1", expect, comment,
			"key", v.key, "keyref", v.keyref, "aad", v.aad, "inner", v.inner, "sealed", sealed)
	}
	for _, n := range []int{0, 15, 16, 61} {
		v := g.newInfra(n)
		add("ok", OK, fmt.Sprintf("%d bytes", n), v, v.make())
	}
	whole, val := g.newInfra(0), g.newValue(90)
	val.aad, whole.inner = whole.aad, val.make()
	add("ok", OK, "around a VALUE-1", whole, whole.make())

	v := g.newInfra(61)
	good := v.make()
	bad := func(expect, comment string, sealed []byte) { add("bad", expect, comment, v, sealed) }
	bad(Format, "nothing", nil)
	bad(Format, "one block short of the least size", good[:81])
	bad(Format, "one byte cut", good[:len(good)-1])
	bad(Format, "one byte more", append(good[:len(good):len(good)], 0))
	bad(Format, "suite of the first layer", with(good, 0, 1))
	bad(Format, "suite 3", with(good, 0, 3))
	bad(Keyref, "keyref changed inside", flip(good, 1))
	bad(Open, "salt changed", flip(good, 17))
	bad(Open, "IV changed", flip(good, 33))
	bad(Open, "ciphertext changed", flip(good, 49))
	bad(Open, "last block changed", flip(good, -33))
	bad(Open, "tag changed", flip(good, -1))
	bad(Open, "one block cut", slices.Concat(good[:len(good)-48], good[len(good)-32:]))
	bad(Open, "first block moved to the IV", slices.Concat(good[:33], good[49:]))
	other := func(expect, comment string, change func(*infra1)) {
		x := v
		change(&x)
		add("bad", expect, comment, x, good)
	}
	other(Open, "opened with another key", func(x *infra1) { x.key = flip(x.key, 0) })
	other(Open, "opened for another row", func(x *infra1) { x.aad = flip(x.aad, -1) })
	other(Keyref, "opened with another keyref", func(x *infra1) { x.keyref = flip(x.keyref, 15) })
	wrong := func(comment string, change func(*infra1)) {
		x := v
		change(&x)
		bad(Open, comment, x.make())
	}
	wrong("padding of zeros", func(x *infra1) { x.pad = []byte{0, 0, 0} })
	wrong("padding too long", func(x *infra1) { x.pad = []byte{17, 17, 17} })
	wrong("padding of mixed bytes", func(x *infra1) { x.pad = []byte{1, 3, 3} })
	wrong("length of the AAD in bytes", func(x *infra1) { x.bits = -(7 * uint64(len(x.aad))) })
	wrong("keys exchanged", func(x *infra1) { x.swapKeys = true })
	wrong("MAC without IV", func(x *infra1) { x.skipIV = true })
	wrong("another label", func(x *infra1) { x.label = "coffer/value/v1" })
	wrong("suite of the derivation 1", func(x *infra1) { x.kdfSuite = 1 })
	wrong("tag of 48 bytes", func(x *infra1) { x.tagLen = 48 })
}

func (g *gen) rows() {
	add := func(kind, expect, comment string, row, sys, rest []byte) {
		g.add("envelope/row-"+kind+"-"+slug(comment), "ROW", expect, comment, "row", row, "sys", sys, "rest", rest)
	}
	frame := func(sys []byte, parts ...[]byte) []byte {
		b := binary.BigEndian.AppendUint32([]byte{1}, uint32(len(sys)))
		return slices.Concat(append([][]byte{b, sys}, parts...)...)
	}
	sys, part := g.newValue(50).make(), g.newValue(20).make()
	double := g.newInfra(111).make()
	chunk := g.newChunk(100, 12).make()
	add("ok", OK, "SYS alone", frame(sys), sys, nil)
	add("ok", OK, "SYS and a part", frame(sys, part), sys, part)
	add("ok", OK, "SYS, a part and a chunk", frame(sys, part, chunk), sys, slices.Concat(part, chunk))
	add("ok", OK, "double SYS", frame(double), double, nil)

	good := frame(sys, part)
	bad := func(comment string, row []byte) { add("bad", Format, comment, row, nil, nil) }
	bad("nothing", nil)
	bad("header alone", good[:5])
	bad("header cut", good[:4])
	bad("version 0", with(good, 0, 0))
	bad("version 2", with(good, 0, 2))
	bad("SYS longer than the row", with(good, 1, 1))
	bad("SYS one byte longer than the row", with(frame(sys), 4, byte(len(sys)+1)))
	bad("SYS cut", frame(sys)[:5+len(sys)-1])
	bad("SYS of length 0", with(good, 4, 0))
	bad("SYS shorter than a value", with(good, 4, 60))
	bad("SYS of an unknown suite", with(good, 5, 9))
	bad("SYS a chunk", frame(chunk))
	bad("SYS in plaintext", frame([]byte("\x01\x00\x00\x00\x01\x01 this is what must never be accepted as a sealed value")[1:]))
}

func (g *gen) fields() {
	add := func(kind, expect, comment string, encoded []byte, fs ...any) {
		var kv []any
		for i := 0; i < len(fs); i += 2 {
			kv = append(kv, "field", append([]byte{byte(fs[i].(int))}, fs[i+1].(string)...))
		}
		g.add("envelope/fields-"+kind+"-"+slug(comment), "FIELDS", expect, comment, append(kv, "encoded", encoded)...)
	}
	ok := func(comment string, fs ...any) { add("ok", OK, comment, refFields(fs...), fs...) }
	ok("no field")
	ok("one field", 1, "\x01")
	ok("empty value", 40, "")
	ok("repeated tags keep their order", 2, "b", 2, "a", 3, "c")
	ok("largest tag", 1, "x", 255, "y")

	bad := func(comment string, encoded []byte) { add("bad", Format, comment, encoded) }
	good := refFields(1, "abc", 2, "de")
	bad("tag 0", refFields(0, "abc"))
	bad("tags descend", refFields(2, "de", 1, "abc"))
	bad("last value cut", good[:len(good)-1])
	bad("length cut", good[:10])
	bad("tag alone", good[:9])
	bad("one byte more", append(good[:len(good):len(good)], 3))
	bad("first length one more", with(good, 4, 4))
	bad("last length one more", with(good, 12, 3))
	bad("length above 2^31", with(good, 9, 0xFF))
}
