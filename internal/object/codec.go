package object

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/keywrap"
	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
)

// Tags of SYS. Those below 16 are fixed by the cryptographic design, those from 16 to
// 31 by spec/rows.md; from FirstField on they are the service's.
const (
	tagClass = 1
	tagDEK   = 2
	tagRef   = 3
	tagPart  = 4
	tagCPK   = 5
	tagChunk = 6
	tagPiece = 16 // how many references make a piece, and its label
	tagMap   = 17 // the content is in map rows
	tagName  = 18 // id of a data key whose wrap is in another row
)

const (
	cpkWrapSize = keywrap.CustomerWrapSize
	maxDEKs     = 255
)

var errSYS = errors.New("object: SYS has a wrong form")

// encodeSYS is the plaintext of r's SYS. In map rows references count in deks, the
// table of the content row; everywhere else deks is nil.
func encodeSYS(r *Row, deks []keys.ID) ([]byte, error) {
	class := r.Class
	if class == 0 {
		class = extent.Single
	}
	fs := []envelope.Field{{Tag: tagClass, Value: []byte{byte(class)}}}
	add := func(tag byte, v []byte) { fs = append(fs, envelope.Field{Tag: tag, Value: v}) }

	table, named, err := dekTable(r, deks)
	if err != nil {
		return nil, err
	}
	for _, e := range r.DEKs {
		add(tagDEK, e.append(nil))
	}
	refs, marks, err := encodePieces(r.pieces, r.base, table)
	if err != nil {
		return nil, err
	}
	for _, v := range refs {
		add(tagRef, v)
	}
	for _, p := range r.Parts {
		add(tagPart, p.entry())
	}
	if r.CPKHash != nil {
		add(tagCPK, r.CPKHash)
	}
	if r.chunk != nil {
		add(tagChunk, r.chunk.append(nil))
	}
	for _, v := range marks {
		add(tagPiece, v)
	}
	if r.mapped.count > 0 {
		add(tagMap, r.mapped.append(nil))
	}
	for _, id := range named {
		add(tagName, id[:])
	}
	for _, f := range r.Fields {
		if f.Tag < FirstField {
			return nil, fmt.Errorf("object: field with tag %d", f.Tag)
		}
	}
	return envelope.EncodeFields(append(fs, r.Fields...)), nil
}

// dekTable is what the DEK indexes of r's references count in: the entries of r, or
// without entries the names that are written beside them.
func dekTable(r *Row, deks []keys.ID) (table, named []keys.ID, err error) {
	if deks != nil {
		return deks, nil, nil
	}
	if len(r.DEKs) > maxDEKs {
		return nil, nil, fmt.Errorf("object: %d data keys in a row", len(r.DEKs))
	}
	if len(r.DEKs) > 0 {
		return dekIDs(r.DEKs), nil, nil
	}
	named = namedIn(r.pieces)
	return named, named, nil
}

// namedIn lists the data keys of references in the order of their first use.
func namedIn(ps []Piece) (named []keys.ID) {
	for _, p := range ps {
		for _, ref := range p.Refs {
			if !slices.Contains(named, ref.DEKID) {
				named = append(named, ref.DEKID)
			}
		}
	}
	return named
}

func dekIDs(es []DEKEntry) []keys.ID {
	ids := make([]keys.ID, len(es))
	for i, e := range es {
		ids[i] = e.ID
	}
	return ids
}

// encodePieces returns the values of tagRef and tagPiece for content that begins at at.
// One piece without a label needs no mark.
func encodePieces(ps []Piece, at uint64, table []keys.ID) (refs, marks [][]byte, err error) {
	for _, p := range ps {
		for _, ref := range p.Refs {
			i := slices.Index(table, ref.DEKID)
			if i < 0 {
				return nil, nil, errors.New("object: reference under a data key that the row does not hold")
			}
			v := make([]byte, 0, 33)
			v = binary.BigEndian.AppendUint64(v, at)
			v = append(v, ref.Chunk[:]...)
			v = append(v, byte(i))
			v = binary.BigEndian.AppendUint32(v, ref.Offset)
			v = binary.BigEndian.AppendUint32(v, ref.Length)
			refs = append(refs, v)
			at += uint64(ref.Length)
		}
		v := binary.BigEndian.AppendUint32(nil, uint32(len(p.Refs)))
		marks = append(marks, append(v, p.Label...))
	}
	if len(ps) == 1 && len(ps[0].Label) == 0 {
		marks = nil
	}
	return refs, marks, nil
}

// decodeSYS is the inverse of encodeSYS. Parts get their entries; their bytes come from
// the rest of the value.
func decodeSYS(b []byte, deks []keys.ID) (*Row, []uint32, error) {
	fs, err := envelope.DecodeFields(b)
	if err != nil {
		return nil, nil, err
	}
	d := decoder{r: &Row{}}
	own := d.size(fs)
	if own < len(fs) {
		d.r.Fields = fs[own:len(fs):len(fs)]
	}
	for _, f := range fs[:own] {
		if err := d.field(f); err != nil {
			return nil, nil, err
		}
	}
	if d.r.Class == 0 {
		return nil, nil, errSYS
	}
	if c := d.r.chunk; c != nil && !c.inline() {
		c.place.Double = d.r.Class == extent.Double
	}
	if err := d.pieces(deks); err != nil {
		return nil, nil, err
	}
	return d.r, d.sizes, nil
}

type decoder struct {
	r     *Row
	sizes []uint32 // of the parts
	refs  [][]byte
	marks [][]byte
	names []keys.ID
}

// size makes room for what fs hold, a map row hundreds of references, and returns where
// the service's own fields begin.
func (d *decoder) size(fs []envelope.Field) (own int) {
	refs, marks := 0, 0
	for ; own < len(fs) && fs[own].Tag < FirstField; own++ {
		switch fs[own].Tag {
		case tagRef:
			refs++
		case tagPiece:
			marks++
		}
	}
	d.refs = make([][]byte, 0, refs)
	d.marks = make([][]byte, 0, max(marks, 1))
	return own
}

func (d *decoder) field(f envelope.Field) error {
	v, r := f.Value, d.r
	ok := true
	switch f.Tag {
	case tagClass:
		ok = len(v) == 1 && r.Class == 0 && (v[0] == byte(extent.Single) || v[0] == byte(extent.Double))
		if ok {
			r.Class = extent.Class(v[0])
		}
	case tagDEK:
		e, err := parseDEK(v)
		if _, twice := r.DEK(e.ID); err != nil || twice || len(r.DEKs) == maxDEKs {
			return errSYS
		}
		r.DEKs = append(r.DEKs, e)
	case tagRef:
		ok = len(v) == 33
		d.refs = append(d.refs, v)
	case tagPart:
		p, n, err := parsePart(v)
		if err != nil {
			return err
		}
		r.Parts, d.sizes = append(r.Parts, p), append(d.sizes, n)
	case tagCPK:
		ok = len(v) == 32 && r.CPKHash == nil
		r.CPKHash = v
	case tagChunk:
		c, err := parseChunk(v)
		if err != nil || r.chunk != nil {
			return errSYS
		}
		r.chunk = c
	case tagPiece:
		ok = len(v) >= 4
		d.marks = append(d.marks, v)
	case tagMap:
		ok = len(v) == 28 && r.mapped.count == 0
		if ok {
			r.mapped = parseMapping(v)
			ok = r.mapped.count > 0 && r.mapped.length > 0
		}
	case tagName:
		ok = len(v) == 16 && len(d.names) < maxDEKs
		if ok {
			d.names = append(d.names, keys.ID(v))
		}
	default:
		ok = false
	}
	if !ok {
		return errSYS
	}
	return nil
}

// pieces puts references and marks together.
func (d *decoder) pieces(deks []keys.ID) error {
	table := deks
	if table == nil {
		table = dekIDs(d.r.DEKs)
	}
	if len(d.names) > 0 {
		if len(table) > 0 {
			return errSYS
		}
		table = d.names
	}
	if len(d.refs) == 0 {
		if len(d.marks) > 0 || len(d.names) > 0 {
			return errSYS
		}
		return nil
	}
	if d.r.mapped.count > 0 || len(d.marks) == 1 && len(d.marks[0]) == 4 {
		return errSYS
	}
	if len(d.marks) == 0 {
		d.marks = append(d.marks, binary.BigEndian.AppendUint32(nil, uint32(len(d.refs))))
	}
	if deks != nil { // a map row begins in the middle; its reader checks where
		d.r.base = binary.BigEndian.Uint64(d.refs[0])
	}
	at := d.r.base
	rest := d.refs
	all := make([]Ref, len(rest)) // of all pieces, in one
	d.r.pieces = make([]Piece, 0, len(d.marks))
	for _, m := range d.marks {
		n := binary.BigEndian.Uint32(m)
		if n == 0 || uint64(n) > uint64(len(rest)) {
			return errSYS
		}
		p := Piece{Label: m[4:], Refs: all[:n:n]}
		all = all[n:]
		for i, v := range rest[:n] {
			index := int(v[24])
			if binary.BigEndian.Uint64(v) != at || index >= len(table) {
				return errSYS
			}
			ref := Ref{
				Chunk:  keys.ID(v[8:24]),
				DEKID:  table[index],
				Offset: binary.BigEndian.Uint32(v[25:]),
				Length: binary.BigEndian.Uint32(v[29:]),
			}
			if ref.Length == 0 {
				return errSYS
			}
			at += uint64(ref.Length)
			p.Length += int64(ref.Length)
			p.Refs[i] = ref
		}
		rest = rest[n:]
		d.r.pieces = append(d.r.pieces, p)
	}
	if len(rest) > 0 || len(d.names) > 0 && !slices.Equal(d.names, namedIn(d.r.pieces)) {
		return errSYS
	}
	return nil
}

// append appends the value of tagDEK.
func (e DEKEntry) append(b []byte) []byte {
	b = append(b, e.ID[:]...)
	p := e.Protector.Bytes()
	b = append(b, p[:]...)
	b = append(b, byte(e.Form))
	b = binary.BigEndian.AppendUint64(b, uint64(e.WrappedAt.UnixNano()))
	return append(b, e.Wrap...)
}

const dekEntryHead = 16 + 17 + 1 + 8

func parseDEK(b []byte) (DEKEntry, error) {
	if len(b) < dekEntryHead {
		return DEKEntry{}, errSYS
	}
	p, err := keys.ParseProtector(b[16:33])
	if err != nil {
		return DEKEntry{}, err
	}
	e := DEKEntry{
		ID:        keys.ID(b[:16]),
		Protector: p,
		Form:      Form(b[33]),
		WrappedAt: time.Unix(0, int64(binary.BigEndian.Uint64(b[34:]))).UTC(),
		Wrap:      b[dekEntryHead:],
	}
	switch {
	case e.Form == FormWrap && len(e.Wrap) == keywrap.WrapSize && p.Kind != keys.ProtectCPK:
	case e.Form == FormCPK && len(e.Wrap) == cpkWrapSize && p.Kind == keys.ProtectCPK:
	default:
		return DEKEntry{}, errSYS
	}
	return e, nil
}

// Kref names the KEK version that the entry is wrapped under; zero for CPK.
func (e DEKEntry) Kref() keys.ID {
	if e.Form != FormWrap {
		return keys.ID{}
	}
	kref, err := keywrap.Keyref(e.Wrap)
	if err != nil {
		return keys.ID{}
	}
	return kref
}

// entry is the value of tagPart.
func (p Part) entry() []byte {
	b := []byte{byte(p.Kind)}
	pr := p.Protector.Bytes()
	b = append(b, pr[:]...)
	b = append(b, p.Keyref[:]...)
	b = append(b, p.VID[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(len(p.Sealed)))
}

func parsePart(b []byte) (Part, uint32, error) {
	if len(b) != 54 || b[0] < byte(PartMeta) || b[0] > byte(PartInline) {
		return Part{}, 0, errSYS
	}
	pr, err := keys.ParseProtector(b[1:18])
	if err != nil {
		return Part{}, 0, err
	}
	return Part{
		Kind:      PartKind(b[0]),
		Protector: pr,
		Keyref:    keys.ID(b[18:34]),
		VID:       keys.ID(b[34:50]),
	}, binary.BigEndian.Uint32(b[50:]), nil
}

// append appends the value of tagMap.
func (m mapping) append(b []byte) []byte {
	b = append(b, m.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.length))
	return binary.BigEndian.AppendUint32(b, uint32(m.count))
}

func parseMapping(b []byte) mapping {
	return mapping{
		id:     keys.ID(b[:16]),
		length: int64(binary.BigEndian.Uint64(b[16:])),
		count:  int(binary.BigEndian.Uint32(b[24:])),
	}
}
