package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/coffer-storage/coffer/internal/extent"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/object"
)

// Kinds of rows of table identity: the first byte of the key.
const (
	rowPrincipal  = 'p'
	rowAssignment = 'a'
	rowKey        = 'k'
	rowDelegation = 'd'
)

// Fields of the rows; spec/identity.md lists them.
const (
	tagKind        = 160 // 1
	tagClient      = 161 // 16
	tagTenant      = 162 // 16
	tagName        = 163 // text
	tagResource    = 164 // text
	tagCreated     = 165 // u64 ns, of every row
	tagFlags       = 166 // 1
	tagCertificate = 167 // DER, repeated
	tagScope       = 168 // text
	tagRole        = 169 // 16
	tagPrincipal   = 170 // 16
	tagRetired     = 171 // u64 ns
	tagTags        = 172 // tags of the resource: JSON, an object of texts
)

const flagMachine = 1 << 0

// Limits of what is kept in memory and in rows.
const (
	MaxPrincipals   = 10_000
	MaxAssignments  = 50_000
	MaxSecrets      = 10 // of one principal; of certificates as many
	maxName         = 120
	maxResource     = 1024
	maxCertificate  = 16 << 10
	secretSize      = 32 // bytes of a client secret
	maxSecretsBytes = 2 + MaxSecrets*(16+8+8+sha256.Size)
)

var errRow = errors.New("identity: row has a wrong form")

// rowID is the key of a row.
func rowID(kind byte, id uuid) []byte { return append([]byte{kind}, id[:]...) }

func (s *Service) newRow(created time.Time) *object.Row {
	r := &object.Row{Owner: s.store.StoreID(), Class: extent.Single}
	r.Set(tagCreated, stamp(created))
	return r
}

func stamp(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano()))
}

func unstamp(b []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()
}

// field is one field that a row may have.
type field struct {
	tag      byte
	size     int // -1: text
	optional bool
	repeated bool
}

// check answers errRow unless r has the fields, and no others.
func check(r *object.Row, fields ...field) error {
	known := map[byte]field{}
	for _, f := range fields {
		known[f.tag] = f
		if n := len(r.All(f.tag)); n == 0 && !f.optional || n > 1 && !f.repeated {
			return errRow
		}
	}
	for _, v := range r.Fields {
		f, ok := known[v.Tag]
		switch {
		case !ok,
			f.size >= 0 && len(v.Value) != f.size,
			f.size < 0 && (len(v.Value) == 0 || !f.repeated && !utf8.Valid(v.Value)):
			return errRow
		}
	}
	return nil
}

// record is a principal with its public credentials.
type record struct {
	Principal
	id      uuid
	Certs   [][]byte // DER of certificates that sign assertions
	secrets []secretHash
}

func (p *record) encode(r *object.Row) {
	client, _ := parseUUID(p.ClientID)
	tenant, _ := parseUUID(p.TenantID)
	r.Set(tagKind, []byte{byte(p.Kind)})
	r.Set(tagClient, client[:])
	r.Set(tagTenant, tenant[:])
	r.Set(tagName, []byte(p.Name))
	if p.ResourceID != "" {
		r.Set(tagResource, []byte(p.ResourceID))
	}
	r.Set(tagFlags)
	if p.Machine {
		r.Set(tagFlags, []byte{flagMachine})
	}
	r.Set(tagCertificate, p.Certs...)
	r.Set(tagTags)
	if p.Tags != "" {
		r.Set(tagTags, []byte(p.Tags))
	}
}

func decodePrincipal(id uuid, r *object.Row) (*record, error) {
	err := check(r, field{tag: tagKind, size: 1}, field{tag: tagClient, size: 16}, field{tag: tagTenant, size: 16},
		field{tag: tagName, size: -1}, field{tag: tagResource, size: -1, optional: true}, field{tag: tagCreated, size: 8},
		field{tag: tagFlags, size: 1, optional: true}, field{tag: tagCertificate, size: -1, optional: true, repeated: true},
		field{tag: tagTags, size: -1, optional: true})
	if err != nil {
		return nil, err
	}
	kind, flags := Kind(r.Get(tagKind)[0]), r.Get(tagFlags)
	if kind < ServicePrincipal || kind > UserAssigned || flags != nil && flags[0] != flagMachine {
		return nil, errRow
	}
	p := &record{id: id, Certs: r.All(tagCertificate), Principal: Principal{
		ObjectID: id.String(), ClientID: uuid(r.Get(tagClient)).String(), TenantID: uuid(r.Get(tagTenant)).String(),
		Kind: kind, Name: string(r.Get(tagName)), ResourceID: string(r.Get(tagResource)),
		Created: unstamp(r.Get(tagCreated)), Machine: flags != nil, Tags: string(r.Get(tagTags)),
	}}
	if back, err := encodeTags(p.TagMap()); err != nil || back != p.Tags || p.Tags != "" && kind != UserAssigned {
		return nil, errRow
	}
	if kind.Managed() == (p.ResourceID == "") {
		return nil, errRow
	}
	return p, nil
}

func encodeAssignment(a RoleAssignment, r *object.Row) {
	role, _ := parseUUID(a.RoleID)
	principal, _ := parseUUID(a.PrincipalID)
	r.Set(tagScope, []byte(a.Scope))
	r.Set(tagRole, role[:])
	r.Set(tagPrincipal, principal[:])
}

func decodeAssignment(id uuid, r *object.Row) (RoleAssignment, error) {
	err := check(r, field{tag: tagScope, size: -1}, field{tag: tagRole, size: 16}, field{tag: tagPrincipal, size: 16}, field{tag: tagCreated, size: 8})
	if err != nil {
		return RoleAssignment{}, err
	}
	return RoleAssignment{
		ID: id.String(), Scope: string(r.Get(tagScope)), RoleID: uuid(r.Get(tagRole)).String(),
		PrincipalID: uuid(r.Get(tagPrincipal)).String(), Created: unstamp(r.Get(tagCreated)),
	}, nil
}

// putSealed writes r with a secret.
func putSealed(tx *object.Tx, key []byte, r *object.Row, sl *sealed) error {
	entry, err := tx.Wrap(sl.dek)
	if err != nil {
		return err
	}
	r.DEKs = []object.DEKEntry{entry}
	r.SetPart(sl.part)
	return tx.Put(object.Identity, key, r)
}

// sealed is a secret ready for a row: the part and the data key that it is under.
type sealed struct {
	dek  *object.DEK
	part object.Part
}

// seal seals plain under a new data key of the store. plain stays the caller's to wipe,
// and the data key his to close.
func (s *Service) seal(plain []byte) (*sealed, error) {
	store := s.store.StoreID()
	protector := keys.Protector{Kind: keys.ProtectStore, ID: store}
	dek, err := s.store.NewDEK(store, protector)
	if err != nil {
		return nil, err
	}
	part, err := s.store.SealMeta(dek, protector, plain)
	if err != nil {
		dek.Close()
		return nil, err
	}
	return &sealed{dek: dek, part: part}, nil
}
