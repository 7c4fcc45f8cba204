package account

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/object"
)

// What accounts belong to that were made without saying so.
const (
	DefaultSubscription = "00000000-0000-0000-0000-000000000000"
	DefaultGroup        = "coffer"
	DefaultLocation     = "local"
	DefaultKind         = "StorageV2"
	DefaultSKU          = "Standard_LRS"
)

// Resource is what the management plane knows of an account beside its data.
type Resource struct {
	Subscription string // "" with Group: made without the management plane
	Group        string
	Location     string
	Kind         string // StorageV2, BlockBlobStorage, BlobStorage, Storage
	SKU          string // Standard_LRS, ..; there is one copy, whatever it says
	AccessTier   string // Hot, Cool, Cold or ""
	Tags         map[string]string

	SystemIdentity    bool   // the account has a managed identity of its own
	Identity          string // resource id of the user-assigned identity; "" is none
	KeyIdentity       string // the one that asks vaults, if it is the user-assigned one
	FederatedClientID string // and an application of another tenant for it

	QueueAccountKey, TableAccountKey bool // keyType Account: the account's key covers them

	RequireCustomerKey bool // refuses to be without a customer-managed key
	RequireDouble      bool // refuses scopes without infrastructure encryption
}

// orDefaults fills in what was never said.
func (r Resource) orDefaults() Resource {
	for _, f := range []struct {
		at     *string
		common string
	}{{&r.Subscription, DefaultSubscription}, {&r.Group, DefaultGroup}, {&r.Location, DefaultLocation}, {&r.Kind, DefaultKind}, {&r.SKU, DefaultSKU}} {
		if *f.at == "" {
			*f.at = f.common
		}
	}
	return r
}

// Stated is the resource with defaults for what was never said.
func (i Info) Stated() Resource { return i.Resource.orDefaults() }

// ResourceID is the id of the account in the management plane.
func (i Info) ResourceID() string {
	r := i.Stated()
	return "/subscriptions/" + r.Subscription + "/resourceGroups/" + r.Group + "/providers/Microsoft.Storage/storageAccounts/" + string(i.Name)
}

// Free reports whether an account belongs to no resource group, and is found in any.
func (r Resource) Free() bool { return r.Subscription == "" && r.Group == "" }

// Within reports whether an account is in a group of a subscription; "" is any.
func (r Resource) Within(subscription, group string) bool {
	r = r.orDefaults()
	return (subscription == "" || strings.EqualFold(subscription, r.Subscription)) && (group == "" || strings.EqualFold(group, r.Group))
}

// Fields of account rows that say what the resource is.
const (
	tagSubscription = 116 // text, and so the next ones
	tagGroup        = 117
	tagLocation     = 118
	tagKind         = 119
	tagSKU          = 120
	tagTier         = 121
	tagTag          = 122 // repeated: string name, string value
	tagIdentity     = 123 // text, and so the next two
	tagKeyIdentity  = 124
	tagFederated    = 125
	tagManaged      = 126 // 1: flags
)

const (
	flagSystemIdentity = 1 << iota
	flagQueueKey
	flagTableKey
	flagRequireCustomer
	flagRequireDouble
	flagsManaged = 1<<iota - 1
)

// Bounds of what is kept.
const (
	maxText = 2 << 10
	maxTags = 50
)

var errResource = errors.New("account: a text is too long, or there are too many tags")

// texts are the text fields with their tags, in ascending order.
func (r *Resource) texts() []struct {
	tag byte
	at  *string
} {
	return []struct {
		tag byte
		at  *string
	}{
		{tagSubscription, &r.Subscription}, {tagGroup, &r.Group}, {tagLocation, &r.Location}, {tagKind, &r.Kind},
		{tagSKU, &r.SKU}, {tagTier, &r.AccessTier}, {tagIdentity, &r.Identity}, {tagKeyIdentity, &r.KeyIdentity},
		{tagFederated, &r.FederatedClientID},
	}
}

func (r *Resource) check() error {
	n := len(r.Tags)
	for _, f := range r.texts() {
		if len(*f.at) > maxText {
			return errResource
		}
	}
	for k, v := range r.Tags {
		if len(k)+len(v) > maxText {
			return errResource
		}
	}
	if n > maxTags {
		return errResource
	}
	return nil
}

// flags are the booleans with their bits.
func (r *Resource) flags() map[byte]*bool {
	return map[byte]*bool{
		flagSystemIdentity: &r.SystemIdentity, flagQueueKey: &r.QueueAccountKey, flagTableKey: &r.TableAccountKey,
		flagRequireCustomer: &r.RequireCustomerKey, flagRequireDouble: &r.RequireDouble,
	}
}

// set gives r a field, or takes it away: what is zero is not written.
func set(row *object.Row, tag byte, values ...[]byte) {
	if len(values) == 1 && len(values[0]) == 0 {
		values = nil
	}
	row.Set(tag, values...)
}

func (r Resource) encode(row *object.Row) {
	for _, f := range r.texts() {
		set(row, f.tag, []byte(*f.at))
	}
	var tags [][]byte
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		b := binary.BigEndian.AppendUint16(nil, uint16(len(k)))
		b = append(b, k...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.Tags[k])))
		tags = append(tags, append(b, r.Tags[k]...))
	}
	set(row, tagTag, tags...)
	var bits byte
	for bit, on := range r.flags() {
		if *on {
			bits |= bit
		}
	}
	if bits == 0 {
		set(row, tagManaged)
		return
	}
	set(row, tagManaged, []byte{bits})
}

func decodeResource(row *object.Row) (Resource, error) {
	var r Resource
	for _, f := range r.texts() {
		*f.at = string(row.Get(f.tag))
	}
	for _, b := range row.All(tagTag) {
		k, rest, ok := cutString(b)
		v, end, ok2 := cutString(rest)
		if !ok || !ok2 || len(end) > 0 {
			return Resource{}, errRow
		}
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		r.Tags[k] = v
	}
	if b := row.Get(tagManaged); len(b) > 0 {
		if len(b) != 1 || b[0]&^flagsManaged != 0 || b[0] == 0 {
			return Resource{}, errRow
		}
		for bit, on := range r.flags() {
			*on = b[0]&bit != 0
		}
	}
	if r.check() != nil {
		return Resource{}, errRow
	}
	return r, nil
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return "", nil, false
	}
	return string(b[2 : 2+n]), b[2+n:], true
}
