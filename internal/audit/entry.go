package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/coffer-storage/coffer/internal/crypt/enc"
)

// ErrForm says that a frame is not an entry of the log; ErrChain that an entry does not
// follow the one before it.
var (
	ErrForm  = errors.New("audit: malformed entry")
	ErrChain = errors.New("audit: the chain is broken")
)

const (
	version  = 1
	maxField = 1 << 10

	headMagic = "CFAU"
	headSize  = 4 + 1 + 8 + 8 + 32
	hashSize  = sha256.Size
)

// Hash is one link of the chain.
type Hash [hashSize]byte

// link is h(n) of a record in its stored form.
func link(before Hash, record []byte) Hash {
	return sha256.Sum256(enc.Encode("coffer/audit/v1", before[:], record))
}

// fields are the texts of a record in file order.
func (r *Record) fields() [5]*string {
	return [5]*string{&r.Actor, &r.Operation, &r.What, &r.Outcome, &r.RequestID}
}

// encode returns the stored form of a record.
func (r *Record) encode() []byte {
	b := []byte{version}
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixNano()))
	b = append(b, r.Kref[:]...)
	for _, f := range r.fields() {
		text := clip(*f)
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return b
}

// clip bounds a text, so that no caller can make a record of any size.
func clip(s string) string {
	if len(s) <= maxField {
		return s
	}
	s = s[:maxField]
	for i := 0; i < utf8.UTFMax && !utf8.ValidString(s); i++ {
		s = s[:len(s)-1]
	}
	return s
}

// decodeRecord reads what encode writes.
func decodeRecord(b []byte) (Record, error) {
	var r Record
	if len(b) < 1+8+8+16 || b[0] != version {
		return Record{}, ErrForm
	}
	r.Seq = binary.BigEndian.Uint64(b[1:])
	r.Time = time.Unix(0, int64(binary.BigEndian.Uint64(b[9:]))).UTC()
	copy(r.Kref[:], b[17:])
	b = b[33:]
	for _, f := range r.fields() {
		if len(b) < 4 {
			return Record{}, ErrForm
		}
		n := binary.BigEndian.Uint32(b)
		if n > maxField || int(n) > len(b)-4 {
			return Record{}, ErrForm
		}
		*f, b = string(b[4:4+n]), b[4+n:]
	}
	if len(b) != 0 || r.Seq == 0 {
		return Record{}, ErrForm
	}
	return r, nil
}

// head begins every file: which entry is first, and the link before it.
type head struct {
	file   uint64
	first  uint64
	before Hash
}

func (h head) encode() []byte {
	b := append([]byte(headMagic), version)
	b = binary.BigEndian.AppendUint64(b, h.file)
	b = binary.BigEndian.AppendUint64(b, h.first)
	return append(b, h.before[:]...)
}

func decodeHead(b []byte) (head, error) {
	if len(b) != headSize || string(b[:4]) != headMagic || b[4] != version {
		return head{}, fmt.Errorf("%w: file head", ErrForm)
	}
	h := head{file: binary.BigEndian.Uint64(b[5:]), first: binary.BigEndian.Uint64(b[13:]), before: Hash(b[21:])}
	if h.first == 0 || h.first == 1 && h.before != (Hash{}) {
		return head{}, fmt.Errorf("%w: file head", ErrForm)
	}
	return h, nil
}
