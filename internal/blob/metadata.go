package blob

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
)

// MaxMetadata is the most that names and values of user metadata may have together.
const MaxMetadata = 8 << 10

// check holds m against the rules of the service.
func (m Metadata) check(op, what string) error {
	seen := make(map[string]bool, len(m))
	size := 0
	for _, p := range m {
		size += len(p.Name) + len(p.Value)
		folded := strings.ToLower(p.Name)
		if !identifier(p.Name) || !headerValue(p.Value) || seen[folded] {
			return fault.New(op, what, fault.InvalidMetadata, nil)
		}
		seen[folded] = true
	}
	if size > MaxMetadata {
		return fault.New(op, what, fault.MetadataTooLarge, nil)
	}
	return nil
}

// Get returns the value under name, matched without regard to case.
func (m Metadata) Get(name string) (string, bool) {
	for _, p := range m {
		if strings.EqualFold(p.Name, name) {
			return p.Value, true
		}
	}
	return "", false
}

// identifier reports whether s could be an identifier of C#, which the service asks
// of metadata names. Headers are ASCII, so nothing beyond it can arrive.
func identifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '_', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case '0' <= c && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

func headerValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

var errMetadata = errors.New("blob: stored metadata has a wrong form")

// encode is the plaintext of a META part: version 1, then per pair u16 length and
// bytes of the name and of the value, in the order in which they came.
func (m Metadata) encode() []byte {
	if len(m) == 0 {
		return nil
	}
	b := []byte{1}
	for _, p := range m {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p.Name)))
		b = append(b, p.Name...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(p.Value)))
		b = append(b, p.Value...)
	}
	return b
}

func decodeMetadata(b []byte) (Metadata, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != 1 || len(b) == 1 {
		return nil, errMetadata
	}
	var m Metadata
	for b = b[1:]; len(b) > 0; {
		var name, value string
		var ok bool
		if name, b, ok = cutString(b); !ok {
			return nil, errMetadata
		}
		if value, b, ok = cutString(b); !ok {
			return nil, errMetadata
		}
		if !identifier(name) {
			return nil, errMetadata
		}
		m = append(m, MetaPair{name, value})
	}
	return m, nil
}

// cutString takes a string with u16 length from the front of b.
func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return "", nil, false
	}
	return string(b[2 : 2+n]), b[2+n:], true
}
