package blob

import (
	"context"
	"strconv"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/object"
)

// PutBlob writes a whole block blob in one request. Whatever was there, staged blocks
// included, is replaced. Nothing is stored if the body is shorter than Length or does
// not have its checksums.
func (s *Service) PutBlob(ctx context.Context, who *access.Caller, ref Ref, o PutOptions) (Written, error) {
	k, err := s.begin(ctx, "blob.PutBlob", who, ref, needCreate)
	if err != nil {
		return Written{}, err
	}
	tier, err := o.check(ctx, k)
	if err != nil {
		return Written{}, err
	}
	// Conditions are evaluated twice: here, so that a refused body is not read, and in
	// the transaction, where it counts.
	var c cover
	if err := k.view(ctx, func(tx *object.Tx) error {
		old, err := k.target(tx, &o.Conditions)
		if err == nil {
			c = old.cover
		}
		return err
	}); err != nil {
		return Written{}, err
	}

	dek, err := k.newDEK(ctx, c)
	if err != nil {
		return Written{}, err
	}
	defer dek.Close()
	part, err := k.sealMetadata(dek, o.Metadata)
	if err != nil {
		return Written{}, err
	}
	sums := newDigest(o.Body, o.Length, true) // stored as Content-MD5 whether or not one was sent
	defer sums.close()
	content, err := s.store.Write(ctx, dek, c.class, o.Length, sums)
	if err != nil {
		return Written{}, sums.fault(k, err)
	}
	defer content.Discard() // does nothing after the commit
	if err := k.verifyPut(sums, o); err != nil {
		return Written{}, err
	}
	o.Headers.ContentMD5 = sums.sumMD5()

	var answer Written
	replaced := false
	err = k.update(ctx, func(tx *object.Tx) error {
		old, err := k.target(tx, &o.Conditions)
		if err != nil {
			return err
		}
		if old.cover != c { // another container under the name meanwhile
			return k.fault(fault.Busy)
		}
		replaced = k.rekeyed(old)
		if err := k.discard(tx, old); err != nil {
			return err
		}
		row, err := k.newRow(tx, c, dek, part, content)
		if err != nil {
			return err
		}
		rec := k.newRecord(old, o.Headers, tier, o.Length)
		rec.encode(row)
		answer = rec.written(row)
		return tx.Put(object.Blob, old.key, row)
	})
	if err != nil {
		return Written{}, err
	}
	k.noteRekeyed(replaced)
	answer.ContentMD5, answer.ContentCRC64 = o.Headers.ContentMD5, sums.sumCRC()
	return answer, nil
}

func (o *PutOptions) check(ctx context.Context, k *call) (tier, error) {
	what := k.ref.String()
	if err := k.ask(ctx, o.Encryption, true); err != nil {
		return 0, err
	}
	if o.Length > MaxPut {
		return 0, tooLarge(k, MaxPut)
	}
	if o.Length < 0 {
		return 0, k.fault(fault.MissingContentLength)
	}
	if err := checkSums(k.op, what, o.ContentMD5, o.ContentCRC64); err != nil {
		return 0, err
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

func tooLarge(k *call, most int64) error {
	return k.fault(fault.RequestBodyTooLarge, fault.Detail{Name: "MaxLimit", Value: strconv.FormatInt(most, 10)})
}

// verifyPut checks the body against the checksum of its transfer and, since it is the
// whole content, against the MD5 that shall be kept with it.
func (k *call) verifyPut(sums *digest, o PutOptions) error {
	if err := sums.verify(k.op, k.ref.String(), o.ContentMD5, o.ContentCRC64); err != nil {
		return err
	}
	return sums.verify(k.op, k.ref.String(), o.Headers.ContentMD5, nil)
}

// target finds what a create would replace and checks that it may.
func (k *call) target(tx *object.Tx, cond *Conditions) (*found, error) {
	old, err := k.findCovered(tx)
	if err != nil {
		return nil, err
	}
	if err := cond.check(k.op, k.ref.String(), creating, old.state(), fault.BlobNotFound); err != nil {
		return nil, err
	}
	return old, k.overwrite(old)
}

// sealMetadata makes the META part of m; without metadata it is the zero part.
func (k *call) sealMetadata(dek *object.DEK, m Metadata) (object.Part, error) {
	plain := m.encode()
	if plain == nil {
		return object.Part{Kind: object.PartMeta}, nil
	}
	part, err := k.s.store.SealMeta(dek, dek.Protector(), plain)
	return part, k.edge(err)
}

// discard releases the committed content of old and whatever is staged for it.
func (k *call) discard(tx *object.Tx, old *found) error {
	if old.row != nil {
		if err := tx.Release(old.row, nil); err != nil {
			return err
		}
	}
	return k.dropStaging(tx, old.key)
}

// newRow makes the row of a content under one new data key.
func (k *call) newRow(tx *object.Tx, c cover, dek *object.DEK, part object.Part, content *object.Content) (*object.Row, error) {
	entry, err := tx.Wrap(dek)
	if err != nil {
		return nil, err
	}
	row := &object.Row{Owner: k.acct.ID, Class: c.class, DEKs: []object.DEKEntry{entry}, CPKHash: c.hash()}
	if part.Sealed != nil {
		row.SetPart(part)
	}
	refs, err := tx.Attach(content)
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return row, tx.SetPieces(row, nil)
	}
	return row, tx.SetPieces(row, []object.Piece{{Length: content.Length, Refs: refs}})
}

// newRecord makes the record of a content that replaces old.
func (k *call) newRecord(old *found, h Headers, t tier, length int64) *record {
	etag, at := k.s.stamp.next(old.oldETag())
	rec := &record{etag: etag, modified: at, created: at, length: length, headers: h, tier: t, scope: old.cover.scope}
	if t != tierInferred {
		rec.tierChanged = at
	}
	return rec
}
