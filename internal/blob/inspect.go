package blob

import (
	"bytes"
	"context"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// Inspection says what a blob is and how it is protected. It holds neither content nor
// user metadata.
type Inspection struct {
	Properties  Properties // without metadata
	Protection  object.Protection
	HasMetadata bool
}

// Inspect describes how a blob is protected. It is for the operator, who has no Caller,
// and needs no data key.
func (s *Service) Inspect(ctx context.Context, ref Ref) (Inspection, error) {
	const op = "blob.Inspect"
	acct, err := s.accounts.Get(ctx, ref.Account)
	if err != nil {
		return Inspection{}, err
	}
	k := &call{s: s, op: op, ref: ref, acct: acct}
	var f *found
	if err := k.view(ctx, func(tx *object.Tx) error {
		box, err := getContainer(tx, acct.ID, ref.Container)
		if err != nil {
			return k.absent(err, fault.ContainerNotFound)
		}
		if f, err = k.findIn(tx, box); err == nil && f.rec == nil {
			err = k.fault(fault.BlobNotFound)
		}
		return err
	}); err != nil {
		return Inspection{}, err
	}
	in := Inspection{Properties: f.rec.properties(f.row)}
	_, in.HasMetadata = f.row.Part(object.PartMeta)
	in.Protection, err = s.store.Describe(ctx, f.row)
	return in, k.edge(err)
}

// NameOf turns the key of a row into ACCOUNT/CONTAINER/BLOB for reports of damage, as
// far as it can be told; "" when it cannot. It looks through all containers of the
// account, so it is not for requests.
func (s *Service) NameOf(ctx context.Context, table object.Table, key []byte) string {
	if table == object.Account {
		return string(key)
	}
	if len(key) < 16 {
		return ""
	}
	acct, ok := s.accountByID(ctx, keys.ID(key[:16]))
	if !ok {
		return ""
	}
	switch table {
	case object.Container:
		return string(acct.Name) + "/" + string(key[16:])
	case object.Blob, object.Staging:
		if len(key) < 32 {
			return string(acct.Name)
		}
		return string(acct.Name) + "/" + s.containerByID(ctx, acct, key[16:32]) + "/" + string(key[32:])
	}
	return string(acct.Name)
}

func (s *Service) accountByID(ctx context.Context, id keys.ID) (account.Info, bool) {
	list, err := s.accounts.List(ctx)
	if err != nil {
		return account.Info{}, false
	}
	for _, a := range list {
		if a.ID == id {
			return a, true
		}
	}
	return account.Info{}, false
}

// containerByID is the name of a container, or its id when it was deleted or its row
// does not open either.
func (s *Service) containerByID(ctx context.Context, acct account.Info, id []byte) string {
	name := keys.ID(id).String()
	_ = s.store.View(ctx, func(tx *object.Tx) error {
		return tx.Scan(object.Container, acct.ID, acct.ID[:], account.After(acct.ID[:]), false, func(key []byte, r *object.Row) (bool, error) {
			box, err := decodeContainer(r)
			if err == nil && bytes.Equal(box.id[:], id) {
				name = string(key[16:])
				return false, nil
			}
			return true, nil
		})
	})
	return name
}
