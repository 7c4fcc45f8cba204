package vault

import (
	"slices"
	"time"

	"github.com/coffer-storage/coffer/internal/crypt/jwk"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// Fields of key rows and version rows; spec/vault.md lists them.
const (
	tagKeyName     = 196
	tagVersion     = 197
	tagKeyDeletion = 198
	tagRotation    = 199
	tagNotified    = 200

	tagType     = 204
	tagKeyFlags = 205
	tagTimes    = 206
	tagOp       = 207
	tagKeyTags  = 208
	tagPublic   = 209
)

const (
	flagEnabled = 1 << 0
	flagHSM     = 1 << 1
)

// keyRecord is a key: what its versions share.
type keyRecord struct {
	name     string    // in the spelling of its creation
	versions []keys.ID // oldest first
	deletion *Deletion
	policy   *RotationPolicy
	notified keys.ID // version whose end was announced
}

func (k *keyRecord) newest() keys.ID {
	if len(k.versions) == 0 {
		return keys.ID{}
	}
	return k.versions[len(k.versions)-1]
}

func (k *keyRecord) row(store keys.ID) *object.Row {
	r := &object.Row{Owner: store}
	r.Set(tagKeyName, []byte(k.name))
	var vs [][]byte
	for _, v := range k.versions {
		vs = append(vs, slices.Clone(v[:]))
	}
	r.Set(tagVersion, vs...)
	setDeletion(r, tagKeyDeletion, k.deletion)
	if k.policy != nil {
		r.Set(tagRotation, k.policy.encode())
	}
	if !k.notified.IsZero() {
		r.Set(tagNotified, k.notified[:])
	}
	return r
}

func decodeKey(r *object.Row) (*keyRecord, error) {
	k := &keyRecord{name: string(r.Get(tagKeyName))}
	if _, err := parseKeyName(k.name); err != nil {
		return nil, errRow
	}
	for _, v := range r.All(tagVersion) {
		if len(v) != 16 {
			return nil, errRow
		}
		k.versions = append(k.versions, keys.ID(v))
	}
	if n := r.Get(tagNotified); n != nil {
		if len(n) != 16 {
			return nil, errRow
		}
		k.notified = keys.ID(n)
	}
	var err error
	if k.deletion, err = getDeletion(r, tagKeyDeletion); err != nil {
		return nil, err
	}
	if b := r.Get(tagRotation); b != nil {
		k.policy, err = decodeRotation(b)
	}
	if len(k.versions) == 0 {
		err = errRow
	}
	return k, err
}

func (p *RotationPolicy) encode() []byte {
	var w writer
	w.time(p.Created)
	w.time(p.Updated)
	w.str(p.ExpiryTime)
	w.u16(len(p.Actions))
	for _, a := range p.Actions {
		w.str(a.Action)
		w.str(a.TimeAfterCreate)
		w.str(a.TimeBeforeExpiry)
	}
	return w.b
}

func decodeRotation(b []byte) (*RotationPolicy, error) {
	r := reader{b: b}
	p := &RotationPolicy{Created: r.time(), Updated: r.time(), ExpiryTime: r.str()}
	n := r.u16()
	for i := 0; i < n && !r.bad; i++ {
		p.Actions = append(p.Actions, LifetimeAction{r.str(), r.str(), r.str()})
	}
	return p, r.end()
}

// version is a version of a key, without what is secret.
type version struct {
	id    keys.ID
	pub   jwk.Public
	hsm   bool // the type's name ends in -HSM
	attrs Attributes
	ops   []string
	tags  map[string]string
}

// kty is the type as the interface names it.
func (v *version) kty() string {
	n := map[jwk.Type]string{jwk.RSA: "RSA", jwk.EC: "EC", jwk.Oct: "oct"}[v.pub.Type]
	if v.hsm {
		n += "-HSM"
	}
	return n
}

// head is all of a version but its private key, as fields of a row.
func (v *version) head(r *object.Row) {
	r.Set(tagType, []byte{byte(v.pub.Type)})
	var flags byte
	if v.attrs.Enabled {
		flags |= flagEnabled
	}
	if v.hsm {
		flags |= flagHSM
	}
	r.Set(tagKeyFlags, []byte{flags})
	var w writer
	for _, t := range []time.Time{v.attrs.Created, v.attrs.Updated, v.attrs.NotBefore, v.attrs.Expires} {
		w.time(t)
	}
	r.Set(tagTimes, w.b)
	var ops [][]byte
	for _, o := range v.ops {
		ops = append(ops, []byte(o))
	}
	r.Set(tagOp, ops...)
	r.Set(tagKeyTags, encodeTags(v.tags)...)
	r.Set(tagPublic, encodePublic(v.pub))
}

func encodePublic(p jwk.Public) []byte {
	var w writer
	w.u16(p.Bits)
	switch p.Type {
	case jwk.RSA:
		w.str(string(p.N))
		w.str(string(p.E))
	case jwk.EC:
		w.str(p.Curve)
		w.str(string(p.X))
		w.str(string(p.Y))
	}
	return w.b
}

func decodePublic(t jwk.Type, b []byte) (jwk.Public, error) {
	r := reader{b: b}
	p := jwk.Public{Type: t, Bits: r.u16()}
	switch t {
	case jwk.RSA:
		p.N, p.E = r.bytes(), r.bytes()
	case jwk.EC:
		p.Curve, p.X, p.Y = r.str(), r.bytes(), r.bytes()
	case jwk.Oct:
	default:
		return p, errRow
	}
	return p, r.end()
}

func decodeVersion(id keys.ID, r *object.Row) (*version, error) {
	kind, flags, times := r.Get(tagType), r.Get(tagKeyFlags), r.Get(tagTimes)
	if len(kind) != 1 || len(flags) != 1 || flags[0]&^(flagEnabled|flagHSM) != 0 {
		return nil, errRow
	}
	v := &version{id: id, hsm: flags[0]&flagHSM != 0}
	in := reader{b: times}
	v.attrs = Attributes{Enabled: flags[0]&flagEnabled != 0, Created: in.time(), Updated: in.time(), NotBefore: in.time(), Expires: in.time()}
	if err := in.end(); err != nil {
		return nil, err
	}
	for _, o := range r.All(tagOp) {
		v.ops = append(v.ops, string(o))
	}
	var err error
	if v.tags, err = decodeTags(r.All(tagKeyTags)); err != nil {
		return nil, err
	}
	v.pub, err = decodePublic(jwk.Type(kind[0]), r.Get(tagPublic))
	return v, err
}
