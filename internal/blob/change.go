package blob

import (
	"context"
	"errors"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// errReplaced says that the blob got another data key between the sealing of metadata
// and its transaction.
var errReplaced = errors.New("blob: replaced meanwhile")

// SetMetadata replaces the user metadata of a blob; empty metadata removes it. Content
// is neither read nor written.
func (s *Service) SetMetadata(ctx context.Context, c *access.Caller, ref Ref, m Metadata, cond Conditions, enc EncryptionOptions) (Written, error) {
	k, err := s.begin(ctx, "blob.SetMetadata", c, ref, needWrite)
	if err != nil {
		return Written{}, err
	}
	if err := k.ask(ctx, enc, true); err != nil {
		return Written{}, err
	}
	if err := m.check(k.op, ref.String()); err != nil {
		return Written{}, err
	}
	if err := cond.form(k.op, ref.String()); err != nil {
		return Written{}, err
	}
	for range 10 {
		var w Written
		if w, err = k.setMetadata(ctx, m, cond); !errors.Is(err, errReplaced) {
			return w, err
		}
	}
	return Written{}, k.fault(fault.Busy)
}

// setMetadata seals m under the data key that the blob has, and writes it if the blob
// still has that key.
func (k *call) setMetadata(ctx context.Context, m Metadata, cond Conditions) (Written, error) {
	var seen *found
	if err := k.view(ctx, func(tx *object.Tx) (err error) {
		seen, err = k.rewritable(tx, cond)
		return err
	}); err != nil {
		return Written{}, err
	}
	part := object.Part{Kind: object.PartMeta}
	var first keys.ID
	if len(m) > 0 {
		first = seen.row.DEKs[0].ID
		dek, err := k.openDEK(ctx, seen.cover, seen.row.DEKs[0])
		if err != nil {
			return Written{}, err
		}
		defer dek.Close()
		if part, err = k.sealMetadata(dek, m); err != nil {
			return Written{}, err
		}
	}
	var w Written
	err := k.s.store.Update(ctx, func(tx *object.Tx) error {
		f, err := k.rewritable(tx, cond)
		if err != nil {
			return err
		}
		if len(m) > 0 && f.row.DEKs[0].ID != first {
			return errReplaced
		}
		f.row.SetPart(part)
		w, err = k.rewrite(tx, f)
		return err
	})
	if errors.Is(err, errReplaced) {
		return Written{}, err
	}
	return w, k.edge(err)
}

// rewritable finds a committed blob for a change of what is under its data key: the
// request must come to the protection that the blob has.
func (k *call) rewritable(tx *object.Tx, cond Conditions) (*found, error) {
	f, err := k.findCovered(tx)
	if err == nil {
		err = k.changing(f, cond)
	}
	if err == nil {
		err = k.match(f, f.cover)
	}
	if err == nil {
		err = tx.Need(f.cover.protector)
	}
	return f, err
}

// changeable finds a committed blob for a change of its properties.
func (k *call) changeable(tx *object.Tx, cond Conditions) (*found, error) {
	f, err := k.find(tx)
	if err == nil {
		err = k.changing(f, cond)
	}
	return f, err
}

func (k *call) changing(f *found, cond Conditions) error {
	if err := cond.check(k.op, k.ref.String(), changing, f.state(), fault.BlobNotFound); err != nil {
		return err
	}
	if len(f.row.DEKs) == 0 {
		return errRow
	}
	return nil
}

// rewrite writes f back with a new ETag.
func (k *call) rewrite(tx *object.Tx, f *found) (Written, error) {
	f.rec.etag, f.rec.modified = k.s.stamp.next(f.rec.etag)
	f.rec.encode(f.row)
	return f.rec.written(f.row), tx.Put(object.Blob, f.key, f.row)
}

// SetHTTPHeaders replaces the content headers of a blob; those that are not given are
// cleared, Content-MD5 among them.
func (s *Service) SetHTTPHeaders(ctx context.Context, c *access.Caller, ref Ref, h Headers, cond Conditions) (Written, error) {
	k, err := s.begin(ctx, "blob.SetHTTPHeaders", c, ref, needWrite)
	if err != nil {
		return Written{}, err
	}
	if err := h.check(k.op, ref.String()); err != nil {
		return Written{}, err
	}
	if err := cond.form(k.op, ref.String()); err != nil {
		return Written{}, err
	}
	var w Written
	err = k.update(ctx, func(tx *object.Tx) error {
		f, err := k.changeable(tx, cond)
		if err != nil {
			return err
		}
		f.rec.headers = h
		w, err = k.rewrite(tx, f)
		return err
	})
	return w, err
}

// Delete removes a committed blob, and the blocks staged for it. There are no
// snapshots yet, so "include" changes nothing and "only" finds none to delete.
func (s *Service) Delete(ctx context.Context, c *access.Caller, ref Ref, o DeleteOptions) error {
	k, err := s.begin(ctx, "blob.Delete", c, ref, needDelete)
	if err != nil {
		return err
	}
	if err := o.Conditions.form(k.op, ref.String()); err != nil {
		return err
	}
	switch o.Snapshots {
	case "", "include", "only":
	default:
		return k.fault(fault.InvalidHeaderValue,
			fault.Detail{Name: "HeaderName", Value: "x-ms-delete-snapshots"},
			fault.Detail{Name: "HeaderValue", Value: clip(o.Snapshots)})
	}
	return k.update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
		f, err := k.changeable(tx, o.Conditions)
		if err != nil || o.Snapshots == "only" {
			return err
		}
		if err := k.discard(tx, f); err != nil {
			return err
		}
		tx.Delete(object.Blob, f.key)
		return nil
	})
}
