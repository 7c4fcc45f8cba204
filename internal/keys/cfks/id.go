package cfks

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
)

// ID is 16 random bytes, made once and never reused or derived from a name.
type ID [16]byte

// NewID draws a new ID.
func NewID() ID {
	var id ID
	rand.Read(id[:])
	return id
}

// ParseID reads what String writes.
func ParseID(s string) (ID, error) {
	var id ID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return ID{}, errors.New("id: want 32 hexadecimal digits")
	}
	copy(id[:], b)
	if s != id.String() {
		return ID{}, errors.New("id: want lower case digits")
	}
	return id, nil
}

// String is the ID in lower case hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// ProtectorKind says what a protector belongs to.
type ProtectorKind uint8

// The kinds; the numbers are in files.
const (
	ProtectAccount ProtectorKind = 1 + iota // id is the account's
	ProtectScope                            // an encryption scope
	ProtectQueue                            // queue service with its own key; account id
	ProtectTable                            // table service with its own key; account id
	ProtectCPK                              // customer-provided key; zero id
	ProtectDES                              // disk encryption set
	ProtectDisk                             // disk service; subscription id
	ProtectVault                            // vault
	ProtectStore                            // the server's own secrets; store id
)

var protectorNames = [...]string{"", "account", "scope", "queue", "table", "cpk", "des", "disk", "vault", "store"}

func (k ProtectorKind) String() string {
	if k == 0 || int(k) >= len(protectorNames) {
		return fmt.Sprintf("ProtectorKind(%d)", uint8(k))
	}
	return protectorNames[k]
}

// Protector names whose KEK wraps a data key: kind(1) || id(16).
type Protector struct {
	Kind ProtectorKind
	ID   ID
}

// CPK is the protector of contents under a customer-provided key.
var CPK = Protector{Kind: ProtectCPK}

// Bytes is the 17-byte form that stands in files and AADs. The zero Protector is 17 zeros.
func (p Protector) Bytes() [17]byte {
	var b [17]byte
	b[0] = byte(p.Kind)
	copy(b[1:], p.ID[:])
	return b
}

// IsZero reports whether p names nothing.
func (p Protector) IsZero() bool { return p == Protector{} }

// String is "kind:id".
func (p Protector) String() string { return p.Kind.String() + ":" + p.ID.String() }

// ParseProtector reads what Bytes writes, and refuses the zero Protector.
func ParseProtector(b []byte) (Protector, error) {
	if len(b) != 17 {
		return Protector{}, fmt.Errorf("protector of %d bytes, want 17", len(b))
	}
	p := Protector{Kind: ProtectorKind(b[0]), ID: ID(b[1:])}
	if p.Kind < ProtectAccount || p.Kind > ProtectStore {
		return Protector{}, fmt.Errorf("protector of unknown kind %d", b[0])
	}
	if (p.Kind == ProtectCPK) != p.ID.IsZero() {
		return Protector{}, errors.New("protector id does not fit its kind")
	}
	return p, nil
}
