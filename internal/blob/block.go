package blob

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// PutBlock stages one block. The committed blob, if there is one, stays as it is; a
// block staged before under the same id is replaced.
func (s *Service) PutBlock(ctx context.Context, who *access.Caller, ref Ref, o BlockOptions) (Written, error) {
	k, err := s.begin(ctx, "blob.PutBlock", who, ref, needWrite)
	if err != nil {
		return Written{}, err
	}
	idLength, err := o.check(ctx, k)
	if err != nil {
		return Written{}, err
	}
	entry, c, err := k.stage(ctx, idLength, o.LeaseID)
	if err != nil {
		return Written{}, err
	}
	dek, err := k.openDEK(ctx, c, entry)
	if err != nil {
		return Written{}, err
	}
	defer dek.Close()
	sums := newDigest(o.Body, o.Length, o.MD5 != nil)
	defer sums.close()
	content, err := s.store.Write(ctx, dek, c.class, o.Length, sums)
	if err != nil {
		return Written{}, sums.fault(k, err)
	}
	defer content.Discard() // does nothing after the commit
	if err := sums.verify(k.op, ref.String(), o.MD5, o.CRC64); err != nil {
		return Written{}, err
	}
	var answer Written
	err = k.update(ctx, func(tx *object.Tx) error {
		entry, err := k.putBlock(tx, o, idLength, c, dek, content)
		if err != nil {
			return err
		}
		answer = Written{Encryption: c.encryption(entry), Encrypted: true}
		return nil
	})
	if err != nil {
		return Written{}, err
	}
	// The service answers with the checksum it was asked for, and with CRC-64 unasked.
	if answer.ContentMD5 = sums.sumMD5(); answer.ContentMD5 == nil {
		answer.ContentCRC64 = sums.sumCRC()
	}
	return answer, nil
}

func (o *BlockOptions) check(ctx context.Context, k *call) (idLength int, err error) {
	what := k.ref.String()
	if err := k.ask(ctx, o.Encryption, true); err != nil {
		return 0, err
	}
	switch {
	case o.Length > MaxBlock:
		return 0, tooLarge(k, MaxBlock)
	case o.Length < 0:
		return 0, k.fault(fault.MissingContentLength)
	case o.Length == 0: // the service has no empty blocks
		return 0, k.fault(fault.InvalidHeaderValue,
			fault.Detail{Name: "HeaderName", Value: "Content-Length"}, fault.Detail{Name: "HeaderValue", Value: "0"})
	}
	if err := checkSums(k.op, what, o.MD5, o.CRC64); err != nil {
		return 0, err
	}
	return checkBlockID(k.op, what, o.ID)
}

// putBlock writes the rows of a staged block whose content is durable. It returns the
// entry of the data key that it is under.
func (k *call) putBlock(tx *object.Tx, o BlockOptions, idLength int, c cover, dek *object.DEK, content *object.Content) (entry object.DEKEntry, err error) {
	old, err := k.stageTarget(tx, o.LeaseID)
	if err != nil {
		return entry, err
	}
	if old.cover != c { // another container under the name meanwhile
		return entry, k.fault(fault.Busy)
	}
	st, err := k.getStaging(tx, old.key)
	if err != nil {
		return entry, err
	}
	if err := k.checkIDLength(st, old, idLength); err != nil {
		return entry, err
	}
	if st == nil { // committed or replaced while the body was on its way
		st = k.newStaging()
		st.idLength = idLength
	}
	entry, ok := st.row.DEK(dek.ID())
	if !ok {
		if entry, err = tx.Wrap(dek); err != nil {
			return entry, err
		}
		st.add(entry, c.hash())
	}
	key := append(stagedKeys(k.acct.ID, st.id), o.ID...)
	fresh, err := k.replaceBlock(tx, key)
	if err != nil {
		return entry, err
	}
	if fresh {
		if st.count++; st.count > MaxUncommitted {
			return entry, k.fault(fault.BlockCountExceeded)
		}
	}
	refs, err := tx.Attach(content)
	if err != nil {
		return entry, err
	}
	r := &object.Row{Owner: k.acct.ID, Class: c.class}
	if err := tx.SetPieces(r, []object.Piece{{Length: content.Length, Refs: refs}}); err != nil {
		return entry, err
	}
	if err := tx.Put(object.Block, key, r); err != nil {
		return entry, err
	}
	st.touched = k.s.now().UTC()
	return entry, k.putStaging(tx, old.key, st)
}

// replaceBlock releases the block that lies under key and reports whether none did.
func (k *call) replaceBlock(tx *object.Tx, key []byte) (fresh bool, err error) {
	r, err := tx.Get(object.Block, k.acct.ID, key)
	if errors.Is(err, meta.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, tx.Release(r, nil)
}

// GetBlockList returns the blocks of the committed blob, the staged ones, or both.
func (s *Service) GetBlockList(ctx context.Context, c *access.Caller, ref Ref, w Which, cond Conditions) (BlockList, error) {
	k, err := s.begin(ctx, "blob.GetBlockList", c, ref, needRead)
	if err != nil {
		return BlockList{}, err
	}
	if err := cond.form(k.op, ref.String()); err != nil {
		return BlockList{}, err
	}
	var list BlockList
	err = k.view(ctx, func(tx *object.Tx) error {
		list = BlockList{}
		return k.blockList(tx, w, cond, &list)
	})
	return list, err
}

func (k *call) blockList(tx *object.Tx, w Which, cond Conditions, list *BlockList) error {
	f, err := k.find(tx)
	if err != nil {
		return err
	}
	st, err := k.getStaging(tx, f.key)
	if err != nil {
		return err
	}
	// A blob of staged blocks only is there for this operation, and for no other.
	if f.rec != nil || st == nil {
		if err := cond.check(k.op, k.ref.String(), reading, f.state(), fault.BlobNotFound); err != nil {
			return err
		}
		list.ETag, list.LastModified, list.Length = formatETag(f.rec.etag), f.rec.modified, f.rec.length
		if w != WhichUncommitted {
			if err := tx.Pieces(f.row, func(p object.Piece) (bool, error) {
				if len(p.Label) > 0 {
					list.Committed = append(list.Committed, BlockInfo{ID: string(p.Label), Size: p.Length})
				}
				return true, nil
			}); err != nil {
				return err
			}
		}
	}
	if st == nil || w == WhichCommitted {
		return nil
	}
	return k.staged(tx, st, func(b block) (bool, error) {
		list.Uncommitted = append(list.Uncommitted, BlockInfo{ID: b.id, Size: b.length})
		return true, nil
	})
}
