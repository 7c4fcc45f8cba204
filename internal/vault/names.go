package vault

import (
	"encoding/hex"
	"errors"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
)

// First bytes of row keys.
const (
	rowVault   = 'v'
	rowKey     = 'k'
	rowVersion = 'n'
	rowFamily  = 'f'
)

const (
	minVaultName = 3
	maxVaultName = 24
	maxKeyName   = 127
	maxTags      = 15
	maxTag       = 256
	maxVersions  = 1000 // of one key
	maxPage      = 25
)

// parseVaultName checks the name of a vault and returns its form in row keys.
func parseVaultName(n string) (string, error) {
	lower := strings.ToLower(n)
	bad := len(n) < minVaultName || len(n) > maxVaultName || strings.Contains(n, "--") ||
		strings.HasSuffix(n, "-") || !strings.ContainsAny(lower[:min(1, len(lower))], "abcdefghijklmnopqrstuvwxyz")
	if bad || !plain(lower) {
		return "", errors.New("the name of a vault has 3 to 24 letters, digits and dashes, begins with a letter and has no two dashes in a row")
	}
	return lower, nil
}

// CheckName says what is wrong with the name of a vault, whether one has it or not.
func CheckName(n string) error {
	_, err := parseVaultName(n)
	return err
}

// parseKeyName does so for a key.
func parseKeyName(n string) (string, error) {
	lower := strings.ToLower(n)
	if n == "" || len(n) > maxKeyName || !plain(lower) {
		return "", errors.New("the name of a key has 1 to 127 letters, digits and dashes")
	}
	return lower, nil
}

func plain(lower string) bool {
	for i := range len(lower) {
		if c := lower[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// parseVersion reads the id of a version.
func parseVersion(v string) (keys.ID, bool) {
	b, err := hex.DecodeString(v)
	if err != nil || len(b) != 16 {
		return keys.ID{}, false
	}
	return keys.ID(b), true
}

func vaultKey(k Kind, lower string) []byte {
	return append([]byte{rowVault, byte(k)}, lower...)
}

func keyKey(vault keys.ID, lower string) []byte {
	b := append([]byte{rowKey}, vault[:]...)
	return append(append(b, lower...), 0)
}

func versionPrefix(vault keys.ID, lower string) []byte {
	b := append([]byte{rowVersion}, vault[:]...)
	return append(append(b, lower...), 0)
}

func versionKey(vault keys.ID, lower string, v keys.ID) []byte {
	return append(versionPrefix(vault, lower), v[:]...)
}

// after is the smallest key behind all with the prefix.
func after(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			next := append([]byte(nil), prefix[:n]...)
			next[n-1]++
			return next
		}
	}
	return nil
}

// what names a thing in errors and in the trail.
func (r Ref) what() string {
	s := r.Kind.String() + "/" + strings.ToLower(r.Vault)
	if r.Key != "" {
		s += "/keys/" + r.Key
	}
	if r.Version != "" {
		s += "/" + r.Version
	}
	return s
}

func bad(op, what, why string) error {
	return fault.New(op, what, fault.InvalidInput, errors.New(why))
}

func checkTags(op, what string, tags map[string]string) error {
	if len(tags) > maxTags {
		return bad(op, what, "there are at most 15 tags")
	}
	for n, v := range tags {
		if n == "" || len(n) > maxTag || len(v) > maxTag {
			return bad(op, what, "names and values of tags have at most 256 bytes")
		}
	}
	return nil
}
