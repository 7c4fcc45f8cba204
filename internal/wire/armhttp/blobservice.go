package armhttp

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/name"
)

const (
	blobPath  = blobs + "/default"
	boxesPath = blobPath + "/containers"
	boxAction = actions + "blobServices/containers/"
)

var blobRoutes = []route{
	{method: "GET", pattern: blobs, action: actions + "blobServices/read", serve: (*Handler).listBlobServices, account: true},
	{method: "GET", pattern: blobPath, action: actions + "blobServices/read", serve: (*Handler).getBlobService, account: true},
	{method: "PUT", pattern: blobPath, action: actions + "blobServices/write", serve: (*Handler).putBlobService, account: true},
	{method: "GET", pattern: boxesPath, action: boxAction + "read", serve: (*Handler).listContainers, account: true},
	{method: "GET", pattern: boxesPath + "/{c}", action: boxAction + "read", serve: (*Handler).getContainer, account: true},
	{method: "PUT", pattern: boxesPath + "/{c}", action: boxAction + "write", serve: (*Handler).putContainer, account: true},
	{method: "PATCH", pattern: boxesPath + "/{c}", action: boxAction + "write", serve: (*Handler).patchContainer, account: true},
	{method: "DELETE", pattern: boxesPath + "/{c}", action: boxAction + "delete", serve: (*Handler).deleteContainer, account: true},
}

// as is how the management plane comes to the blob service, once its own roles have let
// the caller in.
func (r *request) as() *access.Caller {
	return &access.Caller{Kind: access.SharedKey, Account: r.account.Name, Secure: true, RequestID: r.id}
}

type retentionForm struct {
	Enabled bool `json:"enabled"`
	Days    int  `json:"days,omitempty"`
}

type corsRule struct {
	Origins []string `json:"allowedOrigins"`
	Methods []string `json:"allowedMethods"`
	MaxAge  int      `json:"maxAgeInSeconds"`
	Exposed []string `json:"exposedHeaders"`
	Headers []string `json:"allowedHeaders"`
}

type corsForm struct {
	Rules []corsRule `json:"corsRules"`
}

type blobServiceProperties struct {
	CORS           *corsForm      `json:"cors,omitempty"`
	DefaultVersion *string        `json:"defaultServiceVersion,omitempty"`
	Retention      *retentionForm `json:"deleteRetentionPolicy,omitempty"`
	Containers     *retentionForm `json:"containerDeleteRetentionPolicy,omitempty"`
	Versioning     *bool          `json:"isVersioningEnabled,omitempty"`
	ChangeFeed     *retentionForm `json:"changeFeed,omitempty"`
	Restore        *retentionForm `json:"restorePolicy,omitempty"`
}

type blobServiceForm struct {
	ID         string                `json:"id"`
	Name       string                `json:"name"`
	Type       string                `json:"type"`
	Properties blobServiceProperties `json:"properties"`
}

func (h *Handler) showBlobService(r *request) (blobServiceForm, error) {
	p, err := h.o.Blobs.GetServiceProperties(r.Context(), r.as(), r.account.Name)
	f := blobServiceForm{
		ID: h.accountID(r) + "/blobServices/default", Name: "default", Type: "Microsoft.Storage/storageAccounts/blobServices",
		Properties: blobServiceProperties{CORS: &corsForm{Rules: []corsRule{}}, DefaultVersion: p.DefaultServiceVersion, Retention: &retentionForm{}},
	}
	if p.CORS != nil {
		for _, c := range *p.CORS {
			f.Properties.CORS.Rules = append(f.Properties.CORS.Rules, corsRule{
				words(c.AllowedOrigins), words(c.AllowedMethods), int(c.MaxAge), words(c.ExposedHeaders), words(c.AllowedHeaders),
			})
		}
	}
	if d := p.DeleteRetention; d != nil {
		f.Properties.Retention = &retentionForm{d.Enabled, int(d.Days)}
	}
	return f, err
}

// words are the parts of a list with commas.
func words(s string) []string {
	if s == "" {
		return []string{}
	}
	return strings.Split(s, ",")
}

func (h *Handler) listBlobServices(r *request) (int, any, error) {
	f, err := h.showBlobService(r)
	return http.StatusOK, collection{Value: []blobServiceForm{f}}, err
}

func (h *Handler) getBlobService(r *request) (int, any, error) {
	f, err := h.showBlobService(r)
	return http.StatusOK, f, err
}

// putBlobService sets what the body names.
func (h *Handler) putBlobService(r *request) (int, any, error) {
	var b struct {
		Properties blobServiceProperties `json:"properties"`
	}
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	p := &b.Properties
	on := func(f *retentionForm) bool { return f != nil && f.Enabled }
	if on(p.Containers) || on(p.ChangeFeed) || on(p.Restore) || p.Versioning != nil && *p.Versioning {
		return 0, nil, armError{http.StatusBadRequest, "FeatureNotSupportedForAccount",
			"Versioning, the change feed, restore to a point in time and soft delete of containers are not served yet."}
	}
	set := blob.ServiceProperties{DefaultServiceVersion: p.DefaultVersion}
	if p.Retention != nil {
		set.DeleteRetention = &blob.Retention{Enabled: p.Retention.Enabled, Days: p.Retention.Days}
	}
	if p.CORS != nil {
		rules := []blob.CORSRule{}
		for _, c := range p.CORS.Rules {
			rules = append(rules, blob.CORSRule{
				AllowedOrigins: strings.Join(c.Origins, ","), AllowedMethods: strings.Join(c.Methods, ","), MaxAge: c.MaxAge,
				ExposedHeaders: strings.Join(c.Exposed, ","), AllowedHeaders: strings.Join(c.Headers, ","),
			})
		}
		set.CORS = &rules
	}
	if err := h.o.Blobs.SetServiceProperties(r.Context(), r.as(), r.account.Name, set); err != nil {
		return 0, nil, containerFault(err)
	}
	return h.getBlobService(r)
}

type containerForm struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Type       string              `json:"type"`
	ETag       string              `json:"etag,omitempty"`
	Properties containerProperties `json:"properties"`
}

type containerProperties struct {
	PublicAccess  *string           `json:"publicAccess,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	DefaultScope  *string           `json:"defaultEncryptionScope,omitempty"`
	DenyOverride  *bool             `json:"denyEncryptionScopeOverride,omitempty"`
	LastModified  string            `json:"lastModifiedTime,omitempty"`
	LeaseStatus   string            `json:"leaseStatus,omitempty"`
	LeaseState    string            `json:"leaseState,omitempty"`
	LegalHold     bool              `json:"hasLegalHold"`
	Immutable     bool              `json:"hasImmutabilityPolicy"`
	Deleted       bool              `json:"deleted"`
	RemainingDays int               `json:"remainingRetentionDays"`
}

var publicWords = map[string]string{"": "None", "blob": "Blob", "container": "Container"}

func (h *Handler) showContainer(r *request, n string, p blob.ContainerProperties) containerForm {
	public := publicWords[p.PublicAccess]
	f := containerForm{
		ID: h.accountID(r) + "/blobServices/default/containers/" + n, Name: n,
		Type: "Microsoft.Storage/storageAccounts/blobServices/containers", ETag: p.ETag,
		Properties: containerProperties{
			PublicAccess: &public, DefaultScope: &p.DefaultScope, DenyOverride: &p.DenyScopeOverride, LastModified: stamp(p.LastModified),
			LeaseStatus: title(p.LeaseStatus), LeaseState: title(p.LeaseState), LegalHold: p.HasLegalHold, Immutable: p.HasImmutabilityPolicy,
		},
	}
	for _, m := range p.Metadata {
		if f.Properties.Metadata == nil {
			f.Properties.Metadata = map[string]string{}
		}
		f.Properties.Metadata[m.Name] = m.Value
	}
	return f
}

func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (h *Handler) box(r *request) (name.Container, error) {
	n, err := name.ParseContainer(r.at["c"])
	return n, containerFault(err)
}

func (h *Handler) getContainer(r *request) (int, any, error) {
	n, err := h.box(r)
	if err != nil {
		return 0, nil, err
	}
	p, err := h.o.Blobs.GetContainer(r.Context(), r.as(), r.account.Name, n, blob.Conditions{})
	return http.StatusOK, h.showContainer(r, string(n), p), containerFault(err)
}

func (h *Handler) listContainers(r *request) (int, any, error) {
	o := blob.ListContainersOptions{Prefix: r.query("$filter"), MaxResults: maxPage}
	if v := r.query("$maxpagesize"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return 0, nil, badValue("$maxpagesize", "It is a number from 1 on.")
		}
		o.MaxResults = min(n, maxPage)
	}
	if v := r.query("$skiptoken"); v != "" {
		b, err := base64.RawURLEncoding.DecodeString(v)
		if err != nil {
			return 0, nil, badValue("$skiptoken", "It is what nextLink had.")
		}
		o.Marker = string(b)
	}
	page, err := h.o.Blobs.ListContainers(r.Context(), r.as(), r.account.Name, o)
	if err != nil {
		return 0, nil, containerFault(err)
	}
	out := []containerForm{}
	for _, c := range page.Items {
		out = append(out, h.showContainer(r, c.Name, c.ContainerProperties))
	}
	return http.StatusOK, collection{Value: out, NextLink: r.next(page.NextMarker)}, nil
}

type containerBody struct {
	Properties containerProperties `json:"properties"`
}

func (p *containerProperties) public() (string, error) {
	if p.PublicAccess == nil || strings.EqualFold(*p.PublicAccess, "None") {
		return "", nil
	}
	for short, word := range publicWords {
		if strings.EqualFold(word, *p.PublicAccess) {
			return short, nil
		}
	}
	return "", badValue("publicAccess", "It is None, Blob or Container.")
}

func (p *containerProperties) metadata() blob.Metadata {
	var m blob.Metadata
	for _, k := range sortedKeys(p.Metadata) {
		m = append(m, blob.MetaPair{Name: k, Value: p.Metadata[k]})
	}
	return m
}

// putContainer makes a container; one that is there is left as it is, as the interface
// has it.
func (h *Handler) putContainer(r *request) (int, any, error) {
	n, err := h.box(r)
	if err != nil {
		return 0, nil, err
	}
	var b containerBody
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	p := &b.Properties
	if (p.DefaultScope != nil) != (p.DenyOverride != nil) {
		return 0, nil, armError{http.StatusBadRequest, "ContainerOperationFailure",
			"Container encryption policy missing header: x-ms-default-encryption-scope and x-ms-deny-encryption-scope-override are required."}
	}
	o := blob.ContainerOptions{Metadata: p.metadata()}
	if o.PublicAccess, err = p.public(); err != nil {
		return 0, nil, err
	}
	if p.DefaultScope != nil && *p.DefaultScope != blob.AccountKeyScope {
		o.DefaultScope, o.DenyScopeOverride = *p.DefaultScope, *p.DenyOverride
	}
	status := http.StatusCreated
	_, err = h.o.Blobs.CreateContainer(r.Context(), r.as(), r.account.Name, n, o)
	if fault.Is(err, fault.ContainerAlreadyExists) {
		status, err = http.StatusOK, nil
	}
	if err != nil {
		return 0, nil, containerFault(err)
	}
	_, f, err := h.getContainer(r)
	return status, f, err
}

// patchContainer changes metadata and public access; the default scope is for life.
func (h *Handler) patchContainer(r *request) (int, any, error) {
	n, err := h.box(r)
	if err != nil {
		return 0, nil, err
	}
	var b containerBody
	if err := readBody(r, &b); err != nil {
		return 0, nil, err
	}
	now, err := h.o.Blobs.GetContainer(r.Context(), r.as(), r.account.Name, n, blob.Conditions{})
	if err != nil {
		return 0, nil, containerFault(err)
	}
	p := &b.Properties
	if p.DefaultScope != nil && *p.DefaultScope != now.DefaultScope || p.DenyOverride != nil && *p.DenyOverride != now.DenyScopeOverride {
		return 0, nil, badValue("defaultEncryptionScope", "It is chosen when the container is created, and cannot change.")
	}
	if p.PublicAccess != nil {
		public, err := p.public()
		if err != nil {
			return 0, nil, err
		}
		acl, err := h.o.Blobs.GetContainerACL(r.Context(), r.as(), r.account.Name, n, blob.Conditions{})
		if err != nil {
			return 0, nil, containerFault(err)
		}
		if _, err := h.o.Blobs.SetContainerACL(r.Context(), r.as(), r.account.Name, n, blob.ACLOptions{PublicAccess: public, Policies: acl.Policies}); err != nil {
			return 0, nil, containerFault(err)
		}
	}
	if p.Metadata != nil {
		if _, err := h.o.Blobs.SetContainerMetadata(r.Context(), r.as(), r.account.Name, n, p.metadata(), blob.Conditions{}); err != nil {
			return 0, nil, containerFault(err)
		}
	}
	return h.getContainer(r)
}

func (h *Handler) deleteContainer(r *request) (int, any, error) {
	n, err := h.box(r)
	if err != nil {
		return 0, nil, err
	}
	err = h.o.Blobs.DeleteContainer(r.Context(), r.as(), r.account.Name, n, blob.Conditions{})
	if fault.Is(err, fault.ContainerNotFound) {
		return http.StatusNoContent, nil, nil
	}
	return http.StatusOK, nil, containerFault(err)
}

// containerFault gives refusals of the blob service the codes of this interface.
func containerFault(err error) error {
	switch fault.KindOf(err) {
	case fault.ContainerNotFound:
		return armError{http.StatusNotFound, "ContainerNotFound", "The specified container does not exist."}
	case fault.ContainerBeingDeleted:
		return armError{http.StatusConflict, "ContainerBeingDeleted", "The specified container is being deleted. Try operation later."}
	case fault.InvalidResourceName, fault.OutOfRangeInput:
		return armError{http.StatusBadRequest, "ContainerOperationFailure", "The specified resource name contains invalid characters or has a wrong length."}
	case fault.PublicAccessNotPermitted:
		return armError{http.StatusConflict, "PublicAccessNotPermitted", "Public access is not permitted on this storage account."}
	case fault.ScopeNotFound, fault.ScopeDisabled:
		return armError{http.StatusBadRequest, "ContainerOperationFailure", "The default encryption scope does not exist or is disabled."}
	case fault.InvalidMetadata, fault.EmptyMetadataKey, fault.MetadataTooLarge, fault.InvalidXMLNodeValue, fault.InvalidXMLDocument:
		return badValue("properties", "A value is not one that the blob service takes.")
	}
	return err
}
