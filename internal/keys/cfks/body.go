package cfks

import (
	"encoding/binary"
)

// Sizes and limits of the body.
const (
	bodyVersion = 1
	wrapSize    = 126 // WRAP-1

	flagInitialized = 1
	flagPurge       = 2

	maxText = 4 << 10 // URIs, names, who destroyed
	// MaxWrap is the longest RSA-OAEP output: of RSA-8192.
	MaxWrap = 1 << 10

	chainSize     = 16 + 1 + 16 + 17 + 8 + 4
	keySize       = 8 + 16 + 1 + 5*8 + 4 + 16 + 1
	protectorSize = 17 + 16 + 16 + 1 + 1 + 8 + 4
	wrappingSize  = 16 + 1 + 4 + 1 + 4 + 4 + wrapSize + 4 + 8 + 8
	factSize      = 16 + 4 + 8 + 16
)

// Body is the sealed part of the file: every key record.
// Times are nanoseconds since 1970, or 0.
type Body struct {
	Initialized  bool
	PurgePending bool
	Retention    uint64 // seconds that backups live
	Chains       []Chain
	Protectors   []ProtectorRecord
	Facts        []Fact
}

// Chain is one key with its versions 1, 2, ..
type Chain struct {
	ID        ID
	Kind      Kind
	Owner     ID
	Protector Protector // KEKs only, else zero
	Period    uint64    // cryptoperiod in seconds; 0: no schedule
	Keys      []Key
}

// Key is one version.
type Key struct {
	Number uint64
	Kref   ID
	State  State

	Created, Activated, Deactivated, Unreferenced, Destroyed uint64

	DestroyedBy string
	Public      []byte // identity and audit: Ed25519 public key
	KCV         [16]byte
	Secrets     []Secret
}

// Form says which key a secret is sealed under.
type Form uint8

// The forms.
const (
	UnderSK  Form = 1 + iota // keyref is the SRK ref
	UnderIK                  // keyref is the IRK ref
	UnderCMK                 // keyref is w
)

// Secret is the sealed key of a version.
type Secret struct {
	Form Form
	W    ID // wrapping, for UnderCMK
	Wrap [wrapSize]byte
}

// ProtectorRecord is the authority for the state of a protector.
type ProtectorRecord struct {
	Protector Protector
	Owner     ID
	Chain     ID
	Admin     AdminState
	Double    bool
	Epoch     uint64
	Wrappings []Wrapping
}

// Role is what a wrapping is for.
type Role uint8

// The roles.
const (
	Current Role = 1 + iota
	Pending
	Previous
)

// Wrapping is a random P, wrapped by a customer's key.
type Wrapping struct {
	W               ID
	Role            Role
	KeyURI          string
	FollowLatest    bool
	Identity        string
	FederatedClient string
	R               [wrapSize]byte
	Blob            []byte
	Created         uint64
	Demoted         uint64
}

// Fact is what is known of a slot beyond what stands in the clear.
type Fact struct {
	Slot      ID
	Name      string
	Proved    uint64
	ProvedRef ID // root that it opened then
}

// Encode returns the plaintext of the body.
func (b *Body) Encode() []byte {
	var flags byte
	if b.Initialized {
		flags |= flagInitialized
	}
	if b.PurgePending {
		flags |= flagPurge
	}
	out := []byte{bodyVersion, flags}
	out = binary.BigEndian.AppendUint64(out, b.Retention)
	out = binary.BigEndian.AppendUint32(out, uint32(len(b.Chains)))
	for i := range b.Chains {
		out = b.Chains[i].append(out)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(b.Protectors)))
	for i := range b.Protectors {
		out = b.Protectors[i].append(out)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(b.Facts)))
	for _, f := range b.Facts {
		out = append(out, f.Slot[:]...)
		out = appendBytes(out, []byte(f.Name))
		out = binary.BigEndian.AppendUint64(out, f.Proved)
		out = append(out, f.ProvedRef[:]...)
	}
	return out
}

func (c *Chain) append(out []byte) []byte {
	p := c.Protector.Bytes()
	out = append(out, c.ID[:]...)
	out = append(out, byte(c.Kind))
	out = append(out, c.Owner[:]...)
	out = append(out, p[:]...)
	out = binary.BigEndian.AppendUint64(out, c.Period)
	out = binary.BigEndian.AppendUint32(out, uint32(len(c.Keys)))
	for i := range c.Keys {
		out = c.Keys[i].append(out, c.Kind)
	}
	return out
}

func (k *Key) append(out []byte, kind Kind) []byte {
	out = binary.BigEndian.AppendUint64(out, k.Number)
	out = append(out, k.Kref[:]...)
	out = append(out, byte(k.State))
	for _, t := range k.times() {
		out = binary.BigEndian.AppendUint64(out, *t)
	}
	out = appendBytes(out, []byte(k.DestroyedBy))
	if kind.signs() {
		out = appendBytes(out, k.Public)
	}
	out = append(out, k.KCV[:]...)
	out = append(out, byte(len(k.Secrets)))
	for i := range k.Secrets {
		s := &k.Secrets[i]
		out = append(out, byte(s.Form))
		out = append(out, s.W[:]...)
		out = append(out, s.Wrap[:]...)
	}
	return out
}

// times are the five times in file order.
func (k *Key) times() [5]*uint64 {
	return [5]*uint64{&k.Created, &k.Activated, &k.Deactivated, &k.Unreferenced, &k.Destroyed}
}

func (k Kind) signs() bool { return k == Identity || k == Audit }

func (p *ProtectorRecord) append(out []byte) []byte {
	b := p.Protector.Bytes()
	out = append(out, b[:]...)
	out = append(out, p.Owner[:]...)
	out = append(out, p.Chain[:]...)
	out = append(out, byte(p.Admin))
	out = appendFlag(out, p.Double)
	out = binary.BigEndian.AppendUint64(out, p.Epoch)
	out = binary.BigEndian.AppendUint32(out, uint32(len(p.Wrappings)))
	for i := range p.Wrappings {
		w := &p.Wrappings[i]
		out = append(out, w.W[:]...)
		out = append(out, byte(w.Role))
		out = appendBytes(out, []byte(w.KeyURI))
		out = appendFlag(out, w.FollowLatest)
		out = appendBytes(out, []byte(w.Identity))
		out = appendBytes(out, []byte(w.FederatedClient))
		out = append(out, w.R[:]...)
		out = appendBytes(out, w.Blob)
		out = binary.BigEndian.AppendUint64(out, w.Created)
		out = binary.BigEndian.AppendUint64(out, w.Demoted)
	}
	return out
}
