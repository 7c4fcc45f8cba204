package identity

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// uuid is a UUID as rows hold it.
type uuid [16]byte

// newUUID draws one at random, version 4.
func newUUID() uuid {
	var u uuid
	rand.Read(u[:])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

func (u uuid) String() string {
	s := hex.EncodeToString(u[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// parseUUID reads the usual form, in any case.
func parseUUID(s string) (u uuid, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return uuid{}, false
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(u) {
		return uuid{}, false
	}
	return uuid(b), true
}

// canonical is a UUID in lower case, or "" for what is none.
func canonical(s string) string {
	u, ok := parseUUID(s)
	if !ok {
		return ""
	}
	return u.String()
}
