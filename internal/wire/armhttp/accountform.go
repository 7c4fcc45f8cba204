package armhttp

import (
	"net/http"
	"strings"
	"time"

	"github.com/coffer-storage/coffer/internal/account"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/resource"
)

const accountType = "Microsoft.Storage/storageAccounts"

// accountBody is what a request may say of an account. Read-only members that a client
// sends back are not looked at.
type accountBody struct {
	Location   *string           `json:"location"`
	Kind       *string           `json:"kind"`
	SKU        *skuForm          `json:"sku"`
	Tags       map[string]string `json:"tags"`
	Identity   *identityForm     `json:"identity"`
	Properties struct {
		AccessTier  *string         `json:"accessTier"`
		AllowPublic *bool           `json:"allowBlobPublicAccess"`
		Encryption  *encryptionBody `json:"encryption"`
		promises
	} `json:"properties"`
}

// promises are settings that would promise what this server does not do.
type promises struct {
	SharedKey    *bool       `json:"allowSharedKeyAccess"`
	HNS          *bool       `json:"isHnsEnabled"`
	SFTP         *bool       `json:"isSftpEnabled"`
	NFS          *bool       `json:"isNfsV3Enabled"`
	OAuthDefault *bool       `json:"defaultToOAuthAuthentication"`
	Network      *string     `json:"publicNetworkAccess"`
	TLS          *string     `json:"minimumTlsVersion"`
	Large        *string     `json:"largeFileSharesState"`
	CopyScope    *string     `json:"allowedCopyScope"`
	DNS          *string     `json:"dnsEndpointType"`
	ACLs         *aclForm    `json:"networkAcls"`
	Domain       *domainForm `json:"customDomain"`
	SASPolicy    *struct{}   `json:"sasPolicy"`
	KeyPolicy    *struct{}   `json:"keyPolicy"`
	Immutable    *struct {
		Enabled *bool `json:"enabled"`
	} `json:"immutableStorageWithVersioning"`
}

type aclForm struct {
	Default string `json:"defaultAction"`
	IP      []any  `json:"ipRules"`
	Virtual []any  `json:"virtualNetworkRules"`
}

type domainForm struct {
	Name string `json:"name"`
}

// check refuses what would be promised and not kept.
func (p *promises) check() error {
	on := func(b *bool) bool { return b != nil && *b }
	says := func(s *string, words ...string) bool {
		for _, w := range words {
			if s != nil && strings.EqualFold(*s, w) {
				return true
			}
		}
		return false
	}
	for _, c := range []struct {
		bad       bool
		what, why string
	}{
		{p.SharedKey != nil && !*p.SharedKey, "allowSharedKeyAccess", "access with account keys cannot be switched off here"},
		{on(p.HNS), "isHnsEnabled", "the hierarchical namespace is not served"},
		{on(p.SFTP), "isSftpEnabled", "SFTP is not served"},
		{on(p.NFS), "isNfsV3Enabled", "NFS is not served"},
		{says(p.Network, "Disabled", "SecuredByPerimeter"), "publicNetworkAccess", "the address that the server listens on decides who reaches it"},
		{p.ACLs != nil && (strings.EqualFold(p.ACLs.Default, "Deny") || len(p.ACLs.IP)+len(p.ACLs.Virtual) > 0), "networkAcls", "the address that the server listens on decides who reaches it"},
		{says(p.TLS, "TLS1_3"), "minimumTlsVersion", "the least version is TLS 1.2"},
		{says(p.Large, "Enabled"), "largeFileSharesState", "the File service is not served yet"},
		{says(p.CopyScope, "AAD", "PrivateLink"), "allowedCopyScope", "copies are not restricted by their source"},
		{says(p.DNS, "AzureDnsZone"), "dnsEndpointType", "names of endpoints come from the server's own domain"},
		{p.Domain != nil && p.Domain.Name != "", "customDomain", "names of endpoints come from the server's own domain"},
		{p.SASPolicy != nil, "sasPolicy", "the life of signatures is not enforced"},
		{p.KeyPolicy != nil, "keyPolicy", "the life of account keys is not enforced"},
		{p.Immutable != nil && on(p.Immutable.Enabled), "immutableStorageWithVersioning", "immutable storage is not served yet"},
	} {
		if c.bad {
			return armError{http.StatusBadRequest, "FeatureNotSupportedForAccount", c.what + ": " + c.why + "."}
		}
	}
	return nil
}

type skuForm struct {
	Name string `json:"name"`
	Tier string `json:"tier,omitempty"`
}

type identityForm struct {
	Type      string                   `json:"type"`
	Principal string                   `json:"principalId,omitempty"`
	Tenant    string                   `json:"tenantId,omitempty"`
	User      map[string]*userIdentity `json:"userAssignedIdentities,omitempty"`
}

type userIdentity struct {
	Principal string `json:"principalId,omitempty"`
	Client    string `json:"clientId,omitempty"`
}

// wish reads which identities are wanted. A listed identity that is null is taken away.
func (f *identityForm) wish() (*resource.IdentityWish, error) {
	w := &resource.IdentityWish{}
	for _, t := range strings.Split(f.Type, ",") {
		switch t = strings.TrimSpace(t); {
		case strings.EqualFold(t, "SystemAssigned"):
			w.System = true
		case strings.EqualFold(t, "UserAssigned"):
			w.Typed = true
		case strings.EqualFold(t, "None") || t == "":
		default:
			return nil, badValue("identity.type", "It is None, SystemAssigned, UserAssigned, or both of the last two.")
		}
	}
	for id, u := range f.User {
		if u != nil {
			w.User = append(w.User, id)
		}
	}
	if len(w.User) > 0 && !w.Typed {
		return nil, badValue("identity.type", "Identities are listed, and the type does not say UserAssigned.")
	}
	return w, nil
}

type encryptionBody struct {
	Source *string `json:"keySource"`
	Vault  *struct {
		Key     *string `json:"keyname"`
		URI     *string `json:"keyvaulturi"`
		Version *string `json:"keyversion"`
	} `json:"keyvaultproperties"`
	Identity *struct {
		User      *string `json:"userAssignedIdentity"`
		Federated *string `json:"federatedIdentityClientId"`
	} `json:"identity"`
	Double   *bool                   `json:"requireInfrastructureEncryption"`
	Services map[string]*serviceBody `json:"services"`
}

type serviceBody struct {
	Enabled *bool   `json:"enabled"`
	KeyType *string `json:"keyType"`
}

// source reads who manages the key, in either spelling.
func source(s *string) (*resource.Source, error) {
	if s == nil || *s == "" {
		return nil, nil
	}
	var out resource.Source
	switch {
	case strings.EqualFold(*s, "Microsoft.Storage"):
		out = resource.ServiceManaged
	case strings.EqualFold(*s, "Microsoft.Keyvault"):
		out = resource.CustomerManaged
	default:
		return nil, badValue("keySource", "It is Microsoft.Storage or Microsoft.Keyvault.")
	}
	return &out, nil
}

func (e *encryptionBody) wish() (*resource.EncryptionWish, error) {
	src, err := source(e.Source)
	if err != nil {
		return nil, err
	}
	w := &resource.EncryptionWish{Source: src, Double: e.Double}
	if v := e.Vault; v != nil && (v.Key != nil || v.URI != nil || v.Version != nil) {
		w.Vault = &resource.VaultWish{URI: v.URI, Key: v.Key, Version: v.Version}
	}
	if i := e.Identity; i != nil {
		w.KeyIdentity, w.FederatedClientID = i.User, i.Federated
	}
	for n, s := range e.Services {
		if s == nil {
			continue
		}
		if s.Enabled != nil && !*s.Enabled {
			return nil, badValue("encryption.services."+n+".enabled", "Encryption cannot be turned off.")
		}
		switch strings.ToLower(n) {
		case "queue":
			w.QueueKey = s.KeyType
		case "table":
			w.TableKey = s.KeyType
		case "blob", "file":
			if s.KeyType != nil && !strings.EqualFold(*s.KeyType, "Account") {
				return nil, badValue("encryption.services."+n+".keyType", "It is always Account.")
			}
		}
	}
	return w, nil
}

// wish reads a body.
func (b *accountBody) wish() (resource.Wish, error) {
	p := &b.Properties
	w := resource.Wish{
		Location: b.Location, Kind: b.Kind, Tags: b.Tags, AccessTier: p.AccessTier, AllowPublic: p.AllowPublic,
	}
	if b.SKU != nil {
		w.SKU = &b.SKU.Name
	}
	if err := p.check(); err != nil {
		return w, err
	}
	var err error
	if b.Identity != nil {
		if w.Identity, err = b.Identity.wish(); err != nil {
			return w, err
		}
	}
	if p.Encryption != nil {
		w.Encryption, err = p.Encryption.wish()
	}
	return w, err
}

// accountForm is an account as the interface shows it.
type accountForm struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Kind       string            `json:"kind"`
	SKU        skuForm           `json:"sku"`
	Tags       map[string]string `json:"tags"`
	Identity   *identityForm     `json:"identity,omitempty"`
	Properties accountProperties `json:"properties"`
}

type accountProperties struct {
	ProvisioningState string            `json:"provisioningState"`
	CreationTime      string            `json:"creationTime"`
	PrimaryLocation   string            `json:"primaryLocation"`
	StatusOfPrimary   string            `json:"statusOfPrimary"`
	StatusOfSecondary string            `json:"statusOfSecondary,omitempty"`
	GeoStats          *geoForm          `json:"geoReplicationStats,omitempty"`
	Notice            string            `json:"cofferNotice,omitempty"`
	Endpoints         map[string]string `json:"primaryEndpoints"`
	AccessTier        string            `json:"accessTier,omitempty"`
	AllowPublic       bool              `json:"allowBlobPublicAccess"`
	SharedKey         bool              `json:"allowSharedKeyAccess"`
	HTTPSOnly         bool              `json:"supportsHttpsTrafficOnly"`
	TLS               string            `json:"minimumTlsVersion"`
	Network           string            `json:"publicNetworkAccess"`
	HNS               bool              `json:"isHnsEnabled"`
	ACLs              map[string]any    `json:"networkAcls"`
	Encryption        encryptionForm    `json:"encryption"`
	Policy            *policyShown      `json:"cofferPolicy,omitempty"`
}

// policyShown is what an account requires and forbids. It is set on the machine only.
type policyShown struct {
	CustomerKey bool `json:"requireCustomerManagedKey"`
	Double      bool `json:"requireInfrastructureEncryption"`
	NoCPK       bool `json:"forbidCustomerProvidedKeys"`
}

type geoForm struct {
	Status      string `json:"status"`
	CanFailover bool   `json:"canFailover"`
}

type encryptionForm struct {
	KeySource string                 `json:"keySource"`
	Vault     *vaultForm             `json:"keyvaultproperties,omitempty"`
	Identity  map[string]string      `json:"identity,omitempty"`
	Double    *bool                  `json:"requireInfrastructureEncryption,omitempty"`
	Services  map[string]serviceForm `json:"services"`
}

type vaultForm struct {
	Key      string `json:"keyname"`
	URI      string `json:"keyvaulturi"`
	Version  string `json:"keyversion"`
	Current  string `json:"currentVersionedKeyIdentifier"`
	Rotation string `json:"lastKeyRotationTimestamp,omitempty"`
	Expires  string `json:"currentVersionedKeyExpirationTimestamp,omitempty"`
}

type serviceForm struct {
	KeyType string `json:"keyType"`
	Enabled bool   `json:"enabled"`
	Since   string `json:"lastEnabledTime"`
}

// showAccount makes the form of an account.
func (h *Handler) showAccount(r *request, i account.Info) accountForm {
	s := i.Stated()
	tier, _, _ := strings.Cut(s.SKU, "_")
	f := accountForm{
		ID: i.ResourceID(), Name: string(i.Name), Type: accountType, Location: s.Location, Kind: s.Kind,
		SKU: skuForm{s.SKU, tier}, Tags: s.Tags, Identity: h.showIdentity(r, i),
		Properties: accountProperties{
			ProvisioningState: "Succeeded", CreationTime: stamp(i.Created), PrimaryLocation: s.Location, StatusOfPrimary: "available",
			Endpoints: map[string]string{"blob": h.o.Endpoint(string(i.Name))}, AccessTier: s.AccessTier,
			AllowPublic: i.AllowPublic, SharedKey: true, HTTPSOnly: h.o.HTTPSOnly, TLS: "TLS1_2", Network: "Enabled",
			ACLs: map[string]any{"bypass": "AzureServices", "defaultAction": "Allow", "ipRules": []any{}, "virtualNetworkRules": []any{}},
		},
	}
	if f.Tags == nil {
		f.Tags = map[string]string{}
	}
	if f.Properties.AccessTier == "" && s.Kind == account.DefaultKind && tier == "Standard" {
		f.Properties.AccessTier = "Hot"
	}
	if resource.Geo(s.SKU) {
		f.Properties.StatusOfSecondary, f.Properties.Notice = "unavailable", resource.OneCopy
		if strings.Contains(strings.ToLower(r.query("$expand")), "georeplicationstats") {
			f.Properties.GeoStats = &geoForm{Status: "Unavailable"}
		}
	}
	f.Properties.Encryption = h.showEncryption(i, s)
	if p := (policyShown{s.RequireCustomerKey, s.RequireDouble, i.ForbidCustomerKeys}); p != (policyShown{}) {
		f.Properties.Policy = &p
	}
	return f
}

func (h *Handler) showIdentity(r *request, i account.Info) *identityForm {
	if !i.Resource.SystemIdentity && i.Resource.Identity == "" {
		return nil
	}
	f := &identityForm{}
	var types []string
	if i.Resource.SystemIdentity {
		types = append(types, "SystemAssigned")
		if p, ok := h.o.Resources.SystemIdentity(r.Context(), i); ok {
			f.Principal, f.Tenant = p.ObjectID, p.TenantID
		}
	}
	if i.Resource.Identity != "" {
		types = append(types, "UserAssigned")
		u := &userIdentity{}
		if p, ok := h.o.Resources.UserIdentity(r.Context(), i); ok {
			u.Principal, u.Client = p.ObjectID, p.ClientID
		}
		f.User = map[string]*userIdentity{i.Resource.Identity: u}
	}
	f.Type = strings.Join(types, ",")
	return f
}

func (h *Handler) showEncryption(i account.Info, s account.Resource) encryptionForm {
	on := serviceForm{"Account", true, stamp(i.Created)}
	f := encryptionForm{KeySource: "Microsoft.Storage", Services: map[string]serviceForm{"blob": on, "file": on}}
	if s.QueueAccountKey {
		f.Services["queue"] = on
	}
	if s.TableAccountKey {
		f.Services["table"] = on
	}
	if i.Double {
		f.Double = &i.Double
	}
	if s.KeyIdentity != "" {
		f.Identity = map[string]string{"userAssignedIdentity": s.KeyIdentity}
		if s.FederatedClientID != "" {
			f.Identity["federatedIdentityClientId"] = s.FederatedClientID
		}
	}
	if k, ok := h.o.Resources.Key(i); ok {
		f.KeySource, f.Vault = "Microsoft.Keyvault", showVaultKey(k)
	}
	return f
}

func showVaultKey(k keys.CustomerKeyInfo) *vaultForm {
	f := &vaultForm{Key: k.Ref.Key, URI: k.Ref.URI, Version: k.Ref.Version, Current: k.Ref.String(), Rotation: orEmpty(k.LastRotation), Expires: orEmpty(k.Expires)}
	if k.Follow {
		f.Version = ""
	}
	return f
}

func orEmpty(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}
