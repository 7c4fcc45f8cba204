package blob

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// PutBlockList makes a blob of blocks that are staged or already in it. No data moves:
// the row takes over references and wrapped data keys as they are. Staged blocks that
// the list does not name are given up.
func (s *Service) PutBlockList(ctx context.Context, c *access.Caller, ref Ref, o ListOptions) (Written, error) {
	k, err := s.begin(ctx, "blob.PutBlockList", c, ref, needCreate)
	if err != nil {
		return Written{}, err
	}
	tier, err := o.check(ctx, k)
	if err != nil {
		return Written{}, err
	}
	for range 10 {
		var w Written
		if w, err = k.putBlockList(ctx, &o, tier); !errors.Is(err, errReplaced) {
			return w, err
		}
	}
	return Written{}, k.fault(fault.Busy)
}

// putBlockList chooses a key if one is needed, seals metadata under it and commits. It
// answers errReplaced if the blob lost the key that was counted on meanwhile.
func (k *call) putBlockList(ctx context.Context, o *ListOptions, t tier) (Written, error) {
	dek, c, err := k.commitKey(ctx, o)
	if err != nil {
		return Written{}, err
	}
	part := object.Part{Kind: object.PartMeta}
	if dek != nil {
		defer dek.Close()
		if part, err = k.sealMetadata(dek, o.Metadata); err != nil {
			return Written{}, err
		}
	}
	var w Written
	replaced := false
	err = k.s.store.Update(ctx, func(tx *object.Tx) error {
		if dek != nil {
			if err := tx.Need(c.protector); err != nil {
				return err
			}
		}
		l := &listing{call: k, tx: tx, cover: c}
		row, rec, err := l.build(o, dek, part)
		if err != nil {
			return err
		}
		if rec.tier = t; t != tierInferred {
			rec.tierChanged = rec.modified
		}
		rec.encode(row)
		w, replaced = rec.written(row), k.rekeyed(l.old)
		return tx.Put(object.Blob, l.old.key, row)
	})
	if err == nil {
		k.noteRekeyed(replaced)
	}
	if errors.Is(err, errReplaced) {
		return Written{}, err
	}
	return w, k.edge(err)
}

func (o *ListOptions) check(ctx context.Context, k *call) (tier, error) {
	what := k.ref.String()
	if err := k.ask(ctx, o.Encryption, true); err != nil {
		return 0, err
	}
	if len(o.Entries) > MaxBlocks {
		return 0, k.fault(fault.BlockListTooLong)
	}
	if err := o.Headers.check(k.op, what); err != nil {
		return 0, err
	}
	if err := o.Metadata.check(k.op, what); err != nil {
		return 0, err
	}
	if err := o.Conditions.form(k.op, what); err != nil {
		return 0, err
	}
	return parseTier(k.op, what, o.Tier)
}

// commitKey opens the data key that metadata will be sealed under: one of those that
// the blob has, else a new one. Without metadata no key is opened, and nil is returned,
// so that a list can be committed while the account's key is out of reach; only a blob
// that has no key at all gets a new one.
func (k *call) commitKey(ctx context.Context, o *ListOptions) (dek *object.DEK, c cover, err error) {
	var entry object.DEKEntry
	have := false
	err = k.view(ctx, func(tx *object.Tx) error {
		old, err := k.target(tx, &o.Conditions)
		if err != nil {
			return err
		}
		st, err := k.getStaging(tx, old.key)
		if err != nil {
			return err
		}
		c = old.cover
		entry, have = fitting(present(st, old), c)
		return nil
	})
	if err != nil || len(o.Metadata) == 0 && (have || len(o.Entries) > 0) {
		return nil, c, err
	}
	if have {
		dek, err = k.openDEK(ctx, c, entry)
	} else {
		dek, err = k.newDEK(ctx, c)
	}
	return dek, c, err
}

// present are the entries that a blob and its staging have, those of the staging last,
// which are the newest.
func present(st *staging, old *found) []dataKey { return append(old.deks(), st.deks()...) }

// listing is the commit of one block list, inside its transaction.
type listing struct {
	*call
	tx        *object.Tx
	cover     cover // of the new content
	old       *found
	st        *staging
	staged    map[string]*block
	committed map[string]object.Piece
	pieces    []object.Piece
	kept      map[keys.ID]bool // chunks of the old content that stay
	length    int64
}

// build makes the row of the new content and releases what is left over of the old
// content and of the staged blocks.
func (l *listing) build(o *ListOptions, dek *object.DEK, part object.Part) (*object.Row, *record, error) {
	var err error
	if l.old, err = l.target(l.tx, &o.Conditions); err != nil {
		return nil, nil, err
	}
	if l.old.cover != l.cover {
		return nil, nil, errReplaced
	}
	if l.st, err = l.getStaging(l.tx, l.old.key); err != nil {
		return nil, nil, err
	}
	if err := l.load(o.Entries); err != nil {
		return nil, nil, err
	}
	for _, e := range o.Entries {
		if err := l.take(e); err != nil {
			return nil, nil, err
		}
	}
	row := &object.Row{Owner: l.acct.ID, Class: l.cover.class, CPKHash: l.cover.hash()}
	if row.DEKs, err = l.table(dek); err != nil {
		return nil, nil, err
	}
	if part.Sealed != nil {
		row.SetPart(part)
	}
	if err := l.tx.SetPieces(row, l.pieces); err != nil {
		return nil, nil, err
	}
	rec := l.newRecord(l.old, o.Headers, tierInferred, l.length)
	if l.old.rec != nil {
		rec.created = l.old.rec.created
	}
	if rec.blocks = len(l.pieces); rec.blocks > 0 {
		// Ids of one blob have one length, so any of them tells it.
		if rec.idLength, err = checkBlockID(l.op, l.ref.String(), o.Entries[0].ID); err != nil {
			return nil, nil, err
		}
	}
	return row, rec, l.release()
}

// load reads the blocks that the entries may name.
func (l *listing) load(entries []BlockListEntry) error {
	var fresh, old bool
	for _, e := range entries {
		fresh = fresh || e.Where != Committed
		old = old || e.Where != Uncommitted
	}
	if fresh && l.st != nil {
		l.staged = make(map[string]*block, l.st.count)
		if err := l.call.staged(l.tx, l.st, func(b block) (bool, error) {
			l.staged[b.id] = &b
			return true, nil
		}); err != nil {
			return err
		}
	}
	if !old || l.old.row == nil || l.old.rec.blocks == 0 {
		return nil
	}
	l.committed = make(map[string]object.Piece, l.old.rec.blocks)
	l.kept = make(map[keys.ID]bool)
	return l.tx.Pieces(l.old.row, func(p object.Piece) (bool, error) {
		// The same id may stand in a list with two contents, when it was staged anew
		// between; the first one counts.
		if _, twice := l.committed[string(p.Label)]; !twice {
			l.committed[string(p.Label)] = p
		}
		return true, nil
	})
}

// take appends the block that e names.
func (l *listing) take(e BlockListEntry) error {
	if e.Where != Committed {
		if b := l.staged[e.ID]; b != nil {
			b.used = true
			l.append(object.Piece{Label: []byte(e.ID), Length: b.length, Refs: b.refs})
			return nil
		}
	}
	if e.Where != Uncommitted {
		if p, ok := l.committed[e.ID]; ok {
			for _, r := range p.Refs {
				l.kept[r.Chunk] = true
			}
			l.append(p)
			return nil
		}
	}
	return l.fault(fault.InvalidBlockList)
}

func (l *listing) append(p object.Piece) {
	l.pieces = append(l.pieces, p)
	l.length += p.Length
}

var (
	errManyKeys  = errors.New("blob: content would need more than 255 data keys")
	errKeyAbsent = errors.New("blob: block names a data key that its blob does not have")
)

// table is the DEK table of the new content: exactly the keys that its references and
// its metadata name, copied as they are, that of the metadata first.
func (l *listing) table(dek *object.DEK) ([]object.DEKEntry, error) {
	have := present(l.st, l.old)
	var table []object.DEKEntry
	inTable := make(map[keys.ID]bool)
	if dek != nil {
		d, ok := findDEK(have, dek.ID())
		if !ok { // a new key, or its entry went since it was chosen
			var err error
			if d.DEKEntry, err = l.tx.Wrap(dek); err != nil {
				return nil, err
			}
		}
		table = append(table, d.DEKEntry)
		inTable[d.ID] = true
	}
	for _, p := range l.pieces {
		for _, r := range p.Refs {
			if inTable[r.DEKID] {
				continue
			}
			d, ok := findDEK(have, r.DEKID)
			if !ok {
				return nil, errKeyAbsent
			}
			// Data cannot be given another key, so all blocks are under the one that
			// the request asks for.
			if kind, bad := l.cover.conflict(d.Protector, d.hash); bad {
				return nil, l.fault(kind)
			}
			table = append(table, d.DEKEntry)
			inTable[d.ID] = true
		}
	}
	if len(table) == 0 { // nothing names a key: an empty content keeps one that is there
		entry, ok := fitting(have, l.cover)
		if !ok {
			return nil, errReplaced
		}
		table = append(table, entry)
	}
	if len(table) > 255 {
		return nil, errManyKeys
	}
	return table, nil
}

// maxLeftovers is how many unused blocks one commit releases itself.
const maxLeftovers = 1000

// release gives up the old content, but for the chunks that were kept, and the staging.
func (l *listing) release() error {
	if l.old.row != nil {
		var keep func(keys.ID) bool
		if len(l.kept) > 0 {
			keep = func(id keys.ID) bool { return l.kept[id] }
		}
		if err := l.tx.Release(l.old.row, keep); err != nil {
			return err
		}
	}
	if l.st == nil {
		return nil
	}
	used, unused := 0, 0
	for _, b := range l.staged {
		if b.used {
			used++
		} else {
			unused++
		}
	}
	if used == 0 {
		return l.dropStaging(l.tx, l.old.key)
	}
	l.tx.Delete(object.Staging, l.old.key)
	prefix := stagedKeys(l.acct.ID, l.st.id)
	if unused <= maxLeftovers {
		var refs []object.Ref
		for _, b := range l.staged {
			if !b.used {
				refs = append(refs, b.refs...)
			}
		}
		if err := l.tx.ReleaseRefs(l.acct.ID, refs); err != nil {
			return err
		}
		l.tx.DeleteRange(object.Block, prefix, account.After(prefix))
		return nil
	}
	// Too many for one transaction: their rows stay for Collect, and only the rows of
	// blocks that now belong to the blob go.
	for id, b := range l.staged {
		if b.used {
			l.tx.Delete(object.Block, append(prefix[:len(prefix):len(prefix)], id...))
		}
	}
	return account.Drop(l.tx, l.s.store.StoreID(), account.DroppedStaging, l.acct.ID, l.st.id)
}
