package blob

import (
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
)

// MaxPage is the most items that one page of a list holds.
const MaxPage = 5000

// Include is a set of what a list shall carry beside the ordinary.
type Include uint16

const (
	IncludeMetadata Include = 1 << iota
	IncludeUncommitted
	IncludeSnapshots
	IncludeVersions
	IncludeDeleted
	IncludeDeletedWithVersions
	IncludeTags
	IncludeCopy
	IncludeImmutability
	IncludeLegalHold
	IncludeSystem // containers
)

var includeNames = map[string]Include{
	"metadata":            IncludeMetadata,
	"uncommittedblobs":    IncludeUncommitted,
	"snapshots":           IncludeSnapshots,
	"versions":            IncludeVersions,
	"deleted":             IncludeDeleted,
	"deletedwithversions": IncludeDeletedWithVersions,
	"tags":                IncludeTags,
	"copy":                IncludeCopy,
	"immutabilitypolicy":  IncludeImmutability,
	"legalhold":           IncludeLegalHold,
	"system":              IncludeSystem,
}

// ParseInclude reads the include parameter of a list: names with commas between.
func ParseInclude(s string) (Include, error) {
	var set Include
	if s == "" {
		return 0, nil
	}
	for _, one := range strings.Split(s, ",") {
		one = strings.ToLower(strings.TrimSpace(one))
		if one == "" {
			continue
		}
		bit, ok := includeNames[one]
		if !ok {
			return 0, queryFault("blob.ParseInclude", "include", one, "Invalid query parameter value.")
		}
		set |= bit
	}
	return set, nil
}

func queryFault(op, param, value, reason string) error {
	return fault.New(op, "", fault.InvalidQueryParameter, nil,
		fault.Detail{Name: "QueryParameterName", Value: param},
		fault.Detail{Name: "QueryParameterValue", Value: value},
		fault.Detail{Name: "Reason", Value: reason})
}

// ListBlobsOptions are the arguments of List.
type ListBlobsOptions struct {
	Prefix, Delimiter, Marker string
	MaxResults                int // 0 is absent; the wire refuses a written zero
	Include                   Include
}

// BlobItem is one item of a list: a blob, or a prefix that stands for many.
type BlobItem struct {
	Name     string // of the blob, or the prefix with its delimiter
	IsPrefix bool
	Properties
}

// BlobPage is one page of a list of blobs.
type BlobPage struct {
	Items      []BlobItem
	NextMarker string // empty at the end
}

// ContainerOptions are the arguments of CreateContainer.
type ContainerOptions struct {
	Metadata          Metadata
	PublicAccess      string // "", "blob" or "container"
	DefaultScope      string // empty: AccountKeyScope
	DenyScopeOverride bool
}

// AccountKeyScope is the name under which the wire shows the account key where it
// shows the default scope of a container.
const AccountKeyScope = "$account-encryption-key"

// ContainerProperties describe a container as it is stored.
type ContainerProperties struct {
	ETag                    string
	LastModified            time.Time
	PublicAccess            string
	Metadata                Metadata
	LeaseStatus, LeaseState string
	DefaultScope            string // AccountKeyScope without one
	DenyScopeOverride       bool
	HasImmutabilityPolicy   bool
	HasLegalHold            bool
}

// ListContainersOptions are the arguments of ListContainers.
type ListContainersOptions struct {
	Prefix, Marker string
	MaxResults     int
	Include        Include
}

// ContainerItem is one container of a list.
type ContainerItem struct {
	Name string
	ContainerProperties
}

// ContainerPage is one page of a list of containers.
type ContainerPage struct {
	Items      []ContainerItem
	NextMarker string
}

// Policy is a stored access policy of a container. Zero times are absent.
type Policy struct {
	ID            string
	Start, Expiry time.Time
	Permission    string
}

// ACL is what GetContainerACL answers.
type ACL struct {
	ETag         string
	LastModified time.Time
	PublicAccess string
	Policies     []Policy
}

// ACLOptions are the arguments of SetContainerACL.
type ACLOptions struct {
	PublicAccess string
	Policies     []Policy
	Conditions   Conditions
}

// ServiceProperties are the settings of an account's blob service. In a Set, a nil
// section is left as it is.
type ServiceProperties struct {
	Logging                    *Logging
	HourMetrics, MinuteMetrics *Metrics
	CORS                       *[]CORSRule
	DefaultServiceVersion      *string
	DeleteRetention            *Retention
	StaticWebsite              *StaticWebsite
}

// Logging is what storage analytics logs.
type Logging struct {
	Version             string
	Delete, Read, Write bool
	Retention           Retention
}

// Metrics is what storage analytics measures.
type Metrics struct {
	Version              string
	Enabled, IncludeAPIs bool
	Retention            Retention
}

// Retention keeps something for a number of days.
type Retention struct {
	Enabled              bool
	Days                 int
	AllowPermanentDelete bool
}

// CORSRule is one rule of cross-origin access. Lists have commas between.
type CORSRule struct {
	AllowedOrigins, AllowedMethods, AllowedHeaders, ExposedHeaders string
	MaxAge                                                         int // seconds
}

// StaticWebsite is the setting of static websites.
type StaticWebsite struct {
	Enabled                                                   bool
	IndexDocument, ErrorDocument404Path, DefaultIndexDocument string
}

// Stats is what GetStats answers.
type Stats struct {
	Status string // live, bootstrap or unavailable
}

// AccountInfo is what GetAccountInfo answers.
type AccountInfo struct {
	SKU, Kind    string
	Hierarchical bool
}
