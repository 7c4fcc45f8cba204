package resource

import (
	"slices"
	"strings"
)

// kind is what one kind of account may be.
type kind struct {
	name    string
	skus    []string
	tier    bool // has an access tier
	needs   bool // and has to say which
	double  bool // infrastructure encryption
	keyType bool // queues and tables under the account's key
	scopes  bool
}

var standard = []string{"Standard_LRS", "Standard_GRS", "Standard_RAGRS"}

// kinds are the kinds of accounts and what they restrict.
var kinds = []kind{
	{name: "StorageV2", skus: append(slices.Clone(standard), "Standard_ZRS", "Standard_GZRS", "Standard_RAGZRS", "Premium_LRS"),
		tier: true, double: true, keyType: true, scopes: true},
	{name: "BlockBlobStorage", skus: []string{"Premium_LRS", "Premium_ZRS"}, double: true, scopes: true},
	{name: "BlobStorage", skus: standard, tier: true, needs: true},
	{name: "Storage", skus: append(slices.Clone(standard), "Standard_ZRS", "Premium_LRS")},
}

// notYet are kinds that exist in Azure and that nothing here could serve.
var notYet = map[string]string{
	"filestorage": "The File service is not served yet.",
}

func findKind(n string) (kind, error) {
	for _, k := range kinds {
		if strings.EqualFold(k.name, n) {
			return k, nil
		}
	}
	if why := notYet[strings.ToLower(n)]; why != "" {
		return kind{}, refuse(NotServed, "kind", "accounts of kind %s: %s", n, why)
	}
	return kind{}, refuse(BadValue, "kind", "it is StorageV2, BlockBlobStorage, BlobStorage or Storage")
}

// sku returns the spelling of a SKU of this kind.
func (k kind) sku(n string) (string, error) {
	for _, s := range k.skus {
		if strings.EqualFold(s, n) {
			return s, nil
		}
	}
	return "", refuse(BadValue, "sku.name", "an account of kind %s has one of %s", k.name, strings.Join(k.skus, ", "))
}

// accessTier returns the spelling of an access tier.
func (k kind) accessTier(n string) (string, error) {
	if n == "" {
		if k.needs {
			return "", refuse(BadValue, "accessTier", "an account of kind %s has to say Hot or Cool", k.name)
		}
		return "", nil
	}
	if strings.EqualFold(n, "Premium") && !k.tier {
		return "", nil // what such an account has anyway
	}
	if !k.tier {
		return "", refuse(NotForKind, "accessTier", "an account of kind %s has no access tier", k.name)
	}
	for _, t := range []string{"Hot", "Cool", "Cold"} {
		if strings.EqualFold(t, n) {
			return t, nil
		}
	}
	return "", refuse(BadValue, "accessTier", "it is Hot, Cool or Cold")
}

// Geo reports whether a SKU promises a second region, which is not there.
func Geo(sku string) bool {
	return strings.Contains(strings.ToUpper(sku), "GRS") || strings.Contains(strings.ToUpper(sku), "GZRS")
}

// OneCopy is what is said about redundancy, whatever the SKU's name.
const OneCopy = "one copy, no second region yet"
