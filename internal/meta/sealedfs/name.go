package sealedfs

import (
	"fmt"
	"strconv"
	"strings"
)

// kind is what a name says about a file.
type kind uint8

const (
	kindTable    kind = iota + 1 // N.sst
	kindBlob                     // N.blob: values that tables refer to
	kindLog                      // N.log
	kindManifest                 // MANIFEST-N
	kindOptions                  // OPTIONS-N
	kindTemp                     // temporary.N.dbtmp
	kindAudit                    // N.aud
	kindMarker                   // marker.*: empty
	kindLock                     // LOCK: empty
)

// name is an accepted file name.
type name struct {
	kind   kind
	number uint64
}

// sealed reports whether the file has frames.
func (n name) sealed() bool { return n.kind < kindMarker }

// once reports whether the file is written once and read anywhere.
func (n name) once() bool { return n.kind == kindTable || n.kind == kindBlob }

// forms are the accepted names that have a number.
var forms = []struct {
	prefix, suffix string
	kind           kind
}{
	{"", ".sst", kindTable},
	{"", ".blob", kindBlob},
	{"", ".log", kindLog},
	{"MANIFEST-", "", kindManifest},
	{"OPTIONS-", "", kindOptions},
	{"temporary.", ".dbtmp", kindTemp},
	{"", ".aud", kindAudit},
}

// parseName refuses every name that has no rule: what is not known is not stored.
func parseName(base string) (name, error) {
	switch {
	case isTemp(base):
	case base == "LOCK":
		return name{kind: kindLock}, nil
	case strings.HasPrefix(base, "marker."):
		return name{kind: kindMarker}, nil
	default:
		for _, f := range forms {
			digits, ok := strings.CutPrefix(base, f.prefix)
			if !ok {
				continue
			}
			if digits, ok = strings.CutSuffix(digits, f.suffix); !ok {
				continue
			}
			if n, ok := parseNumber(digits); ok {
				return name{f.kind, n}, nil
			}
		}
	}
	return name{}, fmt.Errorf("sealedfs: %q is not a name of this store", base)
}

func parseNumber(s string) (uint64, bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// markedManifest returns N of a marker.manifest.<iter>.MANIFEST-N.
func markedManifest(base string) (uint64, bool) {
	rest, ok := strings.CutPrefix(base, "marker.manifest.")
	if !ok {
		return 0, false
	}
	_, value, ok := strings.Cut(rest, ".")
	if !ok {
		return 0, false
	}
	n, err := parseName(value)
	return n.number, err == nil && n.kind == kindManifest
}

// tempMark is in the name of every file that is not complete yet.
const tempMark = ".tmp-"

func isTemp(base string) bool { return strings.Contains(base, tempMark) }
