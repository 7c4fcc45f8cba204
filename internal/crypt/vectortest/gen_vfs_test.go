package vectortest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// file says how to make a CFV1.
type file struct {
	magic                string
	version, suite       byte
	class, area          byte
	kdfClass             byte
	vfsk, kref, id, salt []byte
	number               uint64
	store                []byte
	label                string
	nonce                func(i int) []byte
}

// newFile is a good file of a class and an area.
func (g *gen) newFile(class, area byte) file {
	seed := g.bytes(12)
	return file{
		magic: "CFV1", version: 1, suite: 1, class: class, kdfClass: class, area: area,
		vfsk: g.bytes(32), kref: g.bytes(16), id: g.bytes(16), salt: g.bytes(32),
		number: 17, store: g.bytes(16), label: "coffer/vfs/v1",
		nonce: func(i int) []byte {
			return binary.BigEndian.AppendUint32(slices.Clone(seed[:8]), binary.BigEndian.Uint32(seed[8:])+uint32(i))
		},
	}
}

// head is the header without its commitment.
func (f *file) head() []byte {
	return slices.Concat([]byte(f.magic), []byte{f.version, f.suite, f.class, f.area}, f.kref, f.id, f.salt)
}

func (f *file) info() []byte {
	return refEnc(f.label, f.head(), refUint(uint64(f.kdfClass)), refUint(f.number), f.store)
}

// derive returns key, commitment and marker.
func (f *file) derive() (key, commitment, marker []byte) {
	k := refHKDF(f.vfsk, f.salt, f.info(), 72)
	return k[:32], k[32:64], k[64:]
}

func (f *file) header() []byte {
	_, commitment, _ := f.derive()
	return append(f.head(), commitment...)
}

// frame1 is a frame of class 1.
func (f *file) frame1(i int, aadIndex, aadFinal uint64, p []byte) []byte {
	key, _, _ := f.derive()
	return refGCM(key, f.nonce(i), refEnc("coffer/vfs/frame/v1", refUint(aadIndex), refUint(aadFinal)), p)
}

// frames cuts plaintext into frames of class 1.
func (f *file) frames(plain []byte) (list [][]byte) {
	parts := slices.Collect(slices.Chunk(plain, 4096))
	if len(parts) == 0 {
		parts = [][]byte{nil}
	}
	for i, p := range parts {
		list = append(list, f.frame1(i, uint64(i), uint64(b2i(i == len(parts)-1)), p))
	}
	return list
}

// table is a whole file of class 1.
func (f *file) table(plain []byte) []byte {
	return slices.Concat(f.header(), slices.Concat(f.frames(plain)...))
}

// record is a frame of class 2.
type record struct {
	seq, synced uint64
	p           []byte
}

func (f *file) frame2(r record) []byte {
	key, _, marker := f.derive()
	head := binary.BigEndian.AppendUint32(slices.Clone(marker), uint32(len(r.p)))
	head = binary.BigEndian.AppendUint64(head, r.seq)
	head = binary.BigEndian.AppendUint64(head, r.synced)
	return append(head, refGCM(key, f.nonce(int(r.seq)), refEnc("coffer/vfs/append/v1", head), r.p)...)
}

// log is a whole file of class 2.
func (f *file) log(rs ...record) []byte {
	b := f.header()
	for _, r := range rs {
		b = append(b, f.frame2(r)...)
	}
	return b
}

// addFile makes a case. Of a class 2 file, fields follow that say how it ends.
func (g *gen) addFile(kind, expect, comment string, f file, plain, b []byte, fields ...any) {
	all := []any{"vfsk", f.vfsk, "vfsk-kref", f.kref, "class", int(f.class), "area", int(f.area), "number", f.number, "store", f.store}
	if len(plain) <= 4096 {
		all = append(all, "plaintext", plain)
	} else {
		sum := sha256.Sum256(plain)
		all = append(all, "plaintext-sha256", sum[:])
	}
	name := []string{1: "table", 2: "log"}[f.class]
	g.add("vfs/"+name+"-"+kind+"-"+slug(comment), "CFV1", expect, comment, append(append(all, fields...), "file", b)...)
}

func (g *gen) cfv1() {
	g.goodTables()
	g.badHeads()
	g.badTables()
	g.goodLogs()
	g.badLogs()
}

func (g *gen) goodTables() {
	for _, n := range []int{0, 1, 500, 4095, 4096, 4097, 9000} {
		f := g.newFile(1, 1)
		plain := g.bytes(n)
		g.addFile("ok", OK, fmt.Sprintf("%d bytes", n), f, plain, f.table(plain))
	}
}

func (g *gen) badHeads() {
	f := g.newFile(1, 1)
	plain := g.bytes(200)
	good := f.table(plain)
	bad := func(expect, comment string, b []byte) { g.addFile("bad", expect, comment, f, plain, b) }
	bad(Format, "nothing", nil)
	bad(Format, "header cut", good[:103])
	bad(Format, "header alone", good[:104])
	bad(Format, "magic", flip(good, 0))
	bad(Format, "magic of a chunk", with(good, 2, 'C'))
	bad(Format, "version 0", with(good, 4, 0))
	bad(Format, "version 2", with(good, 4, 2))
	bad(Format, "suite 0", with(good, 5, 0))
	bad(Format, "suite 2", with(good, 5, 2))
	bad(Format, "class 0", with(good, 6, 0))
	bad(Format, "class of a log", with(good, 6, 2))
	bad(Format, "class 3", with(good, 6, 3))
	bad(Format, "area of the audit log", with(good, 7, 2))
	bad(Format, "area 3", with(good, 7, 3))
	bad(Keyref, "kref changed", flip(good, 8))
	bad(Open, "file id changed", flip(good, 24))
	bad(Open, "salt changed", flip(good, 40))
	bad(Open, "last byte of the salt changed", flip(good, 71))
	bad(Open, "commitment changed", flip(good, 72))
	bad(Open, "last byte of the commitment changed", flip(good, 103))
	other := func(expect, comment string, change func(*file)) {
		x := f
		change(&x)
		g.addFile("bad", expect, comment, x, plain, good)
	}
	other(Open, "opened with another VFSK", func(x *file) { x.vfsk = flip(x.vfsk, 0) })
	other(Keyref, "opened with a VFSK of another name", func(x *file) { x.kref = flip(x.kref, 0) })
	other(Open, "opened under another number", func(x *file) { x.number = 18 })
	other(Open, "opened in another store", func(x *file) { x.store = flip(x.store, 15) })
	wrong := func(comment string, change func(*file)) {
		x := f
		change(&x)
		g.addFile("bad", Open, comment, f, plain, x.table(plain))
	}
	wrong("another label", func(x *file) { x.label = "coffer/chunk/v1" })
	wrong("class 2 in the derivation", func(x *file) { x.kdfClass = 2 })
	wrong("number 0 in the derivation", func(x *file) { x.number = 0 })
	wrong("store zero in the derivation", func(x *file) { x.store = make([]byte, 16) })
}

func (g *gen) badTables() {
	f := g.newFile(1, 1)
	plain := g.bytes(3*4096 + 50)
	fr, h := f.frames(plain), f.header()
	bad := func(expect, comment string, list ...[]byte) {
		g.addFile("bad", expect, comment, f, plain, slices.Concat(h, slices.Concat(list...)))
	}
	bad(Open, "nonce of frame 1 changed", fr[0], flip(fr[1], 0), fr[2], fr[3])
	bad(Open, "ciphertext of frame 2 changed", fr[0], fr[1], flip(fr[2], 2000), fr[3])
	bad(Open, "tag of frame 0 changed", flip(fr[0], -1), fr[1], fr[2], fr[3])
	bad(Open, "tag of the last frame changed", fr[0], fr[1], fr[2], flip(fr[3], -1))
	bad(Open, "one byte cut", fr[0], fr[1], fr[2], fr[3][:77])
	bad(Open, "one byte more", fr[0], fr[1], fr[2], fr[3], []byte{0})
	bad(Format, "last frame cut to less than nonce and tag", fr[0], fr[1], fr[2], fr[3][:27])
	bad(Open, "last frame dropped", fr[0], fr[1], fr[2])
	bad(Open, "first frame dropped", fr[1], fr[2], fr[3])
	bad(Open, "frame 1 dropped", fr[0], fr[2], fr[3])
	bad(Open, "frame 1 doubled", fr[0], fr[1], fr[1], fr[2], fr[3])
	bad(Open, "frames 0 and 1 exchanged", fr[1], fr[0], fr[2], fr[3])
	bad(Open, "frame 1 zeroed", fr[0], make([]byte, 4124), fr[2], fr[3])
	o := f
	o.number = 18
	x := o.frames(plain)
	bad(Open, "frame of another file under the same VFSK", fr[0], x[1], fr[2], fr[3])
	bad(Open, "last frame without its flag", fr[0], fr[1], fr[2], f.frame1(3, 3, 0, plain[3*4096:]))
	bad(Open, "flag of the last frame on frame 0", f.frame1(0, 0, 1, plain[:4096]), fr[1], fr[2], fr[3])
	bad(Open, "indexes from 1", f.frame1(0, 1, 0, plain[:4096]), f.frame1(1, 2, 0, plain[4096:8192]), f.frame1(2, 3, 0, plain[8192:12288]), f.frame1(3, 4, 1, plain[12288:]))
	full := plain[:4096]
	g.addFile("bad", Format, "empty frame after a full one", f, full, slices.Concat(h, f.frame1(0, 0, 0, full), f.frame1(1, 1, 1, nil)))
	g.addFile("bad", Open, "frames not full", f, plain[:300], slices.Concat(h, f.frame1(0, 0, 0, plain[:200]), f.frame1(1, 1, 1, plain[200:300])))
}

// ends is how a log ends: its last good frame, what was durable, whether in order, and
// the bytes behind that no sync covered.
func ends(seq, synced int, ended bool, lost int) []any {
	return []any{"seq", seq, "synced", synced, "ended", b2i(ended), "lost", lost}
}

func (g *gen) goodLogs() {
	ok := func(comment string, area byte, make func(f *file) (plain, b []byte, end []any)) {
		f := g.newFile(2, area)
		plain, b, end := make(&f)
		g.addFile("ok", OK, comment, f, plain, b, end...)
	}
	a, b, c := g.bytes(100), g.bytes(1), g.bytes(300)
	all := slices.Concat(a, b, c)
	ok("no frame", 1, func(f *file) ([]byte, []byte, []any) { return nil, f.log(), ends(0, 0, false, 0) })
	ok("three frames, none synced", 1, func(f *file) ([]byte, []byte, []any) {
		return all, f.log(record{1, 0, a}, record{2, 0, b}, record{3, 0, c}), ends(3, 0, false, 0)
	})
	ok("closed in order", 1, func(f *file) ([]byte, []byte, []any) {
		return all, f.log(record{1, 0, a}, record{2, 1, b}, record{3, 2, c}, record{4, 3, nil}), ends(4, 3, true, 0)
	})
	ok("end frame alone", 1, func(f *file) ([]byte, []byte, []any) {
		return nil, f.log(record{1, 0, nil}), ends(1, 0, true, 0)
	})
	ok("audit log", 2, func(f *file) ([]byte, []byte, []any) {
		return all, f.log(record{1, 0, a}, record{2, 1, b}, record{3, 2, c}), ends(3, 2, false, 0)
	})
	ok("torn in an unsynced frame", 1, func(f *file) ([]byte, []byte, []any) {
		whole := f.log(record{1, 0, a}, record{2, 1, b}, record{3, 1, c})
		return slices.Concat(a, b), whole[:len(whole)-10], ends(2, 1, false, 346)
	})
	ok("unsynced frame lost, later one there", 1, func(f *file) ([]byte, []byte, []any) {
		return a, f.log(record{1, 0, a}, record{3, 1, c}), ends(1, 0, false, 356)
	})
	ok("noise behind", 1, func(f *file) ([]byte, []byte, []any) {
		return a, append(f.log(record{1, 0, a}), c...), ends(1, 0, false, 300)
	})
	ok("nothing but a torn frame", 1, func(f *file) ([]byte, []byte, []any) {
		return nil, f.log(record{1, 0, a})[:150], ends(0, 0, false, 46)
	})
}

func (g *gen) badLogs() {
	f := g.newFile(2, 1)
	a, b, c := g.bytes(100), g.bytes(60), g.bytes(80)
	all := slices.Concat(a, b, c)
	r1, r2, r3 := f.frame2(record{1, 0, a}), f.frame2(record{2, 1, b}), f.frame2(record{3, 2, c})
	end := f.frame2(record{4, 3, nil})
	bad := func(expect, comment string, list ...[]byte) {
		g.addFile("bad", expect, comment, f, all, slices.Concat(f.header(), slices.Concat(list...)))
	}
	bad(Tail, "marker of a synced frame changed", flip(r1, 0), r2, r3, end)
	bad(Tail, "length of a synced frame changed", r1, flip(r2, 11), r3, end)
	bad(Tail, "seq of a synced frame changed", r1, flip(r2, 19), r3, end)
	bad(Tail, "syncedSeq of a synced frame changed", r1, flip(r2, 27), r3, end)
	bad(Tail, "nonce of a synced frame changed", r1, flip(r2, 28), r3, end)
	bad(Tail, "ciphertext of a synced frame changed", flip(r1, 60), r2, r3, end)
	bad(Tail, "tag of a synced frame changed", r1, r2, flip(r3, -1), end)
	bad(Tail, "synced frame missing", r1, r3, end)
	bad(Tail, "first frame missing", r2, r3, end)
	bad(Tail, "synced frames exchanged", r2, r1, r3, end)
	bad(Tail, "synced frame zeroed", r1, make([]byte, len(r2)), r3, end)
	bad(Tail, "synced frame a byte short", r1, r2[:len(r2)-1], r3, end)
	bad(Tail, "a byte before a synced frame", r1, []byte{0}, r2, r3, end)
	bad(Tail, "synced frame doubled", r1, r1, r2, r3, end)
	bad(Tail, "frame behind the end frame", r1, r2, r3, end, f.frame2(record{5, 3, a}))
	bad(Tail, "byte behind the end frame", r1, r2, r3, end, []byte{0})
	bad(Tail, "end frame doubled", r1, r2, r3, end, end)
	o := f
	o.number = 18
	bad(Tail, "frame of another file in the place of a synced one", r1, o.frame2(record{2, 1, b}), r3, end)
	g.addFile("bad", Format, "class of a table", f, all, with(f.log(record{1, 0, a}), 6, 1))
	g.addFile("bad", Format, "area of the audit log", f, all, with(f.log(record{1, 0, a}), 7, 2))
	g.addFile("bad", Open, "commitment changed", f, all, flip(f.log(record{1, 0, a}), 72))
}
