package server

import "time"

// ContainerArgs name a container and what to do with it.
type ContainerArgs struct {
	Account      string            `json:"account"`
	Name         string            `json:"name,omitempty"`
	Prefix       string            `json:"prefix,omitempty"`       // list
	PublicAccess *string           `json:"publicAccess,omitempty"` // none, blob or container; nil: as it is
	Metadata     map[string]string `json:"metadata"`               // replaces all; nil: as it is
	DefaultScope string            `json:"defaultScope,omitempty"` // create
	DenyOverride bool              `json:"denyOverride,omitempty"` // create: no other scope than the default
}

// Container describes a container.
type Container struct {
	Account      string            `json:"account"`
	Name         string            `json:"name"`
	PublicAccess string            `json:"public_access"` // none, blob or container
	DefaultScope string            `json:"default_scope"` // $account-encryption-key without one
	DenyOverride bool              `json:"deny_scope_override"`
	Metadata     map[string]string `json:"metadata,omitempty"` // not in lists
	Lease        string            `json:"lease_state"`
	ETag         string            `json:"etag"`
	Modified     time.Time         `json:"modified"`
}

// BlobServiceArgs name an account and the settings of its blob service; nil: as it is.
type BlobServiceArgs struct {
	Account        string      `json:"account"`
	DefaultVersion *string     `json:"defaultVersion,omitempty"` // "": the server's own
	CORS           *[]CORSRule `json:"cors,omitempty"`           // all rules
}

// BlobService describes the blob service of an account.
type BlobService struct {
	Account        string     `json:"account"`
	DefaultVersion string     `json:"default_version,omitempty"`
	CORS           []CORSRule `json:"cors"`
	SoftDelete     bool       `json:"soft_delete"` // of blobs
}

// CORSRule lets scripts of other sites in. Its members are named as in the management
// plane, so that files of rules go for both.
type CORSRule struct {
	Origins []string `json:"allowedOrigins"`
	Methods []string `json:"allowedMethods"`
	Headers []string `json:"allowedHeaders"`
	Exposed []string `json:"exposedHeaders"`
	MaxAge  int      `json:"maxAgeInSeconds"`
}
