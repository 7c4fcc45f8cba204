package sealedfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Format is the version of the whole store that this program writes. A store of a
// newer one is refused by name; one of an older one is brought up to date by its first
// start. Format 1 had no blob files.
const Format = 2

// EntryType is the kind of a file that HEAD lists.
type EntryType uint8

const (
	EntryWAL      EntryType = 1
	EntryManifest EntryType = 2
	EntryAudit    EntryType = 3
)

func (t EntryType) area() uint8 {
	if t == EntryAudit {
		return 2
	}
	return 1
}

func (t EntryType) String() string {
	switch t {
	case EntryWAL:
		return "WAL"
	case EntryManifest:
		return "MANIFEST"
	default:
		return "audit file"
	}
}

// Entry is one file that must be there, with the last frame that was synced.
type Entry struct {
	Type   EntryType
	Number uint64
	Seq    uint64
}

// Head is the content of a HEAD file.
type Head struct {
	Clean      bool // the store was stopped in order; the seqs are exact
	StoreID    [16]byte
	Format     uint32
	Seq        uint64 // of the HEAD files themselves, in turn
	Generation uint64 // of the key store, the highest seen
	Sum        [32]byte
	Entries    []Entry // ascending
}

const (
	headFixed = 1 + 1 + 16 + 4 + 8 + 8 + 32 + 2
	headEntry = 1 + 1 + 8 + 8
)

// Bytes returns the plaintext of the file.
func (h *Head) Bytes() []byte {
	b := make([]byte, 0, headFixed+headEntry*len(h.Entries))
	clean := byte(0)
	if h.Clean {
		clean = 1
	}
	b = append(b, 1, clean)
	b = append(b, h.StoreID[:]...)
	b = binary.BigEndian.AppendUint32(b, h.Format)
	b = binary.BigEndian.AppendUint64(b, h.Seq)
	b = binary.BigEndian.AppendUint64(b, h.Generation)
	b = append(b, h.Sum[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.Entries)))
	for _, e := range h.Entries {
		b = append(b, e.Type.area(), byte(e.Type))
		b = binary.BigEndian.AppendUint64(b, e.Number)
		b = binary.BigEndian.AppendUint64(b, e.Seq)
	}
	return b
}

var errHeadForm = errors.New("HEAD has a wrong form")

// ParseHead reads the plaintext of a HEAD file. A version of HEAD that is not known is
// fault.NewerFormat: only a newer program can have sealed it.
func ParseHead(b []byte) (Head, error) {
	bad := fault.New("sealedfs.ParseHead", "HEAD", fault.Corrupt, errHeadForm)
	if len(b) > 0 && b[0] > 1 {
		return Head{}, newer(uint32(b[0]))
	}
	if len(b) < headFixed || b[0] != 1 || b[1] > 1 {
		return Head{}, bad
	}
	h := Head{Clean: b[1] == 1}
	copy(h.StoreID[:], b[2:])
	h.Format = binary.BigEndian.Uint32(b[18:])
	h.Seq = binary.BigEndian.Uint64(b[22:])
	h.Generation = binary.BigEndian.Uint64(b[30:])
	copy(h.Sum[:], b[38:])
	n := int(binary.BigEndian.Uint16(b[70:]))
	b = b[headFixed:]
	if len(b) != n*headEntry || h.Format == 0 || h.Seq == 0 {
		return Head{}, bad
	}
	for ; n > 0; n-- {
		e := Entry{EntryType(b[1]), binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:])}
		ascending := len(h.Entries) == 0 || compareEntries(h.Entries[len(h.Entries)-1], e) < 0
		if e.Type < EntryWAL || e.Type > EntryAudit || b[0] != e.Type.area() || !ascending {
			return Head{}, bad
		}
		h.Entries = append(h.Entries, e)
		b = b[headEntry:]
	}
	return h, nil
}

func compareEntries(a, b Entry) int {
	key := func(e Entry) []byte { return binary.BigEndian.AppendUint64([]byte{byte(e.Type)}, e.Number) }
	return bytes.Compare(key(a), key(b))
}

func sortEntries(es []Entry) { slices.SortFunc(es, compareEntries) }

// entry returns the entry of a type with the highest number.
func (h *Head) entry(t EntryType) (Entry, bool) {
	for i := len(h.Entries) - 1; i >= 0; i-- {
		if h.Entries[i].Type == t {
			return h.Entries[i], true
		}
	}
	return Entry{}, false
}
