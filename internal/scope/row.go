package scope

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// Fields of scope rows; spec/blob-rows.md lists them.
const (
	tagID       = 112 // 16
	tagCreated  = 113 // u64 ns
	tagModified = 114 // u64 ns
	tagFlags    = 115 // 1
)

const flagDouble = 1 << 0

var errRow = errors.New("scope: row has a wrong form")

func key(owner keys.ID, n string) []byte {
	b := make([]byte, 0, 16+len(n))
	b = append(b, owner[:]...)
	return append(b, n...)
}

// after is the smallest key behind all with the prefix; owners are random, so there is
// always one worth the name, or the end of the table.
func after(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			next := append([]byte(nil), prefix[:n]...)
			next[n-1]++
			return next
		}
	}
	return nil
}

func put(tx *object.Tx, s Scope) error {
	r := &object.Row{Owner: s.Owner}
	r.Set(tagID, s.ID[:])
	r.Set(tagCreated, binary.BigEndian.AppendUint64(nil, uint64(s.Created.UnixNano())))
	r.Set(tagModified, binary.BigEndian.AppendUint64(nil, uint64(s.Modified.UnixNano())))
	var flags byte
	if s.Double {
		flags = flagDouble
	}
	r.Set(tagFlags, []byte{flags})
	return tx.Put(object.Scope, key(s.Owner, string(s.Name)), r)
}

func decode(owner keys.ID, n string, r *object.Row) (Scope, error) {
	id, created, modified, flags := r.Get(tagID), r.Get(tagCreated), r.Get(tagModified), r.Get(tagFlags)
	if len(id) != 16 || len(created) != 8 || len(modified) != 8 || len(flags) != 1 || flags[0]&^flagDouble != 0 || len(r.Fields) != 4 {
		return Scope{}, errRow
	}
	if _, err := name.ParseScope(n); err != nil {
		return Scope{}, errRow
	}
	at := func(b []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC() }
	return Scope{ID: keys.ID(id), Owner: owner, Name: name.Scope(n), Created: at(created), Modified: at(modified),
		Double: flags[0]&flagDouble != 0}, nil
}
