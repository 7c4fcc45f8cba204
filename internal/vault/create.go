package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/jwk"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/object"
)

// opsOf are the operations that keys of a type have, which is also what they get when
// none are named.
var opsOf = map[jwk.Type][]string{
	jwk.RSA: {"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"},
	jwk.EC:  {"sign", "verify"},
	jwk.Oct: {"encrypt", "decrypt", "wrapKey", "unwrapKey"},
}

// typeOf reads a type as the interface names it. A Managed HSM has only its own.
func typeOf(kind Kind, kty string) (t jwk.Type, hsm bool, err error) {
	base, hsm := strings.CutSuffix(strings.ToLower(kty), "-hsm")
	t, ok := map[string]jwk.Type{"rsa": jwk.RSA, "ec": jwk.EC, "oct": jwk.Oct}[base]
	switch {
	case !ok:
		return 0, false, errors.New("kty is RSA, RSA-HSM, EC, EC-HSM or, in a Managed HSM, oct-HSM")
	case kind == HSM:
		return t, true, nil
	case t == jwk.Oct:
		return 0, false, errors.New("keys of the type oct are for Managed HSMs")
	}
	return t, hsm, nil
}

// operations checks the operations that a key is to have.
func operations(t jwk.Type, want []string) ([]string, error) {
	if len(want) == 0 {
		return slices.Clone(opsOf[t]), nil
	}
	var out []string
	for _, w := range want {
		i := slices.IndexFunc(opsOf[t], func(o string) bool { return strings.EqualFold(o, w) })
		if i < 0 {
			return nil, errors.New("key_ops has an operation that keys of this type do not have")
		}
		if !slices.Contains(out, opsOf[t][i]) {
			out = append(out, opsOf[t][i])
		}
	}
	return out, nil
}

// latest bounds the dates of keys: what fits into 64 bits of nanoseconds, with room.
var latest = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

func checkDates(nbf, exp time.Time) error {
	for _, t := range []time.Time{nbf, exp} {
		if !t.IsZero() && (t.Unix() < 0 || t.After(latest)) {
			return errors.New("a date lies outside of the years 1970 to 2200")
		}
	}
	if !nbf.IsZero() && !exp.IsZero() && !nbf.Before(exp) {
		return errors.New("nbf has to lie before exp")
	}
	return nil
}

// describe makes the version that k asks for, without its key.
func (s *Service) describe(t jwk.Type, hsm bool, k NewKey) (*version, error) {
	ops, err := operations(t, k.Ops)
	if err != nil {
		return nil, err
	}
	if k.Exportable {
		return nil, errors.New("exportable keys are not served: private keys do not leave")
	}
	if err := checkDates(k.NotBefore, k.Expires); err != nil {
		return nil, err
	}
	if err := checkTags("vault.CreateKey", "", k.Tags); err != nil {
		return nil, err
	}
	now := s.o.Now().UTC()
	v := &version{id: keys.NewID(), hsm: hsm, ops: ops, tags: maps.Clone(k.Tags)}
	v.attrs = Attributes{
		Enabled: k.Enabled == nil || *k.Enabled, Created: now, Updated: now,
		NotBefore: k.NotBefore.UTC(), Expires: k.Expires.UTC(),
	}
	if k.NotBefore.IsZero() {
		v.attrs.NotBefore = time.Time{}
	}
	if k.Expires.IsZero() {
		v.attrs.Expires = time.Time{}
	}
	return v, nil
}

// generate makes a key; those that take long wait for their turn.
func (s *Service) generate(ctx context.Context, t jwk.Type, bits int, curve string) (*jwk.Private, error) {
	if t == jwk.RSA {
		select {
		case s.generating <- struct{}{}:
			defer func() { <-s.generating }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return jwk.Generate(t, bits, curve)
}

// CreateKey makes a key, or a new version of one that is there.
func (s *Service) CreateKey(ctx context.Context, c Caller, r Ref, k NewKey) (made Key, err error) {
	err = s.do(ctx, c, r, needCreate, func(v Vault) (keys.ID, error) {
		t, hsm, err := typeOf(v.Kind, k.Type)
		if err != nil {
			return keys.ID{}, bad("vault.CreateKey", r.what(), err.Error())
		}
		made, err = s.create(ctx, v, r, k, t, hsm)
		return idOf(made), err
	})
	return made, err
}

func (s *Service) create(ctx context.Context, v Vault, r Ref, k NewKey, t jwk.Type, hsm bool) (Key, error) {
	const op = "vault.CreateKey"
	if k.Exponent != 0 && k.Exponent != 65537 {
		return Key{}, bad(op, r.what(), "the public exponent is 65537")
	}
	if k.Bits == 0 {
		k.Bits = map[jwk.Type]int{jwk.RSA: 2048, jwk.Oct: 256}[t]
	}
	if k.Curve == "" {
		k.Curve = "P-256"
	}
	ver, err := s.describe(t, hsm, k)
	if err != nil {
		return Key{}, edgeInput(op, r, err)
	}
	if err := s.free(ctx, v, r); err != nil { // before the work of making a key
		return Key{}, err
	}
	p, err := s.generate(ctx, t, k.Bits, k.Curve)
	if err != nil {
		return Key{}, err
	}
	return s.add(ctx, v, r, ver, p)
}

// edgeInput makes a plain error one of input.
func edgeInput(op string, r Ref, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return bad(op, r.what(), err.Error())
}

// free checks that the name of a key can take a new version.
func (s *Service) free(ctx context.Context, v Vault, r Ref) error {
	return s.store.View(ctx, func(tx *object.Tx) error {
		_, err := s.room(tx, v, r)
		return err
	})
}

// room returns the record that a new version goes into, or a new one.
func (s *Service) room(tx *object.Tx, v Vault, r Ref) (*keyRecord, error) {
	const op = "vault.CreateKey"
	k, err := s.readKey(tx, v, r.Key)
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return &keyRecord{name: r.Key}, nil
	case err != nil:
		return nil, err
	case k.deletion != nil:
		return nil, fault.New(op, r.what(), fault.VaultKeyDeleted, nil)
	case len(k.versions) >= maxVersions:
		return nil, fault.New(op, r.what(), fault.NotAllowed, errors.New("the key has 1,000 versions"))
	}
	return k, nil
}

// add seals p and makes it the newest version of the key that r names.
func (s *Service) add(ctx context.Context, v Vault, r Ref, ver *version, p *jwk.Private) (Key, error) {
	ver.pub = p.Public
	sv, err := s.seal(v, ver, p)
	if err != nil {
		return Key{}, err
	}
	defer sv.dek.Close()
	var rec *keyRecord
	err = s.store.Update(ctx, func(tx *object.Tx) error {
		if err := s.still(tx, v); err != nil {
			return err
		}
		if rec, err = s.room(tx, v, r); err != nil {
			return err
		}
		s.expire(rec, ver)
		rec.versions = append(rec.versions, ver.id)
		if err := s.putVersion(tx, v, r.Key, sv); err != nil {
			return err
		}
		return s.putKey(tx, v, rec)
	})
	if err != nil {
		return Key{}, err
	}
	return show(v, rec, ver), nil
}

// expire gives a version without an end the one that the rotation policy has.
func (s *Service) expire(k *keyRecord, ver *version) {
	if k.policy == nil || k.policy.ExpiryTime == "" || !ver.attrs.Expires.IsZero() {
		return
	}
	if d, err := parseDuration(k.policy.ExpiryTime); err == nil {
		ver.attrs.Expires = d.after(ver.attrs.Created).Truncate(time.Second)
	}
}

// sealedVersion is a version ready for its row.
type sealedVersion struct {
	*version
	dek  *object.DEK
	part object.Part
}

// seal seals a private key under a data key of its own.
func (s *Service) seal(v Vault, ver *version, p *jwk.Private) (*sealedVersion, error) {
	plain, err := p.Encode()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	dek, err := s.store.NewDEK(s.store.StoreID(), v.Protector())
	if err != nil {
		return nil, err
	}
	part, err := s.store.SealMeta(dek, v.Protector(), plain)
	if err != nil {
		dek.Close()
		return nil, err
	}
	return &sealedVersion{ver, dek, part}, nil
}

func (s *Service) putVersion(tx *object.Tx, v Vault, key string, sv *sealedVersion) error {
	entry, err := tx.Wrap(sv.dek)
	if err != nil {
		return err
	}
	row := &object.Row{Owner: s.store.StoreID(), DEKs: []object.DEKEntry{entry}}
	row.SetPart(sv.part)
	sv.head(row)
	return tx.Put(object.Vault, versionKey(v.ID, strings.ToLower(key), sv.id), row)
}

func (s *Service) putKey(tx *object.Tx, v Vault, k *keyRecord) error {
	return tx.Put(object.Vault, keyKey(v.ID, strings.ToLower(k.name)), k.row(s.store.StoreID()))
}

// ImportKey makes a key version of a given private key.
func (s *Service) ImportKey(ctx context.Context, c Caller, r Ref, m *Material, k NewKey) (made Key, err error) {
	defer m.wipe()
	err = s.do(ctx, c, r, needImport, func(v Vault) (keys.ID, error) {
		t, hsm, err := typeOf(v.Kind, m.Type)
		if err != nil {
			return keys.ID{}, bad("vault.ImportKey", r.what(), err.Error())
		}
		if v.Kind == Standard && strings.HasSuffix(strings.ToLower(k.Type), "-hsm") {
			hsm = true // by the member hsm of the request
		}
		ver, err := s.describe(t, hsm, k)
		if err != nil {
			return keys.ID{}, edgeInput("vault.ImportKey", r, err)
		}
		p, err := m.key(t)
		if err != nil {
			return keys.ID{}, err
		}
		made, err = s.add(ctx, v, r, ver, p)
		return idOf(made), err
	})
	return made, err
}

func (m *Material) key(t jwk.Type) (*jwk.Private, error) {
	switch t {
	case jwk.RSA:
		return jwk.ImportRSA(m.N, m.E, m.D, m.P, m.Q)
	case jwk.EC:
		return jwk.ImportEC(m.Curve, m.D, m.X, m.Y)
	}
	return jwk.ImportOct(m.K)
}

func (m *Material) wipe() {
	for _, b := range [][]byte{m.D, m.P, m.Q, m.DP, m.DQ, m.QI, m.K} {
		clear(b)
	}
}

// RotateKey makes a new version of the same type and size.
func (s *Service) RotateKey(ctx context.Context, c Caller, r Ref) (made Key, err error) {
	err = s.do(ctx, c, r, needRotate, func(v Vault) (keys.ID, error) {
		_, old, err := s.load(ctx, v, Ref{r.Kind, r.Vault, r.Key, ""})
		if err != nil {
			return keys.ID{}, err
		}
		k := NewKey{Bits: old.pub.Bits, Curve: old.pub.Curve, Ops: old.ops, Tags: old.tags}
		made, err = s.create(ctx, v, r, k, old.pub.Type, old.hsm)
		return idOf(made), err
	})
	return made, err
}

func idOf(k Key) keys.ID {
	b, err := hex.DecodeString(k.Version)
	if err != nil || len(b) != 16 {
		return keys.ID{}
	}
	return keys.ID(b)
}
