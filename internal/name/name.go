// Package name holds the names of resources that have passed the service's rules.
//
// A function that takes a name.Container cannot be handed raw input: only the Parse
// functions make these types (a conversion is possible and is for tests). Names are
// kept exactly as they were sent; nothing is folded, cleaned or normalized, so that
// "a//b/../c" is the name of one blob and of no other.
package name

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Account is the name of a storage account: 3 to 24 lower-case letters and digits.
type Account string

// Container is the name of a blob container.
type Container string

// Blob is the name of a blob inside its container.
type Blob string

// Containers with names of their own rules.
const (
	RootContainer Container = "$root" // blobs without a container in their path
	WebContainer  Container = "$web"  // static website
	LogsContainer Container = "$logs" // storage analytics
)

// Limits of blob names.
const (
	MaxBlobLength   = 1024 // in UTF-16 code units, as the service counts
	MaxBlobSegments = 254  // parts between slashes
)

// SecondarySuffix ends the account name in requests to the secondary endpoint.
const SecondarySuffix = "-secondary"

// ParseAccount checks an account name.
func ParseAccount(s string) (Account, error) {
	if len(s) < 3 || len(s) > 24 {
		return "", fault.New("name.ParseAccount", printable(s), fault.InvalidResourceName, nil)
	}
	for i := range len(s) {
		if !lowerOrDigit(s[i]) {
			return "", fault.New("name.ParseAccount", printable(s), fault.InvalidResourceName, nil)
		}
	}
	return Account(s), nil
}

// ParseContainer checks a container name: 3 to 63 lower-case letters, digits and
// dashes, a letter or digit at both ends and between two dashes; or one of the
// service's own names.
func ParseContainer(s string) (Container, error) {
	switch Container(s) {
	case RootContainer, WebContainer, LogsContainer:
		return Container(s), nil
	}
	if !goodContainerLength(s) {
		return "", fault.New("name.ParseContainer", printable(s), fault.OutOfRangeInput, nil)
	}
	if !goodContainer(s) {
		return "", fault.New("name.ParseContainer", printable(s), fault.InvalidResourceName, nil)
	}
	return Container(s), nil
}

func goodContainerLength(s string) bool { return len(s) >= 3 && len(s) <= 63 }

func goodContainer(s string) bool {
	if !goodContainerLength(s) {
		return false
	}
	for i := range len(s) {
		switch {
		case lowerOrDigit(s[i]):
		case s[i] == '-' && i > 0 && i < len(s)-1 && s[i-1] != '-':
		default:
			return false
		}
	}
	return true
}

// Scope is the name of an encryption scope.
type Scope string

// ParseScope checks the name of an encryption scope: 3 to 63 lower-case letters, digits
// and dashes, each dash between two of the others.
func ParseScope(s string) (Scope, error) {
	if !goodContainer(s) {
		return "", fault.New("name.ParseScope", printable(s), fault.InvalidResourceName, nil)
	}
	return Scope(s), nil
}

// ParseBlob checks a blob name, decoded from its URL: 1 to 1,024 characters of valid
// UTF-8 without NUL, in at most 254 segments.
func ParseBlob(s string) (Blob, error) {
	const op = "name.ParseBlob"
	switch {
	case len(s) > 3*MaxBlobLength, s != "" && utf8.ValidString(s) && units(s) > MaxBlobLength:
		return "", fault.New(op, printable(s), fault.OutOfRangeInput, nil)
	case s == "", !utf8.ValidString(s), strings.IndexByte(s, 0) >= 0, strings.Count(s, "/")+1 > MaxBlobSegments:
		return "", fault.New(op, printable(s), fault.InvalidResourceName, nil)
	}
	return Blob(s), nil
}

// units counts UTF-16 code units: what the service and its SDKs call characters.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

func lowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// printable bounds what of a refused name goes into an error.
func printable(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + ".."
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s), "?")
}
