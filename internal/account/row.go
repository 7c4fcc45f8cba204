package account

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// Fields of account rows; spec/blob-rows.md lists them.
const (
	tagID        = 48 // 16
	tagCreated   = 49 // u64 ns
	tagProtector = 50 // 17
	tagFlags     = 51 // 1
	tagKeyID     = 52 // 16, twice: drawn when the key was set
)

const (
	flagDouble  = 1 << 0
	flagPublic  = 1 << 1
	flagDefault = 1 << 2
	flagNoCPK   = 1 << 3
	flagsKnown  = flagDouble | flagPublic | flagDefault | flagNoCPK
)

var errRow = errors.New("account: row has a wrong form")

func (i Info) encode(r *object.Row) {
	var flags byte
	for bit, on := range map[byte]bool{flagDouble: i.Double, flagPublic: i.AllowPublic, flagDefault: i.Default, flagNoCPK: i.ForbidCustomerKeys} {
		if on {
			flags |= bit
		}
	}
	protector := i.Protector.Bytes()
	r.Set(tagID, i.ID[:])
	r.Set(tagCreated, binary.BigEndian.AppendUint64(nil, uint64(i.Created.UnixNano())))
	r.Set(tagProtector, protector[:])
	r.Set(tagFlags, []byte{flags})
	i.Resource.encode(r)
}

func decodeInfo(n name.Account, r *object.Row) (Info, error) {
	id, created, flags := r.Get(tagID), r.Get(tagCreated), r.Get(tagFlags)
	if len(id) != 16 || len(created) != 8 || len(flags) != 1 || flags[0]&^flagsKnown != 0 {
		return Info{}, errRow
	}
	for _, f := range r.Fields {
		if (f.Tag < tagID || f.Tag > tagKeyID) && (f.Tag < tagSubscription || f.Tag > tagManaged) {
			return Info{}, errRow
		}
	}
	res, err := decodeResource(r)
	if err != nil {
		return Info{}, err
	}
	p, err := keys.ParseProtector(r.Get(tagProtector))
	if err != nil {
		return Info{}, errRow
	}
	return Info{
		ID:          keys.ID(id),
		Name:        n,
		Created:     time.Unix(0, int64(binary.BigEndian.Uint64(created))).UTC(),
		Protector:   p,
		Double:      flags[0]&flagDouble != 0,
		AllowPublic: flags[0]&flagPublic != 0,
		Default:     flags[0]&flagDefault != 0,

		ForbidCustomerKeys: flags[0]&flagNoCPK != 0,
		Resource:           res,
	}, nil
}

// Kinds of things that were dropped whole and wait for blob.Collect.
const (
	DroppedContainer byte = 1
	DroppedStaging   byte = 2
	DroppedAccount   byte = 3
	DroppedKeys      byte = 4 // an account whose keys are destroyed: only extents are left
)

// Drop notes that the rows of a thing of owner are to be released: one row in table
// garbage, however many rows the thing has.
func Drop(tx *object.Tx, store keys.ID, kind byte, owner, id keys.ID) error {
	return tx.Put(object.Garbage, DropKey(kind, owner, id), &object.Row{Owner: store, Class: extent.Single})
}

// DropKey is the key of the row that Drop writes: 'C', kind, owner and id.
func DropKey(kind byte, owner, id keys.ID) []byte {
	k := make([]byte, 0, 2+32)
	k = append(k, 'C', kind)
	k = append(k, owner[:]...)
	return append(k, id[:]...)
}

// After returns the smallest key that is greater than every key with the given
// prefix, or nil if there is none.
func After(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			next := append([]byte(nil), prefix[:n]...)
			next[n-1]++
			return next
		}
	}
	return nil
}
