package object

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
)

func id(b byte) keys.ID { return keys.ID(bytes.Repeat([]byte{b}, 16)) }

func dekEntry(b byte) DEKEntry {
	return DEKEntry{
		ID: id(b), Protector: keys.AccountProtector(id(1)), Form: FormWrap,
		WrappedAt: time.Unix(1700000000, 7).UTC(), Wrap: bytes.Repeat([]byte{b}, keywrap.WrapSize),
	}
}

// rows are one of each shape that a SYS can have.
func rows() map[string]*Row {
	cpk := dekEntry(5)
	cpk.Protector = keys.Protector{Kind: keys.ProtectCPK}
	cpk.Form, cpk.Wrap = FormCPK, bytes.Repeat([]byte{5}, cpkWrapSize)
	ref := func(c, d byte, n uint32) Ref { return Ref{Chunk: id(c), DEKID: id(d), Length: n} }
	return map[string]*Row{
		"empty":  {Class: extent.Single},
		"fields": {Class: extent.Single, Fields: []envelope.Field{{Tag: 32, Value: []byte("a")}, {Tag: 32, Value: []byte{}}, {Tag: 255, Value: []byte("z")}}},
		"content": {
			Class: extent.Single, DEKs: []DEKEntry{dekEntry(2), dekEntry(3)},
			pieces: []Piece{{Length: 30, Refs: []Ref{ref(8, 3, 10), ref(9, 2, 20)}}},
			Fields: []envelope.Field{{Tag: 40, Value: []byte("x")}},
		},
		"blocks": {
			Class: extent.Single, DEKs: []DEKEntry{dekEntry(2)},
			pieces: []Piece{
				{Label: []byte("one"), Length: 10, Refs: []Ref{ref(8, 2, 10)}},
				{Label: []byte("two"), Length: 12, Refs: []Ref{{id(9), id(2), 5, 5}, ref(10, 2, 7)}},
			},
		},
		"staged": {Class: extent.Single, pieces: []Piece{{Length: 9, Refs: []Ref{ref(8, 7, 4), ref(9, 6, 5)}}}},
		"mapped": {Class: extent.Single, DEKs: []DEKEntry{dekEntry(2)}, mapped: mapping{id(7), 1 << 40, 50_000}},
		"cpk":    {Class: extent.Single, DEKs: []DEKEntry{cpk}, CPKHash: bytes.Repeat([]byte{1}, 32)},
		"meta": {
			Class: extent.Single, DEKs: []DEKEntry{dekEntry(2)},
			Parts: []Part{{Kind: PartMeta, Protector: keys.AccountProtector(id(1)), Keyref: id(2), VID: id(4), Sealed: make([]byte, 80)}},
		},
		"inline": {Class: extent.Single, chunk: &chunkInfo{
			lg: 16, length: 100, stored: uint32(segment.SealedSize(100, 16)), crc: 77, state: ChunkLive}},
		"placed": {Class: extent.Single, chunk: &chunkInfo{
			lg: 12, length: 5000, stored: uint32(segment.SealedSize(5000, 12)), crc: 77, state: ChunkQuarantined,
			place: extent.Place{Extent: id(3), Offset: 99, Length: uint64(segment.SealedSize(5000, 12))}}},
		"double": {Class: extent.Double},
	}
}

func TestSYSRoundTrip(t *testing.T) {
	for name, r := range rows() {
		b, err := encodeSYS(r, nil)
		if err != nil {
			t.Fatalf("%s: encodeSYS error = %v", name, err)
		}
		got, sizes, err := decodeSYS(b, nil)
		if err != nil {
			t.Fatalf("%s: decodeSYS error = %v", name, err)
		}
		want := *r
		want.Parts = slices.Clone(r.Parts)
		for i := range want.Parts { // their bytes lie behind SYS
			if int(sizes[i]) != len(want.Parts[i].Sealed) {
				t.Errorf("%s: part of %d bytes, want %d", name, sizes[i], len(want.Parts[i].Sealed))
			}
			want.Parts[i].Sealed = nil
		}
		opts := cmp.AllowUnexported(Row{}, mapping{}, chunkInfo{}, wrapID{})
		if d := cmp.Diff(&want, got, opts, cmpEmptyLabel); d != "" {
			t.Errorf("%s: decodeSYS(encodeSYS(r)) differs (-want +got):\n%s", name, d)
		}
	}
}

// cmpEmptyLabel: a label that was absent comes back empty.
var cmpEmptyLabel = cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })

func TestMapRowRoundTrip(t *testing.T) {
	table := []keys.ID{id(2), id(3)}
	r := &Row{Class: extent.Single, base: 1000, pieces: []Piece{
		{Label: []byte("a"), Length: 10, Refs: []Ref{{id(8), id(3), 0, 10}}},
		{Label: []byte("b"), Length: 5, Refs: []Ref{{id(9), id(2), 0, 5}}},
	}}
	b, err := encodeSYS(r, table)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := decodeSYS(b, table)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, got, cmp.AllowUnexported(Row{}, mapping{}, chunkInfo{}, wrapID{})); d != "" {
		t.Errorf("map row differs (-want +got):\n%s", d)
	}
	if _, _, err := decodeSYS(b, table[:1]); err == nil {
		t.Error("a reference behind the end of the table was accepted")
	}
}

// refusal is a SYS that must not parse, and the same one without its fault.
type refusal struct {
	name       string
	fs, mended []envelope.Field
}

func refusals() []refusal {
	f := func(tag byte, v ...byte) envelope.Field { return envelope.Field{Tag: tag, Value: v} }
	of := func(fs ...envelope.Field) []envelope.Field { return fs }
	single := f(tagClass, 1)
	with := func(fs ...envelope.Field) []envelope.Field { return append(of(single), fs...) }
	dek := envelope.Field{Tag: tagDEK, Value: dekEntry(2).append(nil)}
	ref := func(at byte, index byte, n byte) envelope.Field {
		v := make([]byte, 33)
		v[7], v[24], v[32] = at, index, n
		return envelope.Field{Tag: tagRef, Value: v}
	}
	badForm := dekEntry(2)
	badForm.Form = FormCPK
	badKind := dekEntry(2)
	badKind.Protector = keys.Protector{Kind: keys.ProtectCPK}
	zero := f(tagName, make([]byte, 16)...)
	part := Part{Kind: PartMeta, Protector: keys.AccountProtector(id(1)), Keyref: id(2), VID: id(4)}.entry()
	odd := append([]byte{9}, part[1:]...)
	chunk := chunkInfo{lg: 16, length: 100, stored: uint32(segment.SealedSize(100, 16)), state: ChunkLive}
	changed := func(change func(*chunkInfo)) envelope.Field {
		c := chunk
		change(&c)
		return envelope.Field{Tag: tagChunk, Value: c.append(nil)}
	}
	whole := changed(func(*chunkInfo) {})
	placed := func(n uint64) envelope.Field {
		return changed(func(c *chunkInfo) { c.place = extent.Place{Extent: id(1), Length: n} })
	}
	mapped := func(pieces int) envelope.Field {
		return envelope.Field{Tag: tagMap, Value: mapping{id(1), 5, pieces}.append(nil)}
	}
	return []refusal{
		{"nothing", nil, with()},
		{"no class", of(f(40)), with(f(40))},
		{"class 0", of(f(tagClass, 0)), with()},
		{"class 3", of(f(tagClass, 3)), with()},
		{"two classes", with(single), with()},
		{"unknown tag", with(f(7)), with()},
		{"reserved tag", with(f(31)), with(f(32))},
		{"DEK form and wrap", with(f(tagDEK, badForm.append(nil)...)), with(dek)},
		{"DEK form and protector", with(f(tagDEK, badKind.append(nil)...)), with(dek)},
		{"DEK cut", with(f(tagDEK, dek.Value[:100]...)), with(dek)},
		{"reference without keys", with(ref(0, 0, 1)), with(dek, ref(0, 0, 1))},
		{"reference to a key that is not there", with(dek, ref(0, 1, 1)), with(dek, ref(0, 0, 1))},
		{"reference at another offset", with(dek, ref(1, 0, 1)), with(dek, ref(0, 0, 1))},
		{"empty reference", with(dek, ref(0, 0, 0)), with(dek, ref(0, 0, 1))},
		{"gap between references", with(dek, ref(0, 0, 1), ref(2, 0, 1)), with(dek, ref(0, 0, 1), ref(1, 0, 1))},
		{"piece without references", with(dek, f(tagPiece, 0, 0, 0, 1, 65)), with(dek, ref(0, 0, 1), f(tagPiece, 0, 0, 0, 1, 65))},
		{"empty piece", with(dek, ref(0, 0, 1), f(tagPiece, 0, 0, 0, 1, 65), f(tagPiece, 0, 0, 0, 0, 66)), with(dek, ref(0, 0, 1), f(tagPiece, 0, 0, 0, 1, 65))},
		{"piece too long", with(dek, ref(0, 0, 1), f(tagPiece, 0, 0, 0, 2, 65)), with(dek, ref(0, 0, 1), f(tagPiece, 0, 0, 0, 1, 65))},
		{"references left over", with(dek, ref(0, 0, 1), ref(1, 0, 1), f(tagPiece, 0, 0, 0, 1, 65)), with(dek, ref(0, 0, 1), ref(1, 0, 1), f(tagPiece, 0, 0, 0, 2, 65))},
		{"names beside entries", with(dek, ref(0, 0, 1), zero), with(dek, ref(0, 0, 1))},
		{"the same key twice", with(dek, dek), with(dek)},
		{"name that nothing uses", with(ref(0, 0, 1), zero, f(tagName, bytes.Repeat([]byte{1}, 16)...)), with(ref(0, 0, 1), zero)},
		{"mark without need", with(dek, ref(0, 0, 1), f(tagPiece, 0, 0, 0, 1)), with(dek, ref(0, 0, 1))},
		{"map beside references", with(dek, ref(0, 0, 1), mapped(5)), with(dek, mapped(5))},
		{"names without references", with(zero), with()},
		{"map of nothing", with(dek, mapped(0)), with(dek, mapped(1))},
		{"part of an unknown kind", with(f(tagPart, odd...)), with(f(tagPart, part...))},
		{"CPK hash cut", with(f(tagCPK, make([]byte, 31)...)), with(f(tagCPK, make([]byte, 32)...))},
		{"chunk state 0", with(changed(func(c *chunkInfo) { c.state = 0 })), with(whole)},
		{"chunk state 4", with(changed(func(c *chunkInfo) { c.state = 4 })), with(whole)},
		{"chunk of no bytes", with(changed(func(c *chunkInfo) { c.length, c.stored = 0, uint32(segment.SealedSize(0, 16)) })), with(whole)},
		{"chunk with another stored length", with(changed(func(c *chunkInfo) { c.stored++ })), with(whole)},
		{"chunk with another place length", with(placed(1)), with(placed(uint64(chunk.stored)))},
		{"chunk segment size", with(changed(func(c *chunkInfo) { c.lg = 30 })), with(whole)},
		{"two chunks", with(whole, whole), with(whole)},
	}
}

// TestSYSRefusals: each form is refused, and for its one fault.
func TestSYSRefusals(t *testing.T) {
	for _, tt := range refusals() {
		if r, _, err := decodeSYS(envelope.EncodeFields(tt.fs), nil); err == nil {
			t.Errorf("%s: decodeSYS = %+v, want an error", tt.name, r)
		}
		if _, _, err := decodeSYS(envelope.EncodeFields(tt.mended), nil); err != nil {
			t.Errorf("%s, mended: %v", tt.name, err)
		}
	}
}

// FuzzSYS: what parses has one spelling.
func FuzzSYS(f *testing.F) {
	for _, r := range rows() {
		b, err := encodeSYS(r, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
		b[len(b)/2] ^= 1
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, sizes, err := decodeSYS(b, nil)
		if err != nil {
			if r != nil {
				t.Error("a row with an error")
			}
			return
		}
		for i, n := range sizes {
			if n > 1<<20 {
				return // only its length counts; do not allocate it
			}
			r.Parts[i].Sealed = make([]byte, n)
		}
		again, err := encodeSYS(r, nil)
		if err != nil {
			t.Fatalf("encodeSYS of a row that parsed: %v", err)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("encode(parse(x)) = %x, want %x", again, b)
		}
	})
}

func TestRowFields(t *testing.T) {
	var r Row
	if r.Get(40) != nil || r.All(40) != nil {
		t.Error("a field of an empty row")
	}
	r.Set(50, []byte("b"))
	r.Set(40, []byte("x"), []byte("y"))
	r.Set(45, []byte{})
	if got := r.Get(45); got == nil || len(got) != 0 {
		t.Errorf("Get of an empty field = %v, want empty, not nil", got)
	}
	if got := r.All(40); len(got) != 2 || string(got[1]) != "y" {
		t.Errorf("All = %q", got)
	}
	for i := 1; i < len(r.Fields); i++ {
		if r.Fields[i].Tag < r.Fields[i-1].Tag {
			t.Errorf("tags do not ascend: %v", r.Fields)
		}
	}
	copied := r
	copied.Set(40)
	if r.Get(40) == nil || copied.Get(40) != nil {
		t.Error("Set changed a copy of the row as well, or did not remove")
	}
}
