package vault

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/crypt/envelope"
	"github.com/coffer-storage/coffer/internal/crypt/jwk"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

const (
	backupMagic = "CFVB"
	backupHead  = 4 + 1 + 1 + 16 + 16 // magic, version, kind, vid, keyref
	backupForm  = 1

	maxBackup = 500 // versions

	// MaxBackup bounds the bytes of a backup that is taken.
	MaxBackup = 4 << 20
)

// family returns the row whose data key seals the backups of a kind of vault, and makes
// it when it is not there. It outlives every vault: a backup opens after a purge.
func (s *Service) family(ctx context.Context, kind Kind) (*object.Row, error) {
	s.familyMu.Lock()
	defer s.familyMu.Unlock()
	key := []byte{rowFamily, byte(kind)}
	var row *object.Row
	err := s.store.View(ctx, func(tx *object.Tx) (err error) {
		row, err = tx.Get(object.Vault, s.store.StoreID(), key)
		return err
	})
	if !errors.Is(err, meta.ErrNotFound) {
		return row, err
	}
	p := s.storeProtector()
	dek, err := s.store.NewDEK(s.store.StoreID(), p)
	if err != nil {
		return nil, err
	}
	defer dek.Close()
	part, err := s.store.SealMeta(dek, p, []byte(backupMagic))
	if err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx *object.Tx) error {
		entry, err := tx.Wrap(dek)
		if err != nil {
			return err
		}
		row = &object.Row{Owner: s.store.StoreID(), DEKs: []object.DEKEntry{entry}}
		row.SetPart(part)
		return tx.Put(object.Vault, key, row)
	})
	return row, err
}

func (s *Service) storeProtector() keys.Protector {
	return keys.Protector{Kind: keys.ProtectStore, ID: s.store.StoreID()}
}

// BackupKey returns all versions of a key, sealed: only a vault of this store opens it.
func (s *Service) BackupKey(ctx context.Context, c Caller, r Ref) (blob []byte, err error) {
	r.Version = ""
	err = s.do(ctx, c, r, needBackup, func(v Vault) (keys.ID, error) {
		row, err := s.family(ctx, v.Kind)
		if err != nil {
			return keys.ID{}, err
		}
		k, plain, err := s.pack(ctx, v, r)
		if err != nil {
			return keys.ID{}, err
		}
		defer clear(plain)
		dek, err := s.store.OpenDEK(ctx, s.store.StoreID(), row.DEKs[0])
		if err != nil {
			return keys.ID{}, err
		}
		defer dek.Close()
		part, err := s.store.SealMeta(dek, s.storeProtector(), plain)
		blob = slices.Concat([]byte(backupMagic), []byte{backupForm, byte(v.Kind)}, part.VID[:], part.Keyref[:], part.Sealed)
		return k.newest(), err
	})
	if err != nil {
		return nil, err
	}
	return blob, nil
}

// pack is the plaintext of a backup.
func (s *Service) pack(ctx context.Context, v Vault, r Ref) (k *keyRecord, plain []byte, err error) {
	err = s.store.View(ctx, func(tx *object.Tx) error {
		if k, _, _, err = s.find(tx, v, r); err != nil {
			return err
		}
		if len(k.versions) > maxBackup {
			return fault.New("vault.BackupKey", r.what(), fault.NotAllowed, errors.New("a backup has at most 500 versions"))
		}
		w := writer{}
		w.byte(byte(v.Kind))
		w.str(k.name)
		var policy []byte
		if k.policy != nil {
			policy = k.policy.encode()
		}
		w.str(string(policy))
		w.u16(len(k.versions))
		for _, id := range k.versions {
			if err := s.packVersion(ctx, tx, v, k, id, &w); err != nil {
				return err
			}
		}
		plain = w.b
		return nil
	})
	return k, plain, err
}

func (s *Service) packVersion(ctx context.Context, tx *object.Tx, v Vault, k *keyRecord, id keys.ID, w *writer) error {
	ver, row, err := s.readVersion(tx, v, k.name, id)
	if err != nil {
		return err
	}
	private, err := s.store.OpenMeta(ctx, row)
	if err != nil {
		return err
	}
	defer clear(private)
	head := &object.Row{}
	ver.head(head)
	w.b = append(w.b, id[:]...)
	w.str(string(envelope.EncodeFields(head.Fields)))
	w.u16(len(private))
	w.b = append(w.b, private...)
	return nil
}

// unpacked is what a backup holds.
type unpacked struct {
	rec      keyRecord
	versions []*version
	private  []*jwk.Private
}

var errBackup = errors.New("the value is not a backup of a key of this kind of vault, made by this store")

// unpack reads the plaintext of a backup.
func unpack(kind Kind, plain []byte) (*unpacked, error) {
	r := reader{b: plain}
	u := &unpacked{}
	if Kind(r.byte()) != kind {
		return nil, errBackup
	}
	u.rec.name = r.str()
	policy := r.bytes()
	if r.bad {
		return nil, errBackup
	}
	if len(policy) > 0 {
		var err error
		if u.rec.policy, err = decodeRotation(policy); err != nil {
			return nil, errBackup
		}
	}
	n := r.u16()
	for i := 0; i < n && !r.bad; i++ {
		id := keys.ID(r.take(16))
		head, private := r.bytes(), r.bytes()
		if err := u.add(id, head, private); err != nil {
			return nil, err
		}
	}
	if _, err := parseKeyName(u.rec.name); err != nil || r.end() != nil || len(u.versions) == 0 {
		return nil, errBackup
	}
	return u, nil
}

func (u *unpacked) add(id keys.ID, head, private []byte) error {
	fields, err := envelope.DecodeFields(bytes.Clone(head)) // the plaintext is wiped
	if err != nil {
		return errBackup
	}
	ver, err := decodeVersion(id, &object.Row{Fields: fields})
	if err != nil {
		return errBackup
	}
	p, err := jwk.Decode(ver.pub.Type, private)
	if err != nil || !bytes.Equal(p.N, ver.pub.N) || !bytes.Equal(p.X, ver.pub.X) || slices.Contains(u.rec.versions, id) {
		return errBackup
	}
	u.rec.versions = append(u.rec.versions, id)
	u.versions, u.private = append(u.versions, ver), append(u.private, p)
	return nil
}

// openBackup opens the sealed form.
func (s *Service) openBackup(ctx context.Context, kind Kind, blob []byte) (*unpacked, error) {
	if len(blob) < backupHead || len(blob) > MaxBackup || string(blob[:4]) != backupMagic || blob[4] != backupForm || Kind(blob[5]) != kind {
		return nil, errBackup
	}
	row, err := s.family(ctx, kind)
	if err != nil {
		return nil, err
	}
	row.SetPart(object.Part{
		Kind: object.PartMeta, Protector: s.storeProtector(),
		VID: keys.ID(blob[6:22]), Keyref: keys.ID(blob[22:38]), Sealed: blob[backupHead:],
	})
	plain, err := s.store.OpenMeta(ctx, row)
	if fault.Is(err, fault.Corrupt) {
		return nil, errBackup
	}
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return unpack(kind, plain)
}

// RestoreKey brings back a key from its backup, into the same vault or another one of its
// kind. A key of that name may not be there, not even deleted.
func (s *Service) RestoreKey(ctx context.Context, c Caller, r Ref, blob []byte) (got Key, err error) {
	const op = "vault.RestoreKey"
	r.Key, r.Version = "", ""
	err = s.do(ctx, c, r, needRestore, func(v Vault) (keys.ID, error) {
		u, err := s.openBackup(ctx, v.Kind, blob)
		if errors.Is(err, errBackup) {
			return keys.ID{}, fault.New(op, r.what(), fault.InvalidInput, err)
		}
		if err != nil {
			return keys.ID{}, err
		}
		got, err = s.restore(ctx, v, u)
		return idOf(got), err
	})
	return got, err
}

func (s *Service) restore(ctx context.Context, v Vault, u *unpacked) (Key, error) {
	const op = "vault.RestoreKey"
	r := Ref{v.Kind, v.Name, u.rec.name, ""}
	sealed := make([]*sealedVersion, 0, len(u.versions))
	defer func() {
		for _, sv := range sealed {
			sv.dek.Close()
		}
	}()
	for i, ver := range u.versions {
		sv, err := s.seal(v, ver, u.private[i])
		if err != nil {
			return Key{}, err
		}
		sealed = append(sealed, sv)
	}
	err := s.store.Update(ctx, func(tx *object.Tx) error {
		if err := s.still(tx, v); err != nil {
			return err
		}
		switch k, err := s.readKey(tx, v, r.Key); {
		case err == nil && k.deletion != nil:
			return fault.New(op, r.what(), fault.VaultKeyDeleted, nil)
		case err == nil:
			return fault.New(op, r.what(), fault.Exists, nil)
		case !errors.Is(err, meta.ErrNotFound):
			return err
		}
		for _, sv := range sealed {
			if err := s.putVersion(tx, v, strings.ToLower(r.Key), sv); err != nil {
				return err
			}
		}
		return s.putKey(tx, v, &u.rec)
	})
	if err != nil {
		return Key{}, err
	}
	return show(v, &u.rec, u.versions[len(u.versions)-1]), nil
}
