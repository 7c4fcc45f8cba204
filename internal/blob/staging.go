package blob

import (
	"context"
	"errors"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// staging is the one row that a blob has while blocks are staged for it. Its DEK
// entries are those that the staged blocks name; the blocks lie in rows of their own
// under its id, so that all of them can be given up by dropping that id.
type staging struct {
	id       keys.ID
	touched  time.Time // when the last block came
	idLength int       // decoded length of all block ids
	count    int       // block rows
	row      *object.Row

	hashes map[keys.ID][]byte // of the customer-provided keys that data keys are under
}

// dataKey is a data key that a blob or its staging has, and the hash of the
// customer-provided key that it is under, if it is.
type dataKey struct {
	object.DEKEntry
	hash []byte
}

// deks are the data keys of the staged blocks, the newest last.
func (st *staging) deks() []dataKey {
	if st == nil {
		return nil
	}
	list := make([]dataKey, len(st.row.DEKs))
	for i, e := range st.row.DEKs {
		list[i] = dataKey{e, st.hashes[e.ID]}
	}
	return list
}

// add makes e one of the data keys of staged blocks.
func (st *staging) add(e object.DEKEntry, hash []byte) {
	st.row.DEKs = append(st.row.DEKs, e)
	if hash != nil {
		if st.hashes == nil {
			st.hashes = make(map[keys.ID][]byte)
		}
		st.hashes[e.ID] = hash
	}
}

// deks are the data keys of the committed blob.
func (f *found) deks() []dataKey {
	if f.row == nil {
		return nil
	}
	list := make([]dataKey, len(f.row.DEKs))
	for i, e := range f.row.DEKs {
		list[i] = dataKey{e, f.row.CPKHash}
	}
	return list
}

// findDEK returns the data key of that id.
func findDEK(have []dataKey, id keys.ID) (dataKey, bool) {
	for _, d := range have {
		if d.ID == id {
			return d, true
		}
	}
	return dataKey{}, false
}

func (st *staging) encode() *object.Row {
	r := st.row
	r.Set(tagStagingID, st.id[:])
	setTime(r, tagModified, st.touched)
	setU8(r, tagIDLength, byte(st.idLength))
	setU32(r, tagStaged, uint32(st.count))
	var hashes [][]byte
	for _, e := range r.DEKs { // in their order, so that a row has one spelling
		if h := st.hashes[e.ID]; h != nil {
			hashes = append(hashes, append(e.ID[:], h...))
		}
	}
	r.Set(tagStagedHash, hashes...)
	return r
}

func decodeStaging(r *object.Row) (*staging, error) {
	f := fields{r: r}
	st := &staging{
		id:       f.id(tagStagingID),
		touched:  f.time(tagModified, true),
		idLength: int(f.u8(tagIDLength)),
		count:    int(f.u32(tagStaged)),
		row:      r,
	}
	f.asked[tagStagedHash] = true
	for _, b := range r.All(tagStagedHash) {
		if len(b) != 16+32 {
			return nil, errRow
		}
		if st.hashes == nil {
			st.hashes = make(map[keys.ID][]byte)
		}
		st.hashes[keys.ID(b)] = b[16:]
	}
	for _, e := range r.DEKs {
		if (e.Protector == keys.CPK) != (st.hashes[e.ID] != nil) {
			return nil, errRow
		}
	}
	return st, f.done()
}

// getStaging reads the staging of a blob, or nil.
func (k *call) getStaging(tx *object.Tx, key []byte) (*staging, error) {
	r, err := tx.Get(object.Staging, k.acct.ID, key)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeStaging(r)
}

func (k *call) newStaging() *staging {
	return &staging{id: keys.NewID(), row: &object.Row{Owner: k.acct.ID, Class: k.acct.Class()}}
}

func (k *call) putStaging(tx *object.Tx, key []byte, st *staging) error {
	return tx.Put(object.Staging, key, st.encode())
}

// fitting returns the newest data key under the protection c.
func fitting(have []dataKey, c cover) (object.DEKEntry, bool) {
	for i := len(have) - 1; i >= 0; i-- {
		if _, bad := c.conflict(have[i].Protector, have[i].hash); !bad {
			return have[i].DEKEntry, true
		}
	}
	return object.DEKEntry{}, false
}

// stagedKeys is the prefix of the block rows of a staging.
func stagedKeys(owner, id keys.ID) []byte {
	b := make([]byte, 0, 32+88)
	b = append(b, owner[:]...)
	return append(b, id[:]...)
}

// block is one staged block.
type block struct {
	id     string
	length int64
	refs   []object.Ref
	used   bool // named by the block list that is being committed
}

// staged calls f for every staged block, in the order of the ids.
func (k *call) staged(tx *object.Tx, st *staging, f func(block) (bool, error)) error {
	lo := stagedKeys(k.acct.ID, st.id)
	return tx.Scan(object.Block, k.acct.ID, lo, account.After(lo), false, func(key []byte, r *object.Row) (bool, error) {
		b := block{id: string(key[len(lo):]), length: r.Length()}
		if err := tx.Pieces(r, func(p object.Piece) (bool, error) {
			b.refs = append(b.refs, p.Refs...)
			return true, nil
		}); err != nil {
			return false, err
		}
		return f(b)
	})
}

// dropStaging gives up what is staged for a blob: one row, however many blocks.
func (k *call) dropStaging(tx *object.Tx, key []byte) error {
	st, err := k.getStaging(tx, key)
	if st == nil || err != nil {
		return err
	}
	tx.Delete(object.Staging, key)
	return account.Drop(tx, k.s.store.StoreID(), account.DroppedStaging, k.acct.ID, st.id)
}

// stage makes sure that there is a data key for blocks of this blob, and returns its
// entry. It is durable before content is sealed under it; of two that race, the loser
// uses the winner's. A blob that has content under the same protector goes on with the
// key of that content, so that rounds of blocks keep one key.
func (k *call) stage(ctx context.Context, idLength int, lease string) (entry object.DEKEntry, c cover, err error) {
	look := func(tx *object.Tx) (bool, *staging, *found, error) {
		old, err := k.stageTarget(tx, lease)
		if err != nil {
			return false, nil, nil, err
		}
		st, err := k.getStaging(tx, old.key)
		if err != nil {
			return false, nil, nil, err
		}
		if err := k.checkIDLength(st, old, idLength); err != nil {
			return false, nil, nil, err
		}
		c = old.cover
		ok := false
		entry, ok = fitting(st.deks(), c)
		return ok, st, old, nil
	}
	ready := false
	err = k.view(ctx, func(tx *object.Tx) (err error) {
		ready, _, _, err = look(tx)
		return err
	})
	if ready || err != nil {
		return entry, c, err
	}
	fresh, err := k.newDEK(ctx, c)
	if err != nil {
		return entry, c, err
	}
	defer fresh.Close()
	err = k.update(ctx, func(tx *object.Tx) error {
		ok, st, old, err := look(tx)
		if ok || err != nil {
			return err
		}
		if st == nil {
			st = k.newStaging()
			st.idLength = idLength
		}
		if entry, ok = fitting(old.deks(), c); !ok {
			if c.protector != fresh.Protector() { // another container under the name meanwhile
				return k.fault(fault.Busy)
			}
			if entry, err = tx.Wrap(fresh); err != nil {
				return err
			}
		}
		st.add(entry, c.hash())
		st.touched = k.s.now().UTC()
		return k.putStaging(tx, old.key, st)
	})
	return entry, c, err
}

// stageTarget finds the blob that blocks are staged for. There are no leases yet, so
// none can be held; the service answers so even when the blob is not there.
func (k *call) stageTarget(tx *object.Tx, lease string) (*found, error) {
	old, err := k.findCovered(tx)
	if err != nil {
		return nil, err
	}
	if lease != "" {
		return nil, k.fault(fault.LeaseNotPresent)
	}
	return old, nil
}

// checkIDLength refuses a block id of another length than the blob's other ids.
func (k *call) checkIDLength(st *staging, old *found, n int) error {
	if st != nil && st.idLength != n || st == nil && old.rec != nil && old.rec.idLength != 0 && old.rec.idLength != n {
		return k.fault(fault.InvalidBlockID)
	}
	return nil
}
