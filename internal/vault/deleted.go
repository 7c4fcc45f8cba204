package vault

import (
	"context"
	"errors"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// changeKey changes the record of a key in one transaction and returns how its newest
// version looks then.
func (s *Service) changeKey(ctx context.Context, v Vault, r Ref, f func(k *keyRecord) error) (got Key, err error) {
	err = s.store.Update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
		if err := s.still(tx, v); err != nil {
			return err
		}
		k, err := s.readKey(tx, v, r.Key)
		if err != nil {
			return err
		}
		if err := f(k); err != nil {
			return err
		}
		ver, _, err := s.readVersion(tx, v, k.name, k.newest())
		if err != nil {
			return err
		}
		got = show(v, k, ver)
		return s.putKey(tx, v, k)
	})
	if err != nil {
		return Key{}, err
	}
	return got, nil
}

// DeleteKey deletes all versions of a key; it can be recovered until it is purged.
func (s *Service) DeleteKey(ctx context.Context, c Caller, r Ref) (got Key, err error) {
	r.Version = ""
	err = s.do(ctx, c, r, needDelete, func(v Vault) (keys.ID, error) {
		got, err = s.changeKey(ctx, v, r, func(k *keyRecord) error {
			if k.deletion != nil {
				return fault.New("vault.DeleteKey", r.what(), fault.VaultKeyNotFound, errors.New("the key is deleted"))
			}
			now := s.o.Now().UTC()
			k.deletion = &Deletion{Deleted: now, Purge: now.AddDate(0, 0, v.SoftDeleteDays)}
			return nil
		})
		return idOf(got), err
	})
	return got, err
}

// gone reads a deleted key.
func (s *Service) gone(tx *object.Tx, v Vault, r Ref) (*keyRecord, error) {
	k, err := s.readKey(tx, v, r.Key)
	if err == nil && k.deletion == nil {
		err = fault.New("vault.DeletedKey", r.what(), fault.VaultKeyNotFound, errors.New("the key is not deleted"))
	}
	return k, err
}

// DeletedKey returns a deleted key.
func (s *Service) DeletedKey(ctx context.Context, c Caller, r Ref) (got Key, err error) {
	r.Version = ""
	err = s.do(ctx, c, r, needDeleted, func(v Vault) (keys.ID, error) {
		return keys.ID{}, s.store.View(ctx, func(tx *object.Tx) error {
			k, err := s.gone(tx, v, r)
			if err != nil {
				return err
			}
			ver, _, err := s.readVersion(tx, v, k.name, k.newest())
			if err == nil {
				got = show(v, k, ver)
			}
			return err
		})
	})
	return got, err
}

// RecoverKey brings a deleted key back.
func (s *Service) RecoverKey(ctx context.Context, c Caller, r Ref) (got Key, err error) {
	r.Version = ""
	err = s.do(ctx, c, r, needRecover, func(v Vault) (keys.ID, error) {
		got, err = s.changeKey(ctx, v, r, func(k *keyRecord) error {
			if k.deletion == nil {
				return fault.New("vault.RecoverKey", r.what(), fault.VaultKeyNotFound, errors.New("the key is not deleted"))
			}
			k.deletion = nil
			return nil
		})
		return idOf(got), err
	})
	return got, err
}

// PurgeKey destroys a deleted key. With purge protection that is NotAllowed before its
// time.
func (s *Service) PurgeKey(ctx context.Context, c Caller, r Ref) error {
	r.Version = ""
	return s.do(ctx, c, r, needPurge, func(v Vault) (keys.ID, error) {
		return keys.ID{}, s.purgeKey(ctx, v, r)
	})
}

func (s *Service) purgeKey(ctx context.Context, v Vault, r Ref) error {
	var gone []keys.ID
	err := s.store.Update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
		k, err := s.gone(tx, v, r)
		if err != nil {
			return err
		}
		if v.PurgeProtection && s.o.Now().Before(k.deletion.Purge) {
			return fault.New("vault.PurgeKey", r.what(), fault.NotAllowed, errors.New("the vault has purge protection"))
		}
		gone = k.versions
		lower := strings.ToLower(k.name)
		lo := versionPrefix(v.ID, lower)
		tx.DeleteRange(object.Vault, lo, after(lo))
		tx.Delete(object.Vault, keyKey(v.ID, lower))
		return nil
	})
	if err == nil {
		s.forget(gone)
	}
	return err
}
