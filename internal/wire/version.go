package wire

import (
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Version is a version of the protocol, a date. Versions compare as strings.
type Version string

// Versions that change something for us.
const (
	OldestVersion     Version = "2015-02-21" // the oldest that is served
	EncryptionVersion Version = "2019-02-02" // first with key and scope headers
	EncodedNames      Version = "2021-02-12" // names that XML cannot hold are percent-encoded in lists
)

// ParseVersion checks a version. Every well-formed one from OldestVersion up is served,
// newer than known ones included: clients move faster than servers, and what a newer
// version adds is refused by its own name.
func ParseVersion(s string) (Version, error) {
	if _, err := time.Parse(time.DateOnly, s); err != nil || len(s) != len(time.DateOnly) {
		return "", fault.New("wire.ParseVersion", "", fault.UnsupportedVersion, nil,
			fault.Detail{Name: "HeaderName", Value: HeaderVersion}, fault.Detail{Name: "HeaderValue", Value: s})
	}
	if Version(s) < OldestVersion {
		return "", fault.New("wire.ParseVersion", s, fault.UnsupportedVersion, nil,
			fault.Detail{Name: "HeaderName", Value: HeaderVersion}, fault.Detail{Name: "HeaderValue", Value: s})
	}
	return Version(s), nil
}

// ReadVersion finds the version of the request: its header, else the api-version of the
// URL, else the version of a SAS (an older one than we serve counts as our oldest,
// because it says how the signature was made), else byDefault, else the oldest.
func (r *Request) ReadVersion(byDefault string) error {
	var err error
	switch {
	case r.Has(HeaderVersion):
		r.Version, err = ParseVersion(r.Header1(HeaderVersion))
	case r.Query.Has("api-version"):
		r.Version, err = ParseVersion(r.Query.Get("api-version"))
	case r.Query.Has("sig") && r.Query.Has("sv"):
		r.Version, err = ParseVersion(r.Query.Get("sv"))
		if err != nil {
			r.Version, err = OldestVersion, nil // auth refuses what it cannot read
		}
	default:
		r.Version = OldestVersion
		if v, bad := ParseVersion(byDefault); bad == nil {
			r.Version = v
		}
	}
	return err
}
