package vault

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// readKey reads the record of a key, deleted or not, or answers meta.ErrNotFound.
func (s *Service) readKey(tx *object.Tx, v Vault, name string) (*keyRecord, error) {
	lower, err := parseKeyName(name)
	if err != nil {
		return nil, fault.New("vault.readKey", "", fault.InvalidInput, err)
	}
	r, err := tx.Get(object.Vault, s.store.StoreID(), keyKey(v.ID, lower))
	if err != nil {
		return nil, err
	}
	k, err := decodeKey(r)
	if err == nil && !strings.EqualFold(k.name, name) {
		err = errRow
	}
	return k, err
}

// readVersion reads one version and its row.
func (s *Service) readVersion(tx *object.Tx, v Vault, key string, id keys.ID) (*version, *object.Row, error) {
	r, err := tx.Get(object.Vault, s.store.StoreID(), versionKey(v.ID, strings.ToLower(key), id))
	if err != nil {
		return nil, nil, err
	}
	ver, err := decodeVersion(id, r)
	return ver, r, err
}

// find reads a key that is not deleted and the version that r names.
func (s *Service) find(tx *object.Tx, v Vault, r Ref) (*keyRecord, *version, *object.Row, error) {
	k, err := s.readKey(tx, v, r.Key)
	if err != nil {
		return nil, nil, nil, err
	}
	if k.deletion != nil {
		return nil, nil, nil, fault.New("vault.find", r.what(), fault.VaultKeyNotFound, errors.New("the key is deleted"))
	}
	id := k.newest()
	if r.Version != "" {
		var ok bool
		if id, ok = parseVersion(r.Version); !ok || !slices.Contains(k.versions, id) {
			return nil, nil, nil, fault.New("vault.find", r.what(), fault.VaultKeyNotFound, errors.New("no such version"))
		}
	}
	ver, row, err := s.readVersion(tx, v, r.Key, id)
	if errors.Is(err, meta.ErrNotFound) {
		err = errRow
	}
	return k, ver, row, err
}

// load is find in a transaction of its own.
func (s *Service) load(ctx context.Context, v Vault, r Ref) (k *keyRecord, ver *version, err error) {
	err = s.store.View(ctx, func(tx *object.Tx) error {
		k, ver, _, err = s.find(tx, v, r)
		return err
	})
	return k, ver, err
}

// show is what clients see of a version.
func show(v Vault, k *keyRecord, ver *version) Key {
	out := Key{
		Ref:  Ref{v.Kind, v.Name, k.name, ver.id.String()},
		Type: ver.kty(), Bits: ver.pub.Bits, Curve: ver.pub.Curve,
		N: ver.pub.N, E: ver.pub.E, X: ver.pub.X, Y: ver.pub.Y,
		Ops: slices.Clone(ver.ops), Attributes: ver.attrs, Tags: maps.Clone(ver.tags),
		RecoveryLevel: v.RecoveryLevel(), RecoverableDays: v.SoftDeleteDays, Deletion: k.deletion,
	}
	return out
}

// GetKey returns a version of a key, the newest unless one is named. Disabled ones are
// shown too.
func (s *Service) GetKey(ctx context.Context, c Caller, r Ref) (got Key, err error) {
	err = s.do(ctx, c, r, needGet, func(v Vault) (keys.ID, error) {
		k, ver, err := s.load(ctx, v, r)
		if err == nil {
			got = show(v, k, ver)
		}
		return keys.ID{}, err
	})
	return got, err
}

// ListKeys returns the newest versions of the keys of a vault in the order of their
// names.
func (s *Service) ListKeys(ctx context.Context, c Caller, r Ref, from string, most int) (Page, error) {
	return s.list(ctx, c, r, needList, false, from, most)
}

// ListDeleted returns the deleted keys of a vault.
func (s *Service) ListDeleted(ctx context.Context, c Caller, r Ref, from string, most int) (Page, error) {
	return s.list(ctx, c, r, needListGone, true, from, most)
}

// pageSize bounds what a caller asks for.
func pageSize(most int) int {
	if most <= 0 || most > maxPage {
		return maxPage
	}
	return most
}

func (s *Service) list(ctx context.Context, c Caller, r Ref, n need, deleted bool, from string, most int) (page Page, err error) {
	r.Key, r.Version = "", ""
	most = pageSize(most)
	err = s.do(ctx, c, r, n, func(v Vault) (keys.ID, error) {
		lo := append([]byte{rowKey}, v.ID[:]...)
		hi := after(lo)
		if from != "" {
			lower, err := parseKeyName(from)
			if err != nil {
				return keys.ID{}, bad("vault.ListKeys", r.what(), "the marker is not one that a list gave")
			}
			lo = keyKey(v.ID, lower)
		}
		return keys.ID{}, s.store.View(ctx, func(tx *object.Tx) error {
			page = Page{}
			return tx.Scan(object.Vault, s.store.StoreID(), lo, hi, false, func(_ []byte, row *object.Row) (bool, error) {
				k, err := decodeKey(row)
				if err != nil || deleted != (k.deletion != nil) {
					return true, err
				}
				if len(page.Keys) == most {
					page.Next = strings.ToLower(k.name)
					return false, nil
				}
				ver, _, err := s.readVersion(tx, v, k.name, k.newest())
				if err == nil {
					page.Keys = append(page.Keys, show(v, k, ver))
				}
				return true, err
			})
		})
	})
	return page, err
}

// ListVersions returns the versions of a key, newest first; from is the version at which
// it goes on.
func (s *Service) ListVersions(ctx context.Context, c Caller, r Ref, from string, most int) (page Page, err error) {
	r.Version = ""
	most = pageSize(most)
	err = s.do(ctx, c, r, needList, func(v Vault) (keys.ID, error) {
		return keys.ID{}, s.store.View(ctx, func(tx *object.Tx) error {
			page = Page{}
			k, err := s.readKey(tx, v, r.Key)
			if err != nil || k.deletion != nil { // a key without versions is an empty list
				if errors.Is(err, meta.ErrNotFound) {
					err = nil
				}
				return err
			}
			begun := from == ""
			for _, id := range slices.Backward(k.versions) {
				if begun = begun || id.String() == from; !begun {
					continue
				}
				if len(page.Keys) == most {
					page.Next = id.String()
					return nil
				}
				ver, _, err := s.readVersion(tx, v, k.name, id)
				if err != nil {
					return err
				}
				page.Keys = append(page.Keys, show(v, k, ver))
			}
			return nil
		})
	})
	return page, err
}

// UpdateKey changes the attributes of a version.
func (s *Service) UpdateKey(ctx context.Context, c Caller, r Ref, change KeyChange) (got Key, err error) {
	err = s.do(ctx, c, r, needUpdate, func(v Vault) (id keys.ID, err error) {
		err = s.store.Update(meta.WithReclaim(ctx), func(tx *object.Tx) error {
			if err := s.still(tx, v); err != nil {
				return err
			}
			k, ver, row, err := s.find(tx, v, r)
			if err != nil {
				return err
			}
			id = ver.id
			if err := change.apply(r, ver); err != nil {
				return err
			}
			ver.attrs.Updated = s.o.Now().UTC()
			ver.head(row)
			got = show(v, k, ver)
			return tx.Put(object.Vault, versionKey(v.ID, strings.ToLower(k.name), ver.id), row)
		})
		return id, err
	})
	if err != nil {
		return Key{}, err
	}
	return got, nil
}

func (c KeyChange) apply(r Ref, ver *version) error {
	const op = "vault.UpdateKey"
	if c.Ops != nil {
		ops := []string{}
		if len(*c.Ops) > 0 {
			var err error
			if ops, err = operations(ver.pub.Type, *c.Ops); err != nil {
				return bad(op, r.what(), err.Error())
			}
		}
		ver.ops = ops
	}
	if c.Enabled != nil {
		ver.attrs.Enabled = *c.Enabled
	}
	if c.NotBefore != nil {
		ver.attrs.NotBefore = *c.NotBefore
	}
	if c.Expires != nil {
		ver.attrs.Expires = *c.Expires
	}
	if err := checkDates(ver.attrs.NotBefore, ver.attrs.Expires); err != nil {
		return bad(op, r.what(), err.Error())
	}
	if c.Tags != nil {
		if err := checkTags(op, r.what(), *c.Tags); err != nil {
			return err
		}
		ver.tags = maps.Clone(*c.Tags)
	}
	return nil
}

// Oct reports whether k is an AES key.
func (k Key) Oct() bool { return strings.HasPrefix(strings.ToLower(k.Type), "oct") }
