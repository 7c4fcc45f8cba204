package blobhttp

import (
	"strconv"
	"strings"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/wire"
)

// listContainers serves List Containers.
func (h *Handler) listContainers(w *wire.Response, r *wire.Request) error {
	o := blob.ListContainersOptions{Prefix: r.Query.Get("prefix"), Marker: r.Query.Get("marker")}
	var err error
	if o.MaxResults, err = maxResultsOf(r); err != nil {
		return err
	}
	if o.Include, err = blob.ParseInclude(r.Query.Get("include")); err != nil {
		return err
	}
	page, err := h.blobs.ListContainers(r.Context(), r.Caller, r.Target.Account, o)
	if err != nil {
		return err
	}
	return document(w, r, func(x *wire.Writer) {
		x.Start("EnumerationResults", "ServiceEndpoint", h.endpoint(r))
		writeListHead(x, r)
		if len(page.Items) == 0 {
			x.Elem("Containers", "")
		} else {
			x.Start("Containers")
			for i := range page.Items {
				writeContainer(x, r, &page.Items[i], o.Include)
			}
			x.End()
		}
		x.Elem("NextMarker", page.NextMarker)
		x.End()
	})
}

// writeListHead tells back what the list was asked for.
func writeListHead(x *wire.Writer, r *wire.Request) {
	x.Opt("Prefix", r.Query.Get("prefix"))
	x.Opt("Marker", r.Query.Get("marker"))
	x.Opt("MaxResults", r.Query.Get("maxresults"))
	x.Opt("Delimiter", r.Query.Get("delimiter"))
}

func writeContainer(x *wire.Writer, r *wire.Request, c *blob.ContainerItem, include blob.Include) {
	x.Start("Container")
	x.Elem("Name", c.Name)
	x.Start("Properties")
	x.Elem("Last-Modified", wire.Time(c.LastModified))
	x.Elem("Etag", c.ETag)
	x.Elem("LeaseStatus", c.LeaseStatus)
	x.Elem("LeaseState", c.LeaseState)
	x.Opt("PublicAccess", c.PublicAccess)
	if r.Version >= wire.EncryptionVersion {
		x.Elem("DefaultEncryptionScope", c.DefaultScope)
		x.Elem("DenyEncryptionScopeOverride", strconv.FormatBool(c.DenyScopeOverride))
	}
	x.Elem("HasImmutabilityPolicy", strconv.FormatBool(c.HasImmutabilityPolicy))
	x.Elem("HasLegalHold", strconv.FormatBool(c.HasLegalHold))
	x.End()
	if include&blob.IncludeMetadata != 0 {
		writeMetadata(x, c.Metadata, false)
	}
	x.End()
}

func writeMetadata(x *wire.Writer, m blob.Metadata, encrypted bool) {
	if encrypted { // there is some, but not for whoever has not the key
		x.Elem("Metadata", "", "Encrypted", "true")
		return
	}
	if len(m) == 0 {
		x.Elem("Metadata", "")
		return
	}
	x.Start("Metadata")
	for _, p := range m {
		x.Elem(p.Name, p.Value)
	}
	x.End()
}

// listBlobs serves List Blobs.
func (h *Handler) listBlobs(w *wire.Response, r *wire.Request) error {
	n, err := containerOf(r)
	if err != nil {
		return err
	}
	o := blob.ListBlobsOptions{Prefix: r.Query.Get("prefix"), Delimiter: r.Query.Get("delimiter"), Marker: r.Query.Get("marker")}
	if o.MaxResults, err = maxResultsOf(r); err != nil {
		return err
	}
	if o.Include, err = blob.ParseInclude(r.Query.Get("include")); err != nil {
		return err
	}
	for _, q := range []string{"startfrom", "endbefore", "showonly"} {
		if v := r.Query.Get(q); v != "" {
			return fault.New("blobhttp.listBlobs", "", fault.UnsupportedQuery, nil, fault.Detail{Name: "QueryParameterName", Value: q})
		}
	}
	page, err := h.blobs.List(r.Context(), r.Caller, r.Target.Account, n, o)
	if err != nil {
		return err
	}
	return document(w, r, func(x *wire.Writer) {
		x.Start("EnumerationResults", "ServiceEndpoint", h.endpoint(r), "ContainerName", string(n))
		writeListHead(x, r)
		if len(page.Items) == 0 {
			x.Elem("Blobs", "")
		} else {
			x.Start("Blobs")
			for i := range page.Items {
				writeItem(x, r, &page.Items[i], o.Include)
			}
			x.End()
		}
		x.Elem("NextMarker", page.NextMarker)
		x.End()
	})
}

func writeItem(x *wire.Writer, r *wire.Request, b *blob.BlobItem, include blob.Include) {
	if b.IsPrefix {
		x.Start("BlobPrefix")
		writeName(x, r, b.Name)
		x.End()
		return
	}
	x.Start("Blob")
	writeName(x, r, b.Name)
	x.Start("Properties")
	writeProperties(x, r, &b.Properties)
	x.End()
	if include&blob.IncludeMetadata != 0 {
		writeMetadata(x, b.Metadata, b.MetadataEncrypted)
	}
	x.Elem("OrMetadata", "")
	x.End()
}

// writeName writes a name that XML may not be able to hold.
func writeName(x *wire.Writer, r *wire.Request, name string) {
	if encoded, is := wire.EncodeName(name); is && r.Version >= wire.EncodedNames {
		x.Elem("Name", encoded, "Encoded", "true")
		return
	}
	x.Elem("Name", name)
}

// writeProperties writes the elements in the order of the service.
func writeProperties(x *wire.Writer, r *wire.Request, p *blob.Properties) {
	if p.Uncommitted {
		x.Elem("Content-Length", "0")
		x.Elem("BlobType", p.Type)
		return
	}
	x.Elem("Creation-Time", wire.Time(p.Created))
	x.Elem("Last-Modified", wire.Time(p.LastModified))
	x.Elem("Etag", strings.Trim(p.ETag, `"`))
	x.Elem("Content-Length", strconv.FormatInt(p.Length, 10))
	x.Elem("Content-Type", p.ContentType)
	x.Elem("Content-Encoding", p.ContentEncoding)
	x.Elem("Content-Language", p.ContentLanguage)
	x.Elem("Content-CRC64", "")
	x.Elem("Content-MD5", encode64(p.ContentMD5))
	x.Elem("Cache-Control", p.CacheControl)
	x.Elem("Content-Disposition", p.ContentDisposition)
	x.Elem("BlobType", p.Type)
	x.Opt("AccessTier", p.Tier)
	if p.TierInferred {
		x.Elem("AccessTierInferred", "true")
	}
	if !p.TierChanged.IsZero() {
		x.Elem("AccessTierChangeTime", wire.Time(p.TierChanged))
	}
	x.Elem("LeaseStatus", p.LeaseStatus)
	x.Elem("LeaseState", p.LeaseState)
	x.Elem("ServerEncrypted", strconv.FormatBool(p.ServerEncrypted))
	if r.Version >= wire.EncryptionVersion {
		x.Opt("CustomerProvidedKeySha256", p.Encryption.KeySHA256)
		x.Opt("EncryptionScope", p.Encryption.Scope)
	}
}
