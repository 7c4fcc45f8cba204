package envelope

import (
	"encoding/binary"
	"fmt"
	"math"
)

// fieldHeader is the tag and the length.
const fieldHeader = 5

// Field is one field of a plaintext SYS: tag(1) || u32 length || bytes. Fields stand in
// ascending order of tags; those with the same tag keep theirs.
type Field struct {
	Tag   byte
	Value []byte
}

// EncodeFields returns the one encoding of fs. It panics when the tags do not ascend,
// or one is 0.
func EncodeFields(fs []Field) []byte {
	n := 0
	for _, f := range fs {
		n += fieldHeader + len(f.Value)
	}
	b := make([]byte, 0, n)
	last := byte(1)
	for _, f := range fs {
		if f.Tag < last || uint64(len(f.Value)) > math.MaxUint32 {
			panic(fmt.Sprintf("envelope: field %d of %d bytes after field %d", f.Tag, len(f.Value), last))
		}
		last = f.Tag
		b = append(b, f.Tag)
		b = binary.BigEndian.AppendUint32(b, uint32(len(f.Value)))
		b = append(b, f.Value...)
	}
	return b
}

// DecodeFields takes fields apart. The values share b's memory. It accepts exactly what
// EncodeFields makes; which tags are known is up to the caller.
func DecodeFields(b []byte) ([]Field, error) {
	count, last := 0, byte(1)
	for rest := b; len(rest) > 0; count++ {
		if rest[0] < last {
			return nil, ErrFormat
		}
		last = rest[0]
		n, value, err := u32(rest[1:])
		if err != nil || uint64(n) > uint64(len(value)) {
			return nil, ErrFormat
		}
		rest = value[n:]
	}
	fs := make([]Field, 0, count)
	for len(b) > 0 {
		n := binary.BigEndian.Uint32(b[1:])
		end := fieldHeader + int(n)
		fs = append(fs, Field{b[0], b[fieldHeader:end:end]})
		b = b[end:]
	}
	return fs, nil
}
