package blob

import (
	"encoding/binary"
	"time"

	"github.com/coffer-storage/coffer/internal/object"
)

// Fields of the rows of this package, in SYS. spec/blob-rows.md lists them with their
// forms. Numbers are for ever and are not used twice, whatever the table.
const (
	tagETag     = 32 // u64
	tagModified = 33 // u64 ns
	tagCreated  = 34 // u64 ns

	// blobs
	tagType               = 35 // 1: block
	tagLength             = 36 // u64
	tagCacheControl       = 37
	tagContentType        = 38
	tagContentEncoding    = 39
	tagContentLanguage    = 40
	tagContentDisposition = 41
	tagContentMD5         = 42 // 16
	tagTier               = 43 // 1
	tagTierChanged        = 44 // u64 ns
	tagBlockCount         = 45 // u32
	tagIDLength           = 46 // 1: decoded length of the block ids
	tagScope              = 47 // name of the encryption scope

	// containers
	tagContainerID = 64 // 16
	tagPublic      = 65 // 1
	tagPolicy      = 66 // repeated
	tagMetadata    = 67 // as a META part has it
	tagDefault     = 68 // default encryption scope: id 16, flags 1, name
	tagDeny        = 69 // 1: blobs may not choose another encryption

	// staging
	tagStagingID = 80 // 16
	tagStaged    = 81 // u32: staged blocks

	tagStagedHash = 82 // repeated: data key id 16, SHA-256 of its customer-provided key 32

	// service properties
	tagProperties = 96
)

// fields reads the values of a row and remembers whether one had a wrong form, so
// that a decoder asks once, at its end. A tag that is not asked for refuses too.
type fields struct {
	r     *object.Row
	asked [256]bool
	bad   bool
}

func (f *fields) get(tag byte) []byte {
	f.asked[tag] = true
	return f.r.Get(tag)
}

func (f *fields) sized(tag byte, n int, must bool) []byte {
	b := f.get(tag)
	if b == nil && !must {
		return nil
	}
	if len(b) != n {
		f.bad = true
		return nil
	}
	return b
}

func (f *fields) u64(tag byte, must bool) uint64 {
	if b := f.sized(tag, 8, must); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (f *fields) u32(tag byte) uint32 {
	if b := f.sized(tag, 4, false); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) u8(tag byte) byte {
	if b := f.sized(tag, 1, false); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) id(tag byte) (id [16]byte) {
	copy(id[:], f.sized(tag, 16, true))
	return id
}

func (f *fields) time(tag byte, must bool) time.Time {
	ns := f.u64(tag, must)
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns)).UTC()
}

func (f *fields) string(tag byte) string { return string(f.get(tag)) }

// done reports whether everything had its form.
func (f *fields) done() error {
	for _, field := range f.r.Fields {
		if !f.asked[field.Tag] {
			return errRow
		}
	}
	if f.bad {
		return errRow
	}
	return nil
}

// The setters leave out what is zero: absent is the zero value.

func setU64(r *object.Row, tag byte, v uint64) {
	if v == 0 {
		r.Set(tag)
		return
	}
	r.Set(tag, binary.BigEndian.AppendUint64(nil, v))
}

func setU32(r *object.Row, tag byte, v uint32) {
	if v == 0 {
		r.Set(tag)
		return
	}
	r.Set(tag, binary.BigEndian.AppendUint32(nil, v))
}

func setU8(r *object.Row, tag byte, v byte) {
	if v == 0 {
		r.Set(tag)
		return
	}
	r.Set(tag, []byte{v})
}

func setTime(r *object.Row, tag byte, t time.Time) {
	if t.IsZero() {
		r.Set(tag)
		return
	}
	setU64(r, tag, uint64(t.UnixNano()))
}

func setBytes(r *object.Row, tag byte, b []byte) {
	if len(b) == 0 {
		r.Set(tag)
		return
	}
	r.Set(tag, b)
}

func setString(r *object.Row, tag byte, s string) { setBytes(r, tag, []byte(s)) }
