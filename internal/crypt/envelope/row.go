package envelope

import (
	"encoding/binary"
	"math"

	"github.com/coffer-storage/coffer/internal/crypt"
	"github.com/coffer-storage/coffer/internal/crypt/internal/sealed"
	"github.com/coffer-storage/coffer/internal/crypt/segment"
)

// rowVersion begins every row value.
const rowVersion = 1

// rowHeader is the version and the length of SYS.
const rowHeader = 5

// Row is a row value taken apart. How many parts there are, and how long they are, is
// in SYS.
type Row struct {
	SYS   []byte   // VALUE-1, or INFRA-1 around it
	Parts [][]byte // VALUE-1 or CFC1, or INFRA-1 around one
}

// EncodeRow frames what was sealed before. It panics when SYS or a part does not have
// the form of something sealed: only a bug can bring plaintext here, and it must not
// reach the disk.
func EncodeRow(r Row) crypt.Sealed {
	n := rowHeader + len(r.SYS)
	for _, p := range r.Parts {
		n += len(p)
	}
	if !isValue(r.SYS) || uint64(len(r.SYS)) > math.MaxUint32 {
		panic("envelope: SYS is not sealed")
	}
	b := append(make([]byte, 0, n), rowVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.SYS)))
	b = append(b, r.SYS...)
	for _, p := range r.Parts {
		if !isValue(p) && !isChunk(p) {
			panic("envelope: a part is not sealed")
		}
		b = append(b, p...)
	}
	return sealed.Make(b)
}

// SplitRow returns SYS and the parts behind it, which share b's memory.
func SplitRow(b []byte) (sys, rest []byte, err error) {
	if len(b) < rowHeader || b[0] != rowVersion {
		return nil, nil, ErrFormat
	}
	n, rest, err := u32(b[1:])
	if err != nil || uint64(n) > uint64(len(rest)) || !isValue(rest[:n]) {
		return nil, nil, ErrFormat
	}
	return rest[:n:n], rest[n:], nil
}

// IsInfra reports whether b, SYS or a part, has the second layer.
func IsInfra(b []byte) bool {
	_, err := InfraKeyref(b)
	return err == nil
}

// isValue reports whether b has the form of VALUE-1 or INFRA-1.
func isValue(b []byte) bool {
	_, err := ValueKeyref(b)
	return err == nil || IsInfra(b)
}

// isChunk reports whether b has the form of a whole chunk.
func isChunk(b []byte) bool {
	h, err := segment.ParseHeader(b)
	if err != nil {
		return false
	}
	_, err = segment.PlainSize(int64(len(b)), h.Lg)
	return err == nil
}
