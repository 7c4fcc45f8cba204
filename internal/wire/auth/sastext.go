package auth

import (
	"strconv"
	"strings"

	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/wire"
)

// readResource finds what a service SAS is signed over: the resource of the request, as
// far as sr reaches.
func (f *fields) readResource(r *wire.Request) error {
	t := r.Target
	container, blob := t.First, t.Rest
	if t.IsContainerPath() && f.Resource != "c" { // /account/name is a blob of the root container
		container, blob = string(name.RootContainer), t.First
	}
	f.Container = container
	f.resource = "/" + string(t.Account) + "/" + container
	switch f.Resource {
	case "c":
		return nil
	case "b":
	case "bs":
		f.snapshot = r.Query.Get("snapshot")
	case "bv":
		f.snapshot = r.Query.Get("versionid")
	case "d":
		depth, err := strconv.Atoi(f.depth)
		if err != nil || depth < 0 {
			return refuse(fault.AuthenticationFailed, malformed+" sdd is the depth of a directory.")
		}
		parts := strings.Split(blob, "/")
		blob = strings.Join(parts[:min(depth, len(parts))], "/")
	default:
		return refuse(fault.AuthenticationFailed, malformed+" sr is not a resource of this service.")
	}
	f.Blob, f.Snapshot = blob, f.snapshot
	if blob != "" {
		f.resource += "/" + blob
	}
	return nil
}

// accountText is what the key of an account SAS signs: every field on a line of its own.
func (f *fields) accountText(account string) string {
	lines := []string{account, f.Permissions, f.Services, f.ResourceTypes, f.st, f.se, f.sip, f.spr, string(f.version)}
	if f.version >= withScope {
		lines = append(lines, f.EncryptionScope)
	}
	return strings.Join(lines, "\n") + "\n"
}

// serviceText is what the key of a service SAS for blobs signs, by version.
func (f *fields) serviceText(service string) string {
	lines := []string{f.Permissions, f.st, f.se, "/" + service + f.resource, f.policy}
	if f.version >= withAddress {
		lines = append(lines, f.sip, f.spr)
	}
	lines = append(lines, string(f.version))
	if f.version >= withKind {
		lines = append(lines, f.Resource, f.snapshot)
	}
	if f.version >= withScope {
		lines = append(lines, f.EncryptionScope)
	}
	lines = append(lines, f.CacheControl, f.ContentDisposition, f.ContentEncoding, f.ContentLanguage, f.ContentType)
	return strings.Join(lines, "\n")
}
