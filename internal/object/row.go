package object

import (
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
)

// PartKind says what a part of a row is.
type PartKind uint8

// Kinds of parts.
const (
	PartMeta   PartKind = 1 // user metadata, VALUE-1 under the first DEK
	PartInline PartKind = 2 // a CFC1 chunk
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
	Fields  []envelope.Field // the service's own, tags from 32 on, ascending

	pieces []Piece // content, when it is short
	names  []keys.ID
	mapped mapping // content, when it is in map rows
	origin origin
}

// Get returns the first value of the field tag, or nil. An empty field is not nil.
func (r *Row) Get(tag byte) []byte { panic("soon") }

// All returns the values of a repeated field in their order.
func (r *Row) All(tag byte) [][]byte { panic("soon") }

// Set replaces the field tag by values; without values it is removed.
func (r *Row) Set(tag byte, values ...[]byte) { panic("soon") }

// Length is the length of the content.
func (r *Row) Length() int64 { panic("soon") }

// PieceCount is the number of pieces of the content.
func (r *Row) PieceCount() int { panic("soon") }

// Part returns the part of that kind.
func (r *Row) Part(k PartKind) (Part, bool) { panic("soon") }

// SetPart replaces the part of p's kind, or adds it. A zero Sealed removes it.
func (r *Row) SetPart(p Part) { panic("soon") }

type mapping struct {
	id     keys.ID
	length int64
	count  int
}

// origin is where a row was read from, and which wraps it held then.
type origin struct {
	table Table
	key   string
	wraps map[string]bool
}
