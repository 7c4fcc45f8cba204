package object

import (
	"slices"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
)

// FirstField is the lowest tag that a service may use in Row.Fields.
const FirstField = 32

// PartKind says what a part of a row is.
type PartKind uint8

// Kinds of parts.
const (
	PartMeta   PartKind = 1 // user metadata, VALUE-1 under the first DEK
	PartInline PartKind = 2 // a CFC1 chunk, in the row of that chunk
)

// Part is a sealed part of a row. It is opaque: copied byte for byte, it still opens.
type Part struct {
	Kind      PartKind
	Protector keys.Protector
	Keyref    keys.ID // the DEK
	VID       keys.ID // new whenever the part is sealed
	Sealed    []byte
}

// Form says how a DEK is wrapped.
type Form uint8

// Forms of a DEK entry.
const (
	FormWrap Form = 1 // WRAP-1 under a KEK
	FormCPK  Form = 2 // salt, verifier and WRAP-1 under a customer-provided key
)

// DEKEntry is a wrapped data key, as SYS holds it.
type DEKEntry struct {
	ID        keys.ID
	Protector keys.Protector
	Form      Form
	WrappedAt time.Time
	Wrap      []byte
}

// Ref is a range of a chunk.
type Ref struct {
	Chunk  keys.ID
	DEKID  keys.ID
	Offset uint32 // in the plaintext of the chunk
	Length uint32
}

// Piece is a part of a content that the service tells apart: a block.
type Piece struct {
	Label  []byte // block id, or empty
	Length int64  // the sum of Refs
	Refs   []Ref
}

// Row is one row with SYS opened.
type Row struct {
	Owner   keys.ID
	Class   extent.Class // zero is Single
	DEKs    []DEKEntry   // at most 255; META is sealed under the first
	Parts   []Part
	CPKHash []byte           // SHA-256 of the customer-provided key, or nil
	Fields  []envelope.Field // the service's own, tags from FirstField on, ascending

	pieces []Piece    // content, when it is short
	base   uint64     // where pieces begin, in map rows
	mapped mapping    // content, when it is in map rows
	chunk  *chunkInfo // in table chunk

	customer *CustomerKey // for a reader of this row

	system keys.ID         // SYSK version that SYS was under
	infra  keys.ID         // IDK version around it, when the row is double
	origin string          // key in meta that the row was read from
	wraps  map[wrapID]bool // wraps that it held then
}

// mapping names the map rows of a long content. The zero value is none.
type mapping struct {
	id     keys.ID
	length int64
	count  int // pieces
}

// wrapID names one wrap: a data key under a version of a KEK.
type wrapID struct{ dek, kref keys.ID }

// Get returns the first value of the field tag, or nil.
func (r *Row) Get(tag byte) []byte {
	for _, f := range r.Fields {
		if f.Tag == tag {
			return f.Value
		}
	}
	return nil
}

// All returns the values of a repeated field in their order.
func (r *Row) All(tag byte) [][]byte {
	var vs [][]byte
	for _, f := range r.Fields {
		if f.Tag == tag {
			vs = append(vs, f.Value)
		}
	}
	return vs
}

// Set replaces the field tag by values; without values it is removed.
func (r *Row) Set(tag byte, values ...[]byte) {
	lo := 0
	for lo < len(r.Fields) && r.Fields[lo].Tag < tag {
		lo++
	}
	hi := lo
	for hi < len(r.Fields) && r.Fields[hi].Tag == tag {
		hi++
	}
	if lo == hi && len(values) == 0 {
		return
	}
	// Another row may share the old fields.
	fs := make([]envelope.Field, 0, len(r.Fields)-(hi-lo)+len(values))
	fs = append(fs, r.Fields[:lo]...)
	for _, v := range values {
		fs = append(fs, envelope.Field{Tag: tag, Value: v})
	}
	r.Fields = append(fs, r.Fields[hi:]...)
}

// Length is the length of the content.
func (r *Row) Length() int64 {
	if r.mapped.count > 0 {
		return r.mapped.length
	}
	var n int64
	for _, p := range r.pieces {
		n += p.Length
	}
	return n
}

// PieceCount is the number of pieces of the content.
func (r *Row) PieceCount() int { return max(r.mapped.count, len(r.pieces)) }

// Part returns the part of that kind.
func (r *Row) Part(k PartKind) (Part, bool) {
	for _, p := range r.Parts {
		if p.Kind == k {
			return p, true
		}
	}
	return Part{}, false
}

// SetPart replaces the part of p's kind, or adds it. Without sealed bytes it removes it.
func (r *Row) SetPart(p Part) {
	ps := slices.DeleteFunc(slices.Clone(r.Parts), func(q Part) bool { return q.Kind == p.Kind })
	if len(p.Sealed) > 0 {
		ps = append(ps, p)
	}
	r.Parts = ps
}

// DEK returns the entry with that id.
func (r *Row) DEK(id keys.ID) (DEKEntry, bool) {
	i := slices.IndexFunc(r.DEKs, func(e DEKEntry) bool { return e.ID == id })
	if i < 0 {
		return DEKEntry{}, false
	}
	return r.DEKs[i], true
}
