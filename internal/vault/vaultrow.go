package vault

import (
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// Fields of vault rows; spec/vault.md lists them.
const (
	tagVaultID  = 180
	tagCreated  = 181
	tagModified = 182
	tagFlags    = 183
	tagDays     = 184
	tagResource = 185
	tagTenant   = 186
	tagLocation = 187
	tagSKU      = 188
	tagTags     = 189
	tagPolicy   = 190
	tagAdmin    = 191
	tagDeletion = 192
	tagName     = 193
)

const (
	flagPurgeProtection = 1 << 0
	flagRBAC            = 1 << 1
)

func setText(r *object.Row, tag byte, s string) {
	if s != "" {
		r.Set(tag, []byte(s))
	}
}

func (v Vault) row(store keys.ID) *object.Row {
	r := &object.Row{Owner: store}
	r.Set(tagVaultID, v.ID[:])
	r.Set(tagCreated, stamp(v.Created))
	r.Set(tagModified, stamp(v.Modified))
	var flags byte
	if v.PurgeProtection {
		flags |= flagPurgeProtection
	}
	if v.RBAC {
		flags |= flagRBAC
	}
	r.Set(tagFlags, []byte{flags})
	r.Set(tagDays, []byte{byte(v.SoftDeleteDays)})
	setText(r, tagResource, v.ResourceID)
	setText(r, tagTenant, v.TenantID)
	setText(r, tagLocation, v.Location)
	setText(r, tagSKU, v.SKU)
	r.Set(tagTags, encodeTags(v.Tags)...)
	var policies, admins [][]byte
	for _, p := range v.Policies {
		policies = append(policies, p.encode())
	}
	for _, a := range v.Admins {
		admins = append(admins, []byte(a))
	}
	r.Set(tagPolicy, policies...)
	r.Set(tagAdmin, admins...)
	setDeletion(r, tagDeletion, v.Deletion)
	setText(r, tagName, v.Name)
	return r
}

func (p AccessPolicy) encode() []byte {
	var w writer
	w.str(p.ObjectID)
	w.str(p.TenantID)
	w.str(p.ApplicationID)
	for _, l := range [][]string{p.Keys, p.Secrets, p.Certificates, p.Storage} {
		w.list(l)
	}
	return w.b
}

func decodePolicy(b []byte) (AccessPolicy, error) {
	r := reader{b: b}
	p := AccessPolicy{ObjectID: r.str(), TenantID: r.str(), ApplicationID: r.str()}
	for _, l := range []*[]string{&p.Keys, &p.Secrets, &p.Certificates, &p.Storage} {
		*l = r.list()
	}
	return p, r.end()
}

func setDeletion(r *object.Row, tag byte, d *Deletion) {
	if d == nil {
		r.Set(tag)
		return
	}
	var w writer
	w.time(d.Deleted)
	w.time(d.Purge)
	r.Set(tag, w.b)
}

func getDeletion(r *object.Row, tag byte) (*Deletion, error) {
	b := r.Get(tag)
	if b == nil {
		return nil, nil
	}
	in := reader{b: b}
	d := &Deletion{Deleted: in.time(), Purge: in.time()}
	return d, in.end()
}

func decodeVault(k Kind, r *object.Row) (Vault, error) {
	id, created, modified, flags, days := r.Get(tagVaultID), r.Get(tagCreated), r.Get(tagModified), r.Get(tagFlags), r.Get(tagDays)
	if len(id) != 16 || len(created) != 8 || len(modified) != 8 || len(flags) != 1 || len(days) != 1 ||
		flags[0]&^(flagPurgeProtection|flagRBAC) != 0 {
		return Vault{}, errRow
	}
	v := Vault{ID: keys.ID(id), Created: unstamp(created), Modified: unstamp(modified)}
	v.Spec = Spec{
		Kind: k, Name: string(r.Get(tagName)), ResourceID: string(r.Get(tagResource)), TenantID: string(r.Get(tagTenant)),
		Location: string(r.Get(tagLocation)), SKU: string(r.Get(tagSKU)), SoftDeleteDays: int(days[0]),
		PurgeProtection: flags[0]&flagPurgeProtection != 0, RBAC: flags[0]&flagRBAC != 0,
	}
	var err error
	if v.Tags, err = decodeTags(r.All(tagTags)); err != nil {
		return Vault{}, err
	}
	for _, b := range r.All(tagPolicy) {
		p, err := decodePolicy(b)
		if err != nil {
			return Vault{}, err
		}
		v.Policies = append(v.Policies, p)
	}
	for _, b := range r.All(tagAdmin) {
		v.Admins = append(v.Admins, string(b))
	}
	if v.Deletion, err = getDeletion(r, tagDeletion); err != nil {
		return Vault{}, err
	}
	if _, err := parseVaultName(v.Name); err != nil {
		return Vault{}, errRow
	}
	return v, nil
}
