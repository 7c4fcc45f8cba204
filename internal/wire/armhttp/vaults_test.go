package armhttp

import (
	"strings"
	"testing"

	"github.com/coffer-storage/coffer/internal/identity"
	"github.com/coffer-storage/coffer/internal/vault"
)

const (
	boxAt  = group + "/providers/Microsoft.KeyVault/vaults/box1"
	hsmAt  = group + "/providers/Microsoft.KeyVault/managedHSMs/safe1"
	kvAt   = "/subscriptions/SUB/providers/Microsoft.KeyVault"
	tenant = `"tenantId":"` + identity.Tenant + `"`
	alice  = "aaaaaaaa-0000-4000-8000-000000000001"
	bob    = "bbbbbbbb-0000-4000-8000-000000000002"
)

// names are the names in a list.
func names(t *testing.T, h *Handler, target string) string {
	t.Helper()
	if !strings.Contains(target, "?") {
		target += v
	}
	status, got := ask(t, h, "GET", target, "")
	list, ok := got["value"].([]any)
	if status != 200 || !ok {
		t.Errorf("GET %s = %d %v, want a list", target, status, got)
	}
	var out []string
	for _, x := range list {
		s, _ := x.(map[string]any)["name"].(string)
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func wantNames(t *testing.T, h *Handler, target, want string) {
	t.Helper()
	if got := names(t, h, target); got != want {
		t.Errorf("GET %s lists %q, want %q", target, got, want)
	}
}

// A vault from its making to its end: what cannot be turned off, soft delete, recovery,
// purge and what protects from it.
func TestVaults(t *testing.T) {
	h, _ := readyWorld(t)
	form := func(more string) string {
		return `{"location":"l","properties":{` + tenant + `,"sku":{"family":"A","name":"premium"}` + more + `}}`
	}
	deleted := kvAt + "/locations/l/deletedVaults/box1"
	do(t, h, []step{
		{"GET", boxAt, "", 404, "ResourceNotFound", nil},
		{"PATCH", boxAt, `{"tags":{"a":"b"}}`, 404, "ResourceNotFound", nil},
		{"DELETE", boxAt, "", 204, "", nil},
		{"PUT", strings.Replace(boxAt, "RG", "other", 1), form(""), 404, "ResourceGroupNotFound", nil},
		{"PUT", strings.Replace(boxAt, "box1", "b_1", 1), form(""), 400, "VaultNameNotValid", nil},
		{"PUT", boxAt, form(`,"enableSoftDelete":false`), 400, "BadRequest", nil},
		{"PUT", boxAt, form(`,"networkAcls":{"defaultAction":"Deny"}`), 400, "BadRequest", nil},
		{"PUT", boxAt, form(`,"publicNetworkAccess":"disabled"`), 400, "BadRequest", nil},
		{"PUT", boxAt, form(`,"softDeleteRetentionInDays":6`), 400, "VaultNameNotValid", nil},
		{"PUT", boxAt, form(`,"softDeleteRetentionInDays":8,"createMode":"default"`), 200, "", map[string]any{
			"id": boxAt, "name": "box1", "type": vaultType, "properties.enableSoftDelete": true, "properties.softDeleteRetentionInDays": 8.0,
			"properties.enablePurgeProtection": nil, "properties.enableRbacAuthorization": false, "properties.provisioningState": "Succeeded",
			"properties.sku.name": "premium", "properties.vaultUri": "https://box1.vault.localhost/",
		}},
		{"GET", strings.ToUpper(boxAt), "", 200, "", map[string]any{"id": boxAt}},
		{"GET", strings.Replace(boxAt, "RG", "coffer", 1), "", 404, "ResourceNotFound", nil}, // of another group
		{"PATCH", boxAt, `{"tags":{"a":"b"},"properties":{"enableRbacAuthorization":true}}`, 200, "", map[string]any{
			"tags": map[string]any{"a": "b"}, "properties.enableRbacAuthorization": true, "properties.softDeleteRetentionInDays": 8.0,
		}},
		{"POST", kvAt + "/checkNameAvailability", `{"name":"box1","type":"Microsoft.KeyVault/vaults"}`, 200, "", map[string]any{"nameAvailable": false, "reason": "AlreadyExists"}},
		{"POST", kvAt + "/checkNameAvailability", `{"name":"box2","type":"Microsoft.KeyVault/vaults"}`, 200, "", map[string]any{"nameAvailable": true}},
		{"POST", kvAt + "/checkNameAvailability", `{"name":"b_2","type":"Microsoft.KeyVault/vaults"}`, 200, "", map[string]any{"nameAvailable": false, "reason": "AccountNameInvalid"}},
		{"GET", deleted, "", 404, "DeletedVaultNotFound", nil},
		{"POST", deleted + "/purge", "", 404, "DeletedVaultNotFound", nil},

		{"DELETE", boxAt, "", 200, "", nil},
		{"DELETE", boxAt, "", 204, "", nil},
		{"GET", boxAt, "", 404, "ResourceNotFound", nil},
		{"PUT", boxAt, form(""), 409, "ConflictError", nil}, // recover or purge
		{"GET", deleted, "", 200, "", map[string]any{"name": "box1", "properties.vaultId": boxAt, "properties.tags": map[string]any{"a": "b"}, "type": "Microsoft.KeyVault/deletedVaults"}},
		{"GET", strings.Replace(deleted, "SUB", "OTHER", 1), "", 404, "DeletedVaultNotFound", nil},
		{"POST", kvAt + "/checkNameAvailability", `{"name":"box1","type":"Microsoft.KeyVault/vaults"}`, 200, "", map[string]any{"nameAvailable": false}},
	})
	wantNames(t, h, kvAt+"/deletedVaults", "box1")
	wantNames(t, h, strings.Replace(kvAt, "SUB", "OTHER", 1)+"/deletedVaults", "")
	do(t, h, []step{
		{"PUT", boxAt, form(`,"createMode":"recover"`), 200, "", map[string]any{"properties.enableRbacAuthorization": true, "tags": map[string]any{"a": "b"}}},
		{"PUT", boxAt, form(`,"createMode":"recover"`), 404, "ResourceNotFound", nil}, // nothing deleted any more
	})
	wantNames(t, h, kvAt+"/vaults", "box1")
	wantNames(t, h, group+"/providers/Microsoft.KeyVault/vaults", "box1")
	wantNames(t, h, kvAt+"/deletedVaults", "")
	do(t, h, []step{
		{"DELETE", boxAt, "", 200, "", nil},
		{"POST", strings.Replace(deleted, "SUB", "OTHER", 1) + "/purge", "", 404, "DeletedVaultNotFound", nil},
		{"POST", deleted + "/purge", "", 200, "", nil},
		{"GET", deleted, "", 404, "DeletedVaultNotFound", nil},

		{"PUT", boxAt, form(`,"enablePurgeProtection":true`), 200, "", map[string]any{"properties.enablePurgeProtection": true, "properties.softDeleteRetentionInDays": 90.0}},
		{"PATCH", boxAt, `{"properties":{"enablePurgeProtection":false}}`, 400, "BadRequest", nil}, // never again
		{"PATCH", boxAt, `{"properties":{"enableSoftDelete":false}}`, 400, "BadRequest", nil},
		{"DELETE", boxAt, "", 200, "", nil},
		{"POST", deleted + "/purge", "", 409, "MethodNotAllowed", nil},
	})
}

// Access policies: add joins, remove takes the whole entry, replace leaves nothing else.
func TestAccessPolicies(t *testing.T) {
	h, w := readyWorld(t)
	do(t, h, []step{{"PUT", boxAt, `{"location":"l","properties":{` + tenant + `,"sku":{"family":"A","name":"standard"},"accessPolicies":[{` + tenant + `,"objectId":"` + alice + `","permissions":{"keys":["get"]}}]}}`, 200, "", nil}})
	body := func(who, keys string) string {
		return `{"properties":{"accessPolicies":[{` + tenant + `,"objectId":"` + strings.ToUpper(who) + `","permissions":{"keys":[` + keys + `]}}]}}`
	}
	for _, tt := range []struct{ op, body, want string }{
		{"add", body(alice, `"Get","wrapKey"`), "a:get,wrapKey"},
		{"add", body(bob, `"list"`), "a:get,wrapKey b:list"},
		{"Remove", body(alice, `"get"`), "b:list"},
		{"replace", body(alice, `"sign"`), "a:sign"},
	} {
		do(t, h, []step{{"PUT", boxAt + "/accessPolicies/" + tt.op, tt.body, 200, "", nil}})
		v, err := w.Vaults.Vault(t.Context(), vault.Standard, "box1")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range v.Policies {
			got = append(got, p.ObjectID[:1]+":"+strings.Join(p.Keys, ","))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s %s leaves %q, want %q", tt.op, tt.body, s, tt.want)
		}
	}
	do(t, h, []step{
		{"PUT", boxAt + "/accessPolicies/merge", body(bob, `"get"`), 400, "InvalidValuesForRequestParameters", nil},
		{"PUT", strings.Replace(boxAt, "box1", "none", 1) + "/accessPolicies/add", body(bob, `"get"`), 404, "ResourceNotFound", nil},
	})
}

// A Managed HSM says what it is, and has a name space of its own.
func TestManagedHSMs(t *testing.T) {
	h, _ := readyWorld(t)
	form := func(more string) string {
		return `{"location":"l","sku":{"family":"B","name":"Standard_B1"},"properties":{` + tenant + `,"initialAdminObjectIds":["` + alice + `"]` + more + `}}`
	}
	deleted := kvAt + "/locations/l/deletedManagedHSMs/safe1"
	do(t, h, []step{
		{"GET", hsmAt, "", 404, "ResourceNotFound", nil},
		{"PUT", hsmAt, form(`,"softDeleteRetentionInDays":7`), 200, "", map[string]any{
			"id": hsmAt, "type": hsmType, "sku.name": "Standard_B1", "properties.hsmUri": "https://safe1.managedhsm.localhost/",
			"properties.statusMessage": software, "properties.initialAdminObjectIds": []any{alice},
		}},
		{"GET", hsmAt, "", 200, "", map[string]any{"properties.statusMessage": software, "properties.securityDomainProperties.activationStatusMessage": software}},
		{"GET", strings.Replace(hsmAt, "managedHSMs", "vaults", 1), "", 404, "ResourceNotFound", nil},
		{"PATCH", hsmAt, `{"tags":{"a":"b"}}`, 200, "", map[string]any{"tags": map[string]any{"a": "b"}}},
		{"POST", kvAt + "/checkMhsmNameAvailability", `{"name":"safe1"}`, 200, "", map[string]any{"nameAvailable": false}},
		{"POST", kvAt + "/checkMhsmNameAvailability", `{"name":"safe2"}`, 200, "", map[string]any{"nameAvailable": true}},
		{"DELETE", hsmAt, "", 200, "", nil},
		{"GET", deleted, "", 200, "", map[string]any{"name": "safe1", "properties.mhsmId": hsmAt}},
	})
	wantNames(t, h, kvAt+"/deletedManagedHSMs", "safe1")
	wantNames(t, h, kvAt+"/managedHSMs", "")
	do(t, h, []step{{"PUT", hsmAt, form(`,"createMode":"recover"`), 200, "", nil}})
	wantNames(t, h, kvAt+"/managedHSMs", "safe1")
	wantNames(t, h, group+"/providers/Microsoft.KeyVault/managedHSMs", "safe1")
}

// Groups hold what is in them: who deletes one deletes that, vaults so that they can be
// recovered.
func TestGroupsAndIdentities(t *testing.T) {
	h, w := readyWorld(t)
	const sub = "/subscriptions/SUB"
	do(t, h, []step{
		{"HEAD", group, "", 204, "", nil},
		{"HEAD", group + "x", "", 404, "", nil},
		{"PATCH", group, `{"tags":{"c":"d"}}`, 200, "", map[string]any{"tags": map[string]any{"c": "d"}, "location": "westeurope"}},
		{"GET", sub, "", 200, "", map[string]any{"subscriptionId": "SUB", "state": "Enabled"}},
		{"POST", sub + "/providers/microsoft.storage/register", "", 200, "", map[string]any{"registrationState": "Registered"}},
		{"GET", sub + "/providers/Microsoft.Compute", "", 404, "InvalidResourceNamespace", nil},
		{"GET", msiAt, "", 200, "", map[string]any{"type": msiType, "name": "asker"}},
		{"GET", msiAt + "x", "", 404, "ResourceNotFound", nil},
		{"PUT", acc, `{"location":"l","sku":{"name":"Standard_LRS"}}`, 200, "", nil},
		{"PUT", boxAt, `{"location":"l","properties":{` + tenant + `,"sku":{"family":"A","name":"standard"}}}`, 200, "", nil},
	})
	wantNames(t, h, sub+"/resourceGroups", "RG")
	wantNames(t, h, sub+"/locations", "local")
	wantNames(t, h, sub+msi, "asker")
	wantNames(t, h, group+msi, "asker")
	wantNames(t, h, sub+storage+"/storageAccounts", "acct1")
	wantNames(t, h, group+storage+"/storageAccounts", "acct1")

	// Role assignments are listed by scope and by principal, and never those of elsewhere.
	p, _, err := w.IDs.CreatePrincipal(t.Context(), "robot")
	if err != nil {
		t.Fatal(err)
	}
	reader, _ := identity.FindRole("Reader")
	for id, scope := range map[string]string{"1": group, "2": acc, "3": "/subscriptions/OTHER"} {
		_, err := w.IDs.Assign(t.Context(), identity.RoleAssignment{ID: id + "1111111-2222-4333-8444-555555555555", Scope: scope, RoleID: reader.ID, PrincipalID: p.ObjectID})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ at, filter, want string }{
		{group, "", "12"},
		{acc, "", "2"},
		{acc, "atScope()", "12"},
		{acc, "principalId eq '" + p.ObjectID + "'", "12"},
		{sub, "assignedTo('" + p.ObjectID + "')", "12"},
		{sub, "principalId eq '" + alice + "'", ""},
	} {
		target := tt.at + rolesPath + "/roleAssignments" + v
		if tt.filter != "" {
			target += "&$filter=" + strings.NewReplacer(" ", "%20", "'", "%27").Replace(tt.filter)
		}
		got := ""
		for _, n := range strings.Fields(names(t, h, target)) {
			got += n[:1]
		}
		if got != tt.want {
			t.Errorf("roles at %s, filter %q: %q, want %q", tt.at, tt.filter, got, tt.want)
		}
	}
	do(t, h, []step{
		{"GET", group + rolesPath + "/roleAssignments" + v + "&$filter=x", "", 400, "InvalidValuesForRequestParameters", nil},
		{"GET", sub + rolesPath + "/roleDefinitions/" + reader.ID, "", 200, "", map[string]any{"properties.roleName": "Reader"}},
		{"GET", sub + rolesPath + "/roleDefinitions/" + alice, "", 404, "RoleDefinitionDoesNotExist", nil},

		{"DELETE", group, "", 200, "", nil},
		{"GET", group, "", 404, "ResourceGroupNotFound", nil},
		{"GET", acc, "", 404, "ResourceNotFound", nil},
		{"GET", kvAt + "/locations/l/deletedVaults/box1", "", 200, "", nil},
	})
	wantNames(t, h, sub+msi, "")
}

// What the management plane has of the blob service.
func TestBlobServices(t *testing.T) {
	h, _ := readyWorld(t)
	svc := acc + "/blobServices/default"
	box := svc + "/containers/box"
	do(t, h, []step{
		{"GET", svc, "", 404, "ResourceNotFound", nil},
		{"PUT", acc, `{"location":"l","kind":"StorageV2","sku":{"name":"Standard_LRS"},"properties":{"allowBlobPublicAccess":true}}`, 200, "", nil},
		{"GET", svc, "", 200, "", map[string]any{"id": svc, "name": "default", "properties.deleteRetentionPolicy.enabled": false, "properties.cors.corsRules": []any{}}},
		{"PUT", svc, `{"properties":{"isVersioningEnabled":true}}`, 400, "FeatureNotSupportedForAccount", nil},
		{"PUT", svc, `{"properties":{"containerDeleteRetentionPolicy":{"enabled":true,"days":7}}}`, 400, "FeatureNotSupportedForAccount", nil},
		{"PUT", svc, `{"properties":{"changeFeed":{"enabled":true}}}`, 400, "FeatureNotSupportedForAccount", nil},
		{"PUT", svc, `{"properties":{"defaultServiceVersion":"2020-10-02","isVersioningEnabled":false,"cors":{"corsRules":[{"allowedOrigins":["http://a","http://b"],"allowedMethods":["GET"],"maxAgeInSeconds":5,"exposedHeaders":[],"allowedHeaders":["x-ms-*"]}]}}}`, 200, "", map[string]any{
			"properties.defaultServiceVersion": "2020-10-02", "properties.cors.corsRules": []any{map[string]any{
				"allowedOrigins": []any{"http://a", "http://b"}, "allowedMethods": []any{"GET"}, "maxAgeInSeconds": 5.0, "exposedHeaders": []any{}, "allowedHeaders": []any{"x-ms-*"},
			}},
		}},
		{"PUT", svc, `{"properties":{}}`, 200, "", map[string]any{"properties.defaultServiceVersion": "2020-10-02"}}, // what is not named stays

		{"PUT", acc + "/encryptionScopes/scope-a", "", 201, "", nil},
		{"GET", box, "", 404, "ContainerNotFound", nil},
		{"DELETE", box, "", 204, "", nil},
		{"PUT", svc + "/containers/B_x", `{}`, 400, "ContainerOperationFailure", nil},
		{"PUT", box, `{"properties":{"defaultEncryptionScope":"scope-a"}}`, 400, "ContainerOperationFailure", nil},
		{"PUT", box, `{"properties":{"defaultEncryptionScope":"scope-b","denyEncryptionScopeOverride":true}}`, 400, "ContainerOperationFailure", nil},
		{"PUT", box, `{"properties":{"publicAccess":"All"}}`, 400, "InvalidValuesForRequestParameters", nil},
		{"PUT", box, `{"properties":{"defaultEncryptionScope":"scope-a","denyEncryptionScopeOverride":true,"publicAccess":"blob","metadata":{"a":"b"}}}`, 201, "", map[string]any{
			"id": box, "properties.publicAccess": "Blob", "properties.defaultEncryptionScope": "scope-a", "properties.denyEncryptionScopeOverride": true,
			"properties.metadata": map[string]any{"a": "b"}, "properties.leaseState": "Available", "properties.leaseStatus": "Unlocked",
		}},
		{"PUT", box, `{}`, 200, "", map[string]any{"properties.defaultEncryptionScope": "scope-a"}},
		{"PATCH", box, `{"properties":{"defaultEncryptionScope":"$account-encryption-key"}}`, 400, "InvalidValuesForRequestParameters", nil},
		{"PATCH", box, `{"properties":{"denyEncryptionScopeOverride":false}}`, 400, "InvalidValuesForRequestParameters", nil},
		{"PATCH", box, `{"properties":{"publicAccess":"None","metadata":{"c":"d"}}}`, 200, "", map[string]any{"properties.publicAccess": "None", "properties.metadata": map[string]any{"c": "d"}}},
		{"PUT", svc + "/containers/other", `{}`, 201, "", map[string]any{"properties.defaultEncryptionScope": "$account-encryption-key", "properties.publicAccess": "None"}},
	})
	wantNames(t, h, svc+"/containers", "box other")
	status, page := ask(t, h, "GET", svc+"/containers"+v+"&$maxpagesize=1", "")
	next, ok := strings.CutPrefix(page["nextLink"].(string), "http://127.0.0.1:10006")
	if status != 200 || !ok {
		t.Fatalf("a page of one = %d %v", status, page)
	}
	wantNames(t, h, next, "other")
	wantNames(t, h, acc+"/blobServices", "default")
	do(t, h, []step{
		{"GET", svc + "/containers" + v + "&$skiptoken=*", "", 400, "InvalidValuesForRequestParameters", nil},
		{"DELETE", box, "", 200, "", nil},
		{"GET", box, "", 404, "ContainerNotFound", nil},
	})
}
